"""Maximal marginal relevance: results that are relevant and unlike each other."""

from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arguments, _arrays, _core
from ._similarity import SIMILARITIES
from ._types import Array, SimilarityMetric, TopK


def mmr(
    query: Array,
    candidates: Array,
    k: int,
    lambda_mult: float = 0.5,
    metric: SimilarityMetric = "cosine",
    *,
    threads: int | None = None,
) -> TopK:
    """Choose k candidates one by one: close to the query, far from those chosen before.

    The first is the most similar to the query; each next one has the largest
    ``lambda_mult * similarity(query, c) - (1 - lambda_mult) * max(similarity(c, chosen))`` [1]_.

    Parameters
    ----------
    query : array, (d,) or (1, d)
    candidates : array, (n, d)
        float16, bfloat16, float32, float64, int8 or uint8; NumPy, Torch, DLPack or lists.
    k : int
        ``min(k, n)`` are chosen.
    lambda_mult : float
        From 0, most different, to 1, most relevant. Libraries that speak of *diversity* mean
        ``1 - lambda_mult``.
    metric : {"cosine", "dot", "euclidean", "sqeuclidean", "manhattan"}
        The three distances are negated.
    threads : int, optional
        Default: :func:`get_num_threads`.

    Returns
    -------
    TopK
        ``indices`` (k,), int64, in the order chosen, and the marginal relevance of each, ``values``
        (k,), float64, which is ``lambda_mult * similarity`` for the first. Of equal candidates the
        lowest index is chosen.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed; for similarities that are not finite.

    Notes
    -----
    O(k n d): the largest similarity to what was chosen is kept up to date. Similarities are
    canonical (see :func:`search`) and combined in float64, so the choice is the same everywhere.

    References
    ----------
    .. [1] J. Carbonell and J. Goldstein, The use of MMR, diversity-based reranking for reordering
       documents and producing summaries, SIGIR 1998.

    Examples
    --------
    >>> import numpy as np
    >>> candidates = np.float32([[1, 0.9], [1, 0.8], [0, 1]])
    >>> em.mmr(np.float32([1, 1]), candidates, k=2).indices
    array([0, 2])
    >>> em.mmr(np.float32([1, 1]), candidates, k=2, lambda_mult=1).indices
    array([0, 1])
    """
    _arguments.choice("metric", metric, SIMILARITIES)
    share = _arguments.number("lambda_mult", lambda_mult)
    if not 0 <= share <= 1:
        raise ValueError(f"lambda_mult: must be between 0 and 1, got {share}")
    given, rows = _arrays.matrix("query", query), _arrays.matrix("candidates", candidates)
    if given.n_rows != 1:
        raise ValueError(f"query: expected one row, got {given.n_rows}")
    to_row = _Similarity(rows, metric, _arguments.dims(None, given, rows), threads)
    n_chosen = min(_arguments.integer("k", k, at_least=1), rows.n_rows)
    values, indices = np.empty(n_chosen), np.empty(n_chosen, np.int64)
    similarity = to_row(given)
    relevance, closest = share * similarity, np.full(rows.n_rows, -np.inf)
    # The first is the most similar one also where lambda_mult = 0 makes all equal.
    score, order = relevance, similarity
    for step in range(n_chosen):
        best = int(order.argmax())
        values[step], indices[step] = score[best], best
        if step + 1 < n_chosen:
            chosen = rows._replace(array=rows.array[best : best + 1])
            np.maximum(closest, to_row(chosen), out=closest)
            score = order = relevance - (1 - share) * closest
            score[indices[: step + 1]] = -np.inf
    wrap = _arrays.wrapper(given, rows)
    return TopK(wrap(values), wrap(indices))


class _Similarity:
    """Canonical similarities of one row with every candidate, in float64."""

    def __init__(self, rows: _arrays.Input, metric: str, n_cols: int, threads: int | None) -> None:
        self._rows, self._metric, self._n_cols = rows, metric, n_cols
        self._threads = _arguments.threads(threads)

    def __call__(self, row: _arrays.Input) -> npt.NDArray[np.float64]:
        shape = self._rows.array.shape
        # One row seen n times, not copied: its stride is 0.
        repeated = row._replace(array=np.broadcast_to(row.array, shape)).typed
        dtype = _core.score_dtype(repeated, self._rows.typed, self._n_cols, self._metric)
        scores: npt.NDArray[Any] = np.empty(shape[0], dtype)
        _core.score_pairs(
            repeated, self._rows.typed, self._n_cols, self._metric, False, self._threads, scores
        )
        if not np.isfinite(scores).all():
            bad = int(np.flatnonzero(~np.isfinite(scores))[0])
            raise ValueError(f"candidates: expected finite similarities, got {scores[bad]} ({bad})")
        return scores.astype(np.float64)
