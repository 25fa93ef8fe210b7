"""The kinds of cases there are, and how one is made again from its request."""

from __future__ import annotations

from typing import Any

from embmath._cli.bench.dropins import DropInCase
from embmath._cli.bench.measure import Case
from embmath._cli.bench.searches import SearchCase

KINDS: dict[str, type[SearchCase] | type[DropInCase]] = {
    "search": SearchCase,
    "dropin": DropInCase,
}


def case_of(request: dict[str, Any]) -> Case:
    """The case that `request` came from."""
    fields = dict(request)
    return KINDS[fields.pop("kind")](**fields)
