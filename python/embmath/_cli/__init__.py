"""The command line: ``python -m embmath info | demo | search | index | quantize | bench``."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence

from embmath._cli import bench, demo, index, info, quantize, search
from embmath._cli.errors import CliError

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_INTERRUPTED = 130

_EPILOG = """\
exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted (Ctrl-C)
Results go to stdout, progress and errors to stderr.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; each command's ``run`` is in ``args.run``."""
    parser = argparse.ArgumentParser(
        prog="python -m embmath",
        description="Exact similarity search and embedding math.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (demo, search, index, quantize, bench, info):
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        0 success, 1 failure (also when the reader of stdout has gone), 2 wrong usage,
        130 interrupted.
    """
    try:
        return _run(argv)
    except BrokenPipeError:
        _drop_stdout()
        return EXIT_FAILURE
    except KeyboardInterrupt:
        print("embmath: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (CliError, OSError) as error:
        print(f"embmath: error: {error}", file=sys.stderr)
        return EXIT_FAILURE
    except MemoryError as error:
        print(f"embmath: error: {str(error) or 'not enough memory'}", file=sys.stderr)
        return EXIT_FAILURE


def _run(argv: Sequence[str] | None) -> int:
    if argv is None:  # the streams are this process's own
        _accept_any_text()
    try:
        args = build_parser().parse_args(argv)
        args.run(args)
        return EXIT_OK
    except SystemExit as stop:  # argparse: 0 after --help, 2 after a usage error
        return stop.code if isinstance(stop.code, int) else EXIT_OK
    finally:
        sys.stdout.flush()  # a broken pipe must show here, not when the interpreter exits


def _accept_any_text() -> None:
    """Show "?" for what the terminal's encoding lacks in texts and file names, never fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _drop_stdout() -> None:
    """Send what is still buffered nowhere: the interpreter flushes again when it exits."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
