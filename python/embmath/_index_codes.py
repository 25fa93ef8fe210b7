"""Which codes an index keeps, and the axes that rotated ones are made with."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from . import _arguments, _arrays, _core
from ._rotation import Rotation, fit_rotation

_CODE_METRICS = ("cosine", "dot", "euclidean", "sqeuclidean")
_INTEGERS = ("int8", "uint8")
KINDS = tuple(_core.CODE_KINDS)
_ROTATED = {"prefix", "int4"}
_LEAST_CODE_DIMS = 32  # below, a row's scalars and places weigh as much as its codes save
_MOST_CODE_DIMS = 2**16
# A rotation is fitted and applied in the time of some hundred queries: worth it for many rows only.
_LEAST_ROTATED_ROWS, _LEAST_ROTATED_DIMS, _MOST_ROTATED_DIMS = 50_000, 128, 2048


class Choice(NamedTuple):
    """The kinds of codes, the rotation if one was given or fitted, and what is made of it."""

    kinds: tuple[str, ...]
    rotation: Rotation | None
    basis: tuple[Any, ...] | None


def asked(codes: str | Sequence[str] | None, metric: str) -> tuple[str, ...] | None:
    """The kinds that the argument `codes` names; None for "auto"."""
    if codes is None:
        return ()
    if isinstance(codes, str):
        if codes == "auto":
            return None
        codes = (codes,)
    if not isinstance(codes, Sequence):
        raise TypeError(f"codes: expected a name, several, or None, got {type(codes).__name__}")
    for kind in codes:
        _arguments.choice("codes", kind, ("auto", *KINDS) if len(codes) == 1 else KINDS)
    kinds = tuple(kind for kind in KINDS if kind in codes)
    if kinds and metric not in _CODE_METRICS:
        raise ValueError(
            f"codes: {kinds[0]!r} goes with {', '.join(_CODE_METRICS)}, got metric {metric!r}"
        )
    return kinds


def choose(
    kinds: tuple[str, ...] | None, rotation: Rotation | None, metric: str, rows: _arrays.Input
) -> Choice:
    """What these first rows are kept as; `kinds` None: what suits them."""
    if kinds is None:
        kinds, rotation = _suiting(rotation, metric, rows)
    if not _ROTATED.intersection(kinds):
        return Choice(kinds, rotation, None)
    rotation = rotation or _fit(metric, rows)
    return Choice(kinds, rotation, (*rotation.coding_basis(), None))


def _suiting(
    rotation: Rotation | None, metric: str, rows: _arrays.Input
) -> tuple[tuple[str, ...], Rotation | None]:
    d = rows.n_cols
    has_codes = metric in _CODE_METRICS and _core.multiplies_bytes()
    if not has_codes or not _LEAST_CODE_DIMS <= d <= _MOST_CODE_DIMS:
        return (), rotation
    is_large = (
        rows.n_rows >= _LEAST_ROTATED_ROWS
        and _LEAST_ROTATED_DIMS <= d <= _MOST_ROTATED_DIMS
        and rows.dtype not in _INTEGERS
    )
    if not is_large:
        return ("int8",), rotation
    try:
        rotation = rotation or _fit(metric, rows)
    except ValueError:  # no row has a finite length
        return ("int8",), rotation
    return (("prefix", "int4") if rotation.leads() else ("int8",)), rotation


def _fit(metric: str, rows: _arrays.Input) -> Rotation:
    if rows.dtype in _INTEGERS:
        raise ValueError(
            f"codes: 'prefix' and 'int4' go with floating point rows, got {rows.dtype}"
        )
    if rows.n_rows == 0:
        raise ValueError("rows: expected some to fit a rotation to, or rotation=, got none")
    embeddings = _arrays.as_embeddings(rows.array, rows.dtype)
    return fit_rotation(embeddings, normalize=metric == "cosine")
