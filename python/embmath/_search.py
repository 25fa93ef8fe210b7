"""Selection and exact search."""

from typing import Any, cast

import numpy as np

from . import _arguments, _arrays, _core, _device, _two_pass
from ._query import BIT_METRICS, METRICS, Query
from ._types import (
    ApproximateRangeResult,
    ApproximateTopK,
    Array,
    Coded,
    Metric,
    Mode,
    NanPolicy,
    Progress,
    RangeResult,
    TopK,
)

_METRICS = METRICS


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
    rescore: Array | None = None,
    oversample: float | None = None,
    exact: bool | None = None,
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
        "jaccard"); NumPy, Torch, DLPack or lists. Float dtypes mix. Or :class:`Codes`.
    corpus : array or Codes, (n, d)
        Memory-mapped arrays are read in place. Codes of any precision are decoded a few rows at a
        time: the results are those of ``search(queries, codes.dequantize())``, bit for bit, hence
        approximate as to the rows that the codes were made of. Those of "pca" and "rabitq" are
        compared in their rotated coordinates, float32, with the queries rotated likewise: the same
        up to that rounding, exact for the coordinates, for metrics that rotations keep (not
        "manhattan") and whole rows (not `dims`). "hamming" and "jaccard" compare
        binary codes bit by bit, with each other or with packed bits (uint8), whatever their
        signedness.
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
    rescore : array, (n, d), optional
        The rows that the codes were made of, also memory-mapped: ``k * oversample`` candidates are
        chosen by codes, and the best of these by their exact scores.
    oversample : float, optional
        At least 1. Default: 4 for bits, 2 for int4, 1.5 for int8 and uint8, 1.25 for 16-bit floats;
        for "pca" and "rabitq" 7 at one bit per dimension, 3 at two, 1.5 from three on.
    exact : bool, optional
        Go on until the results are proven to be ``search(queries, rescore)``, bit for bit: queries
        for which the error of the codes leaves a doubt get more candidates, or search the rows.
        Needs :meth:`Codes.with_residuals` of these rows; default: True where codes have that.
        float64 queries and rows always search the rows.
    out : (values, indices), optional
        C-contiguous arrays that receive the result.
    threads : int, optional
        Default: :func:`get_num_threads`. Of the CPU's tensors and arrays.
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
        that hold NaN come last, and only where fewer than k others exist. ``is_exact`` is False
        (:class:`ApproximateTopK`) for codes whose results are not proven.

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

    A tenth of the memory, and the same answer:

    >>> codes = em.quantize(corpus, "int4").with_residuals(corpus)
    >>> found = em.search(np.float32([2, 1]), codes, k=1, rescore=corpus)
    >>> found.indices, found.is_exact
    (array([[2]]), True)
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
    if _arrays.is_on_device(queries, corpus):
        _reject_two_passes(rescore, oversample, exact)
        found = _device.backend().search(
            queries,
            corpus,
            k,
            _arguments.choice("metric", metric, METRICS),
            dims=dims,
            mask=mask,
            is_padded=is_padded,
            asked=asked,
            out=out,
        )
        return cast(TopK, found)
    query = Query(queries, corpus, metric, dims)
    if rescore is not None or oversample is not None or exact is not None:
        given = (rescore, oversample, exact)
        return _search_twice(query, k, is_padded, queries, corpus, given, dims, mask, asked, out)
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
    kind = _kind(corpus, query.metric)
    return kind(query.wrap(values), query.wrap(indices)) if out is None else kind(*out)


def _kind(corpus: object, metric: str) -> type[TopK]:
    """Codes are all there is to bits, and stand for more otherwise."""
    return ApproximateTopK if isinstance(corpus, Coded) and metric not in BIT_METRICS else TopK


def _reject_two_passes(rescore: object, oversample: object, exact: object) -> None:
    given = {"rescore": rescore, "oversample": oversample, "exact": exact}
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"{name}: not for tensors on a device, got one "
                "(embmath.rescore takes the indices that a search of codes found)"
            )


def _search_twice(
    query: Query,
    k: int,
    is_padded: bool,
    queries: Array,
    codes: object,
    given: tuple[Any, Any, Any],
    dims: int | None,
    mask: Any,
    asked: _arguments.Search,
    out: Any,
) -> TopK:
    rescore, oversample, exact = given
    if not isinstance(codes, Coded):
        raise TypeError(
            f"corpus: rescore, oversample and exact go with Codes, got {type(codes).__name__}"
        )
    if rescore is None:
        name = "oversample" if oversample is not None else "exact"
        raise ValueError(f"{name}: needs the rows to rescore with (rescore=), got none")
    if isinstance(rescore, Coded):
        raise TypeError("rescore: expected an array, got Codes")
    if query.metric in BIT_METRICS:
        raise ValueError(f"rescore: metric {query.metric!r} is exact on codes, got rows to rescore")
    is_proven = codes.residuals is not None if exact is None else _arguments.flag("exact", exact)
    if is_proven and codes.residuals is None:
        raise ValueError("exact: needs codes.with_residuals(rows), got codes without residuals")
    rows = Query(queries, rescore, query.metric, dims, names=("queries", "rescore"))
    if rows.corpus.n_rows != query.corpus.n_rows:
        raise ValueError(
            f"rescore: expected {query.corpus.n_rows} rows like the codes, got {rows.corpus.n_rows}"
        )
    factor = _two_pass.oversampling(oversample, codes)
    permitted = query.mask(mask)
    todo = _two_pass.Asked(k, factor, is_proven, permitted, asked.options)
    available = max(rows.corpus.n_rows - asked.options["exclude_self"], 0)
    found = rows.outputs(out, k if is_padded else min(k, available), permitted)
    passes = _two_pass.TwoPass(query, rows, todo, codes.residuals, found)
    passes.run()
    asked.finish(passes.report)
    kind = TopK if passes.is_exact else ApproximateTopK
    return kind(*(rows.wrap(part) for part in found)) if out is None else kind(*out)


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
    if _arrays.is_on_device(queries, corpus):
        name = _arguments.choice("metric", metric, METRICS)
        hits = _device.backend().range_search(
            queries, corpus, name, dims=dims, mask=mask, asked=asked
        )
        return cast(RangeResult, hits)
    query = Query(queries, corpus, metric, dims)
    found = _core.range_search(*query.views, mask=query.mask(mask), **asked.options)
    asked.finish()
    is_exact = _kind(corpus, query.metric) is TopK
    kind = RangeResult if is_exact else ApproximateRangeResult
    return kind(*(query.wrap(part) for part in found))


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
    if _arrays.is_on_device(queries, corpus):
        _arguments.threads(threads)
        name = _arguments.choice("metric", metric, METRICS)
        found = _device.backend().rescore(queries, corpus, candidates, k, name, dims)
        return cast(TopK, found)
    query = Query(queries, corpus, metric, dims)
    rows = _arrays.index_matrix("candidates", candidates, query.queries.n_rows)
    values, indices = query.outputs(None, min(k, rows.shape[1]))
    _core.rescore(
        *query.views,
        candidates=rows,
        threshold=None,
        reject_nan=True,
        threads=_arguments.threads(threads),
        values=values,
        indices=indices,
    )
    return _kind(corpus, query.metric)(query.wrap(values), query.wrap(indices))


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
    if _arrays.is_on_device(x):
        return cast(TopK, _device.backend().top_k(x, k, axis, largest))
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
