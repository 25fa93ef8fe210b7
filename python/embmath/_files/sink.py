"""The data section while it is written: block by block, checksummed on the way."""

import hashlib
import os
import time
import zlib
from collections.abc import Callable

from .layout import BLOCK

_SECONDS_BETWEEN_REPORTS = 0.1


class Sink:
    """Collects bytes into blocks, writes and checksums each.

    Everything passes through one buffer of a block: an array that another thread changes meanwhile
    is written as it was at some moment, with the checksums of what was written.
    """

    def __init__(
        self, descriptor: int, total: int, progress: Callable[[float], object] | None
    ) -> None:
        self._descriptor = descriptor
        self._total = total
        self._progress = progress
        self._reported = time.monotonic()
        self._block = memoryview(bytearray(min(BLOCK, total)))
        self._filled = 0
        self._sha256 = hashlib.sha256()
        self.written = 0
        self.crc32: list[int] = []

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    def put(self, piece: memoryview) -> None:
        """Append bytes; those of the last block stay here until flush()."""
        while piece:
            taken = piece[: BLOCK - self._filled]
            self._block[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            piece = piece[len(taken) :]
            if self._filled == BLOCK:
                self.flush()

    def flush(self) -> None:
        """Write what has been put."""
        block = self._block[: self._filled]
        if not block:
            return
        self._filled = 0
        self._sha256.update(block)
        self.crc32.append(zlib.crc32(block))
        write_all(self._descriptor, block)
        self.written += len(block)
        self._report()

    def _report(self) -> None:
        now = time.monotonic()
        is_due = now - self._reported >= _SECONDS_BETWEEN_REPORTS or self.written == self._total
        if self._progress is not None and is_due:
            self._reported = now
            self._progress(self.written / self._total)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write at the descriptor's position; one call may take only a part."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
