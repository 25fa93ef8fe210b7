<<<<<<< HEAD
"""What FAISS calls a writer and a reader: files that somebody else opened."""

from collections.abc import Callable

import numpy as np

from .index import Array


class PyCallbackIOWriter:
    """Writes with a function, for :func:`write_index`.
=======
"""Where an index is written to or read from, other than a file: any function of bytes."""

from collections.abc import Callable

_BLOCK = 1 << 20


class PyCallbackIOWriter:
    """Bytes go to a function, such as the ``write`` of an open file.
>>>>>>> 9bb1841395e0a0748b25ba66ac0706ce2abfdef7

    Parameters
    ----------
    callback : callable
<<<<<<< HEAD
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
=======
        Takes bytes, returns how many it took.
    bs : int
        The most it is given at once.

    Examples
    --------
    >>> import io
    >>> from embmath.compat import faiss
    >>> file = io.BytesIO()
    >>> faiss.write_index(faiss.IndexFlatL2(4), faiss.PyCallbackIOWriter(file.write))
    >>> _ = file.seek(0)
    >>> faiss.read_index(faiss.PyCallbackIOReader(file.read)).d
    4
    """

    def __init__(self, callback: Callable[[bytes], int], bs: int = _BLOCK) -> None:
        self.callback, self.bs = callback, bs

    def write(self, data: bytes) -> None:
        """Hand over all of it; OSError if not all is taken."""
        for start in range(0, len(data), self.bs):
            block = data[start : start + self.bs]
            taken = self.callback(block)
            if taken != len(block):
                raise OSError(f"callback: expected it to take {len(block)} bytes, took {taken!r}")


class PyCallbackIOReader:
    """Bytes come from a function, such as the ``read`` of an open file.
>>>>>>> 9bb1841395e0a0748b25ba66ac0706ce2abfdef7

    Parameters
    ----------
    callback : callable
<<<<<<< HEAD
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
=======
        Takes a number of bytes, returns at most as many; none at the end.
    bs : int
        The most that is asked for at once.
    """

    def __init__(self, callback: Callable[[int], bytes], bs: int = _BLOCK) -> None:
        self.callback, self.bs = callback, bs

    def read(self, n_bytes: int) -> bytearray:
        """So many bytes, or all that are left."""
        data = bytearray()
        while len(data) < n_bytes:
            block = self.callback(min(self.bs, n_bytes - len(data)))
            if not block:
                break
            data += block
        return data


class BufferedIOWriter(PyCallbackIOWriter):
    """A writer in front of another one.
>>>>>>> 9bb1841395e0a0748b25ba66ac0706ce2abfdef7

    Parameters
    ----------
    writer : PyCallbackIOWriter
    bsz : int
<<<<<<< HEAD
        Without effect.
    """

    def __init__(self, writer: PyCallbackIOWriter, bsz: int = 1 << 20) -> None:
        self.write = writer.write


class BufferedIOReader:
    """A reader as it is.
=======
        Accepted for compatibility: nothing is held back.
    """

    def __init__(self, writer: PyCallbackIOWriter, bsz: int = _BLOCK) -> None:
        super().__init__(writer.callback, writer.bs)


class BufferedIOReader(PyCallbackIOReader):
    """A reader in front of another one.
>>>>>>> 9bb1841395e0a0748b25ba66ac0706ce2abfdef7

    Parameters
    ----------
    reader : PyCallbackIOReader
    bsz : int
<<<<<<< HEAD
        Without effect.
    """

    def __init__(self, reader: PyCallbackIOReader, bsz: int = 1 << 20) -> None:
        self.read = reader.read


Writer = PyCallbackIOWriter | BufferedIOWriter
Reader = PyCallbackIOReader | BufferedIOReader
=======
        Accepted for compatibility: nothing is read ahead.
    """

    def __init__(self, reader: PyCallbackIOReader, bsz: int = _BLOCK) -> None:
        super().__init__(reader.callback, reader.bs)
>>>>>>> 9bb1841395e0a0748b25ba66ac0706ce2abfdef7
