"""``python -m embmath info``: what was built, and what runs here."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any

import embmath as em
from embmath._cli.arguments import Commands, add_json_flag


def add_parser(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "info",
        help="version, instruction sets, threads, build facts",
        description="Print version, instruction sets, threads and build facts.",
    )
    add_json_flag(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print ``embmath.info()``."""
    facts = em.info()
    if args.json:
        print(json.dumps(facts, indent=2))
        return
    lines = list(flatten(facts))
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        print(f"{name:<{width}}  {value}")


def flatten(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted name, text) for every fact, in order."""
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        elif isinstance(value, (list, tuple)):
            yield prefix + name, ", ".join(map(str, value))
        else:
            is_number = isinstance(value, int) and not isinstance(value, bool)
            yield prefix + name, f"{value:,}" if is_number else str(value)
