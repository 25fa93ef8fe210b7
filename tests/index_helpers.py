"""What the tests of em.Index share: the oracle under ids, an index beside its model, threads."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

import embmath as em
import reference
from reference import Array, RangeResult, TopK
from strategies import FLOATS, make, normal

CODE_METRICS = ("cosine", "dot", "euclidean", "sqeuclidean")


# Around blocks of 16 rows, three of them, and pages: 1008 rows as long as a row has few columns,
# 576 of 768 and 432 of 1000.
PAGES = {384: 1008, 768: 576, 1000: 432}


HUGE = 2**63 - 2


class Ranking(NamedTuple):
    """Every row for each query, best first; prefixes of it are the answers of all searches."""

    queries: Array
    rows: Array
    metric: str
    values: Array
    indices: Array

    def top(self, k: int, nq: int | None = None) -> TopK:
        return TopK(self.values[:nq, :k], self.indices[:nq, :k])

    def within(self, threshold: float, nq: int | None = None) -> RangeResult:
        values, better = self.values[:nq].astype(np.float64), self.metric in ("cosine", "dot")
        kept = values >= threshold if better else values <= threshold
        offsets = np.cumsum([0, *kept.sum(axis=1)], dtype=np.int64)
        return RangeResult(offsets, self.values[:nq][kept], self.indices[:nq][kept])


@functools.cache
def ranking(data: str, nq: int, n: int, d: int, dtype: str, metric: str) -> Ranking:
    q, x = make(data, nq, n, d, dtype)
    if dtype in FLOATS:
        q = np.where(np.isnan(q), 0, q).astype(q.dtype)
    for array in (q, x):
        array.flags.writeable = False
    return Ranking(q, x, metric, *reference.search(q, x, n, metric))


def by_id(
    function: str, q: Array, x: Array, ids: Array, *args, mask=None, exclude_self=False, **options
):
    """The oracle asked about rows with names: ties go to the lowest name, so rows are sorted."""
    ids = np.asarray(ids, np.int64)
    order = np.argsort(ids)
    allowed = np.ones((len(q), len(x)), np.bool_) if mask is None else np.asarray(mask)
    if exclude_self:
        allowed = allowed & (ids != np.arange(len(q))[:, None])
    options["mask"] = allowed[..., order]
    found = getattr(reference, function)(q, x[order], *args, **options)
    names = np.append(ids[order], -1)  # no row: -1 either way
    return found._replace(indices=names[found.indices])


def codes_of(metric: str, d: int) -> tuple[str | None, ...]:
    return ("auto", "int8", None) if metric in CODE_METRICS and d > 0 else ("auto", None)


def check(index: em.Index, wanted: Ranking, nqs=(None,), ks=(1, 10, None), **options) -> None:
    """Top k and everything within the score of the tenth, for some of the queries."""
    for nq in nqs:
        q = wanted.queries[:nq]
        for k in ks:
            k_or_all = len(wanted.rows) if k is None else k
            found = index.search(q, k_or_all, **options)
            reference.assert_all_same(found, wanted.top(k_or_all, nq))
        limit = float(wanted.values[0, min(10, len(wanted.rows)) - 1])
        if not np.isnan(limit):
            found = index.range_search(q, limit, **options)
            reference.assert_all_same(found, wanted.within(limit, nq))


LARGEST = 2**63 - 2


class Twin:
    """An index, and beside it a dict that is changed alike."""

    def __init__(self, metric: str, **options) -> None:
        self.metric = metric
        self.index = em.Index(metric=metric, **{"codes": kept_codes(metric)} | options)
        self.rows: dict[int, Array] = {}
        self.next_id = 0

    def add(self, rows: Array, ids: Array | None = None, **options) -> Array:
        given = self.index.add(rows, ids, **options)
        wanted = np.arange(self.next_id, self.next_id + len(rows)) if ids is None else ids
        assert given.dtype == np.int64
        assert given.tolist() == list(wanted)
        self.rows |= {int(i): row.copy() for i, row in zip(given, rows, strict=True)}
        self.next_id = max([self.next_id, *(int(i) + 1 for i in given)])
        return given

    def update(self, ids: Array, rows: Array) -> None:
        self.index.update(ids, rows)
        self.rows |= {int(i): row.copy() for i, row in zip(ids, rows, strict=True)}

    def remove(self, ids: Array, **options) -> None:
        self.index.remove(ids, **options)
        for i in ids:
            del self.rows[int(i)]

    def held(self) -> tuple[Array, Array]:
        """Ids in the order that masks follow, and their rows."""
        ids = self.index.ids
        assert sorted(ids.tolist()) == sorted(self.rows)
        return ids, np.stack([self.rows[int(i)] for i in ids])

    def check(self, q: Array, ks=(1, 10), **options) -> None:
        ids, x = self.held()
        assert self.index.ntotal == len(ids)
        for k in (*ks, len(ids)):
            wanted = by_id("search", q, x, ids, k, self.metric, **options)
            reference.assert_all_same(self.index.search(q, k, **options), wanted)
        cut = float(reference.search(q[:1], x, 10, self.metric).values[0, -1])
        if not np.isnan(cut):
            wanted = by_id("range_search", q, x, ids, cut, self.metric, **options)
            reference.assert_all_same(self.index.range_search(q, cut, **options), wanted)
        assert self.index.reconstruct(ids).tobytes() == x.tobytes()


def questions(d: int, dtype: str = "float32") -> Array:
    return normal(np.random.default_rng(99), 4, d, dtype)


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


def file_of(index: em.Index, path: Path, **options) -> em.Index:
    """The index after a stay in a file."""
    index.save(path)
    return em.Index.load(path, **options)


def assert_alike(a: em.Index, b: em.Index, q: Array, ks=(1, 10)) -> None:
    """Two indexes that answer alike, to the bit, and hold the same."""
    assert (a.metric, a.dtype, a.d, a.ntotal) == (b.metric, b.dtype, b.d, b.ntotal)
    keys = ("codes", "rows", "removed", "pages", "code_bytes", "table_bytes")
    assert {key: a.stats[key] for key in keys} == {key: b.stats[key] for key in keys}
    np.testing.assert_array_equal(a.ids, b.ids, strict=True)
    if a.ntotal:
        assert a.reconstruct(a.ids).tobytes() == b.reconstruct(b.ids).tobytes()
    for k in (*ks, max(a.ntotal, 1)):
        for nq in (1, len(q)):
            options = {"k": k, "nan": "rank_last"}
            reference.assert_all_same(a.search(q[:nq], **options), b.search(q[:nq], **options))
        reference.assert_all_same(
            a.search(q, k, nan="rank_last", exclude_self=True),
            b.search(q, k, nan="rank_last", exclude_self=True),
        )


def kept_codes(metric: str) -> str | None:
    """Codes wherever there are any, also where "auto" finds that they do not pay."""
    return "int8" if metric in CODE_METRICS else None
