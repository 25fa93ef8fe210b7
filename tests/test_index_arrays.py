"""em.Index and arrays: memory layouts, lifetimes, Torch, outputs and reports."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import embmath as em
import reference
from index_helpers import (
    check,
    ranking,
)
from reference import Array, TopK
from strategies import DTYPES, LAYOUTS, make, normal


class TestMemoryLayouts:
    @pytest.mark.parametrize("layout", LAYOUTS)
    @pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
    def test_do_not_matter(self, layout, dtype):
        wanted = ranking("normal", 8, 600, 40, dtype, "cosine")
        x = LAYOUTS[layout](wanted.rows)
        index = em.Index(x)
        check(index, wanted, (1, 8), (1, 6))
        in_place = x.strides[1] == x.itemsize and x.flags.aligned
        assert index.stats["copied_rows"] == (0 if in_place else 600)
        assert index.stats["row_bytes"] == (0 if in_place else x.nbytes)

    def test_memory_mapped_rows_are_not_copied(self, tmp_path):
        wanted = ranking("normal", 8, 1009, 64, "float32", "cosine")
        np.save(tmp_path / "rows.npy", wanted.rows)
        index = em.Index(np.load(tmp_path / "rows.npy", mmap_mode="r"))
        assert index.stats["copied_rows"] == index.stats["row_bytes"] == 0
        check(index, wanted, (1, 8), (1, 10))
        assert index.reconstruct([1008]).tobytes() == wanted.rows[1008:].tobytes()

    def test_one_row_and_lists(self):
        index = em.Index([1.0, 0.0])
        assert (index.ntotal, index.d, index.dtype) == (1, 2, "float64")
        assert index.add([[0.0, 1.0], [1.0, 1.0]]).tolist() == [1, 2]
        assert index.search([0.0, 2.0], 2).indices.tolist() == [[1, 2]]

    def test_repeated_by_a_stride_of_nothing(self, rng):
        row = normal(rng, 1, 40)[0]
        x = np.broadcast_to(row, (700, 40))
        index = em.Index(x)
        reference.assert_all_same(index.search(row, 5), reference.search(row, x, 5))


class TestReferences:
    @staticmethod
    def tracked(rng, n=300, layout=np.ascontiguousarray):
        x = layout(normal(rng, n, 40))
        return x, x.copy(), weakref.ref(x)

    def test_keep_the_array_alive(self, rng):
        x, copy, alive = self.tracked(rng)
        index = em.Index(x)
        del x
        gc.collect()
        assert alive() is not None
        reference.assert_all_same(index.search(copy[:5], 3), reference.search(copy[:5], copy, 3))
        del index
        gc.collect()
        assert alive() is None

    def test_keep_what_a_view_belongs_to(self, rng):
        x, copy, alive = self.tracked(rng)
        index = em.Index(x[100:200])
        del x
        gc.collect()
        assert alive() is not None
        assert index.reconstruct([7]).tobytes() == copy[107].tobytes()

    def test_keep_added_and_updated_rows(self, rng):
        index = em.Index(normal(rng, 20, 40))
        added, first, added_alive = self.tracked(rng, 5)
        updated, second, updated_alive = self.tracked(rng, 2)
        index.add(added)
        index.update([3, 21], updated)
        del added, updated
        gc.collect()
        assert added_alive() is not None
        assert updated_alive() is not None
        rows = np.vstack([second, first[[0, 2]]])
        assert index.reconstruct([3, 21, 20, 22]).tobytes() == rows.tobytes()

    def test_keep_the_array_alive_when_rows_move_together(self, rng):
        x, copy, alive = self.tracked(rng)
        index = em.Index(x)
        del x
        index.remove(np.arange(280))
        gc.collect()
        assert index.stats["removed"] == 0
        assert alive() is not None
        assert index.reconstruct(index.ids).tobytes() == copy[280:].tobytes()

    @pytest.mark.parametrize(
        ("rows", "layout"), [("copy", np.ascontiguousarray), ("reference", np.asfortranarray)]
    )
    def test_copies_need_no_array(self, rng, rows, layout):
        x, copy, alive = self.tracked(rng, layout=layout)
        index = em.Index(x, rows=rows)
        assert index.stats["copied_rows"] == 300
        x[:] = 0  # and do not see what becomes of it
        reference.assert_all_same(index.search(copy[:5], 3), reference.search(copy[:5], copy, 3))
        assert index.reconstruct(index.ids).tobytes() == np.ascontiguousarray(copy).tobytes()
        del x
        gc.collect()
        assert alive() is None

    @pytest.mark.parametrize("ids", [[1, 2, 3, 4, 0], [9, 9, 8, 7, 6], [-1, 11, 12, 13, 14]])
    def test_refused_rows_are_let_go(self, rng, ids):
        index = em.Index(normal(rng, 5, 40))
        x, _, alive = self.tracked(rng, 5)
        with pytest.raises(ValueError, match=r"^ids: "):
            index.add(x, ids=ids)
        del x
        gc.collect()
        assert alive() is None


class TestOutProgressAndStats:
    def test_out_is_filled_and_returned(self):
        wanted = ranking("normal", 8, 1009, 64, "float32", "cosine")
        out = np.empty((8, 4), np.float32), np.empty((8, 4), np.int64)
        top = em.Index(wanted.rows).search(wanted.queries, 4, out=out)
        assert top.values is out[0]
        assert top.indices is out[1]
        reference.assert_all_same(top, wanted.top(4))

    @pytest.mark.parametrize(
        ("error", "out"),
        [
            (ValueError, (np.empty((2, 2), np.float32), np.empty((3, 2), np.int64))),
            (TypeError, (np.empty((3, 2), np.float64), np.empty((3, 2), np.int64))),
            (TypeError, (np.empty((3, 2), np.float32), np.empty((3, 2), np.int32))),
            (TypeError, np.empty((3, 2), np.float32)),
        ],
    )
    def test_out_is_refused(self, rng, error, out):
        x = normal(rng, 9, 40)
        with pytest.raises(error, match=r"^out"):
            em.Index(x).search(x[:3], 2, out=out)

    def test_search_reports_the_fraction_done(self, rng):
        index = em.Index(normal(rng, 30_000, 64))
        q = normal(rng, 300, 64)
        for call in (
            lambda report: index.search(q, 3, progress=report),
            lambda report: index.range_search(q, 0.9, progress=report),
        ):
            seen: list[float] = []
            call(seen.append)
            assert seen == sorted(seen)
            assert 0 <= seen[0] <= seen[-1] == 1

    def test_an_exception_in_progress_stops_the_search(self, rng):
        q, x = make("normal", 2000, 30_000, 64)
        index = em.Index(x)

        def stop(_: float) -> None:
            raise LookupError("enough")

        with pytest.raises(LookupError, match="enough"):
            index.search(q, 100, progress=stop)
        reference.assert_all_same(index.search(q[:3], 4), reference.search(q[:3], x, 4))

    def test_stats(self):
        wanted = ranking("normal", 40, 3000, 384, "float32", "cosine")
        index = em.Index(wanted.rows)
        stats: dict = {}
        top = index.search(wanted.queries, 10, stats=stats)
        reference.assert_all_same(top, wanted.top(10))
        assert stats["plan"] == "int8, float32"
        codes = stats["stages"]["int8"]
        assert codes["pairs"] >= codes["survivors"] >= 40 * 10
        assert codes["pairs"] <= 40 * 3000
        assert codes["pack_seconds"] == 0
        assert 40 * 10 <= stats["verified"] < 0.1 * codes["pairs"]

    @pytest.mark.parametrize(
        ("nq", "k", "codes", "plan"),
        [
            (1, 1, "auto", "int8"),
            (1, 1, None, "canonical"),
            (8, 1, None, "float32"),
            (8, 600, "auto", "canonical"),
            (8, 60, "auto", "float32"),
        ],
    )
    def test_plan(self, nq, k, codes, plan):
        wanted = ranking("normal", 8, 1009, 64, "float32", "cosine")
        stats: dict = {}
        top = em.Index(wanted.rows, codes=codes).search(wanted.queries[:nq], k, stats=stats)
        reference.assert_all_same(top, wanted.top(k, nq))
        assert stats["plan"] == plan


class TestTorch:
    """Tensors in, tensors out; those of the rows need not outlive the index."""

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_results_are_those_of_numpy(self, dtype):
        torch = pytest.importorskip("torch")
        wanted = ranking("normal", 8, 1009, 64, dtype, "cosine")

        def tensor(x: Array):
            if dtype == "bfloat16":
                return torch.from_numpy(x.view(np.int16).copy()).view(torch.bfloat16)
            return torch.from_numpy(x.copy())

        index = em.Index(dim=64)
        added = index.add(tensor(wanted.rows[:1000]))
        assert isinstance(added, torch.Tensor)
        assert added.tolist() == list(range(1000))
        index.add(tensor(wanted.rows[1000:]), ids=torch.arange(1000, 1009))
        assert index.dtype == dtype
        q = tensor(wanted.queries)
        for found, expected in (
            (index.search(q, 5, mask=torch.ones(1009, dtype=torch.bool)), wanted.top(5)),
            (index.range_search(q, 0.2), wanted.within(0.2)),
        ):
            assert all(isinstance(part, torch.Tensor) for part in found)
            reference.assert_all_same(found._make(part.numpy() for part in found), expected)
        reference.assert_all_same(index.search(wanted.queries, 5), wanted.top(5))
        assert index.reconstruct([1008]).tobytes() == wanted.rows[1008:].tobytes()

    def test_out(self, rng):
        torch = pytest.importorskip("torch")
        wanted = ranking("normal", 8, 1009, 64, "float32", "cosine")
        out = torch.empty(8, 5), torch.empty(8, 5, dtype=torch.int64)
        top = em.Index(wanted.rows).search(torch.from_numpy(wanted.queries.copy()), 5, out=out)
        assert top.values is out[0]
        reference.assert_all_same(TopK(*(part.numpy() for part in top)), wanted.top(5))

    def test_gradients_are_refused(self):
        torch = pytest.importorskip("torch")
        with pytest.raises(TypeError, match=r"^rows: .*detach\(\)"):
            em.Index(torch.ones(3, 4, requires_grad=True))
        with pytest.raises(TypeError, match=r"^queries: .*detach\(\)"):
            em.Index(torch.ones(3, 4)).search(torch.ones(3, 4, requires_grad=True))
