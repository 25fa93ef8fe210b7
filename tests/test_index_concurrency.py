"""em.Index among threads, signals and forks: a search sees every change whole or not at all."""

from __future__ import annotations

import functools
import gc
import itertools
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import embmath as em
import reference
from reference import Array
from strategies import normal
from test_index import by_id
from test_index_changes import Twin
from test_runtime import TestFork as Fork

in_child = Fork.in_child


@pytest.fixture
def eager_switches() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def windows(rng: np.random.Generator, n: int) -> Array:
    """Overlapping rows: many, of a few MB."""
    return np.lib.stride_tricks.sliding_window_view(normal(rng, 1, n + 767)[0], 768)


def together(*work: Callable[[], None]) -> None:
    """Run all at once."""
    start = threading.Barrier(len(work))

    def run(task: Callable[[], None]) -> None:
        start.wait()
        task()

    with ThreadPoolExecutor(len(work)) as pool:
        for job in [pool.submit(run, task) for task in work]:
            job.result()


def during(work: Callable[[], None], *watchers: Callable[[], None]) -> list[int]:
    """Run the watchers again and again until ``work`` is done; how often they ran."""
    done, counts = threading.Event(), [0] * len(watchers)

    def watch(i: int) -> None:
        while not done.is_set():
            watchers[i]()
            counts[i] += 1

    def last() -> None:
        try:
            work()
        finally:
            done.set()

    together(last, *(lambda i=i: watch(i) for i in range(len(watchers))))
    return counts


class Cycle:
    """Five states of an index that follow one another for ever, and the answers of each.

    Every change brings rows all over the pages, and behind the last whole block, among the best,
    or takes them away: what lies between two states has an answer of its own.
    """

    K = 24

    def __init__(self, metric: str, rows: str, dtype: str) -> None:
        rng = np.random.default_rng(7)
        base, self.q = normal(rng, 2500, 64, dtype), normal(rng, 6, 64, dtype)
        self.added, self.added_ids = self.good(rng, 900), np.arange(9000, 9900)
        self.updated = np.append(np.sort(rng.permutation(2490)[:40]), 2499)
        self.better, self.former = self.good(rng, 41), base[self.updated].copy()
        # With the 900 more than half of all: the others move together.
        self.removed = np.setdiff1d(np.arange(2500), self.updated)[::2]
        self.gone = base[self.removed].copy()
        self.twin = Twin(metric, rows=rows)
        self.twin.add(base)
        self.index, self.metric = self.twin.index, metric
        self.cut = float(reference.search(self.q[:1], base, 10, metric).values[0, -1])
        self.known: dict[str, dict[bytes, int]] = {"all": {}, "one": {}, "range": {}}
        self.totals: list[int] = []
        self.note(0)
        for state in range(1, 5):
            self.go_to(state, self.twin)
            self.note(state)
        self.go_to(0, self.twin)

    def good(self, rng: np.random.Generator, n: int) -> Array:
        """Rows that beat all of the base, for one query or another."""
        near = self.q[np.arange(n) % len(self.q)].astype(np.float64)
        return (near + 0.1 * rng.standard_normal(near.shape)).astype(self.q.dtype)

    def go_to(self, state: int, index: em.Index | Twin) -> None:
        if state == 0:
            index.add(self.gone, self.removed)
        elif state == 1:
            index.add(self.added, self.added_ids)
        elif state == 2:
            index.update(self.updated, self.better)
        elif state == 3:
            index.remove(np.append(self.removed, self.added_ids))
        else:
            index.update(self.updated[::-1], self.former[::-1])

    @staticmethod
    def as_bytes(answer: tuple[Array, ...]) -> bytes:
        return b"".join(part.tobytes() for part in answer)

    def note(self, state: int) -> None:
        """What the oracle says of the rows that the index should hold now."""
        ids, x = self.twin.held()
        self.totals.append(len(ids))
        answers = {
            "all": by_id("search", self.q, x, ids, self.K, self.metric),
            "one": by_id("search", self.q[:1], x, ids, self.K, self.metric),
            "range": by_id("range_search", self.q, x, ids, self.cut, self.metric),
        }
        for question, answer in answers.items():
            self.known[question][self.as_bytes(answer)] = state

    def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for state in (1, 2, 3, 4, 0):
                self.go_to(state, self.index)


@pytest.mark.parametrize(
    ("metric", "rows", "dtype"),
    [
        ("cosine", "reference", "float32"),
        ("dot", "copy", "float32"),
        ("euclidean", "copy", "float16"),
        ("sqeuclidean", "reference", "float64"),
    ],
)
def test_searches_see_whole_changes(metric, rows, dtype):
    cycle = Cycle(metric, rows, dtype)
    index, q, seen = cycle.index, cycle.q, set()
    assert [len(known) for known in cycle.known.values()] == [5, 5, 5]

    def compare(question: str, answer: tuple[Array, ...]) -> None:
        state = cycle.known[question].get(cycle.as_bytes(answer))
        assert state is not None, (question, answer)
        seen.add(state)

    counts = during(
        lambda: cycle.run(1.5),
        lambda: compare("all", index.search(q, cycle.K, threads=2)),
        lambda: compare("one", index.search(q[:1], cycle.K, threads=1)),
        lambda: compare("range", index.range_search(q, cycle.cut)),
        lambda: (cycle.totals.index(len(index.ids)), cycle.totals.index(index.ntotal)),
    )
    assert min(counts) > 5
    assert len(seen) > 2
    compare("all", index.search(q, cycle.K))


def test_a_search_never_goes_back(rng):
    """The best row is the last of those added: it tells which state answered."""
    sizes = np.cumsum(rng.integers(1, 60, 400))
    rows = normal(rng, int(sizes[-1]), 64)
    rows[:, 0] = np.arange(1, len(rows) + 1)
    q = np.zeros((3, 64), np.float32)
    q[:, 0] = 1
    index = em.Index(rows[: sizes[0]], metric="dot")

    def add() -> None:
        for first, last in itertools.pairwise(sizes):
            index.add(rows[first:last])
            time.sleep(0.001)

    def look(nq: int, k: int, seen: list[int]) -> None:
        values, ids = index.search(q[:nq], k)
        n = int(ids[0, 0]) + 1
        assert n in sizes
        assert (ids == np.arange(n - 1, n - 1 - ids.shape[1], -1)).all()
        assert (values == ids + 1).all()
        assert not seen or n >= seen[-1]
        seen.append(n)

    seen: tuple[list[int], list[int]] = ([], [])
    during(add, lambda: look(1, 1, seen[0]), lambda: look(3, 40, seen[1]))
    assert min(len(set(each)) for each in seen) > 20


@pytest.mark.usefixtures("eager_switches")
class TestSeveralWriters:
    def test_lose_nothing(self, rng):
        x = normal(rng, 4 * 60 * 7, 40).reshape(4, 60, 7, 40)
        index, given = em.Index(dim=40), {}
        index.add(x[0, 0, :0])

        def write(thread: int) -> None:
            for i, batch in enumerate(x[thread]):
                given[thread, i] = index.add(batch)
                index.update(given[thread, i][:2], batch[:2] * 2)
                index.remove(given[thread, i][-1:])

        together(*(lambda t=t: write(t) for t in range(4)))
        assert sorted(np.concatenate(list(given.values()))) == list(range(4 * 60 * 7))
        assert index.ntotal == 4 * 60 * 6
        for (thread, i), ids in given.items():
            batch = x[thread, i].copy()
            batch[:2] *= 2
            assert index.reconstruct(ids[:-1]).tobytes() == batch[:-1].tobytes()

    def test_may_race_for_the_first_rows(self, rng):
        x = normal(rng, 8 * 5, 40).reshape(8, 5, 40)
        for _ in range(100):
            index = em.Index()
            together(*(functools.partial(index.add, rows) for rows in x))
            assert index.ntotal == 40


@pytest.mark.parametrize("callers", [2, 16])
def test_many_threads_search_at_once(rng, callers):
    q, x = normal(rng, 40, 64), normal(rng, 3000, 64)
    ids = rng.permutation(9000)[:3000]
    index = em.Index(x, ids=ids)
    mask = rng.random((40, 3000)) < 0.3
    cases = []
    for nq, options in itertools.product((1, 3, 40), ({}, {"mask": mask}, {"exclude_self": True})):
        given = options if "mask" not in options else {"mask": mask[:nq]}
        cases.append((nq, given, by_id("search", q[:nq], x, ids, 10, **given)))

    def work(caller: int) -> None:
        for i in range(2 * len(cases)):
            nq, options, expected = cases[(caller + i) % len(cases)]
            found = index.search(q[:nq], 10, threads=1 + caller % 4, **options)
            reference.assert_all_same(found, expected)

    together(*(lambda c=c: work(c) for c in range(callers)))


class TestLongChanges:
    """While a second or so of encoding goes on."""

    @pytest.fixture
    def slow(self, force_isa, rng) -> tuple[em.Index, Array]:
        force_isa("scalar")
        rows = windows(rng, 2**18)
        return em.Index(rows[:1000].copy()), rows

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
        index = em.Index(rows, rows=kept)
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


def test_an_index_dies_while_it_is_searched(rng):
    """The search has its own hold on the rows."""
    q, x = normal(rng, 300, 64), normal(rng, 20_000, 64)
    expected = em.search(q, x, 5)
    for _ in range(5):
        box, started = [em.Index(x.copy())], threading.Event()

        def search(box=box, started=started) -> None:
            index = box[0]
            started.set()
            reference.assert_all_same(index.search(q, 5, threads=1), reference.TopK(*expected))

        def drop(box=box, started=started) -> None:
            started.wait()
            box[0].remove(np.arange(20_000))
            box.clear()
            gc.collect()

        with ThreadPoolExecutor(2) as pool:
            for job in (pool.submit(search), pool.submit(drop)):
                job.result()


@pytest.mark.parametrize("is_empty", [True, False])
def test_a_callback_may_not_change_what_is_being_changed(rng, force_isa, is_empty):
    force_isa("scalar")
    x = windows(rng, 2**16)
    index = em.Index(dim=x.shape[1]) if is_empty else em.Index(x[:5])
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
