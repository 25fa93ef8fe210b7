"""em.Index among threads, signals and forks: a search sees every change whole or not at all."""

from __future__ import annotations

import functools
import gc
import itertools
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import embmath as em
import reference
from index_helpers import (
    Twin,
    by_id,
    during,
    together,
)
from reference import Array
from strategies import normal


@pytest.fixture
def eager_switches() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


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
