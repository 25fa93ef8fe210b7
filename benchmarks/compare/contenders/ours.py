"""Ours: as a user would call it, and the same call on easier terms where a case asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import data
from benchmarks.compare.cases import WORST, Problem
from benchmarks.compare.contenders.registry import (
    FLOAT_SEARCH,
    Prepared,
    contender,
    matrix_answer,
    pair_answer,
    plain_dot,
)
from benchmarks.data import Array


def _filter(p: Problem) -> dict[str, Any]:
    """The case's filter, as our searches take it."""
    if p.case.filter in ("", "self"):
        return {"exclude_self": p.case.filter == "self"}
    return {"mask": p.mask}


def _search(p: Problem, corpus: Array, metric: Any, **options: Any) -> Callable[[], Any]:
    """One call that prepares nothing."""
    import embmath as em

    return lambda: em.search(p.queries, corpus, p.case.k, metric, threads=p.threads, **options)


def _index(p: Problem, codes: Any = "auto", **options: Any) -> Callable[[], Any]:
    """A search of an index that is built here, outside the timer."""
    import embmath as em

    metric: Any = p.case.metric
    index = em.Index(p.corpus, metric=metric, codes=codes, threads=p.threads)
    return lambda: index.search(p.queries, p.case.k, threads=p.threads, **options)


@contender("embmath", ("search", "int8", "hamming"), "embmath")
@contender("embmath search", "index", "embmath")
def embmath_search(p: Problem) -> Prepared:
    return Prepared(_search(p, p.corpus, p.case.metric, **_filter(p)), pair_answer)


@contender("embmath", "index", "embmath")
@contender("embmath Index", "int8", "embmath")
def embmath_index(p: Problem) -> Prepared:
    return Prepared(_index(p, **_filter(p)), pair_answer)


@contender(
    "embmath float32",
    FLOAT_SEARCH,
    "embmath",
    lambda case: case.task == "index" or case.kind in WORST,
)
def embmath_float(p: Problem) -> Prepared:
    """What a search falls back to where codes discard nothing."""
    return Prepared(_index(p, codes=None, **_filter(p)), pair_answer)


@contender("embmath", "codes", "embmath")
def embmath_codes(p: Problem) -> Prepared:
    """Codes as they are stored."""
    return Prepared(_search(p, p.codes, p.case.metric), pair_answer)


@contender("embmath, decoded rows", "codes", "embmath")
def embmath_decoded(p: Problem) -> Prepared:
    """The same answer from four to 32 times the memory."""
    return Prepared(_search(p, p.truth, p.case.metric), pair_answer)


@contender("embmath, rescored", "codes", "embmath")
def embmath_rescored(p: Problem) -> Prepared:
    """Forty candidates by their exact scores."""
    search = _search(p, p.codes, p.case.metric, rescore=p.corpus, oversample=4)
    return Prepared(search, None)


@contender("embmath, cosine", "search", "embmath", plain_dot)
def embmath_cosine(p: Problem) -> Prepared:
    """The rows are unit rows, so this is the same answer with the norms' work on top."""
    return Prepared(_search(p, p.corpus, "cosine"), pair_answer)


@contender("embmath, unfiltered", "search", "embmath", lambda case: bool(case.filter))
def embmath_unfiltered(p: Problem) -> Prepared:
    return Prepared(_search(p, p.corpus, p.case.metric), None)


@contender("embmath, unfiltered", "index", "embmath", lambda case: bool(case.filter))
def index_unfiltered(p: Problem) -> Prepared:
    return Prepared(_index(p), None)


@contender("embmath, clustered rows", "search", "embmath", lambda case: case.kind in WORST)
def embmath_clustered(p: Problem) -> Prepared:
    """The same sizes on friendly rows: how much adversarial rows cost."""
    return Prepared(_search(p, data.rows("clustered", p.case.n, p.case.d), "dot"), None)


@contender("embmath", "index build", "embmath")
def embmath_build(p: Problem) -> Prepared:
    import embmath as em

    metric: Any = p.case.metric
    return Prepared(
        lambda: em.Index(p.corpus, metric=metric, threads=p.threads),
        lambda index: pair_answer(index.search(p.queries, p.case.k)),
    )


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
