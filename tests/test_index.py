"""em.Index: what a plain search of the same rows finds, bit for bit, whatever else it keeps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import embmath as em
import reference
from embmath import _core
from index_helpers import (
    CODE_METRICS,
    HUGE,
    PAGES,
    by_id,
    check,
    codes_of,
    kept_codes,
    ranking,
)
from reference import BIT_METRICS, FLOAT_METRICS
from strategies import DATA, DTYPES, FLOATS, INTS, make, metrics_of, normal, problems


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
            check(
                em.Index(wanted.rows, metric=metric, codes=kept_codes(metric)),
                wanted,
                (1, 8),
                (1, 25),
            )

    @pytest.mark.parametrize("dtype", INTS)
    @pytest.mark.parametrize("data", ["ascending", "all_equal", "duplicates", "near_ties", "signs"])
    def test_integers_with_many_ties(self, isa, dtype, data):
        for metric in CODE_METRICS:
            wanted = ranking(data, 8, 2500, 40, dtype, metric)
            check(
                em.Index(wanted.rows, metric=metric, codes=kept_codes(metric)),
                wanted,
                (1, 8),
                (1, 25),
            )

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
        index = em.Index(x, metric=metric, ids=ids, codes=kept_codes(metric))
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
    index = em.Index(x, metric=metric, ids=ids, codes=kept_codes(metric))
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
            ("auto", "cosine", 31, ()),
            ("auto", "cosine", 32, ("int8",)),
            ("auto", "dot", 64, ("int8",)),
            ("auto", "manhattan", 64, ()),
            ("int8", "sqeuclidean", 1, ("int8",)),
            ("prefix", "dot", 40, ("prefix",)),
            (("int4", "prefix", "int8"), "cosine", 64, ("int8", "prefix", "int4")),
            (None, "euclidean", 64, ()),
            ((), "euclidean", 64, ()),
        ],
    )
    def test_codes(self, rng, codes, metric, d, kept):
        index = em.Index(normal(rng, 20, d), metric=metric, codes=codes)
        assert index.stats["codes"] == kept
        assert (index.stats["code_bytes"] > 0) == bool(kept)

    @pytest.mark.parametrize("metric", BIT_METRICS)
    def test_no_codes_for_bits(self, rng, metric):
        assert em.Index(normal(rng, 9, 64, "uint8"), metric=metric).stats["codes"] == ()

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
            index = em.Index(x, metric=metric, ids=np.arange(1500)[::-1], codes="int8")
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
        index = em.Index(x, metric=metric, codes="int8")
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
