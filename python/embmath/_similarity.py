"""Score matrices and their diagonals."""

from collections.abc import Callable
from typing import Any, NamedTuple

from . import _arguments, _arrays, _code_rows, _core, _device
from ._types import Array, DistanceMetric, SimilarityMetric

SIMILARITIES = ("cosine", "dot", "euclidean", "sqeuclidean", "manhattan")
_DISTANCES = ("cosine", "euclidean", "sqeuclidean", "manhattan", "hamming", "jaccard")


def similarity(
    a: Array,
    b: Array | None = None,
    metric: SimilarityMetric = "cosine",
    *,
    dims: int | None = None,
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Similarity of every row of `a` with every row of `b`; larger is closer.

    Parameters
    ----------
    a : array, (m, d) or (d,)
        float16, bfloat16, float32, float64, int8 or uint8; NumPy, Torch, DLPack or lists.
    b : array, (n, d) or (d,), optional
        Default: `a` itself. Float dtypes mix; integers go with their own dtype only.
    metric : {"cosine", "dot", "euclidean", "sqeuclidean", "manhattan"}
        The three distances are negated. Cosine of a zero row is 0.
    dims : int, optional
        Use only the first `dims` columns, without a copy (Matryoshka prefixes).
    out : array, (m, n), optional
        C-contiguous array of the result's dtype that receives the result.
    threads : int, optional
        Default: :func:`get_num_threads`.

    Returns
    -------
    array, (m, n)
        float32; float64 if either input is; exact int32 (int64 beyond 33,025 dimensions) for
        "dot", "sqeuclidean" and "manhattan" of integers. Of the caller's library.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(m n d). float32 results accumulate in ascending dimension with fused multiply-adds: each is
    within ``(d + 16) * 2**-24 * |a_i| |b_j|`` of the exact dot product, and bitwise independent of
    batch, threads and memory layout. Distances come from differences, so near-duplicates keep
    their relative accuracy. float64 and integer results are canonical (see :func:`search`).

    Examples
    --------
    >>> import numpy as np
    >>> em.similarity(np.float32([[3, 4], [0, 2]]), np.float32([[6, 8]]))
    array([[1. ],
           [0.8]], dtype=float32)
    """
    _arguments.choice("metric", metric, SIMILARITIES)
    return _matrix(a, b, dims, metric, False, out=out, threads=threads)


def distance(
    a: Array,
    b: Array | None = None,
    metric: DistanceMetric = "euclidean",
    *,
    dims: int | None = None,
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Distance of every row of `a` to every row of `b`; smaller is closer.

    Parameters
    ----------
    a, b, dims, out, threads
        As for :func:`similarity`. "hamming" and "jaccard" take packed bits, (n, d / 8) of uint8
        (see :func:`pack_bits`); `dims` then counts bytes.
    metric : {"euclidean", "sqeuclidean", "manhattan", "cosine", "hamming", "jaccard"}
        "cosine" is one minus the cosine; "hamming" the number of differing bits; "jaccard" one
        minus shared over set bits, 0 where none are set.

    Returns
    -------
    array, (m, n)
        As for :func:`similarity`; "hamming" is int32, "jaccard" float32.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(m n d).

    Examples
    --------
    >>> import numpy as np
    >>> em.distance(np.float32([[0, 0]]), np.float32([[3, 4], [0, 1]]))
    array([[5., 1.]], dtype=float32)
    """
    _arguments.choice("metric", metric, _DISTANCES)
    return _matrix(a, b, dims, metric, True, out=out, threads=threads)


def similarity_pairwise(
    a: Array,
    b: Array,
    metric: SimilarityMetric = "cosine",
    *,
    dims: int | None = None,
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Similarity of row i of `a` with row i of `b`.

    Parameters
    ----------
    a, b : array, (m, d)
    metric, dims, threads
        As for :func:`similarity`.
    out : array, (m,), optional

    Returns
    -------
    array, (m,)
        Canonical scores: float64 sums, rounded once (see :func:`search`).

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(m d), limited by memory bandwidth.

    Examples
    --------
    >>> import numpy as np
    >>> em.similarity_pairwise(np.float32([[1, 0], [0, 1]]), np.float32([[2, 0], [1, 0]]))
    array([1., 0.], dtype=float32)
    """
    _arguments.choice("metric", metric, SIMILARITIES)
    return _pairs(a, b, dims, metric, False, out=out, threads=threads)


def distance_pairwise(
    a: Array,
    b: Array,
    metric: DistanceMetric = "euclidean",
    *,
    dims: int | None = None,
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Distance of row i of `a` to row i of `b`.

    Parameters
    ----------
    a, b : array, (m, d)
    metric, dims, threads
        As for :func:`distance`.
    out : array, (m,), optional

    Returns
    -------
    array, (m,)
        Canonical scores: float64 sums, rounded once (see :func:`search`).

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(m d), limited by memory bandwidth.

    Examples
    --------
    >>> import numpy as np
    >>> em.distance_pairwise(np.float32([[0, 0]]), np.float32([[3, 4]]), "manhattan")
    array([7.], dtype=float32)
    """
    _arguments.choice("metric", metric, _DISTANCES)
    return _pairs(a, b, dims, metric, True, out=out, threads=threads)


def cosine_similarity(a: Array, b: Array | None = None) -> Array:
    """Cosine of every row of `a` with every row of `b` (default: `a` itself).

    Parameters
    ----------
    a : array, (m, d) or (d,)
    b : array, (n, d) or (d,), optional

    Returns
    -------
    array, (m, n)
        Within [-1, 1]; 0 for zero rows. The same as ``similarity(a, b, "cosine")``.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(m n d).

    Examples
    --------
    >>> import numpy as np
    >>> em.cosine_similarity(np.float32([[1, 0], [0, 2]]))
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    return similarity(a, b, "cosine")


class _Pair(NamedTuple):
    """Two matrices and how many of their columns to compare."""

    a: _arrays.Input
    b: _arrays.Input
    n_cols: int

    @classmethod
    def read(cls, a: Array, b: Array, dims: int | None, metric: str) -> "_Pair":
        for rows in (a, b):
            _code_rows.check_dims(rows, dims)
        left, right = _code_rows.read_pair(("a", "b"), (a, b), metric)
        return cls(left, right, _arguments.dims(dims, left, right))

    def score(
        self,
        kernel: Callable[..., None],
        shape: tuple[int, ...],
        metric: str,
        is_distance: bool,
        out: Array | None,
        threads: int | None,
    ) -> Any:
        n_threads = _arguments.threads(threads)
        dtype = _core.score_dtype(self.a.typed, self.b.typed, self.n_cols, metric)
        target = _arrays.output("out", out, shape, dtype, (self.a, self.b))
        kernel(self.a.typed, self.b.typed, self.n_cols, metric, is_distance, n_threads, target)
        return _arrays.wrapper(self.a, self.b)(target) if out is None else out


def _matrix(
    a: Array, b: Array | None, dims: int | None, metric: str, is_distance: bool, **options: Any
) -> Any:
    if _arrays.is_on_device(a, b):
        _arguments.threads(options["threads"])
        return _device.backend().score_matrix(a, b, metric, dims, is_distance, options["out"])
    pair = _Pair.read(a, a if b is None else b, dims, metric)
    shape = (pair.a.n_rows, pair.b.n_rows)
    return pair.score(_core.score_matrix, shape, metric, is_distance, **options)


def _pairs(
    a: Array, b: Array, dims: int | None, metric: str, is_distance: bool, **options: Any
) -> Any:
    if _arrays.is_on_device(a, b):
        _arguments.threads(options["threads"])
        return _device.backend().score_pairs(a, b, metric, dims, is_distance, options["out"])
    pair = _Pair.read(a, b, dims, metric)
    if pair.a.n_rows != pair.b.n_rows:
        raise ValueError(f"b: expected {pair.a.n_rows} rows like a, got {pair.b.n_rows}")
    return pair.score(_core.score_pairs, (pair.a.n_rows,), metric, is_distance, **options)
