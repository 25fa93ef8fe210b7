"""The one exception the command line turns into a message."""

from __future__ import annotations


class CliError(Exception):
    """A failure the user can act on: printed as one line, exit code 1, no traceback."""
