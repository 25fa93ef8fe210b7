"""Rows that are numbers or codes, as kernels read them; codes are never decoded whole."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays, _core, _grids
from ._precisions import FLIPS, PRECISIONS
from ._types import Coded, Residuals

_BIT_METRICS = ("hamming", "jaccard")
_ROTATED_METRICS = ("cosine", "dot", "euclidean", "sqeuclidean")


def read(name: str, value: object, metric: str) -> _arrays.Input:
    """Recognise rows: an array, or codes for numbers, or for bits if the metric wants them."""
    if not isinstance(value, Coded):
        return _arrays.matrix(name, value)
    source = _arrays.as_rows(_stored(name, value))
    kind = PRECISIONS[value.precision].kind
    if metric in _BIT_METRICS:
        if kind != "bits":
            raise TypeError(
                f"{name}: metric {metric!r} takes bits (binary or ubinary codes), "
                f"got {value.precision} codes"
            )
        return source._replace(coding=("bits", value.dim, FLIPS[value.signedness]))
    if kind == "float":
        return source
    if kind == "rotated":
        return _read_rotated(name, value, source, metric)
    if kind == "bits":
        return source._replace(coding=("signs", value.dim, FLIPS[value.signedness]))
    if value.step is None or value.scope is None:
        raise ValueError(
            f"{name}: codes without ranges or a step stand for no numbers (see Codes.from_data)"
        )
    minimum = None if value.minimum is None else _numbers(value.minimum)
    form = _grids.code_format(
        value.precision,
        value.bits,
        value.precision == "int8" and minimum is None,
        value.rounding,
        value.layout,
    )
    coding = ("scalar", value.dim, minimum, _numbers(value.step), value.scope, form)
    return source._replace(coding=coding)


def read_pair(
    names: tuple[str, str], values: tuple[object, object], metric: str
) -> tuple[_arrays.Input, _arrays.Input]:
    """Two arguments that are compared with each other."""
    a, b = (read(name, value, metric) for name, value in zip(names, values, strict=True))
    if metric in _BIT_METRICS and (a.coding or b.coding):
        for source in (a, b):
            if source.coding is None and source.dtype != "uint8":
                raise TypeError(
                    f"{source.name}: metric {metric!r} takes packed bits (uint8) or binary codes, "
                    f"got {source.dtype}"
                )
    if metric == "hamming" and b.coding is not None and b.coding[2]:
        # Bits differ alike after both sides were flipped: few queries are, instead of all rows.
        kind, dim, flip = a.coding or ("bits", 8 * a.n_cols, 0)
        a = a._replace(coding=(kind, dim, flip ^ b.coding[2]))
        b = b._replace(coding=(*b.coding[:2], 0))
    if "rotated" in (_kind(a), _kind(b)):
        return _read_on_axes(values, a, b)
    return _plain(a), _plain(b)


def check_dims(codes: object, dims: int | None) -> None:
    """Rotated coordinates have no leading columns of the rows."""
    if dims is not None and isinstance(codes, Coded) and codes.grid is not None:
        raise ValueError(f"dims: {codes.precision} codes stand for whole rows, got {dims}")


def take(source: _arrays.Input, rows: npt.NDArray[np.intp]) -> _arrays.Input:
    """Some of the rows, copied."""
    part = source._replace(array=source.array[rows])
    if _kind(source) == "rotated":
        kind, dim, grid, scale, offset = source.coding  # type: ignore[misc]
        return part._replace(coding=(kind, dim, grid, scale[rows], offset[rows]))
    if source.coding is None or source.coding[0] != "scalar" or source.coding[4] != "row":
        return part
    kind, dim, minimum, step, scope, form = source.coding
    minimum = None if minimum is None else minimum[rows]
    return part._replace(coding=(kind, dim, minimum, step[rows], scope, form))


def residuals(rows: _arrays.Input, codes: _arrays.Input, threads: int) -> Residuals:
    """Bounds on how far codes are from the rows that they were made of; infinite for NaN.

    With u = x / |x| (0 for a zero row), a = |x|, b = |x̂|:
    |u - û|^2 = 2 - 2 <u, û> = (|x - x̂|^2 - (a - b)^2) / (a b) <= |x - x̂|^2 / (a b),
    and 1 where just one of them is zero. The float32 norms that this is computed from have a
    relative error of at most 2**-23 from 2**-100 on; below, u and û may point anywhere.
    """
    nothing = np.broadcast_to(np.zeros((1, codes.n_cols), np.float32), (codes.n_rows, codes.n_cols))
    zeros = nothing, "float32"

    def score(a: Any, b: Any, metric: str) -> npt.NDArray[np.float64]:
        out = _arrays.allocate((codes.n_rows,), _core.score_dtype(a, b, codes.n_cols, metric))
        _core.score_pairs(a, b, codes.n_cols, metric, True, threads, out)
        return out.astype(np.float64)

    distance = score(rows.typed, codes.typed, "euclidean")
    norm, code_norm = (score(x.typed, zeros, "euclidean") for x in (rows, codes))
    with np.errstate(divide="ignore", invalid="ignore"):
        turned = distance / np.sqrt(norm * code_norm)
    least, most = np.minimum(norm, code_norm), np.maximum(norm, code_norm)
    turned[least < 2.0**-100] = 2
    turned[least == 0] = most[least == 0] > 0
    turned[~(most < np.inf)] = np.inf
    manhattan = score(rows.typed, codes.typed, "manhattan")
    largest = (distance, manhattan, turned + 2.0**-40, most)
    return Residuals(*(_above(values) for values in largest))


def norms(rows: _arrays.Input, n_cols: int, threads: int) -> npt.NDArray[np.float64]:
    """Lengths of rows, no smaller than they are."""
    zeros = np.broadcast_to(np.zeros((1, n_cols), np.float32), (rows.n_rows, n_cols)), "float32"
    out = np.empty(rows.n_rows, _core.score_dtype(rows.typed, zeros, n_cols, "euclidean"))
    _core.score_pairs(rows.typed, zeros, n_cols, "euclidean", True, threads, out)
    return out.astype(np.float64) * (1 + 2**-20) + 2**-140


def _above(values: npt.NDArray[np.float64]) -> float:
    """No smaller than any of them before they were rounded to float32, nor than their quotients."""
    largest = float(values.max(initial=0.0))
    return math.inf if math.isnan(largest) else largest * (1 + 2**-20) + 2**-140


def _kind(source: _arrays.Input) -> str | None:
    return None if source.coding is None else source.coding[0]


def _read_rotated(name: str, codes: Coded, source: _arrays.Input, metric: str) -> _arrays.Input:
    if metric not in _ROTATED_METRICS:
        raise ValueError(
            f"metric: {name} are {codes.precision} codes, which take a metric that rotations keep: "
            f"{', '.join(_ROTATED_METRICS)}; got {metric!r}"
        )
    if codes.grid is None or codes.step is None or codes.offset is None:
        raise ValueError(f"{name}: {codes.precision} codes need grid, step and offset")
    scale, offset = _numbers(codes.step), _numbers(codes.offset)
    coding = ("rotated", codes.grid.n_coords, codes.grid.coding, scale, offset)
    return source._replace(coding=coding)


def _read_on_axes(
    values: tuple[Any, Any], a: _arrays.Input, b: _arrays.Input
) -> tuple[_arrays.Input, _arrays.Input]:
    """Both on the axes of b; where these are columns, a, which is smaller as a rule, is decoded.

    Axes are orthonormal, and a last coordinate has the length of what they do not span: products
    and distances to what codes stand for are as they were.
    """
    if _kind(a) == "rotated":
        if _kind(b) == "rotated" and a.coding[2] is b.coding[2]:  # type: ignore[index]
            return a, b
        out = _arrays.allocate((a.n_rows, values[0].dim), np.float32)
        values[0].grid.restore(a.typed, out)
        a = a._replace(array=out, dtype="float32", coding=None)
    if _kind(b) != "rotated":
        return a, _plain(b)
    grid, d = values[1].grid, values[1].dim
    if a.n_cols != d:
        raise ValueError(f"{b.name}: expected {a.n_cols} columns like {a.name}, got {d}")
    if a.dtype in ("int8", "uint8") and a.coding is None:
        raise TypeError(
            f"{a.name}: expected floats beside {values[1].precision} codes, got {a.dtype}"
        )
    _core.require_memory(4 * a.n_rows * grid.n_coords, f"{a.name} on the axes of {b.name}")
    return a._replace(array=grid.rotate(a.typed), dtype="float32", coding=None), b


def _plain(source: _arrays.Input) -> _arrays.Input:
    """Bits that are stored as they are need no decoding."""
    if source.coding is None or source.coding[0] != "bits":
        return source
    _, dim, flip = source.coding
    if flip or dim % 8:
        return source
    return source._replace(array=source.array.view(np.uint8), dtype="uint8", coding=None)


def _stored(name: str, codes: Coded) -> _arrays.Input:
    kind = PRECISIONS[codes.precision]
    source = _arrays.read(name, codes.data, (*kind.dtypes, "uint16"))
    return source._replace(dtype="bfloat16") if source.dtype == "uint16" else source


def _numbers(array: Any) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(_arrays.read("codes", array, ("float32",)).array).reshape(-1)
