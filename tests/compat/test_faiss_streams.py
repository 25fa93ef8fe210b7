"""FAISS's files through functions of bytes, and indexes by description, beside FAISS."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embmath as em
from embmath.compat import faiss as ours

peer = pytest.importorskip("faiss", reason="needs faiss-cpu")

ROWS = np.random.default_rng(3).standard_normal((40, 8)).astype(np.float32)
DESCRIPTIONS = ["Flat", "SQ8", "SQ4", "SQfp16", "SQbf16", "SQ8_direct", "SQ8_direct_signed"]
DESCRIPTIONS += ["IDMap,Flat", "Flat,IDMap", "IDMap2,SQ8", "SQfp16,IDMap2"]
BINARY_DESCRIPTIONS = ["BFlat", "IDMap,BFlat", "BFlat,IDMap2"]


def filled(lib: Any) -> Any:
    index = lib.index_factory(8, "IDMap,SQ8")
    index.train(ROWS)
    index.add_with_ids(ROWS, np.arange(40))
    return index


def written(lib: Any, bs: int = 7) -> bytes:
    file = io.BytesIO()
    lib.write_index(filled(lib), lib.BufferedIOWriter(lib.PyCallbackIOWriter(file.write, bs)))
    return file.getvalue()


def test_written_as_there() -> None:
    assert written(ours) == written(peer) == ours.serialize_index(filled(ours)).tobytes()


def test_read_to_its_end_and_no_further() -> None:
    file = io.BytesIO(written(ours) * 2 + b"rest")
    for _ in range(2):
        reader = ours.BufferedIOReader(ours.PyCallbackIOReader(file.read, 5))
        index = ours.read_index(reader, ours.IO_FLAG_MMAP)
        assert ours.serialize_index(index).tobytes() == written(ours)
    assert file.read() == b"rest"


@pytest.mark.parametrize("n_bytes", [0, 3, 20, 100, -1])
def test_a_stream_cut_short(n_bytes: int) -> None:
    with pytest.raises(em.FileFormatError, match="cut short"):
        ours.read_index(ours.PyCallbackIOReader(io.BytesIO(written(ours)[:n_bytes]).read))


def test_a_length_that_lies() -> None:
    data = bytearray(ours.serialize_index(ours.IndexFlatL2(4)).tobytes())
    data[-8:] = b"\x3f" * 8
    with pytest.raises(em.FileFormatError, match="cut short"):
        ours.read_index(ours.PyCallbackIOReader(io.BytesIO(data).read))


def test_a_writer_that_takes_less() -> None:
    with pytest.raises(OSError, match="took 3"):
        ours.write_index(filled(ours), ours.PyCallbackIOWriter(lambda data: 3))


def test_errors_are_runtime_errors_as_there(tmp_path: Path) -> None:
    (tmp_path / "damaged").write_bytes(written(ours)[:-5])
    for name in ("damaged", "absent"):
        for lib in (ours, peer):
            with pytest.raises(RuntimeError, match=name):
                lib.read_index(str(tmp_path / name))


def test_rows_and_ids_as_arrays() -> None:
    for lib in (ours, peer):
        flat = lib.IndexFlatL2(8)
        flat.add(ROWS)
        assert lib.vector_to_array(flat.codes).tobytes() == ROWS.tobytes()
        assert (lib.rev_swig_ptr(flat.get_xb(), 16) == ROWS[:2].ravel()).all()
        assert lib.vector_to_array(filled(lib).id_map).tolist() == list(range(40))
        bits = lib.IndexBinaryFlat(256)
        bits.add(ROWS.view(np.uint8))
        assert lib.vector_to_array(bits.xb).tobytes() == ROWS.tobytes()


@pytest.mark.parametrize("flag", ["IO_FLAG_MMAP", "IO_FLAG_MMAP_IFC", "IO_FLAG_READ_ONLY"])
def test_flags(flag: str) -> None:
    assert getattr(ours, flag) == getattr(peer, flag)


@pytest.mark.parametrize("description", DESCRIPTIONS)
@pytest.mark.parametrize("metric", [peer.METRIC_L2, peer.METRIC_INNER_PRODUCT])
def test_factory(description: str, metric: int) -> None:
    found = ours.index_factory(8, description, metric)
    expected = peer.index_factory(8, description, metric)
    assert type(found).__name__ == type(peer.downcast_index(expected)).__name__
    assert found.is_trained == expected.is_trained
    assert ours.serialize_index(found).tobytes() == peer.serialize_index(expected).tobytes()


@pytest.mark.parametrize("description", BINARY_DESCRIPTIONS)
def test_binary_factory(description: str) -> None:
    found, expected = (lib.index_binary_factory(16, description) for lib in (ours, peer))
    theirs = peer.serialize_index_binary(expected)
    assert ours.serialize_index_binary(found).tobytes() == theirs.tobytes()


@pytest.mark.parametrize("description", ["", "flat", " Flat", "IDMap", "IDMap,", "SQ9", "BFlat"])
def test_unknown_descriptions(description: str) -> None:
    for lib in (ours, peer):
        with pytest.raises(RuntimeError):
            lib.index_factory(8, description)


def test_known_descriptions_that_are_not_here() -> None:
    with pytest.raises(NotImplementedError, match="expected 'Flat', 'SQ8'"):
        ours.index_factory(8, "IVF16,Flat")
    with pytest.raises(NotImplementedError, match="expected 'BFlat'"):
        ours.index_binary_factory(8, "BHNSW32")
