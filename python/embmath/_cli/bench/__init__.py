"""``python -m embmath bench``: this machine, the peers that are installed, the same answers."""

from embmath._cli.bench.command import add_parser, run

__all__ = ["add_parser", "run"]
