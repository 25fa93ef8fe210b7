"""em.Index while rows come, change and go: always what a search of the rows it should hold finds.

Rows of 9600 elements fill a page with 48 of them: blocks, pages and the rows after the last whole
block are then all close together.
"""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

import embmath as em
import reference
from embmath import _core
from reference import Array
from strategies import DATA, DTYPES, FLOATS, INTS, make, metrics_of, normal
from test_index import by_id, codes_of

CODE_METRICS = ("cosine", "dot", "euclidean", "sqeuclidean")
LONG = 9600
LARGEST = 2**63 - 2


class Twin:
    """An index, and beside it a dict that is changed alike."""

    def __init__(self, metric: str, **options) -> None:
        self.metric = metric
        self.index = em.Index(metric=metric, **options)
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


@pytest.mark.parametrize("step", [1, 7, 16, 40])
@pytest.mark.parametrize("metric", ["cosine", "sqeuclidean"])
def test_rows_come_in_steps_across_blocks_and_pages(isa, rng, metric, step):
    twin, x = Twin(metric), normal(rng, 130, LONG, "int8")
    for first in range(0, 130, step):
        twin.add(x[first : first + step])
        if first >= 96 and first // 16 != (first + step) // 16:
            twin.check(questions(LONG, "int8")[:3])
    assert twin.index.stats["pages"] == 3


@pytest.mark.parametrize("metric", CODE_METRICS)
@pytest.mark.parametrize("rows", ["reference", "copy"])
class TestAdd:
    def test_in_steps_of_any_size(self, rng, metric, rows):
        twin = Twin(metric, rows=rows, dim=40)
        for n in (1, 15, 16, 1, 975, 1, 0, 1007, 1008, 1009, 500, 3):
            twin.add(normal(rng, n, 40))
            twin.check(questions(40))

    def test_after_all_rows_were_removed(self, rng, metric, rows):
        twin = Twin(metric, rows=rows)
        for n in (1, 20, 1500):
            ids = twin.add(normal(rng, n, 40))
            twin.check(questions(40))
            twin.remove(rng.permutation(ids))
            assert twin.index.ntotal == len(twin.index) == 0
            assert twin.index.search(questions(40), 3).indices.shape == (4, 0)
        twin.add(normal(rng, 30, 40))
        assert min(twin.rows) == 1 + 20 + 1500


class TestIds:
    def test_of_removed_rows_are_not_given_again(self, rng):
        twin = Twin("cosine")
        for _ in range(6):
            ids = twin.add(normal(rng, 20, 40))
            twin.remove(ids[5:])  # the last ones too, and often enough for the rest to move
        assert twin.index.ids.tolist() == [20 * i + j for i in range(6) for j in range(5)]

    def test_may_be_used_again_on_request(self, rng):
        twin = Twin("cosine")
        twin.add(normal(rng, 1000, 40))
        twin.remove(np.arange(100, 200))
        twin.add(normal(rng, 50, 40), np.arange(199, 149, -1))
        twin.check(questions(40))
        assert twin.add(normal(rng, 1, 40)).tolist() == [1000]
        twin.remove([150, 1000, 3])
        twin.add(normal(rng, 3, 40), [3, 1000, 150])
        twin.check(questions(40))

    def test_default_to_those_after_the_largest(self, rng):
        twin = Twin("dot")
        twin.add(normal(rng, 3, 40), [7, 1_000_000, 0])
        assert twin.add(normal(rng, 2, 40)).tolist() == [1_000_001, 1_000_002]
        twin.remove([1_000_002, 1_000_001, 1_000_000])
        assert twin.add(normal(rng, 1, 40)).tolist() == [1_000_003]

    def test_run_out(self, rng):
        index = em.Index(normal(rng, 1, 40), ids=[LARGEST - 1])
        assert index.add(normal(rng, 1, 40)).tolist() == [LARGEST]
        with pytest.raises(ValueError, match=r"^(ids|rows): "):
            index.add(normal(rng, 1, 40))
        assert index.ids.tolist() == [LARGEST - 1, LARGEST]
        assert index.add(normal(rng, 1, 40), ids=[3]).tolist() == [3]

    def test_one_number_for_one_row(self, rng):
        index = em.Index(dim=40)
        x = normal(rng, 2, 40)
        assert index.add(x[0], ids=9).tolist() == [9]
        index.update(9, x[1])
        assert index.reconstruct(9).tobytes() == x[1:].tobytes()
        index.remove(9)
        assert index.ntotal == 0


@pytest.mark.parametrize("metric", CODE_METRICS)
@pytest.mark.parametrize("rows", ["reference", "copy"])
class TestUpdate:
    def test_keeps_ids_and_changes_results(self, rng, metric, rows):
        """Rows of whole blocks, of the last few, at the ends of pages."""
        twin = Twin(metric, rows=rows)
        twin.add(normal(rng, 130, LONG, "int8"))
        for picked in ([0], [129], [128, 3, 47, 48, 96, 127], range(130)):
            ids, before = np.array(picked), twin.index.ids
            twin.update(ids, normal(rng, len(ids), LONG, "int8"))
            assert twin.index.ids.tolist() == before.tolist()
            twin.check(questions(LONG, "int8")[:3])

    def test_makes_a_row_the_best_and_the_worst(self, rng, metric, rows):
        twin, q = Twin(metric, rows=rows), questions(64)
        twin.add(normal(rng, 1010, 64))
        for best in (700, 1009, 0):
            twin.update([best], q[:1])
            assert twin.index.search(q[:1], 1).indices.tolist() == [[best]]
            twin.check(q)
            twin.update([best], -q[:1])
            assert best not in twin.index.search(q[:1], 500).indices
            twin.check(q)

    def test_and_add_and_remove(self, rng, metric, rows):
        twin, q = Twin(metric, rows=rows), questions(40)
        for _ in range(8):
            new = twin.add(normal(rng, 300, 40))
            twin.update(new[::-7], normal(rng, len(new[::-7]), 40))
            twin.check(q)
            twin.remove(rng.permutation(new)[:120])
            twin.update(twin.index.ids[:: -len(twin.rows) // 3], normal(rng, 4, 40)[:3])
            twin.check(q)


@pytest.mark.parametrize("metric", CODE_METRICS)
@pytest.mark.parametrize("rows", ["reference", "copy"])
class TestRemove:
    def test_takes_rows_out_of_results(self, rng, metric, rows):
        twin, q = Twin(metric, rows=rows), questions(40)
        twin.add(normal(rng, 1100, 40))
        for _ in range(5):
            gone = twin.index.search(q, 30).indices.ravel()
            twin.remove(np.unique(gone))
            assert not np.isin(twin.index.ids, gone).any()
            assert int(gone[0]) not in twin.index
            with pytest.raises(ValueError, match=rf"^ids: {gone[0]} is not in the index"):
                twin.index.reconstruct(gone[:1])
            twin.check(q)

    def test_moves_the_others_together_at_half(self, rng, metric, rows):
        twin, q = Twin(metric, rows=rows), questions(40)
        ids = np.random.default_rng(0).permutation(5000)[:2000]
        twin.add(normal(rng, 2000, 40), ids)
        full = twin.index.nbytes
        gone = rng.permutation(2000)
        twin.remove(ids[gone[:999]])
        assert twin.index.stats["removed"] == 999
        assert twin.index.ids.tolist() == ids[np.sort(gone[999:])].tolist()
        twin.check(q)
        twin.remove(ids[gone[999:1001]])
        assert twin.index.stats["removed"] == 0
        assert twin.index.nbytes < full
        assert twin.index.ids.tolist() == ids[np.sort(gone[1001:])].tolist()
        twin.check(q)
        twin.add(normal(rng, 700, 40))
        twin.update(twin.index.ids[::11], normal(rng, len(twin.index.ids[::11]), 40))
        twin.check(q)

    def test_in_order(self, rng, metric, rows):
        """From the front, as a window that slides."""
        twin, q = Twin(metric, rows=rows), questions(40)
        for step in range(12):
            new = twin.add(normal(rng, 150, 40))
            if step >= 4:
                twin.remove(new - 600)
                assert twin.index.ntotal == 600
            twin.check(q)
        assert twin.index.stats["rows"] + twin.index.stats["removed"] <= 1200


@pytest.mark.parametrize("rows", ["reference", "copy"])
def test_nothing_is_held_once_all_rows_are_gone(rng, rows):
    index = em.Index(rows=rows)
    for _ in range(3):
        ids = index.add(np.asfortranarray(normal(rng, 400, 40)))  # copied either way
        assert index.stats["copied_rows"] == 400
        assert index.stats["row_bytes"] == 400 * 160
        index.remove(ids)
        assert index.stats == em.Index(normal(rng, 0, 40)).stats


def test_arrays_live_as_long_as_a_row_in_them(rng):
    """Whichever rows of which arrays are added, updated and removed, across pages."""
    index, alive, source, rows = em.Index(dim=LONG), [], {}, {}

    def fresh(n: int) -> Array:
        x = normal(rng, n, LONG, "int8")
        alive.append(weakref.ref(x))
        return x

    def put(ids: Array, x: Array) -> None:
        source.update(dict.fromkeys(ids.tolist(), len(alive) - 1))
        rows.update({int(i): row.copy() for i, row in zip(ids, x, strict=True)})

    def drop(share: float) -> None:
        gone = rng.permutation(list(source))[: int(share * len(source))]
        index.remove(gone)
        for i in gone.tolist():
            del source[i], rows[i]

    for step in range(60):
        x = fresh(int(rng.integers(1, 40)))
        if step % 3 == 1:
            ids = rng.permutation(list(source))[: len(x)]
            x = x[: len(ids)]
            index.update(ids, x)
        else:
            ids = index.add(x)
        put(ids, x)
        del x
        if step % 4 == 3:
            drop(rng.choice([0.1, 0.3, 0.6]))
        gc.collect()
        assert all(alive[i]() is not None for i in source.values())
        ids = index.ids
        assert index.reconstruct(ids).tobytes() == b"".join(rows[i].tobytes() for i in ids.tolist())
    drop(0.9)
    gc.collect()
    assert {i for i, ref in enumerate(alive) if ref() is not None} == set(source.values())


class TestWindow:
    """New rows come and old ones go for ever."""

    def test_lets_go_of_arrays_that_have_no_row_left(self, rng):
        index, alive = em.Index(dim=40), []
        for step in range(30):
            x = normal(rng, 100, 40)
            alive.append(weakref.ref(x))
            new = index.add(x)
            del x
            if step >= 2:
                index.remove(new - 200)
        gc.collect()
        assert index.ntotal == 200
        assert sum(ref() is not None for ref in alive) <= 6  # places of removed rows wait a while

    @pytest.mark.parametrize("rows", ["reference", "copy"])
    def test_leaves_no_trace_of_every_move(self, run_python, rows):
        """The index ends in a thread with little stack, as Python's threads have it elsewhere."""
        code = (
            "import threading, numpy as np, embmath as em\n"
            f"index = em.Index(np.ones((2, 4), np.float32), rows='{rows}')\n"
            "for i in range(20_000):\n"
            "    new = index.add(np.full((2, 4), i, np.float32))\n"
            "    index.remove(new - 2)\n"
            "box = [index]\n"
            "del index\n"
            "threading.stack_size(2**18)\n"
            "thread = threading.Thread(target=box.clear)\n"
            "thread.start()\n"
            "thread.join()\n"
        )
        run_python(code)


class TestRepeatedRows:
    """A search leaves out copies of the rows before them, unless changes have made that unsafe."""

    @pytest.mark.parametrize("metric", ["cosine", "euclidean"])
    @pytest.mark.parametrize("run", [2, 40, 1500])
    def test_runs_of_equal_rows(self, rng, metric, run):
        x = np.repeat(normal(rng, 3000 // run, 33), run, axis=0)
        q = np.vstack([x[: 3 * run : run][:2], normal(rng, 2, 33)])
        twin, ks = Twin(metric), (1, 9, 25)
        for part in np.split(x, [1, 5, 21, 700, 1007, 1009, 2990]):
            twin.add(part)
            twin.check(q, ks)
        twin.check(q, ks, mask=rng.random(3000) < 0.1)
        twin.update([0, 18, 1500, 2999], x[[1600, 0, 2999, 2998]])
        twin.check(q, ks)
        twin.remove(np.arange(0, 3000, 3))
        twin.check(q, ks)
        twin.remove(twin.index.ids[::2])
        twin.check(q, ks)
        twin.add(x[:500], np.arange(20_000, 19_500, -1))
        twin.check(q, ks)

    def test_a_row_that_no_longer_equals_the_one_before(self, rng):
        twin, x = Twin("dot"), np.tile(normal(rng, 1, 40), (1500, 1))
        twin.add(x)
        for changed in (700, 0, 1499, 20):
            twin.update([changed], x[:1] * 2)
            twin.check(x[:1], (1, 5, 15))


# What a change must not leave behind when it is refused.
HELD = ("ntotal", "d", "dtype", "nbytes", "stats")


class TestRefused:
    @pytest.fixture(params=[False, True])
    def index(self, rng, request):
        """Twenty rows; with ids 0, 1, 2, ... or in no order."""
        index = em.Index(normal(rng, 30, 40), ids=rng.permutation(30) if request.param else None)
        index.remove([25, 27])
        return index

    @staticmethod
    def refused(index, error, message, change):
        q = questions(40)
        before = [getattr(index, name) for name in HELD]
        results, ids = index.search(q, 30), index.ids
        rows = None if index.dtype is None else index.reconstruct(ids).tobytes()
        with pytest.raises(error, match=message):
            change()
        assert [getattr(index, name) for name in HELD] == before
        assert index.ids.tolist() == ids.tolist()
        assert rows is None or index.reconstruct(ids).tobytes() == rows
        reference.assert_all_same(index.search(q, 30), reference.TopK(*results))

    @pytest.mark.parametrize(
        ("ids", "message"),
        [
            ([40, 41, 40], "^ids: 40 "),
            ([40, 29, 41], "^ids: 29 "),
            ([40, 41, 0], "^ids: 0 "),
            ([40, -1, 41], "^ids: .*-1"),
            ([40, LARGEST + 1, 41], f"^ids: .*{LARGEST + 1}"),
            ([40, 41], r"^ids: .*\(3,\)"),
            ([[40, 41, 42]], r"^ids: .*\(3,\)"),
            ([], r"^ids: .*\(3,\)"),
        ],
    )
    def test_add_ids(self, index, rng, ids, message):
        x = normal(rng, 3, 40)
        self.refused(index, ValueError, message, lambda: index.add(x, ids))
        if isinstance(ids, list) and ids and not isinstance(ids[0], list):
            assert index.add(x[0], ids[0]).tolist() == [40]  # not known from the refused call
            index.add(x[1], ids=25)

    @pytest.mark.parametrize(
        ("error", "message", "rows"),
        [
            (TypeError, "^rows: .*float32.*float64", np.ones((2, 40))),
            (TypeError, "^rows: .*float32.*int8", np.ones((2, 40), np.int8)),
            (TypeError, "^rows: .*int64", np.ones((2, 40), np.int64)),
            (ValueError, "^rows: .*40 columns.*39", np.ones((2, 39), np.float32)),
            (ValueError, "^rows: .*dimensions", np.ones((2, 40, 1), np.float32)),
            (TypeError, "^rows: ", None),
        ],
    )
    def test_rows(self, index, error, message, rows):
        self.refused(index, error, message, lambda: index.add(rows))
        self.refused(index, error, message, lambda: index.update([1, 2], rows))

    @pytest.mark.parametrize(
        ("ids", "message"),
        [
            ([1, 2, 1], "^ids: 1 .*twice"),
            ([1, 2, 30], "^ids: 30 is not in the index"),
            ([1, 2, 25], "^ids: 25 is not in the index"),
            ([1, 2, -1], "^ids: -1 is not in the index"),
            ([1, 2, -(2**63)], r"^ids: -\d+ is not in the index"),
            ([[1, 2, 3]], "^ids: .*shape"),
        ],
    )
    def test_update_and_remove_ids(self, index, rng, ids, message):
        x = normal(rng, 3, 40)
        self.refused(index, ValueError, message, lambda: index.update(ids, x))
        self.refused(index, ValueError, message, lambda: index.remove(ids))

    def test_as_many_rows_as_ids(self, index, rng):
        x = normal(rng, 3, 40)
        self.refused(index, ValueError, r"^ids: .*\(3,\)", lambda: index.update([1, 2], x))

    @pytest.mark.parametrize("ids", [[1.0], [True], "1", None, np.ones(1, np.uint64)])
    def test_ids_that_are_no_integers(self, index, rng, ids):
        x = normal(rng, 1, 40)
        changes = [lambda: index.update(ids, x), lambda: index.remove(ids)]
        if ids is not None:
            changes.append(lambda: index.add(x, ids))
        for change in (*changes, lambda: index.reconstruct(ids)):
            self.refused(index, TypeError, "^ids: ", change)

    @pytest.mark.parametrize("picked", [30, -1, 25, [1, 2, 30]])
    def test_reconstruct(self, index, picked):
        with pytest.raises(ValueError, match=r"^ids: .* is not in the index"):
            index.reconstruct(picked)

    def test_the_first_rows(self, rng):
        """They fix the type of an index only if they are taken."""
        index = em.Index()
        x = normal(rng, 2, 40)
        self.refused(index, ValueError, "^ids: 1 ", lambda: index.add(x, [1, 1]))
        self.refused(index, ValueError, "^ids: ", lambda: index.add(x, [-1, 1]))
        self.refused(index, ValueError, "^dim: ", lambda: index.add(x[:, :0]))
        assert index.add(normal(rng, 2, 9, "int8")).tolist() == [0, 1]
        assert (index.d, index.dtype) == (9, "int8")

    def test_too_many_columns_for_codes(self):
        index = em.Index(codes="int8")
        x = np.ones((2, 2**16 + 1), np.int8)
        with pytest.raises(ValueError, match=r"^codes: .*65536.*65537"):
            index.add(x)
        assert em.Index(x).stats["codes"] is None

    def test_what_does_not_fit(self, run_python):
        code = (
            "import numpy as np, embmath as em\n"
            "x = np.random.default_rng(0).standard_normal((50_000, 64)).astype('f4')\n"
            "index = em.Index(x[:1000])\n"
            "before = index.search(x[:3], 5)\n"
            "for more in (x, np.asfortranarray(x)):\n"
            "    try: index.add(more)\n"
            "    except MemoryError as error: print(str(error).split(' needs')[0])\n"
            "print(index.ntotal, (index.search(x[:3], 5).indices == before.indices).all())\n"
            "print(index.add(x[:5]))\n"
        )
        out = run_python(code, EMBMATH_MAX_MEMORY="1M").stdout.splitlines()
        assert out == [
            "Index: codes",
            "Index: rows",
            "1000 True",
            "[1000 1001 1002 1003 1004]",
        ]


def test_changes_of_nothing(rng):
    index = em.Index(normal(rng, 20, 40))
    before = index.stats
    assert index.add(np.empty((0, 40), np.float32)).tolist() == []
    assert index.add(np.empty((0, 40), np.float32), ids=[]).tolist() == []
    index.update([], np.empty((0, 40), np.float32))
    index.remove([])
    assert index.reconstruct([]).shape == (0, 40)
    assert index.stats == before


def test_add_reports_the_fraction_done(rng, force_isa):
    force_isa("scalar")
    rows = np.lib.stride_tricks.sliding_window_view(normal(rng, 1, 2**17 + 767)[0], 768)
    index, calls = em.Index(dim=768), []
    index.add(rows, progress=calls.append, threads=1)
    assert len(calls) > 1
    assert calls == sorted(calls)
    assert 0 <= calls[0] <= calls[-1] == 1


# --- any sequence of changes ---------------------------------------------------------------------


SHARES = st.sampled_from([0.0, 0.02, 0.1, 0.3, 0.7])


class Changes(RuleBasedStateMachine):
    """Any sequence of changes and searches, against rows in a dict and the oracle."""

    SIZES = st.sampled_from([700, 300, 130, 130, 40, 17, 16, 15, 2, 1, 0])
    SEEDS = st.integers(0, 2**16)

    @initialize(
        dtype=st.sampled_from(tuple(DTYPES)),
        d=st.sampled_from([1, 33, 64, 2400]),
        rows=st.sampled_from(["reference", "copy"]),
        isa=st.sampled_from(_core.available_isas()),
        data=st.data(),
    )
    def start(self, dtype, d, rows, isa, data):
        self.before = _core.active_isa()
        _core.force_isa(isa)
        metric = data.draw(st.sampled_from(metrics_of(dtype)), label="metric")
        codes = data.draw(st.sampled_from(codes_of(metric, d)), label="codes")
        self.dtype, self.d = dtype, d
        self.twin = Twin(metric, codes=codes, rows=rows, dim=d)

    def teardown(self):
        if hasattr(self, "before"):
            _core.force_isa(self.before)

    def make(self, data: str, nq: int, n: int, seed: int) -> tuple[Array, Array]:
        if self.dtype in INTS and data == "specials":  # which integers cannot hold
            data = "signs"
        q, x = make(data, nq, n, self.d, self.dtype, seed)
        if self.dtype in FLOATS:
            q = np.where(np.isnan(q), 0, q).astype(q.dtype)
        return q, x

    @property
    def room(self) -> int:
        """Rows that the oracle has time for: three pages of 2400 columns, or any number."""
        return max(0, min(3000, 432 * 2400 // self.d) - len(self.twin.rows))

    def some_ids(self, data, share: float = 0.0) -> Array:
        """One or more of those held, in any order."""
        ids = np.array(sorted(self.twin.rows), np.int64)
        rng = np.random.default_rng(data.draw(self.SEEDS))
        return rng.permutation(ids)[: max(1, int(len(ids) * share))]

    @rule(n=SIZES, kind=st.sampled_from(tuple(DATA)), seed=SEEDS, threads=st.integers(1, 3))
    def add(self, n, kind, seed, threads):
        n = min(n, self.room)
        self.twin.add(self.make(kind, 1, n, seed)[1], threads=threads)

    @rule(n=SIZES, kind=st.sampled_from(tuple(DATA)), seed=SEEDS, spread=st.sampled_from([1, 9]))
    def add_with_ids(self, n, kind, seed, spread):
        n = min(n, self.room)
        free = np.setdiff1d(np.arange(spread * (len(self.twin.rows) + n)), list(self.twin.rows))
        ids = np.random.default_rng(seed).permutation(free)[:n]
        self.twin.add(self.make(kind, 1, n, seed)[1], ids)

    @precondition(lambda self: self.twin.rows)
    @rule(seed=SEEDS, data=st.data())
    def repeat_rows(self, seed, data):
        row = self.twin.rows[int(self.some_ids(data)[0])]
        self.twin.add(np.tile(row, (20, 1)))

    @precondition(lambda self: self.twin.rows)
    @rule(data=st.data(), kind=st.sampled_from(tuple(DATA)), seed=SEEDS)
    def update(self, data, kind, seed):
        ids = self.some_ids(data, data.draw(SHARES))
        self.twin.update(ids, self.make(kind, 1, len(ids), seed)[1])

    @precondition(lambda self: self.twin.rows)
    @rule(data=st.data())
    def remove(self, data):
        self.twin.remove(self.some_ids(data, data.draw(SHARES)))

    @precondition(lambda self: self.twin.rows)
    @rule()
    def remove_all(self):
        self.twin.remove(list(self.twin.rows))

    @precondition(lambda self: self.twin.rows)
    @rule(data=st.data())
    def be_refused(self, data):
        known = self.some_ids(data, 0.01)
        unknown = np.append(known, max(self.twin.rows) + 1)
        x = np.zeros((len(unknown), self.d), DTYPES[self.dtype])
        for change in (
            lambda: self.twin.index.add(x, unknown),
            lambda: self.twin.index.update(unknown, x),
            lambda: self.twin.index.remove(unknown),
            lambda: self.twin.index.reconstruct(unknown),
        ):
            with pytest.raises(ValueError, match=r"^ids: "):
                change()

    @precondition(lambda self: self.twin.rows)
    @rule(
        nq=st.sampled_from([1, 2, 3, 6]),
        kind=st.sampled_from(tuple(DATA)),
        seed=SEEDS,
        k=st.sampled_from([1, 1, 5, 2000]),
        masks=st.sampled_from([None, "shared", "own"]),
        exclude_self=st.booleans(),
        has_threshold=st.booleans(),
        pad=st.booleans(),
        threads=st.integers(1, 3),
    )
    def search(self, nq, kind, seed, k, masks, exclude_self, has_threshold, pad, threads):
        twin, rng = self.twin, np.random.default_rng(seed)
        ids, x = twin.held()
        q = self.make(kind, nq, 1, seed)[0]
        if rng.random() < 0.5:
            near = x[rng.integers(0, len(x), nq)]
            q = np.where(np.isnan(near.astype(np.float64)), q, near)
        options: dict = {"exclude_self": exclude_self}
        if masks is not None:
            shape = (nq, len(ids)) if masks == "own" else len(ids)
            options["mask"] = rng.random(shape) < rng.choice([0.02, 0.5])
        own = reference.search(q[:1], x, 6, twin.metric).values[0, -1]
        cut = 0.5 if np.isnan(float(own)) else float(own)
        wanted = by_id("range_search", q, x, ids, cut, twin.metric, **options)
        found = twin.index.range_search(q, cut, threads=threads, **options)
        reference.assert_all_same(found, wanted)
        if has_threshold:
            options["threshold"] = cut
        wanted = by_id("search", q, x, ids, k, twin.metric, pad=pad, **options)
        found = twin.index.search(q, k, pad=pad, threads=threads, **options)
        reference.assert_all_same(found, wanted)

    @invariant()
    def holds_what_it_should(self):
        if not hasattr(self, "twin"):
            return
        index, rows = self.twin.index, self.twin.rows
        assert len(index) == index.ntotal == index.stats["rows"] == len(rows)
        assert index.d == self.d
        ids = index.ids
        assert sorted(ids.tolist()) == sorted(rows)
        if rows:
            x = np.stack([rows[int(i)] for i in ids])
            assert index.reconstruct(ids).tobytes() == x.tobytes()
            q = self.make("normal", 4, 1, len(rows))[0]
            for nq in (1, 4):  # in codes of two digits, then with a float stage behind
                wanted = by_id("search", q[:nq], x, ids, 1, self.twin.metric)
                reference.assert_all_same(index.search(q[:nq], 1), wanted)
            assert int(ids[0]) in index
        assert self.twin.next_id not in index


TestChanges = Changes.TestCase
TestChanges.settings = settings(stateful_step_count=20)
