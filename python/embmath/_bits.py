"""Codes of less than a byte: sign bits and nibbles, packed and unpacked."""

import numpy as np

from . import _arguments, _arrays, _core, _device
from ._types import Array, Layout

LAYOUTS = ("interleaved", "split")


def pack_bits(x: Array, *, threshold: float = 0.0, threads: int | None = None) -> Array:
    """One bit per element: ``x > threshold``, most significant bit first.

    Parameters
    ----------
    x : array, (n, d) or (d,)
    threshold : float
        NaN elements give 0.
    threads : int, optional

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
    O(n d), limited by memory bandwidth.

    Examples
    --------
    >>> import numpy as np
    >>> em.pack_bits(np.float32([1, -1, 0, 2]))
    array([144], dtype=uint8)
    """
    limit = _arguments.number("threshold", threshold)
    workers = _arguments.threads(threads)
    if _arrays.is_on_device(x):
        return _device.backend().pack_bits(x, limit)
    source = _arrays.read("x", x)
    rows = _arrays.as_rows(source)
    target = _arrays.allocate((rows.n_rows, -(-rows.n_cols // 8)), np.uint8)
    _core.pack_bits(rows.typed, limit, 0, workers, target)
    return source.wrap(target.reshape(*source.array.shape[:-1], target.shape[1]))


def unpack_bits(codes: Array, dims: int, *, threads: int | None = None) -> Array:
    """The first `dims` bits of each row of packed bits, as 0 and 1.

    Parameters
    ----------
    codes : array of uint8, (n, bytes) or (bytes,)
    dims : int
        1 to 8 times the number of bytes.
    threads : int, optional

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
    if _arrays.is_on_device(codes):
        _arguments.threads(threads)
        return _device.backend().unpack_bits(codes, _arguments.integer("dims", dims, at_least=1))
    source, rows, n_cols, workers = _packed(codes, dims, threads, 8)
    target = _arrays.allocate((rows.n_rows, n_cols), np.uint8)
    _core.unpack_bits(rows.typed, n_cols, 0, "uint8", workers, target)
    return source.wrap(target.reshape(*source.array.shape[:-1], n_cols))


def pack_int4(x: Array, *, layout: Layout = "interleaved", threads: int | None = None) -> Array:
    """Codes from 0 to 15, two to a byte.

    Parameters
    ----------
    x : array of uint8, (n, d) or (d,)
        No element above 15.
    layout : {"interleaved", "split"}
        "interleaved": byte i holds dimension 2 i in its low half and 2 i + 1 in its high half
        (FAISS); of an odd d the last half is 0. "split": byte i holds dimension i in its high half
        and i + d / 2 in its low half (Lucene); d must be even.
    threads : int, optional

    Returns
    -------
    array of uint8, (n, ceil(d / 2)) or (ceil(d / 2),)

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
    >>> em.pack_int4(np.uint8([1, 2, 3, 4])).tolist()
    [33, 67]
    >>> em.pack_int4(np.uint8([1, 2, 3, 4]), layout="split").tolist()
    [19, 36]
    """
    order = _arguments.choice("layout", layout, LAYOUTS)
    workers = _arguments.threads(threads)
    if _arrays.is_on_device(x):
        return _device.backend().pack_int4(x, order)
    source = _arrays.read("x", x, allowed=("uint8",))
    rows = _arrays.as_rows(source)
    target = _arrays.allocate((rows.n_rows, -(-rows.n_cols // 2)), np.uint8)
    _core.pack_nibbles(rows.typed, order, workers, target)
    return source.wrap(target.reshape(*source.array.shape[:-1], target.shape[1]))


def unpack_int4(
    codes: Array, dims: int, *, layout: Layout = "interleaved", threads: int | None = None
) -> Array:
    """The codes from 0 to 15 that :func:`pack_int4` packed.

    Parameters
    ----------
    codes : array of uint8, (n, bytes) or (bytes,)
    dims : int
        1 to twice the number of bytes.
    layout : {"interleaved", "split"}
        As for :func:`pack_int4`. "split" takes exactly twice the number of bytes.
    threads : int, optional

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
    >>> em.unpack_int4(np.uint8([33, 67]), 3)
    array([1, 2, 3], dtype=uint8)
    """
    order = _arguments.choice("layout", layout, LAYOUTS)
    if _arrays.is_on_device(codes):
        _arguments.threads(threads)
        n_cols = _arguments.integer("dims", dims, at_least=1)
        return _device.backend().unpack_int4(codes, n_cols, order)
    source, rows, n_cols, workers = _packed(codes, dims, threads, 2)
    if order == "split" and n_cols != 2 * rows.n_cols:
        raise ValueError(f"dims: must be {2 * rows.n_cols} in layout 'split', got {n_cols}")
    target = _arrays.allocate((rows.n_rows, n_cols), np.uint8)
    _core.unpack_nibbles(rows.typed, n_cols, order, workers, target)
    return source.wrap(target.reshape(*source.array.shape[:-1], n_cols))


def _packed(
    codes: Array, dims: object, threads: object, per_byte: int
) -> tuple[_arrays.Input, _arrays.Input, int, int]:
    n_cols = _arguments.integer("dims", dims, at_least=1)
    workers = _arguments.threads(threads)
    source = _arrays.read("codes", codes, allowed=("uint8",))
    rows = _arrays.as_rows(source)
    if n_cols > per_byte * rows.n_cols:
        raise ValueError(f"dims: must be between 1 and {per_byte * rows.n_cols}, got {n_cols}")
    return source, rows, n_cols, workers
