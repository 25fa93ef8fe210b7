"""Row transforms: unit length, prefixes, packed bits."""

from typing import Any

import numpy as np

from . import _arguments, _arrays, _core
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
    source = _arrays.read("x", x, allowed=_FLOATS)
    rows = _arrays.as_rows(source)
    n_cols = _arguments.dims(_arguments.integer("dims", dims, at_least=1), rows)
    if _arguments.flag("normalize", normalize):
        return _normalize(source, rows, n_cols, 0.0, None)
    return source.wrap(source.array[..., :n_cols].copy())


def _normalize(
    source: _arrays.Input, rows: _arrays.Input, n_cols: int, eps: float, out: Array | None
) -> Any:
    shape = (*source.array.shape[:-1], n_cols)
    target = _arrays.output("out", out, shape, source.array.dtype, (source,))
    _core.normalize(rows.typed, n_cols, eps, 0, target)
    return source.wrap(target) if out is None else out


def pack_bits(x: Array, *, threshold: float = 0.0) -> Array:
    """One bit per element: ``x > threshold``, most significant bit first.

    Parameters
    ----------
    x : array, (n, d) or (d,)
    threshold : float
        NaN elements give 0.

    Returns
    -------
    array of uint8, (n, ceil(d / 8)) or (ceil(d / 8),)
        Rows padded with zero bits to whole bytes; the layout of :func:`numpy.packbits`.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(n d).

    Examples
    --------
    >>> import numpy as np
    >>> em.pack_bits(np.float32([1, -1, 0, 2]))
    array([144], dtype=uint8)
    """
    limit = _arguments.number("threshold", threshold)
    source = _arrays.read("x", x)
    rows = _arrays.as_rows(source)
    target = _arrays.allocate((rows.n_rows, -(-rows.n_cols // 8)), np.uint8)
    _core.pack_bits(rows.typed, limit, 0, target)
    return source.wrap(target.reshape(*source.array.shape[:-1], target.shape[1]))


def unpack_bits(codes: Array, dims: int) -> Array:
    """The first `dims` bits of each row of packed bits, as 0 and 1.

    Parameters
    ----------
    codes : array of uint8, (n, bytes) or (bytes,)
    dims : int
        1 to 8 times the number of bytes.

    Returns
    -------
    array of uint8, (n, dims) or (dims,)

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(n dims).

    Examples
    --------
    >>> import numpy as np
    >>> em.unpack_bits(np.uint8([144]), 4)
    array([1, 0, 0, 1], dtype=uint8)
    """
    n_cols = _arguments.integer("dims", dims, at_least=1)
    source = _arrays.read("codes", codes, allowed=("uint8",))
    rows = _arrays.as_rows(source)
    if n_cols > 8 * rows.n_cols:
        raise ValueError(f"dims: must be between 1 and {8 * rows.n_cols}, got {n_cols}")
    target = _arrays.allocate((rows.n_rows, n_cols), np.uint8)
    _core.unpack_bits(rows.typed, n_cols, 0, target)
    return source.wrap(target.reshape(*source.array.shape[:-1], n_cols))
