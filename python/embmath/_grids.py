"""What scalar codes are laid over: ranges and steps, read, checked and derived."""

from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arguments, _arrays, _core
from ._bits import LAYOUTS
from ._precisions import FLOATS, PRECISIONS
from ._types import Array

ROUNDINGS = ("floor", "nearest", "truncate", "ratio")
SCOPES = ("dim", "row", "global")


def levels_of(precision: str, bits: int, around_zero: bool) -> int:
    """The largest code: from 0, or on either side of it."""
    return 127 if around_zero else int(2 ** min(bits, PRECISIONS[precision].bits) - 1)


def code_format(
    precision: str, bits: int, around_zero: bool, rounding: str, layout: str
) -> tuple[int, bool, bool, str, str]:
    """What the kernels need to know of scalar codes."""
    is_signed = precision == "int8" and not around_zero
    order = layout if precision == "int4" else "bytes"
    return levels_of(precision, bits, around_zero), is_signed, around_zero, rounding, order


def read_ranges(ranges: Array, dim: int) -> npt.NDArray[np.float32]:
    """Minimum and maximum of every dimension or of all, float32, checked."""
    array = np.asarray(_arrays.read("ranges", ranges, (*FLOATS, "int64")).array, np.float32)
    if array.shape == (2,):
        array = array[:, np.newaxis]
    if array.ndim != 2 or array.shape[0] != 2 or array.shape[1] not in (1, dim):
        raise ValueError(f"ranges: expected shape (2, {dim}), (2, 1) or (2,), got {array.shape}")
    with np.errstate(over="ignore", invalid="ignore"):
        span = array[1] - array[0]
    if not (np.isfinite(array).all() and np.isfinite(span).all()):
        raise ValueError(
            "ranges: expected finite numbers a float32 apart, got NaN, infinity or more"
        )
    if (span < 0).any():
        column = int(np.flatnonzero(span < 0)[0])
        raise ValueError(
            f"ranges: expected minimum <= maximum, got {array[0, column]} and {array[1, column]} "
            f"in column {column}"
        )
    return np.ascontiguousarray(array)


def on_ranges(ranges: npt.NDArray[np.float32], dim: int, scope: str | None) -> str:
    """The scope of ranges, if it is the one that was asked for."""
    found = "dim" if ranges.shape[1] == dim and (dim != 1 or scope == "dim") else "global"
    if scope is not None and scope != found:
        raise ValueError(f"scope: ranges of shape {ranges.shape} mean {found!r}, got {scope!r}")
    return found


def ranges_grid(
    ranges: npt.NDArray[np.float32], scope: str, levels: int, source: _arrays.Input
) -> dict[str, Any]:
    """The fields of codes that follow from ranges."""
    steps = np.empty(ranges.shape[1], np.float32)
    _core.range_steps(ranges, levels, steps)
    return {
        "minimum": source.wrap(ranges[0].copy()),
        "step": source.wrap(steps),
        "ranges": source.wrap(ranges),
        "scope": scope,
    }


def given_grid(
    precision: str, dim: int, source: _arrays.Input, minimum: Any, step: Any, scope: str | None
) -> dict[str, Any]:
    """The fields of codes whose minimum and step come from elsewhere."""
    n_rows = 1 if source.array.ndim == 1 else source.array.shape[0]
    numbers: dict[str, Any] = {"step": step, "minimum": minimum}
    if minimum is None and precision != "int8":
        raise ValueError(f"minimum: {precision} codes need one beside step, got none")
    for name, value in numbers.items():
        if value is None:
            continue
        read = _arrays.read(name, value, (*FLOATS, "int64")).array
        # A view where it can be, as of mapped codes; Torch wants memory that may be written.
        convert = np.asarray if source.is_numpy else np.array
        with np.errstate(over="ignore"):
            array = convert(read, np.float32).ravel()
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
        if scope is None and array.size != 1:
            raise ValueError(
                f"scope: {array.size} elements of {name} need one of: dim, row, got none"
            )
        scope = scope or "global"
        wanted = {"dim": dim, "row": n_rows, "global": 1}[scope]
        if array.size != wanted:
            raise ValueError(
                f"{name}: expected {wanted} elements for scope {scope!r}, got {array.size}"
            )
        is_column = scope == "row" and source.array.ndim == 2
        numbers[name] = source.wrap(array[:, np.newaxis] if is_column else array)
    return numbers | {"scope": scope}


def row_numbers(name: str, value: Any, source: _arrays.Input) -> Array:
    """A finite float32 number for each row, in a column."""
    read = _arrays.read(name, value, (*FLOATS, "int64")).array
    convert = np.asarray if source.is_numpy else np.array
    with np.errstate(over="ignore"):
        array = convert(read, np.float32).ravel()
    shape = (*source.array.shape[:-1], 1)
    n_rows = int(np.prod(shape))
    if array.size != n_rows:
        raise ValueError(f"{name}: expected {n_rows} elements, got {array.size}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    return source.wrap(array.reshape(shape))


def check_bits(precision: str, bits: object) -> int:
    """7 or 8 for uint8; all others have their own."""
    count = 8 if bits is None else _arguments.integer("bits", bits, at_least=7, at_most=8)
    if count == 7 and precision != "uint8":
        raise ValueError(f"bits: must be 8 for {precision} (only uint8 codes can have 7), got 7")
    return count if precision == "uint8" else PRECISIONS[precision].bits


def check_layout(precision: str, layout: object, dim: int) -> Any:
    """Only int4 has a choice; halves need an even number of dimensions."""
    found = _arguments.choice("layout", layout, LAYOUTS)
    if found == "split" and precision != "int4":
        raise ValueError(f"layout: only int4 can be 'split', got precision {precision!r}")
    if found == "split" and dim % 2:
        raise ValueError(f"layout: 'split' takes an even number of dimensions, got {dim}")
    return found


def check_signedness(precision: str, signedness: object, dtype: str | None = None) -> Any:
    """How the bytes of packed bits are signed; the default of a precision, or of stored data."""
    allowed = PRECISIONS[precision].signedness
    if signedness is None:
        return "none" if dtype == "uint8" else allowed[0]
    found = _arguments.choice("signedness", signedness, allowed)
    if dtype is not None and (dtype == "uint8") != (found == "none") and len(allowed) > 1:
        wanted = "uint8" if found == "none" else "int8"
        raise TypeError(f"data: expected dtype {wanted} for signedness {found!r}, got {dtype}")
    return found


def reject_rotated(name: str, precision: str) -> None:
    """Refuse what is computed on the host only."""
    if PRECISIONS[precision].kind == "rotated":
        raise TypeError(
            f"{name}: {precision!r} codes are made and kept on the host, got a tensor on a device "
            "(pass .cpu())"
        )


def read_share(quantile: object) -> float | None:
    """The central share that ranges cover; None: all."""
    if quantile is None:
        return None
    share = _arguments.number("quantile", quantile)
    if not 0 < share <= 1:
        raise ValueError(f"quantile: must be above 0 and at most 1, got {share}")
    return None if share == 1 else share


def asked_scope(ranges: Any, calibration: Any, share: float | None, scope: Any) -> Any:
    """What shall have ranges of its own, checked; None: whatever the given ranges fit."""
    if scope is not None:
        scope = _arguments.choice("scope", scope, SCOPES)
    fits = calibration is not None or share is not None
    if ranges is not None:
        if fits:
            raise ValueError("ranges: expected ranges, or rows to take them from, got both")
        return scope
    if scope == "row" and fits:
        raise ValueError("scope: rows have ranges of their own, got calibration or quantile too")
    return scope or ("dim" if fits else "row")


def reject_given(precision: str, options: dict[str, Any]) -> None:
    """Options that mean nothing for a precision are an error, not ignored."""
    for name, value in options.items():
        if value is not None:
            raise ValueError(f"{name}: means nothing for {precision}, got one")
