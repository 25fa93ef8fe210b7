"""em.Index while rows come, change and go: always what a search of the rows it should hold finds.

Rows of 9600 elements fill a page with 48 of them: blocks, pages and the rows after the last whole
block are then all close together.
"""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import embmath as em
from index_helpers import (
    CODE_METRICS,
    LARGEST,
    Twin,
    questions,
)
from reference import Array
from strategies import normal

LONG = 9600


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
    index, calls = em.Index(dim=768, codes="int8"), []
    index.add(rows, progress=calls.append, threads=1)
    assert len(calls) > 1
    assert calls == sorted(calls)
    assert 0 <= calls[0] <= calls[-1] == 1
