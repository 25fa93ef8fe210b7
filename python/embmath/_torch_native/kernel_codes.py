"""The CUDA module's kernels for rows one by one: unit lengths, and codes."""

from typing import NamedTuple

import torch
from torch import Tensor

from . import kernel_device as gpu

_ROUNDINGS = {"floor": 0, "nearest": 1, "truncate": 2, "ratio": 3}
_ORDERS = {"bytes": 0, "interleaved": 1, "split": 2}
# See _grids.code_format: levels, signed, around zero, rounding, order.
Form = tuple[int, bool, bool, str, str]


def normalize(rows: Tensor, eps: float) -> Tensor | None:
    """Rows over their lengths; None where others must do it."""
    if not _read(rows):
        return None
    rows = gpu.contiguous(rows)
    out = torch.empty(rows.shape, dtype=rows.dtype, device=rows.device)
    gpu.module().normalize(gpu.view(rows), eps, out.data_ptr(), *gpu.where(rows))
    return out


def quantize(rows: Tensor, limits: Tensor, form: Form) -> Tensor | None:
    """Codes on given ranges, (2, d) or (2, 1); None where others must do it."""
    if not _read(rows):
        return None
    rows, limits = gpu.contiguous(rows), limits.contiguous()
    codes = _codes(rows, form)
    low, high = limits[0].data_ptr(), limits[1].data_ptr()
    gpu.module().quantize(
        gpu.view(rows),
        _numbered(form),
        low,
        high,
        limits.shape[1],
        codes.data_ptr(),
        *gpu.where(rows),
    )
    return codes


class RowCodes(NamedTuple):
    """Codes of rows on ranges of their own, (n, 1) each; no minimum around 0."""

    data: Tensor
    minimum: Tensor | None
    step: Tensor
    first_bad: int | None  # the first row without a finite range


def quantize_rows(rows: Tensor, form: Form) -> RowCodes | None:
    """Codes of rows on ranges of their own; None where others must do it."""
    if not _read(rows):
        return None
    rows = gpu.contiguous(rows)
    codes = _codes(rows, form)
    step = rows.new_empty((len(rows), 1), dtype=torch.float32)
    minimum = None if form[2] else torch.empty_like(step)
    before_bad = torch.zeros(1, dtype=torch.int32, device=rows.device)
    gpu.module().quantize_rows(
        gpu.view(rows),
        _numbered(form),
        codes.data_ptr(),
        0 if minimum is None else minimum.data_ptr(),
        step.data_ptr(),
        before_bad.data_ptr(),
        *gpu.where(rows),
    )
    left = int(before_bad) % 2**32
    first_bad = None if left == 0 else 2**32 - 1 - left
    return RowCodes(codes, minimum, step, first_bad)


def pack_bits(rows: Tensor, threshold: float, flip: int) -> Tensor | None:
    """Bits of what is above a threshold, most significant first; None where others must do it."""
    if not _read(rows):
        return None
    rows = gpu.contiguous(rows)
    n_bytes = -(-rows.shape[1] // 8)
    codes = torch.empty((len(rows), n_bytes), dtype=torch.uint8, device=rows.device)
    gpu.module().pack_bits(gpu.view(rows), threshold, flip, codes.data_ptr(), *gpu.where(rows))
    return codes


def _read(rows: Tensor) -> bool:
    """Whether kernels transform such rows."""
    if rows.dtype not in gpu.FLOATS or not rows.numel():
        return False
    fits = len(rows) <= gpu.MOST_ROWS and rows.shape[1] <= gpu.MOST_COLS
    return fits and gpu.most_results(rows.device) > 0


def _codes(rows: Tensor, form: Form) -> Tensor:
    _, is_signed, around_zero, _, order = form
    n_bytes = rows.shape[1] if order == "bytes" else -(-rows.shape[1] // 2)
    dtype = torch.int8 if is_signed or around_zero else torch.uint8
    return torch.empty((len(rows), n_bytes), dtype=dtype, device=rows.device)


def _numbered(form: Form) -> tuple[int, bool, bool, int, int]:
    return *form[:3], _ROUNDINGS[form[3]], _ORDERS[form[4]]
