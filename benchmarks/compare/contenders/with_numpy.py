"""NumPy: matrix products through its BLAS, then a partition."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.compare.cases import Problem
from benchmarks.compare.contenders.registry import (
    FLOAT_SEARCH,
    Prepared,
    allowed,
    contender,
    matrix_answer,
    numpy_top_k,
    pair_answer,
    plain_dot,
)
from benchmarks.data import Array


@contender("NumPy A@B.T alone", FLOAT_SEARCH, "numpy", plain_dot)
def numpy_matmul(p: Problem) -> Prepared:
    """No top-k in the timer: the floor of everyone who multiplies with a BLAS first."""
    return Prepared(
        lambda: p.queries @ p.corpus.T,
        lambda scores: pair_answer(numpy_top_k(scores, p.case.k, largest=True)),
    )


@contender("NumPy A@B.T alone", "similarity", "numpy")
def numpy_similarity(p: Problem) -> Prepared:
    """No normalisation in the timer: the rows already have length 1."""
    out = np.empty((p.case.nq, p.case.n), np.float32) if p.case.reuse_out else None
    return Prepared(lambda: np.matmul(p.queries, p.corpus.T, out=out), matrix_answer)


@contender("NumPy matmul + top-k", FLOAT_SEARCH, "numpy")
def numpy_search(p: Problem) -> Prepared:
    largest = p.case.is_similarity
    squares = np.einsum("ij,ij->i", p.corpus, p.corpus)
    keep = allowed(p) if p.case.filter else None

    def run() -> tuple[Array, Array]:
        scores = p.queries @ p.corpus.T
        if not largest:
            own = np.einsum("ij,ij->i", p.queries, p.queries)[:, None]
            scores *= -2
            scores += squares
            scores += own
        if keep is not None:
            np.copyto(scores, -np.inf, where=~keep)
        return numpy_top_k(scores, p.case.k, largest)

    return Prepared(run, pair_answer)


@contender("NumPy bitwise_count", "hamming", "numpy", lambda case: case.nq <= 8)
def numpy_hamming(p: Problem) -> Prepared:
    words = [x.view(np.uint64) for x in (p.queries, p.corpus)]

    def run() -> tuple[Array, Array]:
        scores = np.stack(
            [np.bitwise_count(words[1] ^ q).sum(axis=1, dtype=np.int32) for q in words[0]]
        )
        return numpy_top_k(scores, p.case.k, largest=False)

    return Prepared(run, pair_answer)


@contender("NumPy x / norm", "normalize", "numpy")
def numpy_normalize(p: Problem) -> Prepared:
    out = np.empty_like(p.corpus)

    def run() -> Array:
        norms = np.linalg.norm(p.corpus, axis=1, keepdims=True)
        np.divide(p.corpus, norms, out=out)
        return out

    return Prepared(run, matrix_answer)


@contender("memory copy", ("normalize", "index build"), "numpy")
def memory_copy(p: Problem) -> Prepared:
    """The bandwidth to live up to: the same bytes read and written, shared by the threads."""
    out = np.empty_like(p.corpus)
    parts = list(
        zip(np.array_split(out, p.threads), np.array_split(p.corpus, p.threads), strict=True)
    )
    pool = ThreadPoolExecutor(p.threads)
    return Prepared(lambda: list(pool.map(lambda part: np.copyto(*part), parts)), None)
