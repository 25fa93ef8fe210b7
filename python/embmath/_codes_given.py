"""What is said about codes that were made elsewhere: checked, as fields of Codes."""

from typing import Any

from . import _arguments, _arrays, _grids
from ._precisions import PRECISIONS
from ._rotated import RotatedGrid


def on_rotated_grid(
    source: _arrays.Input,
    dim: int | None,
    grid: object,
    step: object,
    offset: object,
) -> dict[str, Any]:
    """Fields of codes on the grid of other rotated codes."""
    if not isinstance(grid, RotatedGrid):
        raise TypeError(f"grid: expected a RotatedGrid, got {type(grid).__name__}")
    columns = grid.rotation.d
    if dim is not None and _arguments.integer("dim", dim, at_least=0) != columns:
        raise ValueError(f"dim: expected {columns} like the rotation, got {dim}")
    width = _arrays.as_rows(source).n_cols
    if width != grid.row_bytes:
        raise ValueError(f"data: expected {grid.row_bytes} columns like the grid, got {width}")
    fields: dict[str, Any] = {"dim": columns, "scope": "row", "grid": grid}
    for name, value in {"step": step, "offset": offset}.items():
        if value is None:
            raise ValueError(f"{name}: expected one per row, got none")
        fields[name] = _grids.row_numbers(name, value, source)
    return fields


def on_uniform_grid(
    name: str,
    bits: int,
    dim: int,
    source: _arrays.Input,
    ranges: Any,
    minimum: Any,
    step: Any,
    scope: Any,
    rounding: Any,
) -> dict[str, Any]:
    """Fields of codes whose numbers lie at equal distances; none of other codes."""
    if PRECISIONS[name].kind != "scalar":
        given = {"ranges": ranges, "minimum": minimum, "step": step, "scope": scope}
        _grids.reject_given(name, given | {"rounding": rounding})
        return {}
    if scope is not None:
        scope = _arguments.choice("scope", scope, _grids.SCOPES)
    grid: dict[str, Any] = {}
    if ranges is not None:
        if minimum is not None or step is not None:
            raise ValueError("ranges: expected ranges, or minimum and step, got both")
        limits = _grids.read_ranges(ranges, dim)
        found = _grids.on_ranges(limits, dim, scope)
        levels = _grids.levels_of(name, bits, around_zero=False)
        grid = _grids.ranges_grid(limits, found, levels, source)
    elif step is not None:
        grid = _grids.given_grid(name, dim, source, minimum, step, scope)
    elif minimum is not None:
        raise ValueError("minimum: expected a step beside it, got none")
    around_zero = grid.get("minimum") is None
    rule = "nearest" if around_zero or grid["scope"] == "row" else "floor"
    if rounding is not None:
        rule = _arguments.choice("rounding", rounding, _grids.ROUNDINGS)
    return grid | {"rounding": rule}
