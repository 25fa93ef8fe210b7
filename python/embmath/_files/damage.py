"""Whether the data are what was written, and if not, where they differ."""

import hashlib
import zlib
from collections.abc import Iterator

from .._types import FileFormatError
from .header import Header
from .layout import BLOCK, Entry, NDArray


def check_data(data: NDArray, header: Header, data_start: int) -> None:
    """Compare all data with their checksums; errors lack the path.

    SHA-256 decides, as one pass that no damage escapes; the CRCs then name the place.
    """
    digest = hashlib.sha256()
    for block in _blocks(data):
        digest.update(block.data)
    if digest.hexdigest() != header.sha256:
        raise FileFormatError(_describe(data, header, data_start))
    for entry in header.entries:
        if entry.dtype == "BOOL" and data[entry.begin : entry.end].max(initial=0) > 1:
            raise FileFormatError(f"tensor {entry.name!r}: expected bytes 0 and 1, got others")


def _blocks(data: NDArray) -> Iterator[NDArray]:
    """Blocks with a CRC each; between them, Ctrl-C is noticed."""
    for begin in range(0, len(data), BLOCK):
        yield data[begin : begin + BLOCK]


def _describe(data: NDArray, header: Header, data_start: int) -> str:
    crcs = (zlib.crc32(block.data) for block in _blocks(data))
    damaged = {i for i, crc in enumerate(crcs) if crc != header.crc32[i]}
    if not damaged:
        return "data: expected to match their SHA-256, got others"
    begin = min(damaged) * BLOCK
    end = begin + BLOCK
    while end // BLOCK in damaged:
        end += BLOCK
    end = min(end, len(data))
    names = ", ".join(repr(e.name) for e in header.entries if _overlaps(e, begin, end))
    return (
        f"data: expected to match their CRC-32, got {len(damaged)} of {len(header.crc32)} blocks "
        f"damaged, first bytes {data_start + begin} to {data_start + end} of the file, "
        f"in tensor {names}"
    )


def _overlaps(entry: Entry, begin: int, end: int) -> bool:
    return not entry.is_internal and max(entry.begin, begin) < min(entry.end, end)
