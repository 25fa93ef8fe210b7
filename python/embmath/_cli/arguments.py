"""Argument types shared by the commands; a bad value is a usage error (exit code 2)."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from .._index_codes import KINDS

if TYPE_CHECKING:
    # argparse is generic only in the type stubs.
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands = object


def at_least(minimum: int) -> Callable[[str], int]:
    """Return the argument type of integers not below `minimum`."""

    def parse(text: str) -> int:
        with contextlib.suppress(ValueError):
            if int(text) >= minimum:
                return int(text)
        raise argparse.ArgumentTypeError(f"expected an integer of at least {minimum}, got {text!r}")

    return parse


positive_int = at_least(1)


def number(text: str) -> float:
    """Return an int where the text is one, else a float."""
    with contextlib.suppress(ValueError):
        return int(text)
    with contextlib.suppress(ValueError):
        return float(text)
    raise argparse.ArgumentTypeError(f"expected a number, got {text!r}")


def named(suffix: str) -> Callable[[str], str]:
    """Return the argument type of files whose name ends so."""

    def parse(text: str) -> str:
        if not text.lower().endswith(suffix):
            raise argparse.ArgumentTypeError(
                f"expected a file name ending in {suffix}, got {text!r}"
            )
        return text

    return parse


npz_path = named(".npz")
safetensors_path = named(".safetensors")


def code_kinds(text: str) -> str | tuple[str, ...] | None:
    """Return ``codes`` of an index for "auto", "none" or kinds between commas."""
    if text in ("auto", "none"):
        return None if text == "none" else text
    kinds = tuple(text.split(","))
    if not set(kinds) <= set(KINDS):
        raise argparse.ArgumentTypeError(
            f"expected auto, none, or some of {','.join(KINDS)}, got {text!r}"
        )
    return kinds


def add_json_flag(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
