"""Whether two answers are the same: exactly where numbers are exact, ties and rounding aside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import embmath as em
from embmath._cli.bench.dropins.dropin import Data

Array = NDArray[Any]


class Hits(NamedTuple):
    """The best of every query, best first."""

    values: Array  # (queries, k)
    ids: Array


def hits_of_dicts(found: Sequence[Sequence[dict[str, Any]]]) -> Hits:
    """From sentence-transformers' lists."""
    values = [[hit["score"] for hit in hits] for hits in found]
    return Hits(np.array(values), np.array([[hit["corpus_id"] for hit in hits] for hits in found]))


def hits_of_pairs(found: Iterable[tuple[float, Any]]) -> Hits:
    """From the (score, id) of one query."""
    values, ids = zip(*found, strict=True)
    return Hits(np.array([values], np.float64), np.array([ids]))


def same_hits(ours: Hits, theirs: Hits, slack: float) -> bool:
    """The same values at every rank and of every row; other rows only where they tie for last."""
    if not same_numbers(ours.values, theirs.values, slack):
        return False
    a, b = _by_id(ours), _by_id(theirs)
    moved = (a.ids != b.ids).any(axis=1)
    if not same_numbers(a.values[~moved], b.values[~moved], slack):
        return False
    last = ours.values[:, -1]
    return all(
        _are_same_but_ties(Hits(a.values[i], a.ids[i]), Hits(b.values[i], b.ids[i]), last[i], slack)
        for i in np.flatnonzero(moved)
    )


def _by_id(hits: Hits) -> Hits:
    order = np.argsort(hits.ids, axis=1)
    values, ids = np.take_along_axis(hits.values, order, 1), np.take_along_axis(hits.ids, order, 1)
    return Hits(values, ids)


def _are_same_but_ties(ours: Hits, theirs: Hits, last: float, slack: float) -> bool:
    """One query's: whether what only one side found ties with the last."""
    if any(len(np.unique(hits.ids)) < len(hits.ids) for hits in (ours, theirs)):
        return False
    _, in_ours, in_theirs = np.intersect1d(ours.ids, theirs.ids, return_indices=True)
    alone = np.delete(ours.values, in_ours), np.delete(theirs.values, in_theirs)
    return same_numbers(ours.values[in_ours], theirs.values[in_theirs], slack) and all(
        same_numbers(each, np.full(each.shape, last), 2 * slack) for each in alone
    )


def same_numbers(ours: Any, theirs: Any, slack: float) -> bool:
    """As many, none further apart than `slack`, in the scale of the largest above 1."""
    a, b = np.asarray(ours), np.asarray(theirs)
    if a.shape != b.shape:
        return False
    return bool(np.allclose(a, b, rtol=0, atol=slack * max(1.0, float(np.abs(b).max(initial=0.0)))))


def same_codes(data: Data, ours: Any, theirs: Any) -> bool:
    """The same bits."""
    return ours.dtype == theirs.dtype and np.array_equal(ours, theirs)


def same_matrix(data: Data, ours: Any, theirs: Any) -> bool:
    """Scores of all pairs."""
    return same_numbers(ours, theirs, 2 * data.slack)


def same_pairs(data: Data, ours: Any, theirs: Any, top_k: int = 100) -> bool:
    """Lists of [score, i, j]: the same but where a pair ties with one that was left out.

    That is the last pair, or the last of the `top_k` neighbours of both its rows.
    """
    a, b = np.array(ours), np.array(theirs)
    in_ours, in_theirs = (found[:, 1] * len(data.rows) + found[:, 2] for found in (a, b))
    is_each_once = all(len(np.unique(each)) == len(each) for each in (in_ours, in_theirs))
    _, in_a, in_b = np.intersect1d(in_ours, in_theirs, return_indices=True)
    slack = 2 * data.slack
    if not is_each_once or not same_numbers(a[in_a, 0], b[in_b, 0], slack):
        return False
    alone = np.concatenate([np.delete(a, in_a, axis=0), np.delete(b, in_b, axis=0)])
    last = max(a[-1, 0], b[-1, 0])
    alone = alone[alone[:, 0] > last + slack]
    rows = data.rows[alone[:, 1:].astype(np.int64).ravel()]
    # One more than the neighbours: the row itself.
    worst = np.asarray(em.search(rows, data.rows, top_k + 1, "cosine").values)[:, -1]
    return bool(np.all(alone[:, 0] <= worst.reshape(-1, 2).min(axis=1, initial=1.0) + slack))


def same_groups(data: Data, ours: Any, theirs: Any) -> bool:
    """The same sets of rows, in whatever order."""
    return {frozenset(group) for group in ours} == {frozenset(group) for group in theirs}
