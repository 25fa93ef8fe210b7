"""The demo's second opinion: the same search in NumPy, whether it agrees, and both times."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Hits = tuple[NDArray[np.float32], NDArray[np.int64]]  # values and indices, both (queries, k)

_BLOCK = 1024  # queries at a time: NumPy needs the scores of all texts in memory


@dataclass(frozen=True)
class Agreement:
    """
    How the hits of embmath and NumPy compare.

    Attributes
    ----------
    queries : int
        Number of queries.
    identical : int
        Queries with the same rows in the same order.
    reordered : int
        The others: rows that float32 cannot tell apart came in another order.
    better : int
        How many of the `reordered` embmath has in the order of the scores in float64, rounded
        once to float32, as it promises; where those are equal too, any order is right.
    largest_gap : float
        Largest difference between the two scores at the same rank.
    tolerance : float
        What rounding may cost NumPy: (d + 16) / 2**24 for unit vectors of d dimensions.
    holds : bool
        Whether every score of embmath is the row's score in float64, rounded once, and no two
        scores at the same rank differ by more than `tolerance`. Then both found the k best.
    """

    queries: int
    identical: int
    reordered: int
    better: int
    largest_gap: float
    tolerance: float
    holds: bool


def search_numpy(queries: Vectors, corpus: Vectors, k: int) -> Hits:
    """Return the k best rows by matrix product and argpartition; all rows have length 1."""
    k = min(k, len(corpus))
    blocks = [
        _best_of_scores(queries[start : start + _BLOCK] @ corpus.T, k)
        for start in range(0, len(queries), _BLOCK)
    ]
    values, indices = zip(*blocks, strict=True)
    return np.concatenate(values), np.concatenate(indices)


def _best_of_scores(scores: Vectors, k: int) -> Hits:
    kth = scores.shape[1] - k
    candidates = np.argpartition(scores, kth, axis=1)[:, kth:]
    values = np.take_along_axis(scores, candidates, axis=1)
    order = np.lexsort((candidates, -values), axis=1)
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(candidates, order, axis=1)


def compare(ours: Hits, theirs: Hits, queries: Vectors, corpus: Vectors) -> Agreement:
    """Judge two answers to the same search."""
    differ = np.flatnonzero((ours[1] != theirs[1]).any(axis=1))
    gap = float(np.abs(ours[0] - theirs[0]).max(initial=0.0))
    tolerance = (corpus.shape[1] + 16) / 2.0**24
    exact = _exact_scores(queries, corpus, ours[1])
    # 1e-12: two orders of adding in float64 differ by less.
    rounded_once = np.abs(exact - ours[0]) <= 2.0**-24 * np.abs(exact) + 1e-12
    other = _exact_scores(queries[differ], corpus, theirs[1][differ])
    right = _in_best_order(exact[differ].astype(np.float32), other.astype(np.float32))
    return Agreement(
        queries=len(queries),
        identical=len(queries) - len(differ),
        reordered=len(differ),
        better=int(right.sum()),
        largest_gap=gap,
        tolerance=tolerance,
        holds=bool(rounded_once.all()) and gap <= tolerance,
    )


def _in_best_order(scores: Vectors, others: Vectors) -> NDArray[np.bool_]:
    """Return which rows of `scores` fall from left to right and are not beaten by `others`."""
    falls = (scores[:, :-1] >= scores[:, 1:]).all(axis=1)
    unbeaten = (scores >= -np.sort(-others, axis=1)).all(axis=1)
    return np.asarray(falls & unbeaten)


def _exact_scores(
    queries: Vectors, corpus: Vectors, indices: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the cosine of every query with its rows, in float64."""
    scores = np.empty(indices.shape)
    lengths = np.linalg.norm(corpus.astype(np.float64), axis=1)
    for row, (query, hits) in enumerate(zip(queries.astype(np.float64), indices, strict=True)):
        scale = np.linalg.norm(query) * lengths[hits]
        scores[row] = corpus[hits].astype(np.float64) @ query
        scores[row] /= np.where(scale > 0, scale, 1.0)
    return scores


def median_seconds(
    first: Callable[[], object], second: Callable[[], object], budget: float
) -> tuple[float, float]:
    """Return the median times of two functions, run in turns for about `budget` seconds."""
    times: list[tuple[float, float]] = []
    first(), second()  # the first run pays for memory and threads
    start = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < budget:
        times.append((_seconds(first), _seconds(second)))
    return statistics.median(t for t, _ in times), statistics.median(t for _, t in times)


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
