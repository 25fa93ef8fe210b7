"""Save tensors and strings as one file."""

import operator
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .. import _core
from .._types import Progress
from . import header, strict_json
from .atomic import replacing
from .layout import (
    BLOCK,
    DTYPES,
    RESERVED,
    Entry,
    Kind,
    NDArray,
    Path,
    is_addressable,
    lay_out,
)
from .sink import Sink, write_all

Buffer: TypeAlias = bytes | bytearray | memoryview | NDArray

_FORMAT_NAMES = {dtype: name for name, dtype in DTYPES.items() if name != "BF16"}


class Blocks(NamedTuple):
    """A tensor in pieces: C-contiguous buffers that are, one after the other, its bytes."""

    dtype: str  # the format's name, like "F32"
    shape: tuple[int, ...]
    buffers: Iterable[Buffer]


Tensor: TypeAlias = Blocks | NDArray


def write(
    path: Path,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    *,
    kind: Kind,
    progress: Progress | None = None,
) -> None:
    """Save a file that replaces an existing one whole or not at all.

    Data stream through one block of 1 MiB; arrays of any layout are read as they are, be they
    mapped from the very file that is replaced.

    Parameters
    ----------
    path : path
    tensors : mapping of str to array or Blocks
        Little-endian; in the file in this order. Names that start with ``_`` are the format's.
    metadata : mapping of str to str
    kind : {"index", "codes", "rotation"}
        What ``read`` must be asked for.
    progress : callable, optional
        Called with the fraction done, some ten times a second; may raise to cancel.

    Raises
    ------
    TypeError, ValueError
        If a tensor or the metadata cannot be saved, or `path` is a device or pipe.
    OSError
        If the file cannot be written; an old one stays (see ``atomic.replacing``).
    """
    blocks = {_checked_name(name): _as_blocks(name, tensor) for name, tensor in tensors.items()}
    entries = lay_out((name, b.dtype, b.shape) for name, b in blocks.items())
    draft = header.compose(entries, metadata, kind=kind, version=_core.version())
    with replacing(os.fsdecode(path)) as descriptor:
        write_all(descriptor, draft)
        sink = Sink(descriptor, entries[-1].end if entries else 0, progress)
        for entry in entries:
            _stream(sink, entry, blocks[entry.name].buffers if entry.name in blocks else None)
        sink.flush()
        final = header.compose(
            entries,
            metadata,
            kind=kind,
            version=_core.version(),
            sha256=sink.sha256,
            crc32=sink.crc32,
        )
        assert len(final) == len(draft)
        os.lseek(descriptor, 0, os.SEEK_SET)
        write_all(descriptor, final)


def _checked_name(name: str) -> str:
    if not (isinstance(name, str) and strict_json.is_text(name)) or name.startswith(RESERVED):
        raise ValueError(f"tensors: expected names without leading {RESERVED!r}, got {name!r}")
    return name


def _as_blocks(name: str, tensor: Tensor) -> Blocks:
    if isinstance(tensor, np.ndarray):
        blocks = Blocks(_format_name(name, tensor.dtype), tensor.shape, pieces(tensor))
    else:
        dtype, shape, buffers = tensor
        blocks = Blocks(dtype, tuple(map(operator.index, shape)), buffers)
    if blocks.dtype not in DTYPES:
        raise TypeError(f"{name}: expected dtype {', '.join(DTYPES)}, got {blocks.dtype!r}")
    if min(blocks.shape, default=0) < 0 or not is_addressable(blocks.dtype, blocks.shape):
        raise ValueError(f"{name}: expected an array's shape, got {blocks.shape}")
    return blocks


def _format_name(name: str, dtype: np.dtype[Any]) -> str:
    if dtype.name == "bfloat16":  # of ml_dtypes, which need not be installed
        return "BF16"
    if dtype not in _FORMAT_NAMES:
        raise TypeError(f"{name}: expected little-endian numbers or bool, got dtype {dtype.str}")
    return _FORMAT_NAMES[dtype]


def pieces(array: NDArray) -> Iterator[NDArray]:
    """Contiguous pieces in C order: views where possible, else copies of at most a block."""
    if array.flags.c_contiguous or not array.size:
        yield np.ascontiguousarray(array)
    elif array[0].nbytes > BLOCK:
        for row in array:
            yield from pieces(row)
    else:
        n_rows = BLOCK // array[0].nbytes
        for start in range(0, len(array), n_rows):
            yield np.ascontiguousarray(array[start : start + n_rows])


def _stream(sink: Sink, entry: Entry, buffers: Iterable[Buffer] | None) -> None:
    size = entry.end - entry.begin
    found = 0
    for buffer in [bytes(size)] if buffers is None else buffers:  # none: padding
        piece = _as_bytes(entry.name, buffer)
        found += len(piece)
        if found > size:
            break
        sink.put(piece)
    if found != size:
        more = " or more" if found > size else ""
        raise ValueError(f"{entry.name}: expected {size} bytes in its blocks, got {found}{more}")


def _as_bytes(name: str, buffer: Buffer) -> memoryview:
    view = buffer if isinstance(buffer, np.ndarray) else memoryview(buffer)
    if not (view.flags.c_contiguous if isinstance(view, np.ndarray) else view.c_contiguous):
        raise ValueError(f"{name}: expected C-contiguous blocks, got strides {view.strides}")
    if isinstance(view, np.ndarray):
        # Not every dtype exports a buffer (bfloat16 does not), but every one has bytes.
        return view.reshape(-1).view(np.uint8).data
    return view.cast("B") if view.nbytes else memoryview(b"")
