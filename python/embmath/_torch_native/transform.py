"""Rows of unit length, prefixes and selection along an axis."""

import torch
from torch import Tensor

from . import canonical, kernel_codes, order, tensors
from .rounding import narrow, sqrt, times_power
from .tensors import FLOATS

_COMFORTABLE = 1e-280, 1e280  # sums of squares that neither overflowed nor vanished
_CHUNK_ELEMENTS = 2**24


def normalize(name: str, x: Tensor, n_cols: int | None, eps: float) -> Tensor:
    """The first columns of every row, over their length."""
    source = tensors.read(name, x, FLOATS)
    rows = tensors.as_rows(name, source)[:, :n_cols]
    found = kernel_codes.normalize(rows, eps)
    if found is not None:
        return found.reshape(*source.shape[:-1], rows.shape[1])
    out = torch.empty(rows.shape, dtype=rows.dtype, device=rows.device)
    step = max(1, _CHUNK_ELEMENTS // max(rows.shape[1], 1))
    for start in range(0, len(rows), step):
        out[start : start + step] = _unit(rows[start : start + step], eps)
    return out.reshape(*source.shape[:-1], rows.shape[1])


def _unit(rows: Tensor, eps: float) -> Tensor:
    wide = rows.double()
    squares = canonical.lane_sum(wide * wide)
    length = sqrt(squares).clamp(min=eps)
    factor = torch.where(length == 0, 0.0, 1.0 / length)
    unit = narrow(wide * factor.unsqueeze(1), rows.dtype)
    if rows.dtype == torch.float64:
        is_extreme = ~((squares > _COMFORTABLE[0]) & (squares < _COMFORTABLE[1]))
        odd = is_extreme.nonzero().flatten()
        if len(odd):
            unit[odd] = _unit_extreme(wide[odd], eps)
    return unit


def _unit_extreme(rows: Tensor, eps: float) -> Tensor:
    """Rows whose squares leave float64's range: scaled by a power of two first."""
    size = rows.abs()
    largest = torch.where(size.isnan(), 0.0, size).amax(1) if rows.shape[1] else rows.new_zeros(0)
    is_scalable = (largest > 0) & largest.isfinite()
    exponent = torch.frexp(torch.where(is_scalable, largest, 1.0)).exponent.to(torch.int64) - 1
    scaled = times_power(rows, -exponent.unsqueeze(1))
    total = torch.zeros_like(largest)
    for column in scaled.T:
        total = total + column * column
    least = times_power(torch.full_like(largest, eps), -exponent)
    length = torch.maximum(sqrt(total), least).unsqueeze(1)
    return torch.where(length == 0, 0.0, scaled / length)


def top_k(x: Tensor, k: int, axis: int, largest: bool) -> tuple[Tensor, Tensor]:
    """Values and positions along an axis."""
    moved = x.movedim(axis, -1)
    indices = order.top(moved, min(k, moved.shape[-1]), largest)
    values = moved.gather(-1, indices)
    return values.movedim(-1, axis).contiguous(), indices.movedim(-1, axis).contiguous()
