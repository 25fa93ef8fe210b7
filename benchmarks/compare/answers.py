"""Equal answers first: a fast wrong result is not a result."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from benchmarks.compare.cases import Problem
from benchmarks.data import Array

_EXACT = ("hamming", "int8")  # integers: nothing is rounded
_ROWS = 64  # matrices are compared this many rows at a time, to stay small beside them


class MismatchError(AssertionError):
    """A contender's answer differs from ours by more than rounding."""


@dataclass(frozen=True)
class Answer:
    """Scores, and for a search the rows they belong to (best first, similarity or distance)."""

    values: Array
    indices: Array | None = None


def tolerance(problem: Problem) -> float:
    """Largest difference that float32 rounding makes between two orders of summation.

    Rounding errors of a sum of d terms behave like a random walk: about sqrt(d) * 2^-24 of the
    magnitude of what is summed; eight times that is never reached by chance. For squared
    distances the magnitude is (|q| + |x|)^2, because some peers expand |q|^2 - 2qx + |x|^2.
    """
    if problem.case.task in _EXACT:
        return 0.0
    magnitude = 1.0
    if problem.case.task != "normalize":
        q, x = _longest(problem.queries), _longest(problem.truth)
        magnitude = (q + x) ** 2 if problem.case.metric == "sqeuclidean" else q * x
    return 8.0 * math.sqrt(problem.corpus.shape[1]) * 2.0**-24 * magnitude


def _longest(x: Array) -> float:
    """Length of the longest row."""
    return float(np.sqrt(np.einsum("ij,ij->i", x, x).max()))


def check(got: Answer, ours: Answer, problem: Problem) -> None:
    """Raise MismatchError unless both say the same, up to rounding and the choice among ties."""
    tol = tolerance(problem)
    if got.values.shape != ours.values.shape:
        raise MismatchError(f"shape {got.values.shape}, ours has {ours.values.shape}")
    for start in range(0, len(ours.values), _ROWS):
        block = slice(start, start + _ROWS)
        _require_close(got.values[block], ours.values[block], tol, "ours")
    if got.indices is not None and ours.indices is not None:
        for query, rows in enumerate(got.indices):
            _check_rows(problem, query, rows)
            _require_close(got.values[query], _scores(problem, query, rows), tol, "its rows' own")
            _check_choice(query, got, ours, tol)


def _require_close(got: Array, wanted: Array, tol: float, whose: str) -> None:
    gap = np.abs(got.astype(np.float64) - wanted)
    if not (gap <= tol).all():
        worst = "NaN" if np.isnan(gap).any() else f"{gap.max():.3g}"
        raise MismatchError(f"scores differ by {worst} from {whose}, allowed {tol:.3g}")


def _check_rows(problem: Problem, query: int, rows: Array) -> None:
    """Each row once, and none that the filter forbids."""
    if len(np.unique(rows)) != len(rows):
        raise MismatchError(f"query {query}: a row comes twice")
    hidden = problem.mask is not None and not problem.mask[rows].all()
    if hidden or (problem.case.filter == "self" and query in rows):
        raise MismatchError(f"query {query}: a row that the filter forbids")


def _scores(problem: Problem, query: int, rows: Array) -> Array:
    """Scores of some rows in float64, straight from the definition."""
    q, x = problem.queries[query], problem.truth[rows]
    if problem.case.task == "hamming":
        return np.asarray(np.bitwise_count(q ^ x).sum(axis=1, dtype=np.int64))
    x = x.astype(np.float64)
    if problem.case.metric == "sqeuclidean":
        return np.asarray(np.square(x - q).sum(axis=1))
    return np.asarray(x @ q.astype(np.float64))


def _check_choice(query: int, got: Answer, ours: Answer, tol: float) -> None:
    """A row that only one side chose must tie with that side's last place."""
    assert got.indices is not None
    assert ours.indices is not None
    for mine, other in ((ours, got.indices[query]), (got, ours.indices[query])):
        assert mine.indices is not None
        values, rows = mine.values[query].astype(np.float64), mine.indices[query]
        alone = ~np.isin(rows, other)
        if (np.abs(values - values[-1])[alone] > tol).any():
            raise MismatchError(f"query {query}: rows {rows[alone]} on one side only, and no tie")
