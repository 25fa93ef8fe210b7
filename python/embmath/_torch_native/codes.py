"""Codes on a device: made, decoded and read a few rows at a time, with the bits of the kernels."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .. import _arguments, _grids
from .._codes import Codes
from .._precisions import FLIPS, PRECISIONS
from .._types import Coded
from . import kernel_codes, tensors
from . import ranges as _ranges
from .rounding import narrow, round_once
from .tensors import BIT_METRICS, FLOATS, Rows

_ZERO = 128  # the place of code 0 of int8 codes counted from the lowest
_DTYPES = {name: getattr(torch, name) for name in tensors.SCORE_DTYPES}


def quantize(
    x: Tensor,
    precision: str,
    ranges: Any,
    calibration: Any,
    scope: Any,
    rounding: Any,
    quantile: Any,
    bits: Any,
    layout: Any,
    signedness: Any,
    threshold: str,
) -> Codes:
    """See embmath.quantize; options that no precision takes were refused before."""
    source = tensors.read("x", x, FLOATS)
    rows = tensors.as_rows("x", source)
    empty = Codes(
        None,
        rows.shape[1],
        precision,  # type: ignore[arg-type]
        bits=_grids.check_bits(precision, bits),
        layout=_grids.check_layout(precision, layout, rows.shape[1]),
        signedness=_grids.check_signedness(precision, signedness),
    )
    kind = PRECISIONS[precision].kind
    shape = source.shape[:-1]
    if kind == "float":
        return replace(empty, data=round_once(source, _DTYPES[precision]).contiguous())
    if kind == "bits":
        packed = _signs(rows, threshold, FLIPS[empty.signedness])
        data = packed if empty.signedness == "none" else packed.view(torch.int8)
        return replace(empty, data=data.reshape(*shape, data.shape[1]))
    limits, found = _ranges.limits(rows, ranges, calibration, scope, quantile)
    rule = "nearest" if found == "row" else "floor"
    if rounding is not None:
        rule = _arguments.choice("rounding", rounding, _grids.ROUNDINGS)
    codes = replace(empty, scope=found, rounding=rule)  # type: ignore[arg-type]
    codes = _on_rows(codes, rows) if limits is None else _on_ranges(codes, rows, limits)
    if found == "row" and source.ndim == 1:
        step, minimum = (None if a is None else a[0] for a in (codes.step, codes.minimum))
        codes = replace(codes, step=step, minimum=minimum)
    return replace(codes, data=codes.data.reshape(*shape, codes.data.shape[1]))


def _signs(rows: Tensor, threshold: str, flip: int) -> Tensor:
    # A number is at least 0 exactly if it is above the largest number below 0.
    limit = 0.0 if threshold == "gt" else -math.nextafter(0.0, 1.0)
    packed = kernel_codes.pack_bits(rows, limit, flip)
    return (
        packed if packed is not None else pack(rows > 0 if threshold == "gt" else rows >= 0) ^ flip
    )


def _on_ranges(codes: Codes, rows: Tensor, limits: Tensor) -> Codes:
    low, high = limits
    step = _ranges.steps(low, high, _grids.levels_of(codes.precision, codes.bits, False))
    codes = replace(codes, ranges=limits, step=step, minimum=low.clone())
    data = kernel_codes.quantize(rows, limits, _form(codes, False))
    if data is None:
        data = _places(rows, low, _divisor(low, high, step, codes.rounding), codes, False)
    return replace(codes, data=data)


def _on_rows(codes: Codes, rows: Tensor) -> Codes:
    around_zero = codes.precision == "int8"
    if around_zero and codes.rounding != "nearest":
        raise ValueError(
            "rounding: must be 'nearest' for int8 codes around 0 (scope 'row'), "
            f"got {codes.rounding!r}"
        )
    made = kernel_codes.quantize_rows(rows, _form(codes, around_zero))
    if made is not None:
        if made.first_bad is not None:
            _ranges.refuse_row(made.first_bad)
        return replace(codes, data=made.data, step=made.step, minimum=made.minimum)
    low, high = _ranges.row_ranges(rows)
    if around_zero:
        low, high = torch.zeros_like(high), torch.maximum(high, -low)
    step = _ranges.steps(low, high, _grids.levels_of(codes.precision, codes.bits, around_zero))
    divisor = _divisor(low, high, step, codes.rounding)
    data = _places(rows, low, divisor, codes, around_zero)
    return replace(codes, data=data, step=step, minimum=None if around_zero else low)


def _form(codes: Codes, around_zero: bool) -> kernel_codes.Form:
    return _grids.code_format(
        codes.precision, codes.bits, around_zero, codes.rounding, codes.layout
    )


def _divisor(low: Tensor, high: Tensor, step: Tensor, rounding: str) -> Tensor:
    return torch.where(high == low, torch.inf, high - low) if rounding == "ratio" else step


def _places(
    rows: Tensor, start: Tensor, divisor: Tensor, codes: Codes, around_zero: bool
) -> Tensor:
    """Codes as they are stored; computed in float32, of float64 rows in float64."""
    is_signed = codes.precision == "int8" and not around_zero
    levels = float(_grids.levels_of(codes.precision, codes.bits, around_zero))
    work = torch.float64 if rows.dtype == torch.float64 else torch.float32
    place = (rows.to(work) - start.to(work)) / divisor.to(work)
    least, most = (-levels if around_zero else 0.0), levels
    shift = 0
    if codes.rounding == "ratio":
        place = place * levels
    if is_signed and codes.rounding == "truncate":
        place, least, most = place - _ZERO, least - _ZERO, most - _ZERO
    elif is_signed:
        shift = _ZERO
    place = torch.where(place.isnan(), least, place).clamp(least, most)
    whole = place.trunc()
    if codes.rounding == "nearest":
        whole = whole + (2 * (place - whole)).trunc()
    found = (whole.to(torch.int16) - shift).to(
        _DTYPES["int8" if is_signed or around_zero else "uint8"]
    )
    return pack_nibbles(found, codes.layout) if codes.precision == "int4" else found


def from_data(
    data: Tensor, precision: str, dim: Any, grid: dict[str, Any], form: dict[str, Any]
) -> Codes:
    """See embmath.Codes.from_data."""
    kind = PRECISIONS[precision]
    allowed = (*kind.dtypes, "uint16") if precision == "bfloat16" else kind.dtypes
    source = tensors.read("data", data, allowed)
    width = tensors.as_rows("data", source).shape[1]
    columns = kind.dim(width) if dim is None else _arguments.integer("dim", dim, at_least=0)
    if kind.width(columns) != width:
        raise ValueError(
            f"dim: {columns} dimensions of {precision} take {kind.width(columns)} columns, "
            f"got data with {width}"
        )
    dtype = tensors.dtype_name(source.dtype)
    codes = Codes(
        data,
        columns,
        precision,  # type: ignore[arg-type]
        bits=_grids.check_bits(precision, form["bits"]),
        layout=_grids.check_layout(precision, form["layout"], columns),
        signedness=_grids.check_signedness(precision, form["signedness"], dtype),
    )
    if kind.kind != "scalar":
        _grids.reject_given(precision, grid)
        return codes
    found = _ranges.given(source, codes, grid)
    is_own = found.get("minimum") is None or found["scope"] == "row"
    rule = grid["rounding"]
    if rule is not None:
        rule = _arguments.choice("rounding", rule, _grids.ROUNDINGS)
    return replace(codes, rounding=rule or ("nearest" if is_own else "floor"), **found)


def dequantize(codes: Codes, dtype: str, center: bool) -> Tensor:
    """See embmath.dequantize."""
    data = _stored("codes", codes)
    rows = tensors.as_rows("codes", data)
    found = _decode(codes, rows, slice(None), _DTYPES[dtype], center)
    return found.reshape(*data.shape[:-1], codes.dim).contiguous()


def _decode(
    codes: Coded, rows: Tensor, index: Any, dtype: torch.dtype, center: bool = True
) -> Tensor:
    """The numbers that some rows of codes stand for."""
    kind, part = PRECISIONS[codes.precision].kind, rows[index]
    if kind == "float":
        return part.to(dtype)
    if kind == "bits":
        flat = part.view(torch.uint8) ^ FLIPS[codes.signedness]
        return (2 * tensors.unpack(flat)[..., : codes.dim].to(torch.int8) - 1).to(dtype)
    if codes.step is None or codes.scope is None:
        raise ValueError(
            "codes: without ranges or a step they stand for no numbers (see Codes.from_data)"
        )
    if codes.precision == "int4":
        part = unpack_nibbles(part, codes.dim, codes.layout)
    place = _place(codes, part, center)
    step = _of_rows(codes.step, codes.scope, index)
    value = place * step
    if codes.minimum is not None:
        value = value + _of_rows(codes.minimum, codes.scope, index)
    return value if dtype == torch.float64 else narrow(value, dtype)


def _place(codes: Coded, stored: Tensor, center: bool) -> Tensor:
    """Where codes lie on their grid; in the middle of what was rounded down."""
    around_zero = codes.precision == "int8" and codes.minimum is None
    is_signed = codes.precision == "int8" and not around_zero
    code = stored.double()
    place = code + _ZERO if is_signed else code
    if center and codes.rounding != "nearest":
        is_truncated = codes.rounding == "truncate" and is_signed
        place = place + (code.clamp(-0.5, 0.5) if is_truncated else 0.5)
    levels = _grids.levels_of(codes.precision, codes.bits, around_zero)
    return place.clamp(-_ZERO if around_zero else 0, levels)


def _of_rows(numbers: Tensor, scope: str, index: Any) -> Tensor:
    wide = numbers.double()
    return wide.reshape(-1, 1)[index] if scope == "row" else wide.reshape(-1)


def rows_of_codes(name: str, codes: Coded, metric: str) -> Rows:
    """Codes as rows: numbers, or bits if the metric wants them."""
    rows = tensors.as_rows(name, _stored(name, codes))
    kind = PRECISIONS[codes.precision].kind
    n_rows, device = rows.shape[0], rows.device
    if metric in BIT_METRICS:
        if kind != "bits":
            raise TypeError(
                f"{name}: metric {metric!r} takes bits (binary or ubinary codes), "
                f"got {codes.precision} codes"
            )

        flip = FLIPS[codes.signedness]

        def bits(index: Any) -> Tensor:
            found = tensors.unpack(rows[index].view(torch.uint8) ^ flip)
            found[..., codes.dim :] = 0  # padding, whatever it holds
            return found

        def packed() -> Tensor:
            found = rows.view(torch.uint8)
            if flip or codes.dim % 8:
                found = found ^ flip
                found[:, -1] &= 0xFF & (0xFF00 >> ((codes.dim - 1) % 8 + 1))
            return found

        return Rows(name, n_rows, rows.shape[1], torch.uint8, device, bits, packed)
    dtype = rows.dtype if kind == "float" else torch.float32
    return Rows(
        name, n_rows, codes.dim, dtype, device, lambda index: _decode(codes, rows, index, dtype)
    )


def _stored(name: str, codes: Coded) -> Tensor:
    allowed = PRECISIONS[codes.precision].dtypes
    data = tensors.read(name, codes.data, (*allowed, "uint16"))
    for part in (codes.step, codes.minimum):
        if part is not None:
            tensors.read(name, part, ("float32",), data.device, "the codes")
    return data.view(torch.bfloat16) if data.dtype == torch.uint16 else data


def pack(is_set: Tensor) -> Tensor:
    """Bits into bytes, most significant first."""
    n_cols = is_set.shape[-1]
    padded = torch.nn.functional.pad(is_set.to(torch.uint8), (0, -n_cols % 8))
    weights = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8, device=is_set.device)
    groups = padded.reshape(*padded.shape[:-1], -(-n_cols // 8), 8) * weights
    return groups.sum(-1, dtype=torch.uint8)


def pack_nibbles(codes: Tensor, layout: str) -> Tensor:
    """Codes below 16, two to a byte."""
    n_cols = codes.shape[-1]
    if layout == "split":
        return codes[..., : n_cols // 2] << 4 | codes[..., n_cols // 2 :]
    padded = torch.nn.functional.pad(codes, (0, n_cols % 2))
    return padded[..., ::2] | padded[..., 1::2] << 4


def unpack_nibbles(packed: Tensor, n_cols: int, layout: str) -> Tensor:
    """What was packed; codes of a byte each."""
    if layout == "split":
        return torch.cat((packed >> 4, packed & 15), -1)
    both = torch.stack((packed & 15, packed >> 4), -1)
    return both.reshape(*packed.shape[:-1], 2 * packed.shape[-1])[..., :n_cols]
