"""SciPy's distance matrix."""

from typing import Any

import numpy as np

import embmath as em

# SciPy's names, as strings and as functions, of what there are kernels for.
METRICS: dict[str, Any] = {
    **dict.fromkeys(("cosine", "cos"), "cosine"),
    **dict.fromkeys(("euclidean", "euclid", "eu", "e"), "euclidean"),
    **dict.fromkeys(("sqeuclidean", "sqe", "sqeuclid"), "sqeuclidean"),
    **dict.fromkeys(("cityblock", "cblock", "cb", "c"), "manhattan"),
}


def cdist(
    XA: Any,
    XB: Any,
    metric: Any = "euclidean",
    *,
    out: Any = None,
    **kwargs: Any,
) -> Any:
    """Distance of every row of `XA` to every row of `XB`, as ``scipy.spatial.distance.cdist``.

    Parameters
    ----------
    XA : array-like, (m, d)
    XB : array-like, (n, d)
        Of any numbers: computed in float64, as by SciPy (:func:`embmath.distance` keeps float32).
    metric : str or callable
        "euclidean", "sqeuclidean", "cityblock" and "cosine" under any of their names are computed
        here. SciPy, which must be installed then, computes others.
    out : array of float64, (m, n), optional
        C-contiguous; receives the result.
    **kwargs
        Of metrics that SciPy computes; weights (``w=``) are.

    Returns
    -------
    array of float64, (m, n)
        Cosine of a zero row is NaN.

    Raises
    ------
    ValueError
        For dimensions other than 2, unequal columns, and an `out` that does not fit.

    Notes
    -----
    O(m n d), in all threads.

    Examples
    --------
    >>> from embmath.compat.scipy import cdist
    >>> cdist([[0.0, 0.0]], [[3.0, 4.0]])
    array([[5.]])
    """
    name = METRICS.get(getattr(metric, "__name__", metric)) if _is_plain(metric) else None
    if name is None or kwargs:
        from scipy.spatial.distance import cdist as scipy_cdist

        return scipy_cdist(XA, XB, metric, out=out, **kwargs)
    a, b = (_rows(n, x) for n, x in (("XA", XA), ("XB", XB)))
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"XB: expected {a.shape[1]} columns like XA, got {b.shape[1]}")
    if out is not None:
        _check(out, (a.shape[0], b.shape[0]))
    distances = em.distance(a, b, name, out=out)
    if name == "cosine":
        distances[~a.any(axis=1)] = np.nan
        distances[:, ~b.any(axis=1)] = np.nan
    return distances


def _is_plain(metric: Any) -> bool:
    """A name, or one of SciPy's functions, which have these names, too."""
    if isinstance(metric, str):
        return True
    return str(getattr(metric, "__module__", "")).startswith("scipy.spatial")


def _rows(name: str, x: Any) -> Any:
    rows = np.asarray(x, np.float64)
    if rows.ndim != 2:
        raise ValueError(f"{name}: expected 2 dimensions, got {rows.ndim}")
    return rows


def _check(out: Any, shape: tuple[int, int]) -> None:
    if out.shape != shape:
        raise ValueError(f"out: expected shape {shape}, got {out.shape}")
    if out.dtype != np.float64:
        raise ValueError(f"out: expected dtype float64, got {out.dtype}")
    if not out.flags.c_contiguous:
        raise ValueError("out: expected a C-contiguous array")
