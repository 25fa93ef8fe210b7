"""Other libraries' functions and ours in their place: the same lines, another import."""

from embmath._cli.bench.dropins.case import DropInCase
from embmath._cli.bench.dropins.table import DROPINS, PEERS

__all__ = ["DROPINS", "PEERS", "DropInCase"]
