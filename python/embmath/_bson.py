"""BSON binary vectors (subtype 9): a byte of element type, a byte of padding bits, the elements."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_INT8, _FLOAT32, _PACKED_BIT = 0x03, 0x27, 0x10
_HEADER = 2


def write(codes: npt.NDArray[Any], precision: str, dim: int) -> "bytes | list[bytes]":
    """The payload of every row, or of the one."""
    if precision == "int8":
        header = bytes([_INT8, 0])
    elif precision in ("binary", "ubinary"):
        header = bytes([_PACKED_BIT, -dim % 8])
    else:
        raise ValueError(f"codes: BSON vectors hold int8, binary or ubinary, got {precision}")
    if codes.ndim == 1:
        return header + codes.tobytes()
    return [header + row.tobytes() for row in codes]


def read(vectors: Any) -> tuple[npt.NDArray[Any], Any, int]:
    """Codes, their precision and dimension."""
    if isinstance(vectors, (bytes, bytearray, memoryview)):
        rows, is_single = [bytes(vectors)], True
    elif isinstance(vectors, Sequence) and not isinstance(vectors, str):
        rows, is_single = [bytes(row) for row in vectors], False
    else:
        raise TypeError(
            f"vectors: expected bytes or a sequence of them, got {type(vectors).__name__}"
        )
    if not rows or min(map(len, rows)) < _HEADER:
        raise ValueError("vectors: expected a header of two bytes in each, got none or less")
    kind, padding = rows[0][:_HEADER]
    if any(row[:_HEADER] != rows[0][:_HEADER] or len(row) != len(rows[0]) for row in rows):
        raise ValueError("vectors: expected one element type and one length, got several")
    data = np.frombuffer(b"".join(row[_HEADER:] for row in rows), np.uint8).reshape(len(rows), -1)
    width = data.shape[1]
    data = data[0] if is_single else data
    if kind == _INT8 and padding == 0:
        return data.view(np.int8), "int8", width
    if kind != _PACKED_BIT:
        hint = " (float32 numbers: np.frombuffer(vector[2:], '<f4'))" if kind == _FLOAT32 else ""
        raise ValueError(f"vectors: expected element type INT8 or PACKED_BIT, got {kind:#x}{hint}")
    if padding > (7 if width else 0):
        raise ValueError(f"vectors: expected 0 to 7 bits of padding, got {padding}")
    if padding and (data[..., -1] & (1 << padding) - 1).any():
        raise ValueError("vectors: expected zeros in the bits of padding")
    return data, "ubinary", 8 * width - padding
