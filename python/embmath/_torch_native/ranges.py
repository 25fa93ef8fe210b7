"""What scalar codes are laid over: ranges given, of a sample, or of each row."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _arguments, _grids
from . import tensors
from .tensors import FLOATS

_FINITE = "finite numbers in float32's range to fit ranges to"


def limits(
    rows: Tensor, ranges: Any, calibration: Any, scope: Any, quantile: Any
) -> tuple[Tensor | None, str]:
    """The ranges to quantize on, None where every row has its own; and the scope."""
    share = check_share(quantile)
    if scope is not None:
        scope = _arguments.choice("scope", scope, _grids.SCOPES)
    n_cols = rows.shape[1]
    if ranges is not None:
        if calibration is not None or share is not None:
            raise ValueError("ranges: expected ranges, or rows to take them from, got both")
        found = read(ranges, n_cols, rows.device)
        what = "dim" if found.shape[1] == n_cols and (n_cols != 1 or scope == "dim") else "global"
        if scope not in (None, what):
            raise ValueError(
                f"scope: ranges of shape {tuple(found.shape)} mean {what!r}, got {scope!r}"
            )
        return found, what
    fits = calibration is not None or share is not None
    if scope == "row" or (scope is None and not fits):
        if fits:
            raise ValueError(
                "scope: rows have ranges of their own, got calibration or quantile too"
            )
        return None, "row"
    scope = scope or "dim"
    if calibration is None:
        if not len(rows):
            return rows.new_zeros((2, n_cols if scope == "dim" else 1), dtype=torch.float32), scope
        if len(rows) == 1 and scope == "dim":
            raise ValueError("x: one row has no range per dimension (pass ranges or calibration)")
        return fit(rows, "x", share, scope), scope
    sample = tensors.matrix("calibration", calibration, FLOATS, rows.device, "x")
    if sample.shape[1] != n_cols:
        raise ValueError(f"calibration: expected {n_cols} columns like x, got {sample.shape[1]}")
    return fit(sample, "calibration", share, scope), scope


def check_share(quantile: object) -> float | None:
    """The central share of rows to cover; None for all."""
    if quantile is None:
        return None
    share = _arguments.number("quantile", quantile)
    if not 0 < share <= 1:
        raise ValueError(f"quantile: must be above 0 and at most 1, got {share}")
    return None if share == 1 else share


def read(value: object, n_cols: int, device: torch.device) -> Tensor:
    """Ranges as they were given: a tensor there, or a few numbers from anywhere."""
    if isinstance(value, Tensor):
        found = tensors.read("ranges", value, (*FLOATS, "int64"), device, "x").float()
    else:
        found = torch.from_numpy(np.array(value, np.float32)).to(device)
    found = found.reshape(2, 1) if tuple(found.shape) == (2,) else found
    if found.ndim != 2 or found.shape[0] != 2 or found.shape[1] not in (1, n_cols):
        raise ValueError(
            f"ranges: expected shape (2, {n_cols}), (2, 1) or (2,), got {tuple(found.shape)}"
        )
    span = found[1] - found[0]
    if not bool((found.isfinite() & span.isfinite()).all()):
        raise ValueError(
            "ranges: expected finite numbers a float32 apart, got NaN, infinity or more"
        )
    if bool((span < 0).any()):
        column = int((span < 0).nonzero()[0, 0])
        low, high = found[:, column].tolist()
        raise ValueError(
            f"ranges: expected minimum <= maximum, got {low} and {high} in column {column}"
        )
    return found.contiguous()


def fit(rows: Tensor, name: str, share: float | None, scope: str) -> Tensor:
    """Minimum and maximum, or quantiles, of every column or of all numbers."""
    if not len(rows):
        raise ValueError(f"{name}: expected at least one row to take ranges from, got none")
    columns = rows.float() if scope == "dim" else rows.float().reshape(-1, 1)
    if not columns.numel():
        return columns.new_zeros((2, columns.shape[1] if scope == "dim" else 1))
    if not bool(columns.isfinite().all()):
        raise ValueError(f"x: expected {_FINITE}, got NaN, infinity or more")
    if share is None:
        return torch.stack((columns.amin(0), columns.amax(0))) + 0.0  # every zero positive
    values = columns.sort(0).values
    cut = (1 - share) / 2
    return torch.stack([_quantile(values, q) for q in (cut, 1 - cut)])


def _quantile(values: Tensor, q: float) -> Tensor:
    """NumPy's linear interpolation, in float64."""
    place = (len(values) - 1) * q
    index = int(place)
    if index + 1 >= len(values):
        return values[index]
    low, high = values[index].double(), values[index + 1].double()
    part, span = place - index, high - low
    return (high - span * (1.0 - part) if part >= 0.5 else low + span * part).float()


def row_ranges(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Minimum and maximum of each row, (n, 1) float32."""
    narrow = rows.float()
    if rows.shape[1]:
        low, high = narrow.amin(1, keepdim=True) + 0.0, narrow.amax(1, keepdim=True) + 0.0
    else:
        low = high = narrow.new_zeros((len(rows), 1))
    is_good = (low.isfinite() & high.isfinite() & (high - low).isfinite()).flatten()
    if not bool(is_good.all()):
        raise ValueError(
            "x: expected rows of finite numbers with a float32 range, got NaN, infinity or more "
            f"in row {int((~is_good).nonzero()[0, 0])}"
        )
    return low, high
