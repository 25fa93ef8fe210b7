"""USearch: exact search of the module, without an index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.compare.answers import Answer
from benchmarks.compare.cases import Problem
from benchmarks.compare.contenders.registry import (
    FLOAT_SEARCH,
    Prepared,
    contender,
    library,
    unfiltered,
)
from benchmarks.data import Array


def _usearch(p: Problem, metric: str, finish: Callable[[Array], Array]) -> Prepared:
    """The module's search with exact=True: an Index would search a graph."""
    usearch = library("usearch.index")
    kind = usearch.MetricKind[metric]

    def run() -> Any:
        return usearch.search(p.corpus, p.queries, p.case.k, kind, exact=True, threads=p.threads)

    def answer(found: Any) -> Answer:
        shape = (p.case.nq, -1)  # a single query comes back one-dimensional
        keys = found.keys.reshape(shape).astype(np.int64)
        return Answer(finish(found.distances.reshape(shape)), keys)

    return Prepared(run, answer)


@contender("USearch exact", FLOAT_SEARCH, "usearch", unfiltered)
def usearch_search(p: Problem) -> Prepared:
    if p.case.is_similarity:
        return _usearch(p, "IP", lambda distances: 1.0 - distances)
    return _usearch(p, "L2sq", lambda distances: distances)


@contender("USearch exact", "hamming", "usearch")
def usearch_hamming(p: Problem) -> Prepared:
    return _usearch(p, "Hamming", lambda distances: distances)
