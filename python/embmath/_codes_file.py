"""Codes as a file: their arrays as tensors, their conventions as strings, each stored once.

Ranges give minimum and step, so a file has either the one or the others; rotated codes come with
their rotation and with widths and steps of its blocks. What is valid is decided
in one place, ``Codes.from_data``: a file is read through it, and must then hold exactly what would
be saved of the codes it gave. Codes come in as arguments and are made by `build`, not by import:
``_codes`` imports this module, when it is needed.
"""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from . import _arguments, _arrays, _files
from ._precisions import PRECISIONS
from ._rotated import RotatedGrid
from ._rotation import Rotation
from ._types import FileFormatError, Progress

# What follows is a key of the caller's, so every key is free.
_USER = "user."
# Starts keys that a later minor schema may add, as it starts names of tensors.
_LATER = "_"
_ROTATION = ("mean", "basis", "variance")
_BLOCKS = ("widths", "steps")


def save(
    codes: Any,
    path: Any,
    metadata: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    streams: Mapping[str, _files.Blocks] | None = None,
) -> None:
    """Save codes; `streams` are tensors that are saved instead of arrays of `codes`."""
    user = _prefixed({**codes.metadata, **_checked(metadata)})
    report = _arguments.progress(progress)
    arrays, fields = _arrays_of(codes), _fields_of(codes)
    is_bfloat16 = codes.precision == "bfloat16"
    _build(codes.from_data, arrays, fields, is_bfloat16)
    tensors: dict[str, _files.Tensor] = dict(arrays)
    if is_bfloat16:
        data = arrays["data"]
        tensors["data"] = _files.Blocks("BF16", data.shape, _files.pieces(data))
    tensors |= streams or {}
    _files.write(path, tensors, fields | user, kind="codes", progress=report)


def load(
    build: Callable[..., Any], path: Any, mmap: bool, verify: Literal["header", "full"]
) -> tuple[Any, dict[str, str]]:
    """Codes as `build` makes them, and the strings that the caller saved with them."""
    is_mapped = _arguments.flag("mmap", mmap)
    file = _files.read(path, kind="codes", mmap=is_mapped, verify=verify)
    found = file.metadata.items()
    fields = {key: text for key, text in found if not key.startswith((_USER, _LATER))}
    try:
        codes = _build(build, file.tensors, fields, file.dtypes.get("data") == "BF16")
    except (TypeError, ValueError) as error:
        raise FileFormatError(f"{os.fsdecode(path)}: {error}") from None
    return codes, {key.removeprefix(_USER): s for key, s in found if key.startswith(_USER)}


def _build(
    build: Callable[..., Any],
    arrays: Mapping[str, Any],
    fields: Mapping[str, str],
    is_bfloat16: bool,
) -> Any:
    """Codes of these arrays and conventions, which must be neither more nor less than theirs."""
    if "data" not in arrays:
        raise ValueError("data: expected a tensor of this name, got none")
    data = _arrays.as_embeddings(arrays["data"], "bfloat16" if is_bfloat16 else "")
    codes = build(data, _field(fields, "precision"), **_arguments_of(arrays, fields))
    found = _described(arrays, fields, is_bfloat16)
    expected = _described(_arrays_of(codes), _fields_of(codes), codes.precision == "bfloat16")
    for key in sorted(found.keys() | expected.keys()):
        have, want = found.get(key, "none"), expected.get(key, "none")
        if have != want:
            raise ValueError(f"{key:.40}: expected {want}, got {have:.40}")
    return codes


def _arrays_of(codes: Any) -> dict[str, Any]:
    """What is stored, as NumPy sees it."""
    names = ("data", "step", "minimum", "offset") if codes.ranges is None else ("data", "ranges")
    allowed = (*_arrays.EMBEDDING_DTYPES, "uint16")
    arrays = {name: getattr(codes, name) for name in names}
    if codes.grid is not None:
        arrays |= {name: getattr(codes.grid, name) for name in _BLOCKS}
        arrays |= {name: getattr(codes.rotation, name) for name in _ROTATION}
    return {
        name: _arrays.read(name, array, allowed).array
        for name, array in arrays.items()
        if array is not None
    }


def _fields_of(codes: Any) -> dict[str, str]:
    if codes.grid is not None:
        return {"precision": codes.precision, "dim": str(codes.dim)}
    names = ("precision", "dim", "bits", "layout", "signedness", "rounding")
    fields = {name: str(getattr(codes, name)) for name in names}
    return fields if codes.scope is None else fields | {"scope": str(codes.scope)}


def _arguments_of(arrays: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    """What ``Codes.from_data`` takes; options that mean nothing for a precision it would refuse."""
    kind = PRECISIONS.get(fields["precision"])
    if kind is not None and kind.kind == "rotated":
        return _rotated_arguments(arrays, fields)
    given: dict[str, Any] = {name: arrays.get(name) for name in ("ranges", "minimum", "step")}
    given |= {name: _field(fields, name) for name in ("layout", "signedness")}
    given["dim"] = _integer(fields, "dim")
    if kind is not None and kind.kind == "scalar":
        given |= {"rounding": _field(fields, "rounding"), "scope": fields.get("scope")}
    if fields["precision"] == "uint8":
        given["bits"] = _integer(fields, "bits")
    return given


def _rotated_arguments(arrays: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    for name in (*_ROTATION, *_BLOCKS):
        if name not in arrays:
            raise ValueError(f"{name}: expected a tensor of this name, got none")
    rotation = Rotation(*(arrays[name] for name in _ROTATION))
    grid = RotatedGrid(rotation, *(arrays[name] for name in _BLOCKS))
    given = {name: arrays.get(name) for name in ("step", "offset")}
    return given | {"dim": _integer(fields, "dim"), "grid": grid}


def _described(
    arrays: Mapping[str, Any], fields: Mapping[str, str], is_bfloat16: bool
) -> dict[str, str]:
    """Everything but the numbers."""
    names = {name: array.dtype.name for name, array in arrays.items()}
    if is_bfloat16:
        names["data"] = "bfloat16"
    return {name: f"{names[name]} {array.shape}" for name, array in arrays.items()} | dict(fields)


def _field(fields: Mapping[str, str], key: str) -> str:
    if key not in fields:
        raise ValueError(f"{key}: expected a string of this name, got none")
    return fields[key]


def _integer(fields: Mapping[str, str], key: str) -> int:
    text = _field(fields, key)
    if not re.fullmatch("[0-9]{1,19}", text):  # int() takes quadratic time, signs and spaces
        raise ValueError(f"{key}: expected an integer, got {text:.40}")
    return int(text)


def _checked(metadata: Mapping[str, str] | None) -> Mapping[str, str]:
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise TypeError(f"metadata: expected a dict of strings, got {type(metadata).__name__}")
    for key, value in metadata.items():
        if not (isinstance(key, str) and isinstance(value, str)):
            raise TypeError(f"metadata: expected strings, got {key!r:.40}: {type(value).__name__}")
    return metadata


def _prefixed(metadata: Mapping[str, str]) -> dict[str, str]:
    return {_USER + key: value for key, value in metadata.items()}
