"""Files of the package's format made by hand: an encoder of its own, and ways to spoil it."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

BLOCK = 1 << 20
SAMPLE = {
    "codes": np.arange(64, dtype=np.uint8).reshape(4, 16),
    "scales": np.linspace(0.5, 2, 4, dtype=np.float32),
    "ids": np.array([7, -1, 1 << 40, 0]),
    "mask": np.array([True, False, True, True]),
}
FORMAT_NAMES = {"|u1": "U8", "<f4": "F32", "<i8": "I64", "|b1": "BOOL"}


def sample_data() -> bytes:
    """The data section: every tensor at a multiple of 64."""
    data = b""
    for array in SAMPLE.values():
        data += bytes(-len(data) % 64) + array.tobytes()
    return data


def sample_document(data: bytes | None = None) -> dict[str, Any]:
    """The header as JSON values, with the checksums of `data`."""
    data = sample_data() if data is None else data
    crcs = [zlib.crc32(data[i : i + BLOCK]) for i in range(0, len(data), BLOCK)]
    document: dict[str, Any] = {
        "__metadata__": {
            "format": "embmath",
            "kind": "index",
            "schema": "1.0",
            "version": "0.1.0",
            "metric": "cosine",
            "sha256": hashlib.sha256(data).hexdigest(),
            "crc32": "".join(f"{crc:08x}" for crc in crcs),
            "header_sha256": "0" * 64,
        }
    }
    end = 0
    for name, array in SAMPLE.items():
        if end % 64:
            pad = -end % 64
            document[f"_pad.{name}"] = tensor("U8", [pad], end, end + pad)
            end += pad
        dtype = FORMAT_NAMES[array.dtype.str]
        document[name] = tensor(dtype, list(array.shape), end, end + array.nbytes)
        end += array.nbytes
    return document


def tensor(dtype: Any, shape: Any, begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def encode(header: dict[str, Any] | str | bytes, data: bytes, *, sealed: bool = True) -> bytes:
    """A file; with a checksum of the header that is right, wherever there is one."""
    if isinstance(header, dict):
        header = json.dumps(header, separators=(",", ":"))
    text = header.encode("utf-8", "surrogatepass") if isinstance(header, str) else header
    text += b" " * (-(len(text) + 8) % 64)
    raw = struct.pack("<Q", len(text)) + text
    return (seal(raw) if sealed else raw) + data


def seal(raw: bytes) -> bytes:
    """Length and header with the digits of their checksum."""
    found = re.search(rb'"header_sha256":"([0-9a-f]{64})"', raw)
    if not found:
        return raw
    blank = raw[: found.start(1)] + b"0" * 64 + raw[found.end(1) :]
    digits = hashlib.sha256(blank).hexdigest().encode()
    return raw[: found.start(1)] + digits + raw[found.end(1) :]


def header_end(file: bytes) -> int:
    return 8 + int.from_bytes(file[:8], "little")


def temporaries(folder: Path) -> list[Path]:
    return list(folder.glob(".*.tmp"))


def assert_is_sample(tensors: dict[str, np.ndarray]) -> None:
    assert list(tensors) == list(SAMPLE)
    for name, array in SAMPLE.items():
        assert tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(tensors[name], array, strict=True)
