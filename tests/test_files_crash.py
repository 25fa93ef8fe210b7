"""A save that fails, at any step and in any way: the file is the old one or the new one, whole."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embmath as em
from embmath import _files
from file_helpers import temporaries

MIB = 1 << 20
OLD = {"x": np.arange(MIB // 2, dtype=np.uint16), "y": np.ones(3)}
NEW = {"x": np.arange(MIB, dtype=np.uint16)[::-1], "y": np.zeros((5, 5))}

# Every function of the system that a save goes through.
STEPS = ("open", "write", "lseek", "fchmod", "fsync", "replace", "close")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def save(path: Path, tensors: dict[str, np.ndarray]) -> None:
    _files.write(path, tensors, {}, kind="index")


def content_of(path: Path, tensors: dict[str, np.ndarray]) -> bytes:
    other = path.parent / "elsewhere"
    save(other, tensors)
    content = other.read_bytes()
    other.unlink()
    return content


class Faults:
    """Counts the calls of the system and lets one of them fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.fail_at = -1
        self.error: BaseException = OSError(errno.EIO, "injected")
        for name in STEPS:
            monkeypatch.setattr(os, name, self._wrap(name, getattr(os, name)))
        monkeypatch.setattr(fcntl, "flock", self._wrap("flock", fcntl.flock))

    def _wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            self.calls.append(name)
            if len(self.calls) - 1 != self.fail_at:
                return real(*args, **options)
            if name == "close":
                real(*args, **options)  # as Linux does: the descriptor is gone all the same
            raise self.error

        return call

    def arm(self, fail_at: int, error: BaseException) -> None:
        self.calls.clear()
        self.fail_at, self.error = fail_at, error


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "injected"), OSError(errno.EIO, "injected"), KeyboardInterrupt()],
    ids=["ENOSPC", "EIO", "interrupt"],
)
def test_each_step_may_fail(
    error: BaseException, exists: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, old = content_of(path, NEW), content_of(path, OLD) if exists else None
    descriptors = len(os.listdir("/proc/self/fd"))
    outcomes = []
    if exists:
        path.touch()
    with monkeypatch.context() as patch:
        faults = Faults(patch)
        save(path, NEW)
        steps = list(faults.calls)
        for n in range(len(steps)):
            path.unlink(missing_ok=True)
            if old is not None:
                path.write_bytes(old)
            faults.arm(n, error)
            with pytest.raises(type(error)) as caught:
                save(path, NEW)
            faults.arm(-1, error)
            assert caught.value is error
            found = path.read_bytes() if path.exists() else None
            assert found in (old, new)
            assert not temporaries(path.parent)
            outcomes.append(found == new)
    # All steps up to the renaming leave the old file; only syncing the folder comes after it.
    renamed = steps.index("replace") + 1
    assert outcomes == [n >= renamed for n in range(len(steps))]
    assert steps.count("write") >= 4
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_partial_writes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may take less than it is given."""
    write = os.write
    expected = content_of(path, NEW)
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[: 1 + len(data) // 3]))
    save(path, NEW)
    assert path.read_bytes() == expected


def test_a_folder_that_cannot_be_synced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, is_folder = os.fsync, os.path.isdir

    def refuse_folders(descriptor: int) -> None:
        if is_folder(descriptor):
            raise OSError(errno.EINVAL, "injected")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    save(path, NEW)
    _files.read(path, kind="index", verify="full")


def test_all_is_synced_before_it_takes_the_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        faults = Faults(patch)
        save(path, NEW)
    steps = [s for s in faults.calls if s in ("write", "fsync", "replace")]
    last_write = len(steps) - 1 - steps[::-1].index("write")
    assert steps[last_write + 1 :] == ["fsync", "replace", "fsync"]


def in_child(function: Callable[[], None]) -> int:
    """Run in a forked process; its exit code, minus the signal that ended it."""
    child = multiprocessing.get_context("fork").Process(target=function)
    child.start()
    child.join(60)
    assert child.exitcode is not None
    return child.exitcode


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_limit_of_the_system(path: Path) -> None:
    """The disk is full, in effect: a write of the system itself fails half-way."""
    save(path, OLD)
    old = path.read_bytes()

    def save_too_much() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB + 1000, MIB + 1000))
        try:
            save(path, NEW)
        except OSError as error:
            os._exit(7 if error.errno == errno.EFBIG else 8)

    assert in_child(save_too_much) == 7
    assert path.read_bytes() == old
    assert not temporaries(path.parent)


KILLS = """
import os, random, signal, sys, time
from pathlib import Path
import numpy as np
from embmath import _files

folder, count = Path(sys.argv[1]), int(sys.argv[2])
path = folder / "file"
random.seed(1)
arrays = {n: np.full(n * 100_001, n, np.uint16) for n in (9, 14)}

def save(n):
    _files.write(path, {"x": arrays[n], "n": np.array(n)}, {"n": str(n)}, kind="index")

contents = {}
for n in arrays:
    start = time.perf_counter()
    save(n)
    duration = time.perf_counter() - start
    contents[n] = path.read_bytes()

old, new = arrays
outcomes = {"old": 0, "new": 0, "within": 0}
path.write_bytes(contents[old])
for i in range(count):
    ready, tell = os.pipe()
    child = os.fork()
    if not child:
        os.write(tell, b"!")
        save(new)
        os._exit(0)
    os.read(ready, 1)
    os.close(ready), os.close(tell)
    time.sleep(random.uniform(0, 2 * duration))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = path.read_bytes()
    assert found in (contents[old], contents[new]), f"kill {i}: {len(found)} bytes"
    left = list(folder.glob(".*.tmp"))
    assert len(left) <= 1
    outcomes["within"] += bool(left) and 0 < left[0].stat().st_size
    for temporary in left:
        temporary.unlink()
    outcomes["new" if found == contents[new] else "old"] += 1
    if found == contents[new]:
        old, new = new, old
print(outcomes["old"], outcomes["new"], outcomes["within"])
"""


@pytest.mark.slow
def test_200_kills(tmp_path: Path, run_python: Callable[..., Any]) -> None:
    """SIGKILL at random moments of a save; from a process of its own, which has one thread."""
    code = f"import sys; sys.argv = ['kills', {str(tmp_path)!r}, '200']\n{KILLS}"
    done = run_python(code, OPENBLAS_NUM_THREADS="1")
    old, new, within = map(int, done.stdout.split())
    assert old + new == 200
    assert min(old, new) >= 5  # the moments were before and after
    assert within >= 15  # and above all while data were written (more than 40 on an idle machine)


def test_over_its_own_mapping(path: Path) -> None:
    """The arrays of a mapped file stay what they were, whatever is saved under its name."""
    save(path, NEW)
    mapped = _files.read(path, kind="index").tensors
    save(path, {**mapped, "y": np.ones(1)})
    again = _files.read(path, kind="index", verify="full").tensors
    save(path, OLD)
    for tensors in (mapped, again):
        np.testing.assert_array_equal(tensors["x"], NEW["x"], strict=True)
    np.testing.assert_array_equal(mapped["y"], NEW["y"], strict=True)
    _files.read(path, kind="index", verify="full")


def test_a_source_that_changes_while_it_is_saved(path: Path) -> None:
    """What is checksummed is what is written."""
    array = np.zeros(16 * MIB, np.uint8)
    done = threading.Event()

    def change() -> None:
        while not done.is_set():
            array[:] += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        save(path, {"x": array})
    finally:
        done.set()
        thread.join()
    _files.read(path, kind="index", verify="full")


def test_concurrent_savers_and_readers(path: Path) -> None:
    """Four threads save, one reads: each time one file, whole; the last one wins."""
    save(path, {"x": np.full(MIB, 0)})
    done = threading.Event()
    seen: set[int] = set()
    failures: list[BaseException] = []

    def save_often(n: int) -> None:
        for _ in range(4):
            save(path, {"x": np.full(MIB // 4 + n, n)})

    def read_often() -> None:
        try:
            while not done.is_set():
                file = _files.read(path, kind="index", verify="full")
                (value,) = np.unique(file.tensors["x"])
                seen.add(int(value))
        except BaseException as error:
            failures.append(error)

    reader = threading.Thread(target=read_often)
    savers = [threading.Thread(target=save_often, args=(n,)) for n in range(1, 5)]
    for thread in (reader, *savers):
        thread.start()
    for thread in savers:
        thread.join()
    done.set()
    reader.join()
    assert not failures
    assert seen <= set(range(5))
    (last,) = np.unique(_files.read(path, kind="index", verify="full").tensors["x"])
    assert last in range(1, 5)
    assert not temporaries(path.parent)


class TestLeftBehind:
    """What a killed saver leaves is removed by a later one, and nothing else is."""

    def leave(self, path: Path, name: str, age: float = 7200) -> Path:
        left = path.parent / name
        left.write_text("half a file")
        os.utime(left, (time.time() - age,) * 2)
        return left

    def test_old_ones_go(self, path: Path) -> None:
        left = self.leave(path, ".file.0123456789abcdef.tmp")
        save(path, NEW)
        assert not left.exists()

    @pytest.mark.parametrize(
        "name",
        [
            ".file2.0123456789abcdef.tmp",
            ".file.tmp",
            ".file.0123456789abcdef.tmp2",
            ".file.0123456789ABCDEF.tmp",
            "file.0123456789abcdef.tmp",
            ".file.other.0123456789abcdef.tmp",
        ],
    )
    def test_other_names_stay(self, name: str, path: Path) -> None:
        left = self.leave(path, name)
        save(path, NEW)
        assert left.exists()

    def test_young_ones_stay(self, path: Path) -> None:
        left = self.leave(path, ".file.0123456789abcdef.tmp", age=60)
        save(path, NEW)
        assert left.exists()

    def test_those_of_a_living_saver_stay(self, path: Path) -> None:
        left = self.leave(path, ".file.0123456789abcdef.tmp")
        with left.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            save(path, NEW)
            assert left.exists()
        save(path, NEW)
        assert not left.exists()

    def test_a_living_saver_holds_the_lock(self, path: Path) -> None:
        """A slow save, of more than an hour: another one meanwhile leaves it alone."""

        def slowly() -> Any:
            yield bytes(MIB)
            (mine,) = temporaries(path.parent)
            os.utime(mine, (time.time() - 7200,) * 2)
            save(path, OLD)
            assert mine.exists()
            yield bytes(MIB)

        _files.write(path, {"x": _files.Blocks("U8", (2, MIB), slowly())}, {}, kind="index")
        assert _files.read(path, kind="index").tensors["x"].shape == (2, MIB)

    def test_what_cannot_be_removed_does_no_harm(self, path: Path) -> None:
        (path.parent / ".file.0123456789abcdef.tmp").mkdir()
        os.utime(path.parent / ".file.0123456789abcdef.tmp", (0, 0))
        (path.parent / ".file.0123456789abcdee.tmp").symlink_to("nowhere")
        save(path, NEW)
        _files.read(path, kind="index", verify="full")


def test_a_folder_that_may_not_be_listed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: str) -> list[str]:
        raise PermissionError(errno.EACCES, "injected", folder)

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", refuse)
        save(path, NEW)
    assert _files.read(path, kind="index").version == em.__version__
