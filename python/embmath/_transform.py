"""Row transforms: unit length and prefixes."""

from typing import Any

from . import _arguments, _arrays, _core, _device
from ._types import Array

_FLOATS = ("float16", "bfloat16", "float32", "float64")


def normalize(x: Array, *, out: Array | None = None, eps: float = 0.0) -> Array:
    """Rows of unit Euclidean length; zero rows stay zero.

    Parameters
    ----------
    x : array, (n, d) or (d,)
        float16, bfloat16, float32 or float64.
    out : array, optional
        C-contiguous array of the shape and dtype of `x` that receives the result.
    eps : float
        Rows shorter than this are divided by it instead of by their length.

    Returns
    -------
    array
        Of the shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(n d), limited by memory bandwidth. The length is a float64 sum; every element is multiplied
    by its reciprocal in float64 and rounded, so tiny and huge rows come out right.

    Examples
    --------
    >>> import numpy as np
    >>> em.normalize(np.float32([[3, 4], [0, 0]]))
    array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)
    """
    smallest = _arguments.number("eps", eps)
    if smallest < 0:
        raise ValueError(f"eps: must be at least 0, got {eps}")
    if _arrays.is_on_device(x):
        return _device.backend().normalize(x, smallest, out)
    source = _arrays.read("x", x, allowed=_FLOATS)
    rows = _arrays.as_rows(source)
    return _normalize(source, rows, rows.n_cols, smallest, out)


def truncate(x: Array, dims: int, *, normalize: bool = True) -> Array:
    """The first `dims` columns: a Matryoshka prefix, renormalised after truncation.

    Parameters
    ----------
    x : array, (n, d) or (d,)
        float16, bfloat16, float32 or float64.
    dims : int
        1 to d.
    normalize : bool
        Give the prefixes unit length again; without, the prefix is copied as it is.

    Returns
    -------
    array, (n, dims) or (dims,)
        Of the dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(n dims). Searching with ``dims=`` needs no truncated copy. Truncation keeps the ranking only
    for embeddings trained for it [1]_ or rotated so that leading dimensions matter most.

    References
    ----------
    .. [1] A. Kusupati et al., Matryoshka Representation Learning, NeurIPS 2022.

    Examples
    --------
    >>> import numpy as np
    >>> em.truncate(np.float32([[3, 4, 12]]), 2)
    array([[0.6, 0.8]], dtype=float32)
    """
    prefix = _arguments.integer("dims", dims, at_least=1)
    is_normalized = _arguments.flag("normalize", normalize)
    if _arrays.is_on_device(x):
        return _device.backend().truncate(x, prefix, is_normalized)
    source = _arrays.read("x", x, allowed=_FLOATS)
    rows = _arrays.as_rows(source)
    n_cols = _arguments.dims(prefix, rows)
    if is_normalized:
        return _normalize(source, rows, n_cols, 0.0, None)
    return source.wrap(source.array[..., :n_cols].copy())


def _normalize(
    source: _arrays.Input, rows: _arrays.Input, n_cols: int, eps: float, out: Array | None
) -> Any:
    shape = (*source.array.shape[:-1], n_cols)
    target = _arrays.output("out", out, shape, source.array.dtype, (source,))
    _core.normalize(rows.typed, n_cols, eps, 0, target)
    return source.wrap(target) if out is None else out
