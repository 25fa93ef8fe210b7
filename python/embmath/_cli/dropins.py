"""The demo's last words: which lines programs of other libraries would change, and that they do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embmath._cli.bench.dropins import DROPINS, PEERS
from embmath._cli.bench.dropins.dropin import line
from embmath._cli.bench.packages import are_installed
from embmath._cli.compare import Hits

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Replaced:
    """The same hits by FAISS's calls, without FAISS."""

    same_hits: bool
    largest_gap: float


def search_as_faiss(queries: Vectors, corpus: Vectors, hits: Hits) -> Replaced:
    """Let ``IndexFlatIP`` find what was found; rows of length 1."""
    from embmath.compat import faiss

    index = faiss.IndexFlatIP(corpus.shape[1])
    index.add(corpus)
    values, ids = index.search(queries, hits[1].shape[1])
    gap = float(np.abs(values - hits[0]).max(initial=0.0))
    return Replaced(bool(np.array_equal(ids, hits[1])), gap)


def three_lines(replaced: Replaced, dims: int, k: int) -> list[str]:
    """Before and after, for FAISS and for what is installed here."""
    found = "the hits above" if replaced.same_hits else "equal scores in another order"
    code = [
        ("from embmath.compat import faiss", "was: import faiss"),
        (f"index = faiss.IndexFlatIP({dims}); index.add(texts)", "as it was"),
        (f"index.search(questions, {k})", f"{found}, to {replaced.largest_gap:.0e}"),
    ]
    return [
        "the same where FAISS does it today:",
        *(f"  {statement:<49}# {remark}" for statement, remark in code),
        *_installed(),
    ]


def _installed() -> list[str]:
    """One line for another, for every other library that is here."""
    first = {each.package: each for each in reversed(DROPINS.values()) if each.package != "faiss"}
    lines = [
        f"  {sign} {line(place)}"
        for package in PEERS
        if package in first and are_installed([package])
        for sign, place in (("-", first[package].before), ("+", first[package].after))
    ]
    heading = "and where other libraries that you have do it (python -m embmath bench dropin):"
    return [heading, *lines] if lines else []
