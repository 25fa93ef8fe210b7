"""Coarse to fine: few dimensions for every row, more for those that are left."""

import math
from collections.abc import Sequence

from . import _arguments, _arrays
from ._search import rescore, search
from ._types import Array, Metric, TopK


def funnel_search(
    queries: Array,
    corpus: Array,
    k: int = 10,
    metric: Metric = "cosine",
    *,
    dims: Sequence[int],
    oversample: float = 4.0,
    threads: int | None = None,
) -> TopK:
    """Approximate search down a Matryoshka funnel: short prefixes first, whole rows last.

    Every row is scored by its first ``dims[0]`` columns; the best go on to ``dims[1]``, and so on;
    the last are scored exactly, by all columns. A true neighbour is missed where a prefix ranks it
    too low. For the exact answer from prefixes see Notes.

    Parameters
    ----------
    queries, corpus, metric, threads
        As for :func:`search`.
    k : int
        Rows per query.
    dims : sequence of int
        Ascending prefixes, each below d.
    oversample : float
        From each level to the one before it, so many times the rows are kept; at least 1.

    Returns
    -------
    TopK
        ``values`` are exact scores of whole rows; ``indices`` may miss a neighbour.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(nq n dims[0]), several times less than :func:`search` without codes [1]_. It suits models
    trained for it, or rows rotated by :func:`fit_rotation`. An ``Index(corpus, codes="prefix",
    rotation=em.fit_rotation(corpus, axes="given"))`` goes down such a funnel, too, bounds what
    every prefix leaves out, and is exact.

    References
    ----------
    .. [1] A. Kusupati et al., "Matryoshka Representation Learning", NeurIPS 2022.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> corpus = rng.standard_normal((1000, 32)) * 0.8 ** np.arange(32)
    >>> em.funnel_search(corpus[:1], corpus, k=1, dims=(8, 16)).indices
    array([[0]])
    """
    k = _arguments.integer("k", k, at_least=1)
    factor = _arguments.number("oversample", oversample)
    if not 1 <= factor < math.inf:
        raise ValueError(f"oversample: must be finite and at least 1, got {oversample}")
    n_rows, n_cols = _shape(corpus)
    levels = [
        _arguments.integer("dims", each, at_least=1, at_most=max(n_cols - 1, 1)) for each in dims
    ]
    if not levels or sorted(set(levels)) != levels:
        raise ValueError(f"dims: expected ascending prefixes, at least one, got {tuple(dims)}")
    kept = [min(math.ceil(k * factor**i), n_rows) for i in range(len(levels), 0, -1)]
    best = search(queries, corpus, kept[0], metric, dims=levels[0], threads=threads).indices
    for prefix, count in zip(levels[1:], kept[1:], strict=True):
        best = rescore(queries, corpus, best, count, metric, dims=prefix, threads=threads).indices
    return rescore(queries, corpus, best, k, metric, threads=threads)


def _shape(corpus: Array) -> tuple[int, int]:
    rows = _arrays.matrix("corpus", corpus)
    return rows.n_rows, rows.n_cols
