"""FAISS's own files: written to be read there, and the other way round."""

import os
import struct
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

import embmath as em

from ..._files.atomic import replacing
from .binary import IndexBinaryFlat
from .flat import IndexFlat, IndexFlatIP, IndexFlatL2
from .id_map import IndexBinaryIDMap, IndexBinaryIDMap2, IndexIDMap, IndexIDMap2
from .index import METRIC_INNER_PRODUCT, METRIC_L2, METRICS, Array, Index
from .scalar_quantizer import IndexScalarQuantizer
from .streams import PyCallbackIOReader, PyCallbackIOWriter

# How FAISS opens a file; nothing here depends on it.
IO_FLAG_READ_ONLY, IO_FLAG_MMAP, IO_FLAG_MMAP_IFC = 2, 0x646F0000 | 8, 1 << 9

_HEADER = (
    "<iqqq?i"  # d, ntotal, twice 2^20, is_trained, metric_type; then an argument of the metric
)
_BINARY_HEADER = "<iiq?i"  # d, code_size, ntotal, is_trained, metric_type
_QUANTIZER = "<iifQQ"  # qtype, how ranges were found, its argument, d, code_size
_ID_MAPS = {
    b"IxMp": IndexIDMap,
    b"IxM2": IndexIDMap2,
    b"IBMp": IndexBinaryIDMap,
    b"IBM2": IndexBinaryIDMap2,
}
_FLAT = {METRIC_INNER_PRODUCT: b"IxFI", METRIC_L2: b"IxF2"}


class IndexFileError(em.FileFormatError, RuntimeError):
    """What is read is no index of a kind that is here; FAISS raises RuntimeError."""


class IndexFileNotFoundError(FileNotFoundError, RuntimeError):
    """There is no such file; FAISS raises RuntimeError."""


def write_index(
    index: Index, fname: str | os.PathLike[str] | PyCallbackIOWriter, io_flags: int = 0
) -> None:
    """Save an index as FAISS does; an old file is replaced whole or not at all.

    Parameters
    ----------
    index : Index
        Of this module.
    fname : path or PyCallbackIOWriter
    io_flags : int
        Accepted for compatibility.
    """
    data = serialize_index(index)
    if isinstance(fname, PyCallbackIOWriter):
        fname.write(data.tobytes())
        return
    with replacing(os.fspath(fname)) as descriptor, open(descriptor, "wb", closefd=False) as file:
        file.write(data.data)


def read_index(fname: str | os.PathLike[str] | PyCallbackIOReader, io_flags: int = 0) -> Index:
    """Load an index that FAISS or :func:`write_index` saved.

    Parameters
    ----------
    fname : path or PyCallbackIOReader
        Of a reader no byte is taken that comes after the index.
    io_flags : int
        Accepted for compatibility.

    Returns
    -------
    Index
        Flat, scalar quantizer, binary flat, or one of these with ids.

    Raises
    ------
    embmath.FileFormatError
        If it is another kind of index, damaged, or no index; also a RuntimeError, as in FAISS.
    FileNotFoundError
        If there is no such file; also a RuntimeError.
    """
    if isinstance(fname, PyCallbackIOReader):
        return _StreamReader(fname, "the stream").index()
    try:
        data = np.fromfile(os.fspath(fname), np.uint8)
    except FileNotFoundError as error:
        raise IndexFileNotFoundError(*error.args, os.fspath(fname)) from None
    return _load(data, os.fsdecode(fname))


def serialize_index(index: Index, io_flags: int = 0) -> Array:
    """The bytes that :func:`write_index` writes, as an array of uint8.

    Examples
    --------
    >>> from embmath.compat import faiss
    >>> data = faiss.serialize_index(faiss.IndexFlatL2(4))
    >>> data[:4].tobytes(), faiss.deserialize_index(data).d
    (b'IxF2', 4)
    """
    parts: list[bytes] = []
    _write(index, parts)
    return np.frombuffer(b"".join(parts), np.uint8)


def deserialize_index(data: Array, io_flags: int = 0) -> Index:
    """The index that :func:`serialize_index`, here or of FAISS, made these bytes of."""
    return _load(np.ascontiguousarray(data, np.uint8), "data")


def _write(index: Index, parts: list[bytes]) -> None:
    if isinstance(index, IndexIDMap):
        tags = {kind: tag for tag, kind in _ID_MAPS.items()}
        parts.append(tags[type(index)])
        _write_header(index, parts)
        _write(index.index, parts)
        parts.append(_vector(index.id_map))
    elif isinstance(index, IndexBinaryFlat):
        parts.append(b"IBxF")
        _write_header(index, parts)
        parts.append(_vector(index.reconstruct_n()))
    elif isinstance(index, IndexFlat):
        parts.append(_FLAT.get(index.metric_type, b"IxFl"))
        _write_header(index, parts)
        parts.append(_vector(index.reconstruct_n()))
    elif isinstance(index, IndexScalarQuantizer):
        parts.append(b"IxSQ")
        _write_header(index, parts)
        sq = index.sq
        parts.append(struct.pack(_QUANTIZER, sq.qtype, 0, 0.0, sq.d, sq.code_size))
        parts += [_vector(sq.trained), _vector(index.codes)]
    else:
        raise TypeError(f"index: expected one of embmath.compat.faiss, got {type(index).__name__}")


def _write_header(index: Index, parts: list[bytes]) -> None:
    metric, is_trained = index.metric_type, index.is_trained
    if index._is_binary:
        fields = (index.d, index.code_size, index.ntotal, is_trained, metric)
        parts.append(struct.pack(_BINARY_HEADER, *fields))
        return
    parts.append(struct.pack(_HEADER, index.d, index.ntotal, 2**20, 2**20, is_trained, metric))
    if metric > METRIC_L2:
        parts.append(struct.pack("<f", 0.0))


def _vector(array: Array) -> bytes:
    return struct.pack("<Q", array.size) + np.ascontiguousarray(array).tobytes()


def _load(data: Array, name: str) -> Index:
    reader = _Reader(data, name)
    index = reader.index()
    if reader.at != data.size:
        reader.fail(f"{data.size - reader.at} bytes after its end")
    return index


class _Reader:
    """Bytes, read from front to back; every length is compared with what there is."""

    def __init__(self, data: Array, name: str) -> None:
        self.data, self.name, self.at = data, name, 0

    def fail(self, found: str) -> NoReturn:
        raise IndexFileError(f"{self.name}: expected a FAISS index, got {found}")

    def index(self) -> Index:
        tag = self.take(4).tobytes()
        if tag in _ID_MAPS:
            return self.id_map(tag)
        kinds: dict[bytes, Callable[[bytes], Index]] = {
            **dict.fromkeys((b"IxFI", b"IxF2", b"IxFl"), self.flat),
            b"IxSQ": self.scalar_quantizer,
            b"IBxF": self.binary,
        }
        if tag not in kinds:
            self.fail(f"one of an unknown kind, {tag!r}")
        return kinds[tag](tag)

    def flat(self, tag: bytes) -> Index:
        d, n_rows, _, metric = self.header()
        kinds: dict[bytes, Callable[[], Index]] = {
            b"IxFI": lambda: IndexFlatIP(d),
            b"IxF2": lambda: IndexFlatL2(d),
        }
        index = kinds.get(tag, lambda: IndexFlat(d, metric))()
        index.add(self.rows(np.float32, n_rows, d))
        return index

    def binary(self, tag: bytes) -> Index:
        d, n_rows, _, _ = self.header(is_binary=True)
        index = IndexBinaryFlat(d)
        index.add(self.rows(np.uint8, n_rows, d // 8))
        return index

    def scalar_quantizer(self, tag: bytes) -> Index:
        d, n_rows, is_trained, metric = self.header()
        qtype, _, _, _, _ = self.unpack(_QUANTIZER)
        trained = self.vector(np.float32)
        try:
            index = IndexScalarQuantizer(d, qtype, metric)
        except ValueError as error:
            self.fail(f"one whose {error}")
        codes = self.rows(np.uint8, n_rows, index.code_size)
        if index.sq.needs_training and is_trained:
            if trained.size not in (2, 2 * d):
                self.fail(f"{trained.size} trained numbers for {d} dimensions")
            index.sq.trained = trained
            index.is_trained = True
        if n_rows and not index.is_trained:
            self.fail("codes without their ranges")
        if n_rows:
            index.add_sa_codes(codes)
        return index

    def id_map(self, tag: bytes) -> Index:
        self.header(is_binary=tag.startswith(b"IB"))
        below = self.index()
        ids = self.vector(np.int64)
        if ids.size != below.ntotal:
            self.fail(f"{ids.size} ids for {below.ntotal} rows")
        index = _ID_MAPS[tag].__new__(_ID_MAPS[tag])
        index.index, index.verbose, index.id_map = below, False, ids.copy()
        return index

    def header(self, is_binary: bool = False) -> tuple[int, int, bool, int]:
        if is_binary:
            d, code_size, n_rows, is_trained, metric = self.unpack(_BINARY_HEADER)
            is_possible = d % 8 == 0 and code_size == d // 8
        else:
            d, n_rows, _, _, is_trained, metric = self.unpack(_HEADER)
            if metric > METRIC_L2:
                self.take(4)
            is_possible = metric in METRICS
        if d <= 0 or n_rows < 0 or not is_possible:
            self.fail(f"one of dimension {d}, metric {metric}, {n_rows} rows")
        return d, n_rows, is_trained, metric

    def rows(self, dtype: Any, n_rows: int, n_cols: int) -> Array:
        numbers = self.vector(dtype)
        if numbers.size != n_rows * n_cols:
            self.fail(f"{numbers.size} numbers for {n_rows} rows of {n_cols}")
        return numbers.reshape(n_rows, n_cols)

    def vector(self, dtype: Any) -> Array:
        (size,) = self.unpack("<Q")
        return self.take(size * np.dtype(dtype).itemsize).view(dtype)

    def unpack(self, form: str) -> tuple[Any, ...]:
        return struct.unpack(form, self.take(struct.calcsize(form)).tobytes())

    def take(self, n_bytes: int) -> Array:
        if n_bytes > self.data.size - self.at:
            self.fail(f"a file cut short at {self.data.size} bytes")
        part = self.data[self.at : self.at + n_bytes]
        self.at += n_bytes
        return part


class _StreamReader(_Reader):
    """Bytes, each of which can be had once."""

    def __init__(self, stream: PyCallbackIOReader, name: str) -> None:
        super().__init__(np.empty(0, np.uint8), name)
        self.stream = stream

    def take(self, n_bytes: int) -> Array:
        part = self.stream.read(n_bytes)
        self.at += len(part)
        if len(part) < n_bytes:
            self.fail(f"one cut short at {self.at} bytes")
        return np.frombuffer(part, np.uint8)
