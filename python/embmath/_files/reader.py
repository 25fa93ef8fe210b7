"""Read a file: believe nothing before it is checked, and copy nothing that can be mapped."""

import contextlib
import os
import stat
from collections.abc import Iterator
from mmap import ACCESS_READ
from mmap import mmap as map_memory
from typing import Literal, NamedTuple

import numpy as np

from .. import _core
from .._types import FileFormatError
from .damage import check_data
from .foreign import describe
from .header import LENGTH, length_refusal, parse
from .layout import ALIGNMENT, DTYPES, Entry, Kind, NDArray, Path

_START = 64  # bytes that tell what a foreign file is


class File(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    tensors : dict of str to array
        Read-only, each at a multiple of 64 bytes; bfloat16 as its bits in uint16.
    dtypes : dict of str to str
        The format's name of each tensor's type; tells ``BF16`` from ``U16``.
    metadata : dict of str to str
        As given to ``write``.
    schema, version : str
        Of the format, and of the package that wrote the file.
    """

    tensors: dict[str, NDArray]
    dtypes: dict[str, str]
    metadata: dict[str, str]
    schema: str
    version: str


def read(
    path: Path, *, kind: Kind, mmap: bool = True, verify: Literal["header", "full"] = "header"
) -> File:
    """Read a file that :func:`write` saved.

    Parameters
    ----------
    path : path
    kind : {"index", "codes", "rotation"}
    mmap : bool
        Map the file; its data are read when used. A file that another program cuts short while it
        is mapped ends this process (SIGBUS), as with any mapping; saving over it is safe.
        False: read all of it into memory.
    verify : {"header", "full"}
        "header" checks everything but the data: header, checksum of the header, types, shapes,
        offsets, size of the file. "full" reads the data and compares their checksum, too.

    Returns
    -------
    File

    Raises
    ------
    FileFormatError
        If the file is not a whole, undamaged file of this kind in a schema known here.
    OSError
        If it cannot be opened or read.
    """
    if verify not in ("header", "full"):
        raise ValueError(f"verify: expected 'header' or 'full', got {verify!r}")
    name = os.fsdecode(path)
    try:
        with _opened(name) as (descriptor, size):
            raw = _read_header(descriptor, size)
            header = parse(raw, size - len(raw), kind)
            data = (_mapped if mmap else _in_memory)(descriptor, len(raw), size)
        if verify == "full":
            check_data(data, header, len(raw))
    except FileFormatError as error:
        raise FileFormatError(f"{name}: {error}") from None
    named = [entry for entry in header.entries if not entry.is_internal]
    return File(
        tensors={entry.name: _view(data, entry) for entry in named},
        dtypes={entry.name: entry.dtype for entry in named},
        metadata=header.metadata,
        schema=header.schema,
        version=header.version,
    )


@contextlib.contextmanager
def _opened(name: str) -> Iterator[tuple[int, int]]:
    """A regular file and its size. A pipe without a writer would block for ever: O_NONBLOCK."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            found = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or pipe"
            raise FileFormatError(f"expected a file saved by embmath, got {found}")
        yield descriptor, status.st_size
    finally:
        os.close(descriptor)


def _read_header(descriptor: int, size: int) -> bytes:
    """Length and header, after the length is known to be possible."""
    start = os.pread(descriptor, _START, 0)
    if not start:
        raise FileFormatError("expected a file saved by embmath, got an empty file")
    if len(start) < LENGTH.size:
        raise FileFormatError(f"expected a file saved by embmath, got {len(start)} bytes")
    (length,) = LENGTH.unpack_from(start)
    if refusal := length_refusal(length, size):
        if start[LENGTH.size : LENGTH.size + 1] != b"{":
            raise FileFormatError(f"expected a file saved by embmath, got {describe(start)}")
        if not length_refusal(int.from_bytes(start[: LENGTH.size], "big"), size):
            raise FileFormatError("header: expected a little-endian length, got a big-endian one")
        raise FileFormatError(f"header: {refusal}")
    raw = os.pread(descriptor, LENGTH.size + length, 0)
    if len(raw) != LENGTH.size + length:
        raise FileFormatError("header: expected all of it, got less (file cut while read)")
    return raw


def _mapped(descriptor: int, begin: int, end: int) -> NDArray:
    try:
        mapping = map_memory(descriptor, end, access=ACCESS_READ)
    except ValueError:  # mmap looks at the file's size itself
        raise FileFormatError(f"expected {end} bytes, got less (file cut while read)") from None
    return np.frombuffer(mapping, np.uint8)[begin:]


def _in_memory(descriptor: int, begin: int, end: int) -> NDArray:
    size = end - begin
    _core.require_memory(size, "the file's data")
    memory = np.empty(size + ALIGNMENT, np.uint8)
    offset = -memory.ctypes.data % ALIGNMENT
    data = memory[offset : offset + size].data
    filled = 0
    while filled < size:
        n = os.preadv(descriptor, [data[filled:]], begin + filled)
        if not n:
            raise FileFormatError(f"expected {end} bytes, got less (file cut while read)")
        filled += n
    memory.flags.writeable = False
    return memory[offset : offset + size]


def _view(data: NDArray, entry: Entry) -> NDArray:
    return data[entry.begin : entry.end].view(DTYPES[entry.dtype]).reshape(entry.shape)
