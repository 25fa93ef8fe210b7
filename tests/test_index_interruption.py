"""em.Index when a change is stopped, the process forks or the interpreter ends."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable

import numpy as np
import pytest

import embmath as em
import reference
from index_helpers import (
    during,
    windows,
)
from reference import Array
from strategies import normal
from test_runtime import TestFork as Fork

in_child = Fork.in_child


class TestLongChanges:
    """While a second or so of encoding goes on."""

    @pytest.fixture
    def slow(self, force_isa, rng) -> tuple[em.Index, Array]:
        force_isa("scalar")
        rows = windows(rng, 2**18)
        return em.Index(rows[:1000].copy(), codes="int8"), rows

    @pytest.mark.parametrize("threads", [1, 2])
    def test_searches_do_not_wait(self, slow, threads):
        index, rows = slow
        q = rows[:3]
        before = index.search(q, 5)
        late: list[float] = []

        def look() -> None:
            start = time.monotonic()
            top = index.search(q, 5, threads=1)
            late.append(time.monotonic() - start)
            if index.ntotal == 1000:
                reference.assert_all_same(top, reference.TopK(*before))

        start = time.monotonic()
        (count,) = during(lambda: index.add(rows, threads=threads), look)
        assert count > 5
        assert np.median(late) < (time.monotonic() - start) / 5

    @staticmethod
    def unchanged_by(index: em.Index, q: Array, change: Callable[[], None]) -> None:
        """The change is stopped; afterwards the index is what it was."""
        stats, ids, top = index.stats, index.ids, index.search(q, 8)
        change()
        assert index.stats == stats
        assert index.ids.tobytes() == ids.tobytes()
        reference.assert_all_same(index.search(q, 8), reference.TopK(*top))

    @staticmethod
    def interrupted(change: Callable[[], object], after: float = 0.1) -> None:
        sent: list[float] = []

        def interrupt() -> None:
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(after, interrupt)
        timer.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                change()
            assert time.monotonic() - sent[0] < 1.0
        finally:
            timer.cancel()  # a call that ended by itself must not be followed by a stray Ctrl-C
            timer.join()

    @pytest.mark.parametrize("threads", [1, 2])
    def test_ctrl_c_stops_an_addition(self, slow, threads):
        index, rows = slow
        q = rows[:3] + rows[7]
        self.unchanged_by(
            index, q, lambda: self.interrupted(lambda: index.add(rows, threads=threads))
        )
        assert index.add(rows[5000:7000]).tolist() == list(range(1000, 3000))
        both = np.vstack([rows[:1000], rows[5000:7000]])
        reference.assert_all_same(index.search(q, 20), reference.search(q, both, 20))

    def test_rows_of_a_stopped_addition_are_let_go(self, slow, rng):
        index, _ = slow
        alive = []

        def add() -> None:
            rows = windows(rng, 2**18)
            alive.append(weakref.ref(rows))
            index.add(rows, threads=1)

        self.interrupted(add, 0.15)
        gc.collect()
        is_held = alive[0]() is not None
        assert not is_held

    @pytest.mark.parametrize("error", [LookupError, KeyboardInterrupt])
    def test_progress_stops_an_addition(self, slow, error):
        index, rows = slow

        def stop(_: float) -> None:
            raise error("enough")

        def change() -> None:
            with pytest.raises(error, match="enough"):
                index.add(rows, progress=stop)

        self.unchanged_by(index, rows[:3], change)
        assert index.add(rows[:5]).tolist() == [1000, 1001, 1002, 1003, 1004]

    @pytest.mark.parametrize("kept", ["reference", "copy"])
    def test_ctrl_c_stops_a_removal(self, force_isa, rng, kept):
        """While the rows that stay move together."""
        rows = windows(rng, 2**18 if kept == "reference" else 2**17)
        index = em.Index(rows, rows=kept, codes="int8")
        half = np.arange(0, len(rows), 2)
        q = rows[:3] + rows[7]
        index.remove([1])
        force_isa("scalar")
        self.unchanged_by(index, q, lambda: self.interrupted(lambda: index.remove(half, threads=1)))
        force_isa(em.info()["isas"][-1])
        index.remove(half)
        assert index.stats["removed"] == 0
        assert index.reconstruct([3, len(rows) - 1]).tobytes() == rows[[3, -1]].tobytes()
        index.add(rows[:100])
        assert index.search(rows[:1], 1).indices.tolist() == [[len(rows)]]

    def test_ctrl_c_stops_a_search(self, rng):
        rows = windows(rng, 2**17)
        index = em.Index(rows, metric="manhattan")
        self.interrupted(lambda: index.search(rows[:4000] * np.float32(2), 100))
        assert index.search(rows[5:6], 1).indices.tolist() == [[5]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
class TestFork:
    @staticmethod
    def works(index: em.Index, q: Array, x: Array, rows: Array) -> bool:
        """Search, add, update, remove, and search again."""
        found = [index.search(q, 5, threads=4)]
        ids = index.add(rows, threads=4)
        index.update(ids[:3], rows[1:4])
        index.remove(ids[5:])
        found.append(index.search(q, 5, threads=4))
        index.remove(ids[:5])
        found.append(index.search(q, 5, threads=4))
        wanted = reference.search(q, x, 5)
        rows = np.vstack([x, rows[1:4], rows[3:5]])
        for top, expected in zip(
            found, (wanted, reference.search(q, rows, 5), wanted), strict=True
        ):
            reference.assert_same(top.values, expected.values)
        return True

    @pytest.mark.parametrize("rows", ["reference", "copy"])
    def test_child_and_parent_go_on(self, rng, rows):
        q, x, more = normal(rng, 20, 64), normal(rng, 5000, 64), normal(rng, 600, 64)
        more[:4] = q[:4]
        index = em.Index(x, rows=rows, threads=4)
        index.search(q, 5, threads=4)
        assert in_child(lambda: self.works(index, q, x, more)) == 0
        assert index.ntotal == 5000
        assert self.works(index, q, x, more)
        assert in_child(lambda: in_child(lambda: self.works(index, q, x, more)) == 0) == 0

    def test_while_other_threads_search(self, rng):
        q, x, more = normal(rng, 20, 64), normal(rng, 5000, 64), normal(rng, 600, 64)
        index = em.Index(x)

        def forks() -> None:
            for _ in range(8):
                assert in_child(lambda: self.works(index, q, x, more)) == 0

        during(forks, *[lambda: index.search(q, 5, threads=2)] * 2)


EXIT = """
import threading, time
import numpy as np, embmath as em
x = np.random.default_rng(0).standard_normal((20_000, 64)).astype("f4")
index = em.Index(x)
def search():
    while True:
        index.search(x[:8], 10, threads=2)
def change():
    own = em.Index(x[:500], rows="{rows}")
    while True:
        ids = own.add(np.asfortranarray(x[:20]))
        for _ in range(20):
            own.update(ids, x[20:40].copy())
        own.remove(ids)
for work in (search, change, change, change):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.1)
"""


@pytest.mark.parametrize("rows", ["reference", "copy"])
def test_daemon_threads_may_use_an_index_while_the_interpreter_ends(run_python, rows):
    for _ in range(6):
        run_python(EXIT.format(rows=rows))


@pytest.mark.parametrize("holder", ["", "em.index = index", "em._search.keep = [index, x]"])
def test_an_index_may_outlive_the_interpreter(run_python, holder):
    code = (
        "import numpy as np, embmath as em\n"
        "x = np.random.default_rng(0).standard_normal((2000, 64)).astype('f4')\n"
        "index = em.Index(x)\n"
        "index.add(np.asfortranarray(x))\n"
        f"{holder}\n"
    )
    run_python(code)


@pytest.mark.parametrize("is_empty", [True, False])
def test_a_callback_may_not_change_what_is_being_changed(rng, force_isa, is_empty):
    force_isa("scalar")
    x = windows(rng, 2**16)
    index = em.Index(None if is_empty else x[:5], dim=x.shape[1], codes="int8")
    before = index.ntotal
    with pytest.raises(ValueError, match=r"^index: must not be changed from a callback"):
        index.add(x, progress=lambda _: index.add(x[:1]), threads=1)
    assert index.ntotal == before
    assert len(index.add(x[:3])) == 3


def test_a_forked_child_need_not_wait_for_a_change_of_its_parent(run_python):
    code = (
        "import os, threading, numpy as np, embmath as em\n"
        "x = np.random.default_rng(0).standard_normal((3000, 64)).astype('f4')\n"
        "index, stop = em.Index(x), threading.Event()\n"
        "def change():\n"
        "    while not stop.is_set():\n"
        "        index.remove(index.add(x))\n"
        "thread = threading.Thread(target=change)\n"
        "thread.start()\n"
        "for _ in range(10):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        index.add(x[:5])\n"
        "        os._exit(0)\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "stop.set()\n"
        "thread.join()\n"
    )
    run_python(code)
