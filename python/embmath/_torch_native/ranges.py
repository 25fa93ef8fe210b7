"""What scalar codes are laid over: ranges given, of a sample, or of each row."""

from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from .. import _arguments, _grids
from .._codes import Codes
from . import tensors
from .tensors import FLOATS

_FINITE = "finite numbers in float32's range to fit ranges to"


def steps(low: Tensor, high: Tensor, levels: int) -> Tensor:
    """From one code to the next; 1 where all are the same."""
    # A divisor on the device: a Python number would be multiplied with, inverted.
    step = (high - low) / torch.full_like(high, levels)
    return torch.where(step == 0, 1.0, step)


def limits(
    rows: Tensor, ranges: Any, calibration: Any, scope: Any, quantile: Any
) -> tuple[Tensor | None, str]:
    """The ranges to quantize on, None where every row has its own; and the scope."""
    share = _grids.read_share(quantile)
    scope = _grids.asked_scope(ranges, calibration, share, scope)
    n_cols = rows.shape[1]
    if ranges is not None:
        found = read(ranges, n_cols, rows.device)
        return found, scope_of(found, n_cols, scope)
    if scope == "row":
        return None, scope
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


def scope_of(ranges: Tensor, n_cols: int, scope: str | None) -> str:
    """The scope of ranges, if it is the one that was asked for."""
    found = "dim" if ranges.shape[1] == n_cols and (n_cols != 1 or scope == "dim") else "global"
    if scope not in (None, found):
        raise ValueError(
            f"scope: ranges of shape {tuple(ranges.shape)} mean {found!r}, got {scope!r}"
        )
    return found


def given(data: Tensor, codes: Codes, grid: dict[str, Any]) -> dict[str, Any]:
    """The fields of codes that follow from ranges, or from minimum and step."""
    scope, step, minimum = (grid[name] for name in ("scope", "step", "minimum"))
    if scope is not None:
        scope = _arguments.choice("scope", scope, _grids.SCOPES)
    if grid["ranges"] is not None:
        if minimum is not None or step is not None:
            raise ValueError("ranges: expected ranges, or minimum and step, got both")
        found = read(grid["ranges"], codes.dim, data.device)
        levels = _grids.levels_of(codes.precision, codes.bits, around_zero=False)
        return {
            "ranges": found,
            "minimum": found[0].clone(),
            "step": steps(found[0], found[1], levels),
            "scope": scope_of(found, codes.dim, scope),
        }
    if step is None:
        if minimum is not None:
            raise ValueError("minimum: expected a step beside it, got none")
        return {}
    if minimum is None and codes.precision != "int8":
        raise ValueError(f"minimum: {codes.precision} codes need one beside step, got none")
    numbers = {}
    for name, value in (("step", step), ("minimum", minimum)):
        if value is not None:
            scope, numbers[name] = _numbers(name, value, data, codes.dim, scope)
    return numbers | {"scope": scope}


def _numbers(
    name: str, value: object, data: Tensor, dim: int, scope: str | None
) -> tuple[str, Tensor]:
    found = _to_device(name, value, data.device).flatten()
    if not bool(found.isfinite().all()):
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    if scope is None and found.numel() != 1:
        raise ValueError(
            f"scope: {found.numel()} elements of {name} need one of: dim, row, got none"
        )
    scope = scope or "global"
    n_rows = len(data) if data.ndim == 2 else 1
    wanted = {"dim": dim, "row": n_rows, "global": 1}[scope]
    if found.numel() != wanted:
        raise ValueError(
            f"{name}: expected {wanted} elements for scope {scope!r}, got {found.numel()}"
        )
    return scope, found.unsqueeze(1) if scope == "row" and data.ndim == 2 else found


def _to_device(name: str, value: object, device: torch.device) -> Tensor:
    """A tensor there, or a few numbers from anywhere; float32."""
    if isinstance(value, Tensor):
        return tensors.read(name, value, (*FLOATS, "int64"), device, "the others").float()
    return torch.from_numpy(np.array(value, np.float32)).to(device)


def read(value: object, n_cols: int, device: torch.device) -> Tensor:
    """Ranges as they were given: a tensor there, or a few numbers from anywhere."""
    return check(_to_device("ranges", value, device), n_cols)


def check(found: Tensor, n_cols: int) -> Tensor:
    """Minimum and maximum: of shape (2, d) or (2, 1), finite and in order."""
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
        refuse_row(int((~is_good).nonzero()[0, 0]))
    return low, high


def refuse_row(row: int) -> NoReturn:
    """No codes of a row without a range."""
    raise ValueError(
        "x: expected rows of finite numbers with a float32 range, got NaN, infinity or more "
        f"in row {row}"
    )
