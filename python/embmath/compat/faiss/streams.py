"""Where an index is written to or read from, other than a file: any function of bytes."""

from collections.abc import Callable

_BLOCK = 1 << 20


class PyCallbackIOWriter:
    """Bytes go to a function, such as the ``write`` of an open file.

    Parameters
    ----------
    callback : callable
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

    Parameters
    ----------
    callback : callable
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

    Parameters
    ----------
    writer : PyCallbackIOWriter
    bsz : int
        Accepted for compatibility: nothing is held back.
    """

    def __init__(self, writer: PyCallbackIOWriter, bsz: int = _BLOCK) -> None:
        super().__init__(writer.callback, writer.bs)


class BufferedIOReader(PyCallbackIOReader):
    """A reader in front of another one.

    Parameters
    ----------
    reader : PyCallbackIOReader
    bsz : int
        Accepted for compatibility: nothing is read ahead.
    """

    def __init__(self, reader: PyCallbackIOReader, bsz: int = _BLOCK) -> None:
        super().__init__(reader.callback, reader.bs)
