"""What FAISS calls a writer and a reader: files that somebody else opened."""

from collections.abc import Callable

import numpy as np

from .index import Array


class PyCallbackIOWriter:
    """Writes with a function, for :func:`write_index`.

    Parameters
    ----------
    callback : callable
        Called with bytes, as a file's ``write``.
    bs : int
        Most bytes of one call.
    """

    def __init__(self, callback: Callable[[bytes], object], bs: int = 1 << 20) -> None:
        self._callback, self._size = callback, bs

    def write(self, data: Array) -> None:
        """All bytes, in order."""
        for start in range(0, data.size, self._size):
            self._callback(data[start : start + self._size].tobytes())


class PyCallbackIOReader:
    """Reads with a function, for :func:`read_index`.

    Parameters
    ----------
    callback : callable
        Called with a number of bytes to return at most, as a file's ``read``; none at the end.
    bs : int
        Bytes to ask for at once.
    """

    def __init__(self, callback: Callable[[int], bytes], bs: int = 1 << 20) -> None:
        self._callback, self._size = callback, bs

    def read(self) -> Array:
        """All bytes that are left."""
        parts = []
        while part := self._callback(self._size):
            parts.append(part)
        return np.frombuffer(b"".join(parts), np.uint8)


class BufferedIOWriter:
    """A writer as it is: these pass a mebibyte at a time anyway.

    Parameters
    ----------
    writer : PyCallbackIOWriter
    bsz : int
        Without effect.
    """

    def __init__(self, writer: PyCallbackIOWriter, bsz: int = 1 << 20) -> None:
        self.write = writer.write


class BufferedIOReader:
    """A reader as it is.

    Parameters
    ----------
    reader : PyCallbackIOReader
    bsz : int
        Without effect.
    """

    def __init__(self, reader: PyCallbackIOReader, bsz: int = 1 << 20) -> None:
        self.read = reader.read


Writer = PyCallbackIOWriter | BufferedIOWriter
Reader = PyCallbackIOReader | BufferedIOReader
