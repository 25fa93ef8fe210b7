"""The numbers that codes stand for."""

from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays, _code_rows, _core, _grids
from ._precisions import FLIPS, PRECISIONS
from ._types import Array


def decode(codes: Any, name: str, is_centered: bool, workers: int, out: object) -> Array:
    """See embmath.dequantize; `name`: of the dtype that is wanted."""
    source = _read_data(codes)
    rows = _arrays.as_rows(source)
    target = _arrays.allocate_like(out, codes.shape, name, source)
    kind = PRECISIONS[codes.precision].kind
    if kind == "bits":
        flip = FLIPS[codes.signedness]
        _core.unpack_bits(rows.typed, codes.dim, flip, name, workers, target)
    elif kind == "float":
        _core.convert(rows.typed, name, workers, target)
    elif codes.grid is not None:
        _restore(codes, name, workers, target)
    else:
        if codes.step is None or codes.scope is None:
            raise ValueError("codes: cannot be decoded without ranges or a step (see from_data)")
        minimum = None if codes.minimum is None else _numbers(codes.minimum)
        around_zero = codes.precision == "int8" and minimum is None
        form = _grids.code_format(
            codes.precision, codes.bits, around_zero, codes.rounding, codes.layout
        )
        place = (minimum, _numbers(codes.step), codes.scope, form, is_centered)
        _core.dequantize(rows.typed, codes.dim, *place, name, workers, target)
    return _arrays.wrap_as(source, target, name) if out is None else out


def _restore(codes: Any, dtype: str, workers: int, target: npt.NDArray[Any]) -> None:
    rows = _code_rows.read("codes", codes, "dot")
    numbers = target.reshape(rows.n_rows, codes.dim)
    if dtype != "float32":
        numbers = _arrays.allocate(numbers.shape, np.float32)
    codes.grid.restore(rows.typed, numbers, workers)
    if dtype != "float32":
        _core.convert((numbers, "float32"), dtype, workers, target)


def _read_data(codes: Any) -> _arrays.Input:
    stored = PRECISIONS[codes.precision].dtypes
    source = _arrays.read("codes", codes.data, (*stored, "uint16"))
    return source._replace(dtype="bfloat16") if source.dtype == "uint16" else source


def memory(array: Array) -> npt.NDArray[Any]:
    """Stored codes, or numbers that belong to them, as NumPy sees them."""
    return _arrays.read("data", array, (*_arrays.EMBEDDING_DTYPES, "uint16")).array


def _numbers(array: Array) -> npt.NDArray[Any]:
    return np.ascontiguousarray(memory(array)).reshape(-1)
