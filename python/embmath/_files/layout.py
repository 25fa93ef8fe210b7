"""Where each tensor lies: names, types, shapes and byte ranges of the data section."""

import math
import os
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Kind: TypeAlias = Literal["index", "codes", "rotation"]
Path: TypeAlias = str | os.PathLike[str]
NDArray: TypeAlias = npt.NDArray[Any]

# Data and every tensor start on a cache line of the file, so also of the mapped memory.
ALIGNMENT = 64
# Names that start like this belong to the format: padding today, whatever a later schema adds.
RESERVED = "_"
BLOCK = 1 << 20  # bytes of data that share a CRC-32
# NumPy's limits: axes (before 2.0), and bytes even where an axis of length 0 makes the array empty.
MAX_AXES = 32
MAX_BYTES = 2**63 - 1

# The format's names; little-endian. bfloat16 is its bits, as everywhere in this package.
DTYPES = {
    "BOOL": np.dtype("?"),
    "U8": np.dtype("<u1"),
    "I8": np.dtype("<i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "F32": np.dtype("<f4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
}


class Entry(NamedTuple):
    """One tensor; `begin` and `end` count from the start of the data section."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def is_internal(self) -> bool:
        return self.name.startswith(RESERVED)


def n_bytes(dtype: str, shape: Iterable[int]) -> int:
    """Size of a tensor, in Python's integers: no shape overflows."""
    return math.prod(shape) * DTYPES[dtype].itemsize


def n_blocks(data_size: int) -> int:
    return -(-data_size // BLOCK)


def is_addressable(dtype: str, shape: Sequence[int]) -> bool:
    """Whether NumPy can have an array of this shape, be it empty."""
    return len(shape) <= MAX_AXES and n_bytes(dtype, filter(None, shape)) <= MAX_BYTES


def lay_out(tensors: Iterable[tuple[str, str, tuple[int, ...]]]) -> list[Entry]:
    """Place (name, dtype, shape) one after the other.

    The format allows no holes, so what aligns the next tensor is itself a tensor of padding.
    """
    entries: list[Entry] = []
    end = 0
    for name, dtype, shape in tensors:
        gap = -end % ALIGNMENT
        if gap:
            entries.append(Entry(f"_pad.{len(entries)}", "U8", (gap,), end, end + gap))
        begin = end + gap
        end = begin + n_bytes(dtype, shape)
        entries.append(Entry(name, dtype, shape, begin, end))
    return entries
