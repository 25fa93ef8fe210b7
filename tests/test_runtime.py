"""Threads, fork, signals, import: the guest in somebody else's process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import embmath as em
import reference
from embmath import _core
from strategies import normal

PRINT_THREADS = (
    "import embmath as em; i = em.info();"
    "print(em.get_num_threads(), i['threads'], i['threads_source'])"
)
CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc")


class TestNumberOfThreads:
    @pytest.mark.parametrize(
        ("env", "expected"),
        [
            ({"EMBMATH_NUM_THREADS": "3"}, 3),
            ({"OMP_NUM_THREADS": "5"}, 5),
            ({"EMBMATH_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, 3),
            ({"EMBMATH_NUM_THREADS": "1"}, 1),
            # OpenMP's form for nested levels: the outermost counts.
            ({"OMP_NUM_THREADS": "4,2"}, 4),
        ],
    )
    def test_environment(self, run_python, env, expected):
        number, reported, source = run_python(PRINT_THREADS, **env).stdout.split(maxsplit=2)
        assert int(number) == int(reported) == expected
        assert next(iter(env)) in source

    @pytest.mark.parametrize("value", ["abc", "0", "-1", "2.5", "3x"])
    def test_our_own_variable_must_make_sense(self, run_python, value):
        code = (
            "import embmath as em\n"
            "try: em.get_num_threads()\n"
            "except ValueError as error: print(error)\n"
        )
        message = run_python(code, EMBMATH_NUM_THREADS=value).stdout
        assert message.startswith("EMBMATH_NUM_THREADS: must be an integer of at least 1")
        assert value in message
        # OpenMP's variable belongs to others.
        assert run_python(code, OMP_NUM_THREADS="abc").stdout == ""

    def test_default_is_at_most_what_this_process_may_use(self, run_python):
        assert 1 <= int(run_python(PRINT_THREADS).stdout.split()[0]) <= CPUS

    @LINUX
    def test_default_respects_affinity(self, run_python):
        pin = f"import os; os.sched_setaffinity(0, [{min(os.sched_getaffinity(0))}]);"
        assert run_python(pin + PRINT_THREADS).stdout.split()[0] == "1"

    def test_set_wins_over_environment_and_none_takes_it_back(self, run_python):
        code = (
            "import embmath as em; em.set_num_threads(7); print(em.get_num_threads());"
            "em.set_num_threads(None); print(em.get_num_threads())"
        )
        assert run_python(code, EMBMATH_NUM_THREADS="3").stdout.split() == ["7", "3"]

    def test_set_is_used_and_does_not_change_results(self, agree, rng):
        q, x = normal(rng, 20, 30), normal(rng, 3000, 30)
        for threads in (1, 2, 5, 8):
            em.set_num_threads(threads)
            assert em.get_num_threads() == em.info()["threads"] == threads
            agree("search", q, x, 5)

    def test_more_threads_than_work(self, agree, rng):
        agree("search", normal(rng, 1, 4), normal(rng, 2, 4), 2, threads=64)


class TestImport:
    @LINUX
    def test_starts_no_thread(self, run_python):
        code = (
            "import os, numpy; before = len(os.listdir('/proc/self/task')); import embmath;"
            "embmath.info(); print(before, len(os.listdir('/proc/self/task')))"
        )
        before, after = run_python(code).stdout.split()
        assert before == after

    def test_imports_nothing_heavy(self, run_python):
        code = "import sys, embmath; print(*sorted({m.split('.')[0] for m in sys.modules}))"
        loaded = set(run_python(code).stdout.split())
        assert loaded.isdisjoint({"torch", "scipy", "ml_dtypes", "safetensors", "sklearn"})

    @LINUX
    @pytest.mark.skipif(shutil.which("ldd") is None, reason="needs ldd")
    def test_links_no_heavy_library(self):
        done = subprocess.run(["ldd", _core.__file__], capture_output=True, text=True, check=True)
        for library in ("gomp", "omp5", "blas", "mkl", "tbb", "torch", "cuda"):
            assert library not in done.stdout

    def test_info_is_plain_data(self):
        info = em.info()
        assert json.loads(json.dumps(info)) == info
        assert {"version", "isa", "isas", "threads", "threads_source", "compiler"} <= set(info)
        assert info["version"] == em.__version__


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
class TestFork:
    @staticmethod
    def in_child(work) -> int:
        """Run ``work`` in a forked child; its exit status, or the signal that ended it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            try:
                signal.alarm(30)
                os._exit(0 if work() else 1)
            except BaseException:
                os._exit(2)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def test_child_and_parent_go_on_searching(self, rng):
        q, x = normal(rng, 40, 32), normal(rng, 5000, 32)
        expected = em.search(q, x, 5, threads=4)

        def same() -> bool:
            return (em.search(q, x, 5, threads=4).indices == expected.indices).all()

        assert self.in_child(same) == 0
        assert same()
        assert self.in_child(lambda: self.in_child(same) == 0) == 0

    def test_fork_while_other_threads_search(self, rng):
        q, x = normal(rng, 40, 32), normal(rng, 5000, 32)
        expected = em.search(q, x, 5)
        stop = threading.Event()

        def same() -> bool:
            return (em.search(q, x, 5, threads=2).indices == expected.indices).all()

        def busy() -> None:
            while not stop.is_set():
                em.search(q, x, 5, threads=2)

        with ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(busy) for _ in range(2)]
            try:
                for _ in range(10):
                    assert self.in_child(same) == 0
            finally:
                stop.set()
            for job in jobs:
                job.result()


@pytest.mark.parametrize("callers", [8, 64])
def test_many_python_threads_at_once(rng, callers):
    q, x = normal(rng, 64, 48), normal(rng, 4000, 48)
    expected = reference.search(q, x, 10)
    matrix = em.similarity(q, x)
    start = threading.Barrier(callers)

    def work(i: int) -> None:
        start.wait()
        for _ in range(3):
            reference.assert_all_same(em.search(q, x, 10, threads=1 + i % 4), expected)
            reference.assert_same(em.similarity(q, x, threads=1 + i % 3), matrix)

    with ThreadPoolExecutor(callers) as pool:
        for job in [pool.submit(work, i) for i in range(callers)]:
            job.result()


def test_the_gil_is_released(rng):
    """A Python thread makes progress while a long search runs."""
    q, x = normal(rng, 500, 128), normal(rng, 50000, 128)
    ticks, done = 0, threading.Event()

    def search() -> None:
        em.search(q, x, 5, "manhattan", threads=1)
        done.set()

    worker = threading.Thread(target=search)
    worker.start()
    while not done.wait(0.001):
        ticks += 1
    worker.join()
    assert ticks > 10


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ["search", "range_search", "similarity"])
def test_interrupt_stops_a_long_call(rng, name, threads):
    """Minutes of work over overlapping rows (a few MB), stopped by Ctrl-C after a moment."""
    windows = np.lib.stride_tricks.sliding_window_view(normal(rng, 1, 2**20 + 767)[0], 768)
    queries, sent = windows[:4000] * np.float32(2), []
    calls = {
        "search": lambda: em.search(queries, windows, 100, "manhattan", threads=threads),
        "range_search": lambda: em.range_search(
            queries, windows, 0.0, "manhattan", threads=threads
        ),
        "similarity": lambda: em.similarity(
            queries, windows[:100_000], "manhattan", threads=threads
        ),
    }

    def interrupt() -> None:
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.3, interrupt)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            calls[name]()
        assert time.monotonic() - sent[0] < 1.0
    finally:
        timer.cancel()  # a call that ended by itself must not be followed by a stray Ctrl-C
        timer.join()
    reference.assert_all_same(
        em.search(queries[:3], windows[:500], 4), reference.search(queries[:3], windows[:500], 4)
    )
