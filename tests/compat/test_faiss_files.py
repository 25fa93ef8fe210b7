"""FAISS's files: the same bytes, read both ways; damaged ones are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embmath as em
from embmath.compat import faiss as ours

peer = pytest.importorskip("faiss", reason="needs faiss-cpu")

KINDS = {
    "flat-ip": lambda lib: lib.IndexFlatIP(10),
    "flat-l2": lambda lib: lib.IndexFlatL2(10),
    "flat-l1": lambda lib: lib.IndexFlat(10, 2),
    "sq8": lambda lib: lib.IndexScalarQuantizer(10, 0),
    "sq4": lambda lib: lib.IndexScalarQuantizer(10, 1, 0),
    "sq8-uniform": lambda lib: lib.IndexScalarQuantizer(10, 2),
    "sq-fp16": lambda lib: lib.IndexScalarQuantizer(10, 4),
    "sq-direct": lambda lib: lib.IndexScalarQuantizer(10, 8),
    "map": lambda lib: lib.IndexIDMap(lib.IndexFlatL2(10)),
    "map2-sq": lambda lib: lib.IndexIDMap2(lib.IndexScalarQuantizer(10, 7)),
    "binary": lambda lib: lib.IndexBinaryFlat(80),
    "binary-map": lambda lib: lib.IndexBinaryIDMap(lib.IndexBinaryFlat(80)),
    "binary-map2": lambda lib: lib.IndexBinaryIDMap2(lib.IndexBinaryFlat(80)),
}


def made(lib: Any, kind: str, n: int) -> Any:
    index = KINDS[kind](lib)
    rows = np.random.default_rng(3).integers(0, 100, (max(n, 5), 10))
    rows = rows.astype(np.uint8 if "binary" in kind else np.float32)
    index.train(rows)
    if "map" in kind:
        index.add_with_ids(rows[:n], np.arange(n) * 2)
    else:
        index.add(rows[:n])
    return index


def saved_by_peer(kind: str, n: int) -> bytes:
    write = peer.serialize_index_binary if "binary" in kind else peer.serialize_index
    return write(made(peer, kind, n)).tobytes()


@pytest.mark.parametrize("n", [0, 20])
@pytest.mark.parametrize("kind", KINDS)
def test_same_bytes_both_ways(kind: str, n: int) -> None:
    theirs = saved_by_peer(kind, n)
    assert ours.serialize_index(made(ours, kind, n)).tobytes() == theirs
    again = ours.deserialize_index(np.frombuffer(theirs, np.uint8))
    assert type(again) is type(made(ours, kind, 0))
    assert again.ntotal == n
    assert ours.serialize_index(again).tobytes() == theirs


@pytest.mark.parametrize("kind", ["flat-ip", "sq8", "map"])
def test_paths(kind: str, tmp_path: Path) -> None:
    ours.write_index(made(ours, kind, 20), tmp_path / "a")
    assert peer.read_index(str(tmp_path / "a")).ntotal == 20
    peer.write_index(made(peer, kind, 20), str(tmp_path / "b"))
    index = ours.read_index(str(tmp_path / "b"))
    queries = np.ones((2, 10), np.float32)
    np.testing.assert_array_equal(
        index.search(queries, 3)[1], made(ours, kind, 20).search(queries, 3)[1]
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("kind", KINDS)
def test_cut_short(kind: str) -> None:
    data = np.frombuffer(saved_by_peer(kind, 6), np.uint8)
    for end in range(len(data)):
        with pytest.raises(em.FileFormatError, match="data: expected a FAISS index"):
            ours.deserialize_index(data[:end])
    with pytest.raises(em.FileFormatError, match="1 bytes after its end"):
        ours.deserialize_index(np.append(data, np.uint8(0)))


@pytest.mark.parametrize("kind", KINDS)
def test_any_damaged_byte_is_read_or_refused(kind: str) -> None:
    """What a flipped bit makes of a header is refused with the one error, or is another index."""
    data = np.frombuffer(saved_by_peer(kind, 4), np.uint8)
    for at in range(len(data)):
        for flip in (1, 0x80):
            damaged = data.copy()
            damaged[at] ^= flip
            try:
                ours.deserialize_index(damaged)
            except em.FileFormatError as error:
                assert "expected a FAISS index" in str(error)  # noqa: PT017


def test_other_indexes_are_named(tmp_path: Path) -> None:
    peer.write_index(peer.IndexHNSWFlat(8, 4), str(tmp_path / "hnsw"))
    with pytest.raises(em.FileFormatError, match="an unknown kind, b'IHNf'"):
        ours.read_index(tmp_path / "hnsw")
    with pytest.raises(TypeError, match=r"index: expected one of embmath\.compat\.faiss"):
        ours.write_index(peer.IndexFlatL2(8), tmp_path / "x")
    with pytest.raises(FileNotFoundError):
        ours.read_index(tmp_path / "absent")
