"""em.Index: what a plain search of the same rows finds, bit for bit, whatever else it keeps."""

from __future__ import annotations

import functools
import gc
import weakref
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import embmath as em
import reference
from embmath import _core
from reference import BIT_METRICS, FLOAT_METRICS, Array, RangeResult, TopK
from strategies import DATA, DTYPES, FLOATS, INTS, LAYOUTS, make, metrics_of, normal, problems

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


class TestLikeASearch:
    @pytest.mark.parametrize("metric", CODE_METRICS)
    @pytest.mark.parametrize("d", [1, 2, 31, 32, 33, 64, 100, 384, 768, 1000])
    def test_any_shape(self, metric, d):
        page = PAGES.get(d, 1008)
        for n in (1, 15, 16, 17, 47, 48, 49, page - 1, page, page + 1, 1009):
            wanted = ranking("normal", 8, n, d, "float32", metric)
            for codes in ("int8", None):
                check(em.Index(wanted.rows, metric=metric, codes=codes), wanted, (1, 2, 3, 8))

    @pytest.mark.parametrize("metric", CODE_METRICS)
    @pytest.mark.parametrize("d", [1, 31, 33, 100])
    def test_any_instruction_set(self, isa, metric, d):
        for n in (15, 49, 1009):
            wanted = ranking("normal", 8, n, d, "float32", metric)
            check(em.Index(wanted.rows, metric=metric, codes="int8"), wanted, (1, 2, 3, 8))

    @pytest.mark.parametrize("metric", CODE_METRICS)
    @pytest.mark.parametrize(("n", "d", "nq"), [(3000, 384, 40), (30_000, 8, 6)])
    def test_several_pages_and_any_number_of_threads(self, metric, n, d, nq):
        wanted = ranking("normal", nq, n, d, "float32", metric)
        for threads in (1, 2, 3, 4):
            index = em.Index(wanted.rows, metric=metric, codes="int8", threads=threads)
            check(index, wanted, (3, None), (1, 10), threads=threads)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_any_dtype_and_metric(self, isa, dtype):
        for metric in metrics_of(dtype):
            wanted = ranking("normal", 40, 1009, 64, dtype, metric)
            for codes in codes_of(metric, 64):
                for rows in ("reference", "copy"):
                    index = em.Index(wanted.rows, metric=metric, codes=codes, rows=rows)
                    check(index, wanted, (1, 3, 40), (1, 10, None) if codes else (10,))

    @pytest.mark.parametrize("data", DATA)
    @pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
    def test_hard_data(self, isa, data, dtype):
        for metric in CODE_METRICS:
            wanted = ranking(data, 8, 2500, 40, dtype, metric)
            check(em.Index(wanted.rows, metric=metric), wanted, (1, 8), (1, 25))

    @pytest.mark.parametrize("dtype", INTS)
    @pytest.mark.parametrize("data", ["ascending", "all_equal", "duplicates", "near_ties", "signs"])
    def test_integers_with_many_ties(self, isa, dtype, data):
        for metric in CODE_METRICS:
            wanted = ranking(data, 8, 2500, 40, dtype, metric)
            check(em.Index(wanted.rows, metric=metric), wanted, (1, 8), (1, 25))

    @pytest.mark.parametrize("dtype", FLOATS)
    def test_queries_of_another_float_type(self, rng, dtype):
        q = normal(rng, 7, 48)
        for other in FLOATS:
            x = normal(rng, 1100, 48, other)
            index = em.Index(x)
            for nq in (1, 7):
                part = q[:nq].astype(DTYPES[dtype])
                reference.assert_all_same(index.search(part), reference.search(part, x))

    @given(problems(), st.data())
    def test_any_combination_of_options(self, isa, problem, data):
        q, x, metric = problem
        n, draw = len(x), data.draw
        if x.shape[1] == 0:
            with pytest.raises(ValueError, match=r"^dim: .*1"):
                em.Index(x, metric=metric)
            return
        rng = np.random.default_rng(draw(st.integers(0, 999)))
        ids = draw(st.sampled_from([np.arange(n), np.arange(n)[::-1], rng.permutation(3 * n)[:n]]))
        masks = [None, rng.random(n) < 0.5, rng.random((len(q), n)) < 0.3, np.zeros(n, np.bool_)]
        scores = reference.matrix(q, x, metric, "search").astype(np.float64).ravel()
        cuts = [None, *(float(c) for c in scores[~np.isnan(scores)][:1]), np.inf, -np.inf]
        options = {
            "mask": draw(st.sampled_from(masks)),
            "threshold": draw(st.sampled_from(cuts)),
            "exclude_self": draw(st.booleans()),
        }
        pad, k = draw(st.booleans()), draw(st.sampled_from([1, 1, 2, 20, 140]))
        index = em.Index(
            x,
            metric=metric,
            ids=ids,
            codes=draw(st.sampled_from(codes_of(metric, x.shape[1]))),
            rows=draw(st.sampled_from(["reference", "copy"])),
        )
        wanted = by_id("search", q, x, ids, k, metric, pad=pad, **options)
        reference.assert_all_same(index.search(q, k, pad=pad, **options), wanted)
        if options["threshold"] is not None:
            wanted = by_id("range_search", q, x, ids, metric=metric, **options)
            reference.assert_all_same(index.range_search(q, **options), wanted)


@pytest.mark.parametrize("metric", CODE_METRICS)
@pytest.mark.parametrize("removed", [0, 300])
class TestOptions:
    """Where codes are used: at least a hundred rows for each one wanted."""

    @pytest.fixture
    def case(self, rng, metric, removed):
        """Queries that are rows, rows with many ties, ids in no order, and the index."""
        q, x = make("duplicates", 13, 1300, 40)
        x[::3] = normal(rng, len(x[::3]), 40)
        ids = rng.permutation(2000)[:1300]
        index = em.Index(x, metric=metric, ids=ids)
        gone = rng.choice(ids, removed, replace=False)
        index.remove(gone)
        at = {int(name): row for name, row in zip(ids, x, strict=True)}
        x = np.stack([at[int(name)] for name in index.ids])
        q[:6] = [at.get(i, q[0]) for i in range(6)]
        return index, q, x, index.ids

    @staticmethod
    def agree(case, metric, k=7, **options):
        index, q, x, ids = case
        for nq in (2, 13):
            mask = options.get("mask")
            given = options if mask is None or mask.ndim == 1 else options | {"mask": mask[:nq]}
            for columns in (1, k, 200):
                reference.assert_all_same(
                    index.search(q[:nq], columns, **given),
                    by_id("search", q[:nq], x, ids, columns, metric, **given),
                )
            cut = {"threshold": float(reference.search(q[:1], x, 40, metric).values[0, -1])} | given
            cut.pop("pad", None)
            reference.assert_all_same(
                index.range_search(q[:nq], **cut),
                by_id("range_search", q[:nq], x, ids, metric=metric, **cut),
            )

    def test_none(self, case, metric):
        self.agree(case, metric)

    @pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
    def test_mask(self, case, rng, metric, share):
        n = len(case[0])
        self.agree(case, metric, mask=rng.random(n) < share)
        self.agree(case, metric, mask=rng.random((13, n)) < share)
        self.agree(case, metric, mask=np.asfortranarray(rng.random((13, n)) < share))

    def test_exclude_self(self, case, rng, metric):
        self.agree(case, metric, exclude_self=True)
        mask = rng.random((13, len(case[0]))) < 0.5
        self.agree(case, metric, exclude_self=True, mask=mask, pad=True)

    def test_threshold(self, case, metric):
        values = reference.search(case[1], case[2], 60, metric).values
        for cut in (values[0, 0], values[0, 3], values[3, -1], np.inf, -np.inf):
            self.agree(case, metric, threshold=float(cut))

    def test_nan_queries(self, case, metric):
        index, q, x, ids = case
        q[1, 5] = np.nan
        with pytest.raises(ValueError, match=r"^queries: row 1 .*NaN.*rank_last"):
            index.search(q)
        with pytest.raises(ValueError, match=r"^queries: .*NaN"):
            index.range_search(q, 0.5)
        self.agree((index, q, x, ids), metric, nan="rank_last")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("metric", FLOAT_METRICS)
def test_rows_that_hold_nan_come_last(isa, dtype, metric):
    q, x = make("normal", 5, 1200, 40, dtype)
    x[np.arange(1200) % 40 != 17, 3] = np.nan
    ids = np.arange(1200)[::-1] * 3
    index = em.Index(x, metric=metric, ids=ids)
    for k in (1, 12, 30, 33, 1200):
        wanted = by_id("search", q, x, ids, k, metric)
        reference.assert_all_same(index.search(q, k), wanted)
    cut = -1e9 if metric in ("cosine", "dot") else 1e9
    hits = by_id("range_search", q, x, ids, cut, metric)
    reference.assert_all_same(index.range_search(q, cut), hits)


class TestIds:
    @pytest.mark.parametrize("metric", CODE_METRICS)
    @pytest.mark.parametrize("data", ["all_equal", "duplicates", "signs", "near_ties", "normal"])
    def test_ties_go_to_the_lowest(self, isa, data, metric):
        q, x = make(data, 5, 1300, 33)
        shuffled = np.random.default_rng(1).permutation(1300)
        for ids in (shuffled, np.arange(1300)[::-1], HUGE - 7 * shuffled, shuffled * 2**52):
            for codes in ("int8", None):
                index = em.Index(x, metric=metric, ids=ids, codes=codes)
                for k in (1, 13, 100):
                    wanted = by_id("search", q, x, ids, k, metric)
                    reference.assert_all_same(index.search(q, k), wanted)

    def test_order_masks(self, rng):
        x = normal(rng, 600, 40)
        names = rng.permutation(5000)[:600]
        index = em.Index(x, ids=names)
        index.remove(names[100:150])
        index.add(x[:20] * 2, ids=np.arange(6000, 5980, -1))
        for wanted in (names[0], names[599], 5990):
            top = index.search(x[:3], 5, mask=index.ids == wanted)
            assert top.indices[:, 0].tolist() == [wanted] * 3
            assert (top.indices[:, 1:] == -1).all()

    def test_default_to_positions(self, rng):
        index = em.Index(normal(rng, 30, 40))
        assert index.ids.dtype == np.int64
        assert index.ids.tolist() == list(range(30))

    @pytest.mark.parametrize("kind", [list, tuple, np.int32, np.int64])
    def test_come_in_many_forms(self, rng, kind):
        x, names = normal(rng, 3, 40), [5, 3, 2**31 - 1]
        ids = kind(names) if kind in (list, tuple) else np.array(names, kind)
        assert em.Index(x, ids=ids).ids.tolist() == names

    def test_may_be_as_large_as_an_int64(self, rng):
        x = normal(rng, 2, 40)
        index = em.Index(x, ids=[HUGE, 0])
        assert index.search(x[:1], 1).indices.tolist() == [[HUGE]]
        assert index.reconstruct(HUGE).tolist() == x[:1].tolist()
        assert HUGE in index
        assert 2**62 not in em.Index(x)


class TestWhatTheIndexHolds:
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_properties(self, rng, dtype):
        x = normal(rng, 50, 40, dtype)
        index = em.Index(x, metric="euclidean")
        assert (len(index), index.ntotal, index.d) == (50, 50, 40)
        assert (index.metric, index.dtype) == ("euclidean", dtype)
        assert 49 in index
        assert np.int64(0) in index
        assert 50 not in index
        assert -1 not in index
        for part in ("50", "40", dtype, "euclidean", "int8"):
            assert part in repr(index)

    @pytest.mark.parametrize(
        ("codes", "metric", "d", "kept"),
        [
            ("auto", "cosine", 31, None),
            ("auto", "cosine", 32, "int8"),
            ("auto", "dot", 64, "int8"),
            ("auto", "manhattan", 64, None),
            ("int8", "sqeuclidean", 1, "int8"),
            (None, "euclidean", 64, None),
        ],
    )
    def test_codes(self, rng, codes, metric, d, kept):
        index = em.Index(normal(rng, 20, d), metric=metric, codes=codes)
        assert index.stats["codes"] == kept
        assert (index.stats["code_bytes"] > 0) == (kept is not None)

    @pytest.mark.parametrize("metric", BIT_METRICS)
    def test_no_codes_for_bits(self, rng, metric):
        assert em.Index(normal(rng, 9, 64, "uint8"), metric=metric).stats["codes"] is None

    def test_bytes(self, rng):
        """One byte per element and 40 per row, and copies where there are any."""
        n, d = 3 * 1008, 64
        x = normal(rng, n, d)
        plain, coded = em.Index(x, codes=None), em.Index(x)
        assert plain.nbytes <= 16 * n
        assert n * d < coded.nbytes <= n * (d + 41)
        assert em.Index(x, rows="copy").nbytes >= coded.nbytes + x.nbytes
        for index in (plain, coded):
            parts = ("code_bytes", "row_bytes", "table_bytes")
            assert index.nbytes == sum(index.stats[part] for part in parts)
            assert index.stats["row_bytes"] == 0

    def test_stats(self, rng):
        index = em.Index(normal(rng, 1009, 64))
        stats = index.stats
        assert (stats["rows"], stats["removed"], stats["pages"]) == (1009, 0, 2)
        index.remove([3, 7])
        assert (index.stats["rows"], index.stats["removed"]) == (1007, 2)

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("rows", ["reference", "copy"])
    def test_reconstruct(self, dtype, rows):
        x = make("normal" if dtype in INTS else "specials", 1, 200, 33, dtype)[1]
        names = np.random.default_rng(0).permutation(900)[:200]
        for ids in (np.arange(200), names):
            index = em.Index(np.asfortranarray(x), ids=ids, rows=rows)
            for picked in ([0], [199, 3, 3, 100], range(200), []):
                found = index.reconstruct(ids[list(picked)] if picked else [])
                assert found.dtype == x.dtype
                assert found.shape == (len(picked), 33)
                assert found.tobytes() == x[list(picked)].tobytes()
        assert index.reconstruct(int(names[7])).tobytes() == x[7].tobytes()


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


class TestEmpty:
    @pytest.mark.parametrize(("dtype", "metric"), [(d, m) for d in DTYPES for m in metrics_of(d)])
    @pytest.mark.parametrize("how", ["no dim", "dim", "no rows", "removed"])
    def test_finds_nothing(self, rng, how, dtype, metric):
        q = normal(rng, 3, 40, dtype)
        index = em.Index(metric=metric, dim=None if how == "no dim" else 40)
        if how == "no rows":
            assert index.add(q[:0]).shape == (0,)
        if how == "removed":
            index.add(q)
            index.remove([2, 0, 1])
        for options in ({}, {"pad": True}, {"pad": True, "threshold": 0.5}):
            wanted = reference.search(q, q[:0], 4, metric, **options)
            reference.assert_all_same(index.search(q, 4, **options), wanted)
        wanted = reference.range_search(q, q[:0], 0.5, metric)
        reference.assert_all_same(index.range_search(q, 0.5), wanted)
        mask = np.ones(0, np.bool_)
        assert index.search(q, 4, mask=mask, exclude_self=True).indices.shape == (3, 0)
        assert (index.ntotal, len(index), index.d) == (0, 0, 0 if how == "no dim" else 40)
        assert index.ids.tolist() == []
        assert index.ids.dtype == np.int64
        assert 0 not in index
        assert "0 rows" in repr(index)

    def test_before_the_first_rows(self):
        index = em.Index()
        assert (index.dtype, index.d, index.nbytes) == (None, 0, 0)
        assert index.stats["rows"] == 0
        for call in (index.remove, index.reconstruct, lambda ids: index.update(ids, [1.0])):
            with pytest.raises(ValueError, match=r"^ids: .*empty"):
                call([0])

    def test_fills_out(self, rng):
        out = np.ones((2, 3), np.float32), np.ones((2, 3), np.int64)
        top = em.Index(dim=4).search(normal(rng, 2, 4), 3, pad=True, out=out)
        assert top.indices is out[1]
        assert (out[1] == -1).all()
        assert np.isnan(out[0]).all()

    def test_checks_its_arguments_all_the_same(self, rng):
        q = normal(rng, 3, 40)
        for index in (em.Index(dim=40), em.Index(q[:0])):
            with pytest.raises(ValueError, match=r"^mask: "):
                index.search(q, mask=np.ones(1, np.bool_))
            with pytest.raises(ValueError, match=r"^queries: .*40 columns"):
                index.search(q[:, :39])
            with pytest.raises(ValueError, match=r"^k: "):
                index.search(q, 0)

    @pytest.mark.parametrize("kind", ["dim", "no rows"])
    def test_refuses_nan_like_any_search(self, rng, kind):
        q = normal(rng, 3, 40)
        index = em.Index(dim=40) if kind == "dim" else em.Index(q[:0])
        q[1, 1] = np.nan
        with pytest.raises(ValueError, match=r"^queries: .*NaN"):
            index.search(q)
        with pytest.raises(ValueError, match=r"^queries: .*NaN"):
            index.range_search(q, 0.5)
        assert index.search(q, 2, nan="rank_last", pad=True).indices.tolist() == [[-1, -1]] * 3

    def test_search_says_what_it_did(self, rng):
        stats: dict = {}
        em.Index(dim=40).search(normal(rng, 3, 40), stats=stats)
        assert {"plan", "stages", "verified", "seconds"} <= set(stats)


class TestRefused:
    @pytest.mark.parametrize(
        ("error", "message", "options"),
        [
            (ValueError, "^metric: unknown 'l2'", {"metric": "l2"}),
            (TypeError, "^metric: ", {"metric": None}),
            (ValueError, "^codes: unknown 'int4'", {"codes": "int4"}),
            (TypeError, "^codes: ", {"codes": True}),
            (ValueError, "^rows: unknown 'view'", {"rows": "view"}),
            (ValueError, "^dim: .*at least 1", {"dim": 0}),
            (TypeError, "^dim: ", {"dim": 4.0}),
            (ValueError, "^threads: ", {"threads": 0}),
            (ValueError, "3 columns.*got 4", {"dim": 3}),
            (ValueError, r"^ids: .*shape \(5,\)", {"ids": [1, 2]}),
            (ValueError, "^ids: 3 ", {"ids": [1, 2, 3, 3, 4]}),
            (ValueError, "^ids: .*-1", {"ids": [1, 2, 3, -1, 4]}),
            (ValueError, f"^ids: .*{2**63 - 1}", {"ids": [1, 2, 3, 4, 2**63 - 1]}),
            (TypeError, "^ids: .*float64", {"ids": [1.0, 2.0, 3.0, 4.0, 5.0]}),
            (TypeError, "^ids: .*bool", {"ids": np.ones(5, np.bool_)}),
            (TypeError, "^ids: .*uint64", {"ids": np.arange(5, dtype=np.uint64)}),
            (ValueError, "^codes: .*manhattan", {"metric": "manhattan", "codes": "int8"}),
            (TypeError, "^metric: 'hamming' .*uint8", {"metric": "hamming"}),
        ],
    )
    def test_at_construction(self, error, message, options):
        with pytest.raises(error, match=message):
            em.Index(np.ones((5, 4), np.float32), **options)

    def test_ids_without_rows(self):
        with pytest.raises(ValueError, match=r"^ids: "):
            em.Index(ids=[1])

    def test_codes_that_a_metric_cannot_have_before_any_rows(self):
        with pytest.raises(ValueError, match=r"^codes: .*manhattan"):
            em.Index(dim=40, metric="manhattan", codes="int8")

    @pytest.mark.parametrize(
        ("error", "message", "options"),
        [
            (ValueError, "^queries: .*4 columns.*got 3", {"queries": np.ones((2, 3), np.float32)}),
            (ValueError, "^queries: .*dimensions", {"queries": np.ones((2, 3, 4), np.float32)}),
            (TypeError, "^queries: .*int8", {"queries": np.ones((2, 4), np.int8)}),
            (TypeError, "^queries: ", {"queries": None}),
            (ValueError, "^k: ", {"k": 0}),
            (TypeError, "^k: ", {"k": 1.5}),
            (ValueError, "^mask: .*5", {"mask": np.ones(4, np.bool_)}),
            (ValueError, "^mask: .*5", {"mask": np.ones((3, 5), np.bool_)}),
            (TypeError, "^mask: .*bool", {"mask": np.ones(5, np.uint8)}),
            (TypeError, "^exclude_self: ", {"exclude_self": 1}),
            (TypeError, "^pad: ", {"pad": None}),
            (ValueError, "^threshold: ", {"threshold": np.nan}),
            (ValueError, "^nan: ", {"nan": "omit"}),
            (ValueError, "^threads: ", {"threads": -1}),
            (TypeError, "^progress: ", {"progress": 3}),
            (TypeError, "^stats: ", {"stats": []}),
        ],
    )
    def test_at_search(self, error, message, options):
        index = em.Index(np.ones((5, 4), np.float32))
        call = {"queries": np.ones((2, 4), np.float32), "k": 2} | options
        with pytest.raises(error, match=message):
            index.search(**call)
        if not set(options) & {"k", "pad", "stats"}:
            del call["k"]
            with pytest.raises(error, match=message):
                index.range_search(**({"threshold": 0.5} | call))


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


class TestVerification:
    """EMBMATH_VERIFY compares every search with a scan of all rows."""

    @pytest.fixture
    def verify(self, monkeypatch):
        monkeypatch.setenv("EMBMATH_VERIFY", "1")

    @pytest.fixture
    def scale_bounds(self):
        yield _core.scale_bounds
        _core.scale_bounds(1, 1, 1)

    @staticmethod
    def clusters(n=5000, nq=40, d=128):
        """Rows and queries a thousandth of their length from one of a few centres."""
        rng = np.random.default_rng(3)
        centres = rng.standard_normal((20, d))
        near = centres[rng.integers(0, 20, n + nq)] + 1e-3 * rng.standard_normal((n + nq, d))
        return near[:nq].astype(np.float32), near[nq:].astype(np.float32)

    @pytest.mark.usefixtures("verify")
    @pytest.mark.parametrize("data", DATA)
    def test_hard_data_passes(self, isa, data):
        q, x = make(data, 8, 1500, 48)
        q = np.nan_to_num(q, nan=0.0, posinf=np.inf, neginf=-np.inf)
        for metric in CODE_METRICS:
            index = em.Index(x, metric=metric, ids=np.arange(1500)[::-1])
            index.remove([3, 700])
            index.search(q[:2], 5, exclude_self=True)
            index.search(q, 15)
            index.range_search(q, 0.5)

    @pytest.mark.usefixtures("verify")
    @pytest.mark.parametrize("metric", CODE_METRICS)
    @pytest.mark.parametrize("nq", [3, 40])
    def test_a_bound_without_what_the_codes_leave_out_is_caught(
        self, isa, metric, nq, scale_bounds
    ):
        q, x = self.clusters()
        index = em.Index(x, metric=metric)
        reference.assert_all_same(index.search(q[:3]), reference.search(q[:3], x, metric=metric))
        scale_bounds(1, 0, 1)
        with pytest.raises(RuntimeError, match=r"^EMBMATH_VERIFY: query \d+ differs"):
            index.search(q[:nq])
        scale_bounds(1, 1, 1)
        index.search(q[:nq])

    def test_nothing_is_compared_unless_asked_for(self, monkeypatch, scale_bounds):
        monkeypatch.delenv("EMBMATH_VERIFY", raising=False)
        q, x = self.clusters(nq=40)
        index = em.Index(x)
        scale_bounds(1, 0, 1)
        index.search(q)
