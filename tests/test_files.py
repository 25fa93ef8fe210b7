"""The files of saved objects: what is written is read, by us and by the safetensors library."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import embmath as em
from embmath import _files
from file_helpers import (
    SAMPLE,
    assert_is_sample,
    header_end,
    sample_document,
    seal,
    temporaries,
)

MIB = 1 << 20
DTYPES = ["?", "i1", "u1", "i2", "u2", "f2", "i4", "u4", "f4", "i8", "u8", "f8"]
MODES = [(mmap, verify) for mmap in (True, False) for verify in ("header", "full")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.safetensors"


def read_all_ways(path: Path, **options: Any) -> Iterator[_files.File]:
    for mmap, verify in MODES:
        yield _files.read(path, kind="index", mmap=mmap, verify=verify, **options)


def assert_round_trip(path: Path, arrays: dict[str, np.ndarray]) -> None:
    _files.write(path, arrays, {}, kind="index")
    for file in read_all_ways(path):
        assert list(file.tensors) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(file.tensors[name], array, strict=True)
    theirs = safetensors.numpy.load_file(path)
    assert {name for name in theirs if not name.startswith("_")} == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(theirs[name], array, strict=True)


class TestRoundTrip:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 5), (0, 7), (7, 0, 2), (2, 3, 4, 5)])
    def test_types_and_shapes(self, dtype: str, shape: tuple[int, ...], path: Path, rng: Any):
        arrays = {"x": rng.integers(0, 2, shape).astype(dtype), "y": np.ones(3, dtype)}
        assert_round_trip(path, arrays)

    @given(
        st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(
                lambda name: not name.startswith("_")
            ),
            st.sampled_from(DTYPES).flatmap(
                lambda dtype: hnp.arrays(
                    dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=6), fill=None
                )
            ),
            max_size=5,
        ),
        st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"])).map(lambda key: "." + key),
            st.text(st.characters(exclude_categories=["Cs"])),
            max_size=4,
        ),
    )
    def test_anything(self, tmp_path_factory: Any, arrays: Any, metadata: Any) -> None:
        path = tmp_path_factory.getbasetemp() / "anything.safetensors"
        _files.write(path, arrays, metadata, kind="codes")
        theirs = safetensors.numpy.load_file(path)
        with safetensors.safe_open(path, "np") as opened:
            assert metadata.items() <= opened.metadata().items()
        for mmap, verify in MODES:
            file = _files.read(path, kind="codes", mmap=mmap, verify=verify)
            assert file.metadata == metadata
            assert list(file.tensors) == list(arrays)
            for name, array in arrays.items():
                np.testing.assert_array_equal(file.tensors[name], array, strict=True)
                np.testing.assert_array_equal(theirs[name], array, strict=True)

    def test_any_layout(self, path: Path, rng: Any) -> None:
        """Also of more than a block, and with rows of more than a block."""
        big = rng.integers(0, 100, (3000, 500))
        misaligned = np.frombuffer(bytes(range(81)), np.uint8)[1:].view(np.float64)
        arrays = {
            "fortran": np.asfortranarray(big),
            "columns": big[:, ::3],
            "backwards": big[::-1, ::-1],
            "transposed": big[:60].reshape(20, 30, 50).transpose(2, 0, 1),
            "long": np.repeat(np.arange(700_000), 2)[::2],
            "wide": np.asfortranarray(big.reshape(3, 500_000)),
            "broadcast": np.broadcast_to(np.float32(2.5), (300, 1000)),
            "misaligned": misaligned,
            "read-only": np.broadcast_to(np.arange(3), (2, 3)),
        }
        assert_round_trip(path, arrays)

    def test_bfloat16_as_its_bits(self, path: Path) -> None:
        array = np.array([1, 2.5, -3, 4], ml_dtypes.bfloat16)
        tensors = {
            "a": array,
            "b": _files.Blocks("BF16", (np.int64(2), 2), [array[:1].view("u2"), array[1:]]),
        }
        _files.write(path, tensors, {}, kind="index")
        for file in read_all_ways(path):
            assert file.dtypes == {"a": "BF16", "b": "BF16"}
            assert file.tensors["b"].dtype == np.uint16
            np.testing.assert_array_equal(file.tensors["a"].view(array.dtype), array)
            np.testing.assert_array_equal(file.tensors["b"].view(array.dtype).ravel(), array)
        np.testing.assert_array_equal(safetensors.numpy.load_file(path)["a"], array)

    def test_nothing(self, path: Path) -> None:
        assert_round_trip(path, {})

    def test_blocks_of_any_size(self, path: Path, rng: Any) -> None:
        data = rng.bytes(3 * MIB + 17)
        cuts = np.sort(rng.integers(0, len(data), 200))
        pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        pieces[3], pieces[5] = bytearray(pieces[3]), memoryview(pieces[5])
        pieces[7] = np.frombuffer(pieces[7], np.uint8)
        blocks = _files.Blocks("U8", (len(data),), iter(pieces))
        _files.write(path, {"x": blocks, "y": ("F32", (0, 4), [])}, {}, kind="index")
        for file in read_all_ways(path):
            assert file.tensors["x"].tobytes() == data
            assert file.tensors["y"].shape == (0, 4)

    def test_blocks_are_asked_for_one_by_one(self, path: Path) -> None:
        tracemalloc.start()
        blocks = (np.full(MIB, i, np.uint8) for i in range(50))
        _files.write(path, {"x": _files.Blocks("U8", (50, MIB), blocks)}, {}, kind="index")
        strided = np.broadcast_to(np.arange(MIB, dtype=np.float32), (64, MIB)).T
        _files.write(path, {"x": strided}, {}, kind="index")
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
        tracemalloc.stop()


class TestFormat:
    def test_a_file_made_by_hand(self, path: Path) -> None:
        """The header as file_helpers would write it, and the same bytes each time."""
        _files.write(path, SAMPLE, {"metric": "cosine"}, kind="index")
        content = path.read_bytes()
        end = header_end(content)
        header = json.loads(content[8:end])
        expected = sample_document(content[end:])
        del expected["__metadata__"]["header_sha256"]
        assert len(header["__metadata__"].pop("header_sha256")) == 64
        assert header.pop("__metadata__") == expected.pop("__metadata__")
        ours, by_hand = ({k: v for k, v in h.items() if k[0] != "_"} for h in (header, expected))
        assert ours == by_hand
        assert seal(content[:end]) == content[:end]
        _files.write(path, SAMPLE, {"metric": "cosine"}, kind="index")
        assert path.read_bytes() == content

    @pytest.mark.parametrize("size", range(60, 70))
    def test_everything_is_aligned(self, size: int, path: Path) -> None:
        tensors = {name * size: np.ones(size, np.int8) for name in "abc"}
        _files.write(path, tensors, {}, kind="index")
        content = path.read_bytes()
        end = header_end(content)
        assert end % 64 == 0
        for name, fields in json.loads(content[8:end]).items():
            assert name.startswith("_") or fields["data_offsets"][0] % 64 == 0
        for file in read_all_ways(path):
            assert all(array.ctypes.data % 64 == 0 for array in file.tensors.values())

    def test_a_file_of_the_library(self, path: Path) -> None:
        """Saved by safetensors with our strings; where its layout is aligned, it is ours."""
        arrays = {"codes": np.arange(128, dtype=np.uint8), "ids": np.arange(16)}
        # The library sorts by size of the element; two more strings to align its header.
        data = arrays["ids"].tobytes() + arrays["codes"].tobytes()
        strings = sample_document(data)["__metadata__"]
        for fill in range(64):
            safetensors.numpy.save_file(arrays, path, {**strings, "fill": "x" * fill})
            content = path.read_bytes()
            if header_end(content) % 64 == 0:
                break
        path.write_bytes(seal(content[: header_end(content)]) + data)
        for file in read_all_ways(path):
            assert file.metadata == {"metric": "cosine", "fill": "x" * fill}
            for name, array in arrays.items():
                np.testing.assert_array_equal(file.tensors[name], array, strict=True)

    def test_torch_reads_it(self, path: Path) -> None:
        pytest.importorskip("torch")
        from safetensors.torch import load_file

        _files.write(path, SAMPLE, {}, kind="index")
        assert_is_sample({name: load_file(path)[name].numpy() for name in SAMPLE})

    def test_checksum_of_the_data(self, path: Path) -> None:
        _files.write(path, SAMPLE, {}, kind="index")
        with safetensors.safe_open(path, "np") as opened:
            sha256 = opened.metadata()["sha256"]
        content = path.read_bytes()
        assert sha256 == hashlib.sha256(content[header_end(content) :]).hexdigest()


class TestReading:
    def test_mapped_data_are_not_copied(self, path: Path) -> None:
        _files.write(path, {"x": np.zeros(64 * MIB, np.uint8)}, {}, kind="index")
        tracemalloc.start()
        start = time.process_time()
        file = _files.read(path, kind="index")
        assert time.process_time() - start < 0.05
        assert tracemalloc.get_traced_memory()[1] < MIB
        _files.read(path, kind="index", verify="full")
        assert tracemalloc.get_traced_memory()[1] < MIB
        tracemalloc.stop()
        assert file.tensors["x"].sum() == 0

    @pytest.mark.parametrize(("mmap", "verify"), MODES)
    def test_read_only(self, mmap: bool, verify: Any, path: Path) -> None:
        _files.write(path, SAMPLE, {}, kind="index")
        file = _files.read(path, kind="index", mmap=mmap, verify=verify)
        for array in file.tensors.values():
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0
            with pytest.raises(ValueError, match="WRITEABLE"):
                array.flags.writeable = True

    def test_kind(self, path: Path) -> None:
        _files.write(path, SAMPLE, {}, kind="codes")
        with pytest.raises(
            em.FileFormatError, match="expected embmath rotation, got embmath codes"
        ):
            _files.read(path, kind="rotation")

    def test_no_descriptor_is_left_open(self, path: Path) -> None:
        before = len(os.listdir("/proc/self/fd"))
        _files.write(path, SAMPLE, {}, kind="index")
        for _ in read_all_ways(path):
            pass
        with pytest.raises(em.FileFormatError):
            _files.read(path, kind="codes")
        del _
        assert len(os.listdir("/proc/self/fd")) == before

    def test_about_the_writer(self, path: Path) -> None:
        _files.write(path, SAMPLE, {}, kind="index")
        file = _files.read(path, kind="index")
        assert (file.schema, file.version) == ("1.0", em.__version__)


class TestRefusedToWrite:
    """Before anything is written, or with nothing left of it."""

    def refused(self, error: Any, message: str, path: Path, tensors: Any, metadata: Any) -> None:
        path.write_text("old")
        with pytest.raises(error, match=message):
            _files.write(path, tensors, metadata, kind="index")
        assert path.read_text() == "old"
        assert not temporaries(path.parent)

    @pytest.mark.parametrize("name", ["_x", "__metadata__", "_pad.0", "a\ud800", 3])
    def test_names(self, name: Any, path: Path) -> None:
        self.refused(ValueError, "^tensors: expected names", path, {name: np.ones(3)}, {})

    @pytest.mark.parametrize("dtype", ["c8", "O", "U3", "S3", "M8[s]", "V4", "g", ">f4", ">i2"])
    def test_dtypes(self, dtype: str, path: Path) -> None:
        self.refused(TypeError, "^x: expected little-endian", path, {"x": np.ones(3, dtype)}, {})

    @pytest.mark.parametrize(
        ("blocks", "error", "message"),
        [
            (("float32", (1,), [b"1234"]), TypeError, "expected dtype .*F32.*, got 'float32'"),
            (("F32", (-1,), []), ValueError, r"expected an array's shape, got \(-1,\)"),
            (("F32", (1 << 62,), []), ValueError, "expected an array's shape"),
            (("F32", (0,) * 33, []), ValueError, "expected an array's shape"),
            (("F32", (2,), [b"1234"]), ValueError, "expected 8 bytes in its blocks, got 4$"),
            (("F32", (2,), [b"1234"] * 3), ValueError, "expected 8 bytes .*, got 12 or more"),
            (("F32", (2,), iter([bytes(99)])), ValueError, "expected 8 bytes .*, got 99 or more"),
            (("U8", (2,), [np.ones(4, "u1")[::2]]), ValueError, "expected C-contiguous blocks"),
            (("U8", (2,), [memoryview(b"1234")[::2]]), ValueError, "expected C-contiguous blocks"),
        ],
    )
    def test_blocks(self, blocks: Any, error: Any, message: str, path: Path) -> None:
        self.refused(error, f"^x: {message}", path, {"a": np.ones(3), "x": blocks}, {})

    @pytest.mark.parametrize(
        ("metadata", "error", "message"),
        [
            ({"a": 1}, TypeError, "expected strings, got 'a': int"),
            ({1: "a"}, TypeError, "expected strings, got 1"),
            ({"sha256": ""}, ValueError, "other keys than the format's, got 'sha256'"),
            ({"format": "pt"}, ValueError, "other keys than the format's"),
            ({"a": "\udc80"}, ValueError, "lone surrogate in 'a'"),
            ({"a": "x" * 70_000}, ValueError, "shorter than the data or below 65536"),
            ({"a": "," * 5000}, ValueError, "with at most 4096 values"),
        ],
    )
    def test_metadata(self, metadata: Any, error: Any, message: str, path: Path) -> None:
        self.refused(error, message, path, SAMPLE, metadata)

    def test_data_that_allow_a_longer_header(self, path: Path) -> None:
        tensors = {"x": np.ones(MIB, np.uint8)}
        _files.write(path, tensors, {"a": "x" * 70_000}, kind="index")
        for file in read_all_ways(path):
            assert len(file.metadata["a"]) == 70_000

    def test_folder(self, tmp_path: Path) -> None:
        with pytest.raises(IsADirectoryError):
            _files.write(tmp_path, SAMPLE, {}, kind="index")

    def test_pipe(self, path: Path) -> None:
        os.mkfifo(path)
        with pytest.raises(ValueError, match="expected a regular file to replace"):
            _files.write(path, SAMPLE, {}, kind="index")

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            _files.write(tmp_path / "none" / "file", SAMPLE, {}, kind="index")

    def test_write_protected(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path.write_text("old")
        monkeypatch.setattr(os, "access", lambda *_: False)  # root may always
        with pytest.raises(PermissionError, match=re.escape(str(path))):
            _files.write(path, SAMPLE, {}, kind="index")


class TestPlace:
    """Which name the file gets, and with what permissions."""

    def test_symbolic_link(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        link, target = tmp_path / "a" / "link", tmp_path / "b" / "target"
        link.symlink_to(os.path.join("..", "b", "target"))
        for _ in ("dangling", "of a file"):
            _files.write(link, SAMPLE, {}, kind="index")
            assert link.is_symlink()
            assert not target.is_symlink()
            assert_is_sample(_files.read(target, kind="index").tensors)

    @pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
    def test_permissions(self, umask: int, path: Path) -> None:
        before = os.umask(umask)
        try:
            _files.write(path, SAMPLE, {}, kind="index")
            assert path.stat().st_mode & 0o7777 == 0o666 & ~umask
            for mode in (0o600, 0o640, 0o666, 0o755):
                path.chmod(mode)
                _files.write(path, SAMPLE, {}, kind="index")
                assert path.stat().st_mode & 0o7777 == mode
        finally:
            os.umask(before)

    @pytest.mark.parametrize("name", ["x" * 255, "ä" * 127, b"\xff\xfe", "a\nb", " ", "x.tmp"])
    def test_names(self, name: Any, tmp_path: Path) -> None:
        path = os.path.join(os.fsencode(tmp_path), os.fsencode(name))
        _files.write(os.fsdecode(path), SAMPLE, {}, kind="index")
        assert_is_sample(_files.read(os.fsdecode(path), kind="index").tensors)
        assert os.listdir(os.fsencode(tmp_path)) == [os.fsencode(name)]

    def test_relative_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        _files.write("here", SAMPLE, {}, kind="index")
        assert_is_sample(_files.read("here", kind="index").tensors)

    def test_over_any_other_file(self, path: Path) -> None:
        path.write_text("whatever was here")
        _files.write(path, SAMPLE, {}, kind="index")
        assert_is_sample(_files.read(path, kind="index").tensors)


class TestProgress:
    def test_reports(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("embmath._files.sink._SECONDS_BETWEEN_REPORTS", 0)
        seen: list[float] = []
        tensors = {"x": np.ones(5 * MIB, np.uint8), "y": np.ones(3)}
        _files.write(path, tensors, {}, kind="index", progress=seen.append)
        assert len(seen) == 6
        assert seen == sorted(seen)
        assert seen[-1] == 1.0

    def test_seldom(self, path: Path) -> None:
        seen: list[float] = []
        tensors = {"x": np.ones(20 * MIB, np.uint8)}
        start = time.monotonic()
        _files.write(path, tensors, {}, kind="index", progress=seen.append)
        assert len(seen) <= 10 * (time.monotonic() - start) + 1
        assert seen[-1] == 1.0

    def test_cancel(self, path: Path) -> None:
        def cancel(fraction: float) -> None:
            raise KeyboardInterrupt

        path.write_text("old")
        with pytest.raises(KeyboardInterrupt):
            _files.write(path, SAMPLE, {}, kind="index", progress=cancel)
        assert path.read_text() == "old"
        assert not temporaries(path.parent)
