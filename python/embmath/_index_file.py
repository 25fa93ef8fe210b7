"""An index as one file: which tensors and strings, and back.

Tensors are those of ``cpp/src/engine/saved_index.hpp``, with ``basis.*`` (what codes of rotated
rows were made with, to the bit) and ``rotation.*`` (what the caller gave or the index fitted).
Strings of the index are named ``index.*``, those of the caller ``user.*``.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from . import _arguments, _core, _files
from ._rotation import Rotation
from ._types import FileFormatError, Progress

_CHUNK = 1 << 20  # bytes read at a time
_DTYPES = {
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "I8": "int8",
    "U8": "uint8",
}
_BASIS = {"mean": ("F64", 1), "vectors": ("F32", 2), "spread": ("F64", 1), "defect": ("F64", 1)}
_ROTATION = {"mean": ("F64", 1), "basis": ("F32", 2), "variance": ("F64", 1)}
_ROUNDING = 1e-9
_INDEX, _USER = "index.", "user."


class State(NamedTuple):
    """What an index is, apart from its rows and codes."""

    metric: str
    codes: tuple[str, ...] | None  # None: "auto"
    rotation: Rotation | None
    copies_rows: bool
    dim: int | None
    dtype: str | None
    core: _core.Index | None
    metadata: dict[str, str]


def save(path: _files.Path, state: State, progress: Progress | None) -> None:
    """Write the rows and codes of this moment; the index may go on changing."""
    tensors: dict[str, _files.Tensor] = {}
    strings: dict[str, Any] = {
        "metric": state.metric,
        "rows": "copy" if state.copies_rows else "reference",
        "dim": state.dim or 0,
        "codes": "auto" if state.codes is None else ",".join(state.codes),
    }
    if state.rotation is not None:
        tensors |= {f"rotation.{name}": getattr(state.rotation, name) for name in _ROTATION}
    if state.core is not None:
        view = state.core.view()
        saved = view.saved()
        basis = view.basis()
        if basis is not None:
            parts = (*basis[:3], np.array([basis[3]]))
            tensors |= {f"basis.{name}": part for name, part in zip(_BASIS, parts, strict=True)}
        for number, (name, dtype, shape) in enumerate(saved.pop("arrays")):
            tensors[name] = _files.Blocks(dtype, shape, _pieces(view, number, dtype, shape))
        strings |= {"codes": ",".join(state.core.codes), **saved}
        strings["codes_layout"] = _core.CODES_LAYOUT
    metadata = {f"{_INDEX}{key}": str(value) for key, value in strings.items()}
    metadata |= {f"{_USER}{key}": value for key, value in state.metadata.items()}
    _files.write(path, tensors, metadata, kind="index", progress=progress)


def _pieces(
    view: _core.IndexView, array: int, dtype: str, shape: Sequence[int]
) -> Iterator[np.ndarray[Any, Any]]:
    """Whole rows of one array, some at a time, wherever the index keeps them."""
    row_bytes = _files.DTYPES[dtype].itemsize * int(np.prod(shape[1:], dtype=object))
    step = max(_CHUNK // row_bytes, 1)
    buffer = np.empty(min(step, shape[0]) * row_bytes, np.uint8)
    for first in range(0, shape[0], step):
        n = min(step, shape[0] - first)
        view.read(array, first, n, buffer)
        yield buffer[: n * row_bytes]


def load(
    path: _files.Path, *, mmap: bool, verify: Literal["header", "full"], threads: int
) -> State:
    """Read what :func:`save` wrote; whatever does not fit together is a FileFormatError."""
    file = _files.read(path, kind="index", mmap=mmap, verify=verify)
    try:
        return _state(file, is_in_memory=not mmap, trusts_basis=verify == "header", threads=threads)
    except (TypeError, ValueError) as error:
        raise FileFormatError(f"{os.fsdecode(path)}: {error}") from None


def _state(file: _files.File, *, is_in_memory: bool, trusts_basis: bool, threads: int) -> State:
    strings = _Strings(file.metadata)
    rotation = _tensors(file, "rotation", _ROTATION)
    codes = strings.text("codes")
    dim = strings.number("dim")
    copies_rows = strings.choice("rows", ("reference", "copy")) == "copy"
    dtype, core = None, None
    if "rows" in file.tensors:
        dtype = _DTYPES.get(file.dtypes["rows"], "")
        basis = _tensors(file, "basis", _BASIS)
        defect = None if basis is None else _single("basis.defect", basis[3])
        has_codes = strings.number("codes_layout") == _core.CODES_LAYOUT
        core = _core.Index.restore(
            metric=strings.text("metric"),
            dtype=dtype,
            n_cols=dim,
            codes=_names(codes),
            basis=None if basis is None else (*basis[:3], defect if trusts_basis else None),
            copies_rows=copies_rows,
            arrays=[
                (name, file.dtypes[name], array)
                for name, array in file.tensors.items()
                if not name.startswith(("rotation.", "basis."))
                and (has_codes or name in ("rows", "ids", "live"))
            ],
            page_rows=strings.number("page_rows"),
            next_id=strings.number("next_id"),
            knows_copies=strings.choice("knows_copies", ("True", "False")) == "True",
            has_codes=has_codes,
            is_in_memory=is_in_memory,
            threads=threads,
        )
        if defect is not None and not trusts_basis:
            _check_defect(core, defect)
    elif any(not name.startswith("rotation.") for name in file.tensors):
        raise ValueError("rows: expected a tensor, got none")
    return State(
        metric=strings.text("metric"),
        codes=None if codes == "auto" else _names(codes),
        rotation=None if rotation is None else Rotation(*rotation),
        copies_rows=copies_rows,
        dim=dim or None,
        dtype=dtype,
        core=core,
        metadata={
            key.removeprefix(_USER): value
            for key, value in file.metadata.items()
            if key.startswith(_USER)
        },
    )


def _names(codes: str) -> tuple[str, ...]:
    return tuple(codes.split(",")) if codes else ()


def _single(name: str, array: Any) -> float:
    if array.shape != (1,):
        raise ValueError(f"{name}: expected one number, got shape {array.shape}")
    return float(array[0])


def _check_defect(core: _core.Index, saved: float) -> None:
    """What bounds rest on, computed again; other compilers may round otherwise."""
    basis = core.view().basis()
    if basis is not None and not abs(basis[3] - saved) <= _ROUNDING * basis[3]:
        raise ValueError(f"basis.defect: expected {basis[3]}, got {saved}")


def _tensors(file: _files.File, group: str, wanted: Mapping[str, tuple[str, int]]) -> Any:
    """The tensors of a group, all of them or None; finite, of these types and numbers of axes."""
    names = [name for name in file.tensors if name.startswith(f"{group}.")]
    if not names:
        return None
    if set(names) != {f"{group}.{part}" for part in wanted}:
        raise ValueError(f"{group}: expected tensors {', '.join(wanted)}, got {', '.join(names)}")
    parts = []
    for part, (dtype, n_axes) in wanted.items():
        name = f"{group}.{part}"
        array = file.tensors[name]
        if file.dtypes[name] != dtype or array.ndim != n_axes or not np.isfinite(array).all():
            raise ValueError(
                f"{name}: expected finite {dtype} with {n_axes} axes, got {file.dtypes[name]} of "
                f"shape {array.shape}"
            )
        parts.append(array)
    return parts


class _Strings:
    """The strings of an index, each checked when it is asked for."""

    def __init__(self, metadata: Mapping[str, str]) -> None:
        self._metadata = metadata

    def text(self, key: str) -> str:
        if _INDEX + key not in self._metadata:
            raise ValueError(f"{_INDEX}{key}: expected a value, got none")
        return self._metadata[_INDEX + key]

    def choice(self, key: str, allowed: Sequence[str]) -> str:
        return _arguments.choice(_INDEX + key, self.text(key), allowed)

    def number(self, key: str) -> int:
        text = self.text(key)
        if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) < 2**63):
            raise ValueError(f"{_INDEX}{key}: expected a number below 2^63, got {text[:40]!r}")
        return int(text)
