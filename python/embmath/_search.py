"""Selection and exact search."""

from typing import Any

import numpy as np

from . import _arguments, _arrays, _core
from ._types import Array, Metric, Mode, NanPolicy, Progress, RangeResult, TopK

_METRICS = ("cosine", "dot", "euclidean", "sqeuclidean", "manhattan", "hamming", "jaccard")


class _Query:
    """What is searched for, where and how, checked."""

    def __init__(
        self,
        queries: Array,
        corpus: Array,
        metric: str,
        dims: int | None,
    ) -> None:
        self.metric = _arguments.choice("metric", metric, _METRICS)
        self.queries = _arrays.matrix("queries", queries)
        self.corpus = _arrays.matrix("corpus", corpus)
        self.n_cols = _arguments.dims(dims, self.queries, self.corpus)
        self.wrap = _arrays.wrapper(self.queries, self.corpus)

    @property
    def views(self) -> tuple[tuple[Any, str], tuple[Any, str], int, str]:
        return self.queries.typed, self.corpus.typed, self.n_cols, self.metric

    def mask(self, mask: object) -> Any:
        return _arrays.row_mask(mask, self.queries.n_rows, self.corpus.n_rows)

    def outputs(self, out: Any, columns: int, mask: Any = None) -> tuple[Any, Any]:
        shape, inputs = (self.queries.n_rows, columns), (self.queries, self.corpus)
        return _arrays.top_k_outputs(out, shape, _core.score_dtype(*self.views), inputs, mask)


def search(
    queries: Array,
    corpus: Array,
    k: int = 10,
    metric: Metric = "cosine",
    *,
    dims: int | None = None,
    mask: Array | None = None,
    exclude_self: bool = False,
    threshold: float | None = None,
    pad: bool = False,
    nan: NanPolicy = "raise",
    out: tuple[Array, Array] | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    stats: dict[str, Any] | None = None,
) -> TopK:
    """The k best rows of `corpus` for each query: exact, and the same bits everywhere.

    Parameters
    ----------
    queries : array, (nq, d) or (d,)
        float16, bfloat16, float32, float64, int8 or uint8 (packed bits for "hamming" and
        "jaccard"); NumPy, Torch (CPU), DLPack or lists. Float dtypes mix.
    corpus : array, (n, d)
        Memory-mapped arrays are read in place.
    k : int
        Rows per query; ``min(k, n)`` columns come back.
    metric : str
        "cosine", "dot": similarities, descending. "euclidean", "sqeuclidean", "manhattan",
        "hamming", "jaccard": distances, ascending.
    dims : int, optional
        Use only the first `dims` columns (bytes of packed bits).
    mask : array of bool, (n,) or (nq, n), optional
        True: the row may be returned.
    exclude_self : bool
        Query i never returns row i (for a corpus searched with its own rows).
    threshold : float, optional
        Keep similarities >= threshold, distances <= threshold.
    pad : bool
        Return k columns even where n < k.
    nan : {"raise", "rank_last"}
        A query that holds NaN raises, or gets index -1 and value NaN throughout.
    out : (values, indices), optional
        C-contiguous arrays that receive the result.
    threads : int, optional
        Default: :func:`get_num_threads`.
    progress : callable, optional
        Called with the fraction done, some thirty times a second, from the calling thread.
    stats : dict, optional
        Filled with what the search did: "plan", and per stage the (query, row) pairs bounded, the
        survivors, bytes of packed rows read and seconds (summed over threads); rows "verified".

    Returns
    -------
    TopK
        ``values`` (nq, k) and ``indices`` (nq, k), int64, ordered by (value, lowest index). Where a
        query has fewer hits: index -1 and value NaN (the worst value of an integer type). Rows
        that hold NaN come last, and only where fewer than k others exist.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.
    MemoryError
        If the workspace, a few tens of megabytes per thread, is not to be had.

    Notes
    -----
    The canonical score: products (differences) of the stored values in float64, added in sixteen
    strided lanes and a tree, finished in float64 and rounded once to float32 (float64 input: not
    rounded). A float32 pass whose error has a proven bound [1]_ discards rows that cannot be among
    the k best; only the rest is scored canonically. O(nq n d) multiply-adds, O(nq k) memory beyond
    the inputs; one or two queries are a single pass at memory bandwidth.

    References
    ----------
    .. [1] N. J. Higham, Accuracy and Stability of Numerical Algorithms, SIAM 2002, section 3.1.

    Examples
    --------
    >>> import numpy as np
    >>> corpus = np.float32([[1, 0], [0, 1], [1, 1]])
    >>> values, indices = em.search(np.float32([2, 1]), corpus, k=2)
    >>> indices
    array([[2, 0]])
    >>> values.round(3)
    array([[0.949, 0.894]], dtype=float32)
    """
    k = _arguments.integer("k", k, at_least=1)
    is_padded = _arguments.flag("pad", pad)
    asked = _arguments.Search(
        exclude_self=exclude_self,
        threshold=threshold,
        nan=nan,
        threads=threads,
        progress=progress,
        stats=stats,
    )
    query = _Query(queries, corpus, metric, dims)
    available = max(query.corpus.n_rows - asked.options["exclude_self"], 0)
    rows = query.mask(mask)
    values, indices = query.outputs(out, k if is_padded else min(k, available), rows)
    report = _core.search(
        *query.views,
        mask=rows,
        **asked.options,
        stats=stats is not None,
        values=values,
        indices=indices,
    )
    asked.finish(report)
    return TopK(query.wrap(values), query.wrap(indices)) if out is None else TopK(*out)


def range_search(
    queries: Array,
    corpus: Array,
    threshold: float,
    metric: Metric = "cosine",
    *,
    dims: int | None = None,
    mask: Array | None = None,
    exclude_self: bool = False,
    nan: NanPolicy = "raise",
    threads: int | None = None,
    progress: Progress | None = None,
) -> RangeResult:
    """Every row of `corpus` within `threshold` of each query.

    Parameters
    ----------
    queries, corpus, metric, dims, mask, exclude_self, nan, threads, progress
        As for :func:`search`; a NaN query has no hits under ``nan="rank_last"``.
    threshold : float
        Keep similarities >= threshold, distances <= threshold, compared on the canonical score.

    Returns
    -------
    RangeResult
        ``offsets`` (nq + 1,), ``values`` and ``indices`` (hits,): those of query i are
        ``offsets[i]:offsets[i + 1]``, best first.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(nq n d), and memory for the hits.

    Examples
    --------
    >>> import numpy as np
    >>> corpus = np.float32([[1, 0], [0, 1], [1, 1]])
    >>> hits = em.range_search(np.float32([[1, 0], [0, 1]]), corpus, 0.7)
    >>> hits.offsets, hits.indices
    (array([0, 2, 4]), array([0, 2, 1, 2]))
    """
    asked = _arguments.Search(
        exclude_self=exclude_self,
        threshold=_arguments.number("threshold", threshold),
        nan=nan,
        threads=threads,
        progress=progress,
    )
    query = _Query(queries, corpus, metric, dims)
    found = _core.range_search(*query.views, mask=query.mask(mask), **asked.options)
    asked.finish()
    return RangeResult(*(query.wrap(part) for part in found))


def rescore(
    queries: Array,
    corpus: Array,
    candidates: Array,
    k: int,
    metric: Metric = "cosine",
    *,
    dims: int | None = None,
    threads: int | None = None,
) -> TopK:
    """The k best of the candidates listed for each query, scored exactly.

    Parameters
    ----------
    queries, corpus, metric, dims, threads
        As for :func:`search`.
    candidates : array of int32 or int64, (nq, c)
        Rows of the corpus, for instance of an approximate search; -1 for none. Duplicates count
        once.
    k : int

    Returns
    -------
    TopK
        ``min(k, c)`` columns, as from :func:`search`.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(nq c d).

    Examples
    --------
    >>> import numpy as np
    >>> corpus = np.float32([[1, 0], [0, 1], [1, 1]])
    >>> em.rescore(np.float32([2, 1]), corpus, np.array([[0, 1]]), k=1).indices
    array([[0]])
    """
    k = _arguments.integer("k", k, at_least=1)
    query = _Query(queries, corpus, metric, dims)
    rows = _arrays.index_matrix("candidates", candidates, query.queries.n_rows)
    values, indices = query.outputs(None, min(k, rows.shape[1]))
    _core.rescore(
        *query.views,
        candidates=rows,
        reject_nan=True,
        threads=_arguments.threads(threads),
        values=values,
        indices=indices,
    )
    return TopK(query.wrap(values), query.wrap(indices))


def top_k(
    x: Array, k: int, /, *, axis: int = -1, mode: Mode = "largest", sorted: bool = True
) -> TopK:
    """The k largest or smallest elements along an axis.

    Parameters
    ----------
    x : array
        float16, bfloat16, float32, float64, int8, uint8, int32 or int64, one or more dimensions.
    k : int
        At least 1; a shorter axis is returned whole.
    axis : int
    mode : {"largest", "smallest"}
    sorted : bool
        Accepted for compatibility: the result is always sorted.

    Returns
    -------
    TopK
        Values of the dtype of `x` and int64 positions along `axis`, best first; lowest index first
        among equals, NaN last in both modes.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(size) for k much smaller than the axis: a vector comparison with the k-th best so far.

    Examples
    --------
    >>> import numpy as np
    >>> em.top_k(np.float32([3, 1, 3, 2]), 2)
    TopK(values=array([3., 3.], dtype=float32), indices=array([0, 2]))
    """
    k = _arguments.integer("k", k, at_least=1)
    largest = _arguments.choice("mode", mode, ("largest", "smallest")) == "largest"
    _arguments.flag("sorted", sorted)
    source = _arrays.read("x", x, allowed=_arrays.SCORE_DTYPES)
    n_dims = source.array.ndim
    if n_dims == 0:
        raise ValueError("x: expected at least 1 dimension, got 0")
    position = _arguments.integer("axis", axis, at_least=-n_dims)
    if position >= n_dims:
        raise ValueError(f"axis: must be below the number of dimensions, {n_dims}, got {position}")
    moved = np.moveaxis(source.array, position, -1)
    rows = moved.reshape(-1, moved.shape[-1]) if moved.size else moved.reshape(0, moved.shape[-1])
    columns = min(k, moved.shape[-1])
    values = _arrays.allocate((rows.shape[0], columns), source.array.dtype)
    indices = _arrays.allocate((rows.shape[0], columns), np.int64)
    _core.top_k((rows, source.dtype), largest, 0, values, indices)
    shape = (*moved.shape[:-1], columns)
    restored = (np.moveaxis(part.reshape(shape), -1, position) for part in (values, indices))
    return TopK(*(source.wrap(part) for part in restored))
