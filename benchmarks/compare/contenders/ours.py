"""Ours: as a user would call it, and the same call on easier terms where a case asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import data
from benchmarks.compare.cases import Problem
from benchmarks.compare.contenders.registry import (
    Prepared,
    contender,
    matrix_answer,
    pair_answer,
    plain_dot,
)
from benchmarks.data import Array


def _search(p: Problem, corpus: Array, metric: Any, filtered: bool = True) -> Callable[[], Any]:
    import embmath as em

    options: dict[str, Any] = {}
    if filtered and p.case.filter:
        self_only = p.case.filter == "self"
        options = {"exclude_self": True} if self_only else {"mask": p.mask}
    return lambda: em.search(p.queries, corpus, p.case.k, metric, threads=p.threads, **options)


@contender("embmath", "search", "embmath")
@contender("embmath", "hamming", "embmath")
def embmath_search(p: Problem) -> Prepared:
    return Prepared(_search(p, p.corpus, p.case.metric), pair_answer)


@contender("embmath, cosine", "search", "embmath", plain_dot)
def embmath_cosine(p: Problem) -> Prepared:
    """The rows are unit rows, so this is the same answer with the norms' work on top."""
    return Prepared(_search(p, p.corpus, "cosine"), pair_answer)


@contender("embmath, unfiltered", "search", "embmath", lambda case: bool(case.filter))
def embmath_unfiltered(p: Problem) -> Prepared:
    return Prepared(_search(p, p.corpus, p.case.metric, filtered=False), None)


@contender(
    "embmath, clustered rows",
    "search",
    "embmath",
    lambda case: case.kind in ("equal", "isotropic", "ascending"),
)
def embmath_clustered(p: Problem) -> Prepared:
    """The same sizes on friendly rows: what adversarial rows are measured against."""
    return Prepared(_search(p, data.rows("clustered", p.case.n, p.case.d), "dot"), None)


@contender("embmath", "similarity", "embmath")
def embmath_similarity(p: Problem) -> Prepared:
    import embmath as em

    metric: Any = p.case.metric
    out = np.empty((p.case.nq, p.case.n), np.float32) if p.case.reuse_out else None
    return Prepared(
        lambda: em.similarity(p.queries, p.corpus, metric, out=out, threads=p.threads),
        matrix_answer,
    )


@contender("embmath", "normalize", "embmath")
def embmath_normalize(p: Problem) -> Prepared:
    import embmath as em

    em.set_num_threads(p.threads)
    out = np.empty_like(p.corpus)
    return Prepared(lambda: em.normalize(p.corpus, out=out), matrix_answer)
