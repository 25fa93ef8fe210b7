"""An index after a stay in a file: the same answers, the same changes, the same file again."""

from __future__ import annotations

import gc
import hashlib
import platform
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import embmath as em
from embmath import _core, _files
from file_helpers import temporaries
from index_helpers import CODE_METRICS, LARGEST, Twin, assert_alike, during, file_of, questions
from strategies import FLOATS, INTS, make, metrics_of, normal

KINDS: tuple[Any, ...] = ("int8", "prefix", "int4", ("int8", "prefix", "int4"), None)
MAPPED = pytest.mark.parametrize("mmap", [True, False])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.safetensors"


def built(rng: np.random.Generator, n: int, d: int, dtype: str = "float32", **options) -> em.Index:
    return em.Index(normal(rng, n, d, dtype), **options)


class TestTheSame:
    """Whatever the index is like."""

    @MAPPED
    @pytest.mark.parametrize("n", [1, 15, 16, 17, 1007, 1008, 1009, 1024, 1030, 2016, 2100])
    @pytest.mark.parametrize("codes", KINDS)
    def test_sizes(self, codes: Any, n: int, mmap: bool, path: Path, rng) -> None:
        index = built(rng, n, 64, codes=codes)
        assert_alike(index, file_of(index, path, mmap=mmap, verify="full"), questions(64))

    @pytest.mark.parametrize("dtype", FLOATS + INTS)
    def test_types_and_metrics(self, dtype: str, path: Path, rng) -> None:
        q = normal(rng, 20, 48, dtype)
        for metric in metrics_of(dtype):
            index = built(rng, 1100, 48, dtype, metric=metric)
            assert_alike(index, file_of(index, path), q)

    @pytest.mark.parametrize("codes", KINDS[:4])
    @pytest.mark.parametrize("metric", CODE_METRICS)
    @pytest.mark.parametrize("dtype", FLOATS)
    def test_kinds(self, dtype: str, metric: str, codes: Any, path: Path, rng) -> None:
        index = built(rng, 1100, 64, dtype, metric=metric, codes=codes)
        assert_alike(index, file_of(index, path), normal(rng, 20, 64, dtype))

    @pytest.mark.parametrize("codes", ["int8", ("int8", "prefix", "int4")])
    @pytest.mark.parametrize(
        "data", ["specials", "mixed_scales", "all_equal", "duplicates", "huge", "denormal"]
    )
    def test_data(self, data: str, codes: Any, path: Path) -> None:
        q, x = make(data, 6, 600, 64)
        q = np.where(np.isnan(q), 0, q).astype(q.dtype)
        rotation = em.fit_rotation(normal(np.random.default_rng(0), 300, 64))
        index = em.Index(x, codes=codes, metric="dot", rotation=rotation)
        assert_alike(index, file_of(index, path), q)

    def test_every_isa(self, isa: str, path: Path, rng, force_isa: Callable[[str], str]) -> None:
        """Saved under one instruction set, read under all."""
        index = built(rng, 1100, 64, codes=("int8", "prefix", "int4"))
        index.save(path)
        for other in _core.available_isas():
            force_isa(other)
            assert_alike(index, em.Index.load(path), questions(64))

    def test_int8_files_do_not_depend_on_the_isa(
        self, tmp_path: Path, rng, force_isa: Callable[[str], str]
    ) -> None:
        x, files = normal(rng, 1100, 64), set()
        for isa in _core.available_isas():
            force_isa(isa)
            em.Index(x, codes="int8").save(tmp_path / isa)
            files.add((tmp_path / isa).read_bytes())
        assert len(files) == 1

    @MAPPED
    def test_without_rows(self, mmap: bool, path: Path, rng) -> None:
        for options in ({}, {"dim": 7}, {"metric": "dot", "codes": None}, {"codes": "prefix"}):
            index = em.Index(**options)
            loaded = file_of(index, path, mmap=mmap, verify="full")
            assert repr(loaded) == repr(index)
            for each in (index, loaded):
                each.add(normal(np.random.default_rng(0), 700, 7))
            assert_alike(index, loaded, questions(7))

    @MAPPED
    def test_emptied(self, mmap: bool, path: Path, rng) -> None:
        index = built(rng, 50, 40)
        index.remove(np.arange(50))
        loaded = file_of(index, path, mmap=mmap, verify="full")
        assert loaded.ntotal == 0
        assert loaded.add(normal(rng, 2, 40)).tolist() == [50, 51]

    def test_no_rows_at_all(self, path: Path) -> None:
        index = em.Index(np.empty((0, 40), np.float32))
        assert_alike(index, file_of(index, path), questions(40))

    @pytest.mark.parametrize("codes", ["int8", "prefix", None])
    def test_unordered_ids_and_removed_rows(self, codes: Any, path: Path, rng) -> None:
        ids = rng.permutation(5000)[:1500]
        index = built(rng, 1500, 64, codes=codes, ids=ids)
        index.remove(ids[rng.permutation(1500)[:600]])
        index.add(normal(rng, 3, 64), [ids[0] if ids[0] not in index else 6000, 6001, LARGEST])
        loaded = file_of(index, path)
        assert loaded.stats["removed"] == 600
        assert_alike(index, loaded, questions(64))
        for each in (index, loaded):
            with pytest.raises(ValueError, match="must be given"):
                each.add(np.zeros((1, 64), np.float32))

    def test_fortran_rows_are_copies(self, path: Path, rng) -> None:
        index = em.Index(np.asfortranarray(normal(rng, 700, 40)))
        assert index.stats["copied_rows"] == 700
        assert_alike(index, file_of(index, path), questions(40))

    def test_reference_stays_reference(self, path: Path, rng) -> None:
        for rows in ("reference", "copy"):
            loaded = file_of(built(rng, 20, 40, rows=rows), path)
            loaded.add(normal(rng, 5, 40))
            assert loaded.stats["copied_rows"] == (5 if rows == "copy" else 0)

    def test_in_memory_rows_count(self, path: Path, rng) -> None:
        index = built(rng, 20, 40)
        assert file_of(index, path).stats["row_bytes"] == 0
        assert file_of(index, path, mmap=False).stats["row_bytes"] == 20 * 40 * 4

    def test_ids_of_removed_rows_are_not_given_again(self, path: Path, rng) -> None:
        index = built(rng, 20, 40)
        index.remove([19, 18])
        assert file_of(index, path).add(normal(rng, 1, 40)).tolist() == [20]

    def test_saved_twice_is_the_same_file(self, tmp_path: Path, rng) -> None:
        index = built(rng, 1100, 64, codes=("int8", "prefix", "int4"))
        index.remove([5, 7])
        loaded = file_of(index, tmp_path / "a")
        loaded.save(tmp_path / "b")
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

    @settings(max_examples=25)
    @given(data=st.data())
    def test_any_history(self, data: st.DataObject, tmp_path_factory) -> None:
        """Changes, files and searches in any order, beside a model of what must be there."""
        path = tmp_path_factory.mktemp("history") / "x"
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
        codes = data.draw(st.sampled_from([*KINDS, "auto"]))
        metric = data.draw(st.sampled_from(CODE_METRICS))
        twin = Twin(metric, codes=codes, rows=data.draw(st.sampled_from(["reference", "copy"])))
        twin.add(normal(rng, data.draw(st.integers(1, 1100)), 40))
        for _ in range(data.draw(st.integers(1, 6))):
            held = rng.permutation(twin.index.ids)
            step = data.draw(st.sampled_from(["add", "unordered", "update", "remove", "file"]))
            n = data.draw(st.integers(1, 70))
            if step == "add":
                twin.add(normal(rng, n, 40))
            elif step == "unordered":
                free = np.setdiff1d(np.arange(3000), held)
                twin.add(normal(rng, n, 40), rng.permutation(free)[:n])
                twin.next_id = max(twin.next_id, int(twin.index.ids.max()) + 1)
            elif step == "update":
                twin.update(held[:n], normal(rng, len(held[:n]), 40))
            elif step == "remove" and len(held) > 20:
                twin.remove(held[: min(n * 10, len(held) - 15)])
            else:
                twin.index = file_of(twin.index, path, mmap=data.draw(st.booleans()))
        twin.index = file_of(twin.index, path, verify="full")
        twin.check(questions(40))


class TestChanges:
    """A loaded index goes on like any other, and leaves its file alone."""

    @MAPPED
    @pytest.mark.parametrize("codes", KINDS)
    def test_all_of_them(self, codes: Any, mmap: bool, path: Path, rng) -> None:
        twin = Twin("cosine", codes=codes)
        twin.add(normal(rng, 1100, 64))
        twin.index = file_of(twin.index, path, mmap=mmap)
        content = path.read_bytes()
        for change in (
            lambda: twin.add(normal(rng, 1, 64)),
            lambda: twin.add(normal(rng, 2000, 64)),
            lambda: twin.update([0, 1007, 1008, 1099, 1100], normal(rng, 5, 64)),
            lambda: twin.remove([0, 5, 1099]),
            lambda: twin.add(normal(rng, 2, 64), [5, 0]),
            lambda: twin.remove([i for i in twin.rows if i not in (5, 0, 7)][:2500]),  # compacts
        ):
            change()
            twin.check(questions(64))
        assert twin.index.stats["removed"] == 0
        assert path.read_bytes() == content

    def test_copies_go_on_across_a_page_of_the_file(self, path: Path) -> None:
        """A run of equal rows that begins in the mapping and ends beside it."""
        twin = Twin("cosine", codes="int8")
        twin.add(np.ones((1008, 40), np.float32))
        twin.index = file_of(twin.index, path)
        twin.add(np.ones((40, 40), np.float32))
        twin.check(questions(40), ks=(1, 3))

    def test_a_loaded_index_outlives_its_file(self, path: Path, rng) -> None:
        index = built(rng, 1100, 64)
        loaded = file_of(index, path)
        path.unlink()
        gc.collect()
        assert_alike(index, loaded, questions(64))

    def test_views_keep_the_mapping(self, path: Path, rng) -> None:
        loaded = file_of(built(rng, 1100, 64), path)
        loaded.remove(np.arange(1000))
        loaded.remove(np.arange(1000, 1099))
        gc.collect()
        assert loaded.search(questions(64), 1).indices.tolist() == [[1099]] * 4


class TestSaving:
    def test_over_its_own_mapping(self, path: Path, rng) -> None:
        index = built(rng, 1100, 64)
        loaded = file_of(index, path)
        for _ in range(3):
            extra = normal(rng, 300, 64)
            index.add(extra)
            loaded.add(extra)
            loaded.save(path)
            assert_alike(index, loaded, questions(64))
            loaded = em.Index.load(path, verify="full")
            assert_alike(index, loaded, questions(64))

    def test_a_moment(self, path: Path, rng) -> None:
        """What is saved while rows come and go is whole: some number of additions, in order."""
        index = built(rng, 100, 40)
        batches = [normal(rng, 7, 40) for _ in range(300)]

        def add_all() -> None:
            for batch in batches:
                index.add(batch)
                index.remove(index.ids[:1])

        def save() -> None:
            index.save(path)
            ids = em.Index.load(path, verify="full").ids
            np.testing.assert_array_equal(np.diff(ids), 1)
            assert (ids[-1] + 1 - 100) % 7 == 0
            assert 0 <= (ids[-1] + 1 - 100) // 7 - ids[0] <= 1

        (count,) = during(add_all, save)
        assert count >= 1

    def test_searches_go_on(self, path: Path, rng) -> None:
        index, q = built(rng, 20_000, 64), questions(64)
        wanted = index.search(q)

        def search() -> None:
            for _ in range(50):
                np.testing.assert_array_equal(index.search(q).indices, wanted.indices)

        (count,) = during(search, lambda: index.save(path))
        assert count >= 1

    def test_rows_of_a_memory_map(self, tmp_path: Path, path: Path, rng) -> None:
        np.save(tmp_path / "rows.npy", normal(rng, 1500, 64))
        rows = np.load(tmp_path / "rows.npy", mmap_mode="r")
        index = em.Index(rows)
        assert index.stats["copied_rows"] == 0
        assert_alike(index, file_of(index, path), questions(64))

    def test_metadata(self, path: Path, rng) -> None:
        index = built(rng, 20, 40)
        assert index.metadata == {}
        mine = {"model": "mine", "version": "2", "": "", "index.dim": "x", "ü": "☃\n\0"}
        index.save(path, metadata=mine)
        loaded = em.Index.load(path)
        assert loaded.metadata == mine
        loaded.metadata["other"] = "x"
        assert file_of(loaded, path).metadata == mine
        loaded.save(path, metadata={})
        assert em.Index.load(path).metadata == {}

    @pytest.mark.parametrize(
        ("metadata", "error"),
        [
            ({"a": 1}, TypeError),
            ({1: "a"}, TypeError),
            ([], TypeError),
            ({"a": "\ud800"}, ValueError),
        ],
    )
    def test_metadata_refused(self, metadata: Any, error: type, path: Path, rng) -> None:
        with pytest.raises(error, match="metadata"):
            built(rng, 20, 40).save(path, metadata=metadata)
        assert not path.exists()

    def test_arguments_refused(self, path: Path, rng) -> None:
        built(rng, 20, 40).save(path)
        with pytest.raises(TypeError, match=r"^mmap"):
            em.Index.load(path, mmap="yes")
        with pytest.raises(ValueError, match=r"^verify"):
            em.Index.load(path, verify="all")
        with pytest.raises(ValueError, match=r"^threads"):
            em.Index.load(path, threads=0)
        with pytest.raises(TypeError, match=r"^progress"):
            em.Index().save(path, progress=1)

    def test_progress_and_cancelling(self, path: Path, rng) -> None:
        index, seen = built(rng, 5000, 64), []
        index.save(path, progress=seen.append)
        assert seen == sorted(seen)
        assert seen[-1] == 1.0
        content = path.read_bytes()

        def cancel(fraction: float) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            index.save(path, progress=cancel)
        assert path.read_bytes() == content
        assert not temporaries(path.parent)

    def test_pickles_and_rotations_are_refused(self, path: Path, rng) -> None:
        em.fit_rotation(normal(rng, 100, 8)).save(path)
        with pytest.raises(em.FileFormatError, match="expected embmath index"):
            em.Index.load(path)

    def test_damage_is_found(self, path: Path, rng) -> None:
        built(rng, 1100, 64).save(path)
        content = bytearray(path.read_bytes())
        content[-9] ^= 1
        path.write_bytes(content)
        em.Index.load(path)
        with pytest.raises(em.FileFormatError, match="damaged"):
            em.Index.load(path, verify="full")

    def test_it_is_a_safetensors_file(self, path: Path, rng) -> None:
        safetensors = pytest.importorskip("safetensors.numpy")
        x = normal(rng, 100, 64)
        em.Index(x).save(path, metadata={"model": "mine"})
        np.testing.assert_array_equal(safetensors.load_file(path)["rows"], x)


def test_codes_of_another_layout_are_made_anew(path: Path, monkeypatch, rng) -> None:
    index = built(rng, 1100, 64, codes=("int8", "prefix", "int4"))
    index.remove([3, 1099])
    with monkeypatch.context() as patch:
        patch.setattr(_core, "CODES_LAYOUT", 7)
        index.save(path)
    for threads in (None, 1, 2):
        loaded = em.Index.load(path, threads=threads)
        assert_alike(index, loaded, questions(64))
        loaded.save(path.with_suffix(".again"))
    index.save(path)
    assert path.read_bytes() == path.with_suffix(".again").read_bytes()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="compilers elsewhere fuse products")
def test_codes_are_those_of_their_layout(isa: str) -> None:
    """Files hold codes: what changes them needs another kCodesLayout. With a basis of unit vectors
    the bits are the same under every instruction set."""
    x = ((np.arange(33 * 64) * 37 % 41 - 20) / 8).astype(np.float32).reshape(33, 64)
    basis = (np.zeros(64), np.eye(64, dtype=np.float32), 0.5 ** (np.arange(64) / 16), None)
    digest = hashlib.sha256()
    for metric in ("dot", "sqeuclidean"):
        core = _core.Index(metric, "float32", 64, ("int8", "prefix", "int4"), basis, False)
        core.add((x, "float32"), ids=None, threads=1, progress=None)
        view = core.view()
        for i, (_, dtype, shape) in enumerate(view.saved()["arrays"]):
            out = np.empty(shape, _files.DTYPES[dtype])
            view.read(i, 0, shape[0], out)
            digest.update(out.tobytes())
    golden = {1: "3f90035b90682d47"}
    assert digest.hexdigest()[:16] == golden[_core.CODES_LAYOUT]


def test_pages_of_another_size(path: Path, rng) -> None:
    """Made by a version that prefers other pages: all that depends on them are extents."""
    twin = Twin("cosine", codes="int8")
    twin.add(normal(rng, 1100, 64))
    twin.index.save(path)
    file = _files.read(path, kind="index")
    for page_rows in (16, 48, 160, 1024, 1120, 4096):
        n = -(-1100 // page_rows) + 1
        tensors = dict(file.tensors)
        tensors["extents"] = np.tile([[0.0, 1.0, 0.0]], (n, 1))
        tensors["codes.int8.reach"] = np.zeros(n)
        metadata = file.metadata | {"index.page_rows": str(page_rows)}
        _files.write(path.with_suffix(".other"), tensors, metadata, kind="index")
        other = Twin("cosine")
        other.index, other.rows, other.next_id = (
            em.Index.load(path.with_suffix(".other")),
            dict(twin.rows),
            twin.next_id,
        )
        other.check(questions(64))
        other.add(normal(rng, 2500, 64))
        other.remove(np.arange(0, 900, 2))
        other.update([1, 1099, 3000], normal(rng, 3, 64))
        other.check(questions(64))


class TestRotation:
    def test_the_same(self, path: Path, rng) -> None:
        for dims, center in ((None, True), (3, False)):
            rotation = em.fit_rotation(normal(rng, 100, 8), dims=dims, center=center)
            rotation.save(path)
            for verify in ("header", "full"):
                loaded = em.Rotation.load(path, verify=verify)
                for part in ("mean", "basis", "variance"):
                    a, b = getattr(rotation, part), getattr(loaded, part)
                    np.testing.assert_array_equal(a, b, strict=True)

    def test_goes_with_the_index(self, path: Path, rng) -> None:
        rotation = em.fit_rotation(normal(rng, 100, 64))
        index = em.Index(dim=64, codes="prefix", rotation=rotation)
        loaded = file_of(index, path)
        for each in (index, loaded):
            each.add(normal(np.random.default_rng(1), 500, 64))
        assert_alike(index, loaded, questions(64))
        assert file_of(loaded, path).stats["codes"] == ("prefix",)

    @pytest.mark.parametrize("part", ["mean", "basis", "variance"])
    @pytest.mark.parametrize("spoil", ["missing", "shape", "dtype", "nan", "extra"])
    def test_malformed(self, spoil: str, part: str, path: Path, rng) -> None:
        rotation = em.fit_rotation(normal(rng, 100, 8))
        parts = {name: np.array(getattr(rotation, name)) for name in ("mean", "basis", "variance")}
        if spoil == "missing":
            del parts[part]
        elif spoil == "shape":
            parts[part] = parts[part][:-1]
        elif spoil == "dtype":
            parts[part] = parts[part].astype(np.float16)
        elif spoil == "nan":
            parts[part][-1] = np.nan
        else:
            parts["more"] = parts[part]
        if spoil == "shape" and part == "basis":
            parts[part] = parts[part][:, :-1]
        _files.write(path, parts, {}, kind="rotation")
        with pytest.raises(em.FileFormatError, match=str(path)):
            em.Rotation.load(path)


CHILD = """
import sys
import numpy as np
import embmath as em
index = em.Index.load(sys.argv[1])
q = np.load(sys.argv[2])
top = index.search(q, k=5)
np.savez(sys.argv[3], values=top.values, indices=top.indices)
"""


def test_another_process_loads_while_this_one_goes_on(tmp_path: Path, run_python, rng) -> None:
    path, q = tmp_path / "x", normal(rng, 4, 64)
    np.save(tmp_path / "q.npy", q)
    index = built(rng, 1100, 64)
    arguments = [str(tmp_path / name) for name in ("x", "q.npy", "out.npz")]
    for _ in range(3):
        index.save(path)
        wanted = index.search(q, k=5)
        stop = threading.Event()

        def go_on(stop: threading.Event = stop) -> None:
            while not stop.is_set():
                index.add(normal(np.random.default_rng(1), 10, 64))
                em.Index().save(tmp_path / "other")

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            run_python(f"import sys; sys.argv[1:] = {arguments!r}\n{CHILD}")
        finally:
            stop.set()
            thread.join()
        found = np.load(tmp_path / "out.npz")
        assert found["values"].tobytes() == wanted.values.tobytes()
        np.testing.assert_array_equal(found["indices"], wanted.indices)


KILLS = """
import os, random, signal, sys, time
from pathlib import Path
import numpy as np
import embmath as em

path, rounds = Path(sys.argv[1]) / "x", int(sys.argv[2])
x = np.random.default_rng(0).standard_normal((30_000, 64), dtype=np.float32)
em.Index(x).save(path)

def change():
    index = em.Index.load(path)
    index.add(x[:17])
    index.save(path)

start = time.monotonic()
change()
duration = time.monotonic() - start
random.seed(0)
counts = [30_017]
for _ in range(rounds):
    child = os.fork()
    if not child:
        change()
        os._exit(0)
    time.sleep(random.uniform(0, 2 * duration))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    index = em.Index.load(path, verify="full")
    assert (index.ids == np.arange(index.ntotal)).all()
    counts.append(index.ntotal)
    for left in path.parent.glob(".*.tmp"):
        left.unlink()
steps = np.diff(counts)
assert set(steps) <= {0, 17}
print((steps == 0).sum(), (steps == 17).sum())
"""


@pytest.mark.slow
def test_killed_while_saving(tmp_path: Path, run_python) -> None:
    done = run_python(f"import sys; sys.argv[1:] = [{str(tmp_path)!r}, '40']\n{KILLS}")
    old, new = map(int, done.stdout.split())
    assert old + new == 40
    assert min(old, new) >= 3


RESIDENT = """
import sys
import numpy as np
import embmath as em

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) // 1024

x = np.random.default_rng(0).standard_normal((100_000, 256), dtype=np.float32)
em.Index(x, codes="int8").save(sys.argv[1])
del x
before = resident()
index = em.Index.load(sys.argv[1])
print(resident() - before)
index.save(sys.argv[1] + "2")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_loading_takes_little_memory(tmp_path: Path, run_python) -> None:
    """A file of 130 MB; ids, places and pointers of 100,000 rows are 2 MB."""
    done = run_python(f"import sys; sys.argv[1:] = [{str(tmp_path / 'x')!r}]\n{RESIDENT}")
    assert (tmp_path / "x").stat().st_size > 128e6
    assert int(done.stdout) < 10


def test_an_index_larger_than_memory_opens(tmp_path: Path, run_python) -> None:
    code = f"""
import numpy as np, embmath as em
index = em.Index.load({str(tmp_path / "x")!r})
assert index.search(np.ones((1, 64), np.float32), k=1).indices.shape == (1, 1)
index.save({str(tmp_path / "y")!r})
try:
    em.Index.load({str(tmp_path / "x")!r}, mmap=False)
except MemoryError as error:
    print(error)
"""
    built(np.random.default_rng(0), 60_000, 64, codes="int8").save(tmp_path / "x")
    done = run_python(code, EMBMATH_MAX_MEMORY="12M")
    assert "the file's data" in done.stdout
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()
