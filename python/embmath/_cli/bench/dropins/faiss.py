"""Indexes of FAISS."""

from __future__ import annotations

from typing import Any

import numpy as np

from embmath._cli.bench.dropins.answers import Array, Hits, same_hits
from embmath._cli.bench.dropins.dropin import Data, DropIn, Sizes
from embmath._cli.bench.measure import Run


def _search(index_class: Any, data: Data) -> Run:
    index = index_class(data.rows.shape[1])
    index.add(data.rows)
    return lambda: index.search(data.queries, 10)


def _same(data: Data, ours: Any, theirs: Any) -> bool:
    return same_hits(Hits(*ours), Hits(*theirs), 2 * data.slack)


def _search_bits(index_class: Any, data: Data) -> Run:
    rows, queries = _signs(data.rows), _signs(data.queries)
    index = index_class(8 * rows.shape[1])
    index.add(rows)
    return lambda: index.search(queries, 10)


def _signs(rows: Array) -> Array:
    return np.packbits(rows > 0, axis=1)


def _same_counts(data: Data, ours: Any, theirs: Any) -> bool:
    return same_hits(Hits(*ours), Hits(*theirs), 0.0)


DROPINS = (
    DropIn(
        "faiss:IndexFlatIP",
        "embmath.compat.faiss:IndexFlatIP",
        _search,
        _same,
        Sizes(50_000, 1000),
        Sizes(100_000, 1000),
    ),
    DropIn(
        "faiss:IndexBinaryFlat",
        "embmath.compat.faiss:IndexBinaryFlat",
        _search_bits,
        _same_counts,
        Sizes(100_000, 1000),
        Sizes(1_000_000, 1000),
    ),
)
