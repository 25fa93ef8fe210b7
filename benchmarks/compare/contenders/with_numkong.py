"""NumKong: packed kernels, and the top-k its users have to add."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from benchmarks.compare.answers import Answer
from benchmarks.compare.cases import Problem
from benchmarks.compare.contenders.registry import (
    FLOAT_SEARCH,
    Prepared,
    contender,
    library,
    matrix_answer,
    numpy_top_k,
    pair_answer,
    plain_dot,
)
from benchmarks.data import Array


def _numkong_parts(p: Problem, kind: str) -> tuple[ThreadPoolExecutor, list[Callable[[], Array]]]:
    """One packed part of the corpus per thread, and the calls that score each.

    dots_packed accepts threads= and ignores it, and row ranges of the queries cannot split a
    single query; parts of the corpus keep all threads busy at every batch size.
    """
    nk = library("numkong")

    pack, score = getattr(nk, f"{kind}_pack"), getattr(nk, f"{kind}_packed")
    packs = [pack(np.ascontiguousarray(part)) for part in np.array_split(p.corpus, p.threads)]

    def scores(part: Any) -> Array:
        return np.asarray(score(p.queries, part))

    return ThreadPoolExecutor(p.threads), [partial(scores, part) for part in packs]


def _numkong_top_k(p: Problem, kind: str, largest: bool) -> Prepared:
    """Top-k of each part in its thread, then of what the parts kept."""
    pool, calls = _numkong_parts(p, kind)
    starts = np.cumsum([0, *(len(part) for part in np.array_split(p.corpus, p.threads))])

    def part_top(call: Callable[[], Array]) -> tuple[Array, Array]:
        return numpy_top_k(call(), p.case.k, largest)

    def run() -> tuple[Array, Array]:
        parts = list(pool.map(part_top, calls))
        values = np.hstack([part[0] for part in parts])
        rows = np.hstack([part[1] + start for part, start in zip(parts, starts, strict=False)])
        best, at = numpy_top_k(values, p.case.k, largest)
        return best, np.take_along_axis(rows, at, axis=1)

    return Prepared(run, pair_answer)


def _numkong_matrix(p: Problem, finish: Callable[[Array], Answer]) -> Prepared:
    pool, calls = _numkong_parts(p, "dots")

    def run() -> list[Array]:
        return list(pool.map(lambda call: call(), calls))

    return Prepared(run, lambda parts: finish(np.hstack(parts)))


@contender("NumKong dots alone", (*FLOAT_SEARCH, "int8"), "numkong", plain_dot)
def numkong_dots(p: Problem) -> Prepared:
    return _numkong_matrix(
        p, lambda scores: pair_answer(numpy_top_k(scores, p.case.k, largest=True))
    )


@contender("NumKong dots", "similarity", "numkong")
def numkong_similarity(p: Problem) -> Prepared:
    return _numkong_matrix(p, matrix_answer)


@contender("NumKong dots + top-k", (*FLOAT_SEARCH, "int8"), "numkong", plain_dot)
def numkong_search(p: Problem) -> Prepared:
    return _numkong_top_k(p, "dots", largest=True)


@contender("NumKong hammings + top-k", "hamming", "numkong")
def numkong_hamming(p: Problem) -> Prepared:
    return _numkong_top_k(p, "hammings", largest=False)
