"""The header: composed with its own checksum, and believed only after every check.

A file is the header's length (8 bytes, little-endian), the header (JSON in ASCII, padded with
spaces) and the data. All checksums are strings of the metadata: ``crc32`` has 8 hexadecimal digits
for each block of the data, ``sha256`` is that of all data, ``header_sha256`` that of length and
header with its own digits set to 0. Every schema, also a later major one, keeps the meaning of
``format``, ``schema`` and ``header_sha256``.
"""

import hashlib
import json
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .._types import FileFormatError
from . import strict_json
from .layout import ALIGNMENT, DTYPES, Entry, is_addressable, n_blocks, n_bytes

FORMAT = "embmath"
SCHEMA = (1, 0)
LENGTH = struct.Struct("<Q")

# Parsing takes up to ten times the header's length, and reading no more than the file's size plus
# 1 MiB, whatever the file says: what describes the data is much shorter than they are.
_FREE_LENGTH, _DATA_PER_LENGTH, _MAX_LENGTH = 64 << 10, 16, 64 << 20

_RESERVED_KEYS = ("format", "kind", "schema", "version", "sha256", "crc32", "header_sha256")
_NO_DIGEST = "0" * 64
# An unescaped quote ends a JSON string, so this finds a key and never the inside of a value.
_CHECKSUM = re.compile(rb'"header_sha256"\s*:\s*"([0-9a-f]{64})"')


class Header(NamedTuple):
    """What a file says about itself."""

    entries: list[Entry]
    metadata: dict[str, str]  # the caller's
    schema: str
    version: str
    sha256: str
    crc32: list[int]


def compose(
    entries: Sequence[Entry],
    metadata: Mapping[str, str],
    *,
    kind: str,
    version: str,
    sha256: str = _NO_DIGEST,
    crc32: Sequence[int] = (),
) -> bytes:
    """Length and header; without checksums of the data as long as with them."""
    data_size = entries[-1].end if entries else 0
    fields = {
        "format": FORMAT,
        "kind": kind,
        "schema": f"{SCHEMA[0]}.{SCHEMA[1]}",
        "version": version,
        **_checked(metadata),
        "sha256": sha256,
        "crc32": "".join(f"{crc:08x}" for crc in crc32 or [0] * n_blocks(data_size)),
        "header_sha256": _NO_DIGEST,
    }
    tensors = {
        e.name: {"dtype": e.dtype, "shape": e.shape, "data_offsets": (e.begin, e.end)}
        for e in entries
    }
    text = json.dumps({"__metadata__": fields, **tensors}, separators=(",", ":"))
    text += " " * (-(LENGTH.size + len(text)) % ALIGNMENT)
    if (
        length_refusal(len(text), LENGTH.size + len(text) + data_size)
        or strict_json.n_separators(text) > strict_json.MAX_SEPARATORS
    ):
        raise ValueError(
            "metadata, tensors: expected a header much shorter than the data or below "
            f"{_FREE_LENGTH} bytes, with at most {strict_json.MAX_SEPARATORS} values, "
            f"got {len(text)} bytes for {data_size} bytes of data"
        )
    return seal(LENGTH.pack(len(text)) + text.encode("ascii"))


def seal(raw: bytes) -> bytes:
    """Length and header with the checksum they ought to have."""
    found = _CHECKSUM.search(raw)
    if found is None:
        raise FileFormatError("header: expected its SHA-256 in it, got none")
    begin, end = found.span(1)
    digest = hashlib.sha256(raw[:begin])
    digest.update(_NO_DIGEST.encode())
    digest.update(raw[end:])
    return raw[:begin] + digest.hexdigest().encode() + raw[end:]


def length_refusal(length: int, file_size: int) -> str:
    """Why a header cannot be this long, or nothing."""
    limit = min(_MAX_LENGTH, _FREE_LENGTH + file_size // _DATA_PER_LENGTH)
    if not 2 <= length <= limit:
        return f"expected 2 to {limit} bytes in a file of {file_size}, got {length}"
    if length > file_size - LENGTH.size:
        return f"expected {length} bytes, got {file_size - LENGTH.size} (truncated)"
    return ""


def parse(raw: bytes, data_size: int, kind: str) -> Header:
    """Check length and header of a file with so much data; errors lack the path."""
    document = strict_json.load(str(memoryview(raw)[LENGTH.size :], "ascii", "replace"))
    metadata = _metadata(document)
    if metadata.get("format") != FORMAT:
        raise FileFormatError("expected a file saved by embmath, got another safetensors file")
    if seal(raw) != raw:
        raise FileFormatError("header: expected to match its SHA-256, got damaged bytes")
    schema = _supported(_take(metadata, "schema"))
    if _take(metadata, "kind") != kind:
        raise FileFormatError(f"expected embmath {kind}, got embmath {metadata['kind']:.40}")
    if len(raw) % ALIGNMENT:
        raise FileFormatError(f"header: expected data at a multiple of {ALIGNMENT}, got {len(raw)}")
    return Header(
        entries=_entries(document, data_size),
        metadata={key: metadata[key] for key in metadata if key not in _RESERVED_KEYS},
        schema=schema,
        version=_take(metadata, "version"),
        sha256=_hexadecimal(metadata, "sha256", len(_NO_DIGEST)),
        crc32=_crcs(_hexadecimal(metadata, "crc32", 8 * n_blocks(data_size))),
    )


def _checked(metadata: Mapping[str, str]) -> Mapping[str, str]:
    for key, value in metadata.items():
        if not (isinstance(key, str) and isinstance(value, str)):
            raise TypeError(f"metadata: expected strings, got {key!r}: {type(value).__name__}")
        if key in _RESERVED_KEYS:
            raise ValueError(f"metadata: expected other keys than the format's, got {key!r}")
        if not (strict_json.is_text(key) and strict_json.is_text(value)):
            raise ValueError(f"metadata: expected Unicode text, got a lone surrogate in {key!r}")
    return metadata


def _metadata(document: dict[str, Any]) -> dict[str, str]:
    metadata = document.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise FileFormatError(f"__metadata__: expected an object, got {strict_json.show(metadata)}")
    for key, value in metadata.items():
        if not isinstance(value, str) or not strict_json.is_text(value):
            raise FileFormatError(
                f"__metadata__: expected text, got {key[:40]!r}: {strict_json.show(value)}"
            )
    return metadata


def _take(metadata: dict[str, str], key: str) -> str:
    if key not in metadata:
        raise FileFormatError(f"__metadata__: expected {key!r}, got none")
    return metadata[key]


def _supported(schema: str) -> str:
    numbers = re.fullmatch(r"(\d{1,4})\.(\d{1,4})", schema, re.ASCII)
    if numbers is None:
        raise FileFormatError(f"schema: expected two numbers like 1.0, got {schema[:20]!r}")
    if int(numbers[1]) != SCHEMA[0]:
        raise FileFormatError(
            f"schema: expected {SCHEMA[0]}.x, got {schema} (needs another version of embmath)"
        )
    return schema


def _hexadecimal(metadata: dict[str, str], key: str, length: int) -> str:
    value = _take(metadata, key)
    if len(value) != length or not re.fullmatch("[0-9a-f]*", value):
        raise FileFormatError(
            f"{key}: expected {length} hexadecimal digits, got {len(value)} characters"
        )
    return value


def _crcs(digits: str) -> list[int]:
    return [int(digits[i : i + 8], 16) for i in range(0, len(digits), 8)]


def _entries(document: dict[str, Any], data_size: int) -> list[Entry]:
    """All tensors, which must cover the data in order, without holes and overlaps."""
    entries: list[Entry] = []
    end = 0
    for name, fields in document.items():
        entries.append(_entry(name, fields, end))
        end = entries[-1].end
    if end != data_size:
        cut = " (truncated)" if data_size < end else ""
        raise FileFormatError(f"data: expected {end} bytes, got {data_size}{cut}")
    return entries


def _entry(name: str, fields: Any, begin: int) -> Entry:
    where = f"tensor {name[:80]!r}"
    if not isinstance(fields, dict) or set(fields) != {"dtype", "shape", "data_offsets"}:
        raise FileFormatError(f"{where}: expected dtype, shape and data_offsets, got other fields")
    dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise FileFormatError(
            f"{where}: expected dtype {', '.join(DTYPES)}, got {strict_json.show(dtype)}"
        )
    if not (_are_sizes(shape) and is_addressable(dtype, shape)):
        raise FileFormatError(f"{where}: expected an array's shape, got {strict_json.show(shape)}")
    end = begin + n_bytes(dtype, shape)
    if not _are_sizes(offsets) or offsets != [begin, end]:
        raise FileFormatError(
            f"{where}: expected data_offsets [{begin}, {end}], got {strict_json.show(offsets)}"
        )
    entry = Entry(name, dtype, tuple(shape), begin, end)
    if begin % ALIGNMENT and not entry.is_internal:
        raise FileFormatError(f"{where}: expected a multiple of {ALIGNMENT}, got offset {begin}")
    return entry


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)
