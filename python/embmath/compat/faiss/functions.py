"""FAISS's functions without an index."""

from typing import Any

import numpy as np

import embmath as em

from .flat import read_bytes
from .index import METRIC_INNER_PRODUCT, METRIC_L2, Array, fill, metric_name

_BLOCK = 16384  # rows normalized at a time: a copy that stays in the cache


def knn(
    xq: Any,
    xb: Any,
    k: int,
    metric: int = METRIC_L2,
    metric_arg: float = 0.0,
) -> tuple[Array, Array]:
    """The k nearest rows of `xb` for each row of `xq`.

    Parameters
    ----------
    xq : array, (n, d)
    xb : array, (m, d)
        Converted to float32 if they are not.
    k : int
    metric : {METRIC_L2, METRIC_INNER_PRODUCT, METRIC_L1}
    metric_arg : float
        Accepted for compatibility.

    Returns
    -------
    D : array of float32, (n, k)
        Squared distances, ascending, or inner products, descending.
    I : array of int64, (n, k)
        Padded with -1.

    Examples
    --------
    >>> import numpy as np
    >>> from embmath.compat import faiss
    >>> faiss.knn(np.float32([[0, 1]]), np.float32([[0, 0], [3, 4]]), 1)
    (array([[1.]], dtype=float32), array([[0]]))
    """
    queries = np.ascontiguousarray(xq, np.float32)
    corpus = np.ascontiguousarray(xb, np.float32)
    return _search(queries, corpus, k, metric_name(metric), np.float32)


def knn_hamming(xq: Array, xb: Array, k: int, variant: str = "hc") -> tuple[Array, Array]:
    """The k rows of packed bits `xb` that differ least from each of `xq`.

    Parameters
    ----------
    xq, xb : array of uint8, (n, d / 8) and (m, d / 8)
    k : int
    variant : {"hc", "mc"}
        Of FAISS; the same here.

    Returns
    -------
    D : array of int32, (n, k)
    I : array of int64, (n, k)
        Padded with -1.

    Examples
    --------
    >>> import numpy as np
    >>> from embmath.compat import faiss
    >>> faiss.knn_hamming(np.uint8([[0]]), np.uint8([[15], [1]]), 1)
    (array([[1]], dtype=int32), array([[1]]))
    """
    if variant not in ("hc", "mc"):
        raise NotImplementedError(f"variant: expected 'hc' or 'mc', got {variant!r}")
    return _search(read_bytes("xq", xq), read_bytes("xb", xb), k, "hamming", np.int32)


def _search(queries: Array, corpus: Array, k: int, metric: Any, dtype: Any) -> tuple[Array, Array]:
    (n, d), (_, width) = queries.shape, corpus.shape
    assert d == width, f"xb: expected {d} columns like xq, got {width}"
    distances, labels = np.empty((n, k), dtype), np.empty((n, k), np.int64)
    if k:
        found = em.search(queries, corpus, k, metric, pad=True, nan="rank_last")
        fill(found.values, found.indices, metric == "dot", distances, labels)
    return distances, labels


def pairwise_distances(
    xq: Any,
    xb: Any,
    metric: int = METRIC_L2,
    metric_arg: float = 0,
) -> Array:
    """Distance of every row of `xq` to every row of `xb`; L2 squared, inner products as they are.

    Parameters
    ----------
    xq, xb : array, (n, d) and (m, d)
    metric, metric_arg
        As for :func:`knn`.

    Returns
    -------
    array of float32, (n, m)

    Examples
    --------
    >>> import numpy as np
    >>> from embmath.compat import faiss
    >>> faiss.pairwise_distances(np.float32([[0, 1]]), np.float32([[0, 0], [3, 4]]))
    array([[ 1., 18.]], dtype=float32)
    """
    queries = np.ascontiguousarray(xq, np.float32)
    corpus = np.ascontiguousarray(xb, np.float32)
    name = metric_name(metric)
    if metric == METRIC_INNER_PRODUCT:
        return np.asarray(em.similarity(queries, corpus, "dot"))
    return np.asarray(em.distance(queries, corpus, name))


def normalize_L2(x: Array) -> None:
    """Divide every row by its length, in place; rows of zeros stay.

    Parameters
    ----------
    x : array of float32, (n, d)

    Examples
    --------
    >>> import numpy as np
    >>> from embmath.compat import faiss
    >>> x = np.float32([[3, 4], [0, 0]])
    >>> faiss.normalize_L2(x)
    >>> x
    array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)
    """
    n_rows, _ = x.shape
    if x.dtype != np.float32:
        raise TypeError(f"x: expected float32, which is changed in place, got {x.dtype}")
    for start in range(0, n_rows, _BLOCK):
        block = x[start : start + _BLOCK]
        block[...] = em.normalize(block)
