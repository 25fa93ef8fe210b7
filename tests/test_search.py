"""search: exactly the k best rows, on data made to break the filter before the verification."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import embmath as em
import reference
from reference import BIT_METRICS, FLOAT_METRICS
from strategies import DATA, DTYPES, FLOATS, make, metrics_of, normal, problems

NAN = np.float32(np.nan)


@given(problems(), st.integers(1, 140), st.sampled_from([None, 1, 3]))
def test_any_shape_dtype_layout_and_k(agree, isa, problem, k, threads):
    q, x, metric = problem
    agree("search", q, x, k, metric, threads=threads)


@given(problems(), st.data())
def test_any_combination_of_options(agree, isa, problem, data):
    q, x, metric = problem
    n, rng = len(x), np.random.default_rng(data.draw(st.integers(0, 999)))
    masks = [None, rng.random(n) < 0.5, rng.random((len(q), n)) < 0.3, np.zeros(n, np.bool_)]
    scores = reference.matrix(q, x, metric, "search").astype(np.float64).ravel()
    scores = scores[~np.isnan(scores)]
    cuts = [None, *(float(c) for c in scores[:1]), np.inf, -np.inf]
    options = {
        "mask": data.draw(st.sampled_from(masks)),
        "threshold": data.draw(st.sampled_from(cuts)),
        "exclude_self": len(q) <= n and data.draw(st.booleans()),
        "pad": data.draw(st.booleans()),
        "dims": data.draw(st.sampled_from([None, *range(1, 1 + min(3, x.shape[1]))])),
    }
    agree("search", q, x, data.draw(st.integers(1, 20)), metric, **options)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("metric", FLOAT_METRICS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_hard_data(agree, isa, data, metric, dtype):
    for nq, n, d, k in ((3, 2000, 40, 10), (40, 900, 17, 3), (1, 1500, 130, 100)):
        q, x = make(data, nq, n, d, dtype)
        q = np.nan_to_num(q, nan=0.0, posinf=np.inf, neginf=-np.inf)
        agree("search", q, x, k, metric)


@pytest.mark.parametrize("d", [1, 2, 3, 48, 300, 768, 2048])
@pytest.mark.parametrize("metric", FLOAT_METRICS)
def test_every_k_from_one_to_all(agree, metric, d):
    for data in ("near_ties", "normal", "signs"):
        q, x = make(data, 2, 90, d)
        for k in (1, 2, 5, 45, 89, 90, 91, 1000):
            agree("search", q, x, k, metric)


@pytest.mark.parametrize("metric", FLOAT_METRICS)
def test_large_batches_and_corpora(agree, metric):
    """Several blocks of rows and tiles of queries for each thread."""
    q, x = make("normal", 150, 6000, 24)
    agree("search", q, x, 20, metric)
    q, x = make("duplicates", 4, 30000, 8)
    agree("search", q, x, 50, metric, threads=2)


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d not in FLOATS])
@pytest.mark.parametrize("data", ["ascending", "all_equal", "duplicates", "near_ties", "signs"])
def test_integers_with_many_ties(agree, isa, dtype, data):
    q, x = make(data, 9, 1000, 20, dtype)
    for metric in metrics_of(dtype):
        agree("search", q, x, 30, metric)


def test_zeros_of_both_signs_tie(agree):
    """-1e-60 rounds to -0.0, which is not worse than 0.0: the lower index wins."""
    q = np.full((1, 1), 1e-30, np.float32)
    x = np.array([[-1e-30], [0.0], [-1e-30], [1e-30], [-1.0]], np.float32)
    assert agree("search", q, x, 4, "dot").indices.tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("dtype", "metric"),
    [*itertools.product(DTYPES, FLOAT_METRICS), *(("uint8", m) for m in BIT_METRICS)],
)
def test_missing_entries(agree, rng, dtype, metric):
    """-1 beside NaN, or beside the worst integer where NaN does not exist."""
    q, x = normal(rng, 3, 16, dtype), normal(rng, 4, 16, dtype)
    mask = np.array([False, True, False, True])
    top = agree("search", q, x, 6, metric, mask=mask, pad=True)
    assert (top.indices[:, 2:] == -1).all()
    assert top.values.shape == (3, 6)
    agree("search", q, x, 6, metric, mask=np.zeros(4, np.bool_))
    agree("search", q, x[:0], 2, metric, pad=True)
    agree("search", q, x[:0], 2, metric)
    agree("search", q[:0], x, 2, metric)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (5,)])
def test_one_row_may_be_one_dimensional(agree, rng, shape):
    x = normal(rng, 7, 5)
    if len(shape) == 1:
        agree("search", x[0], x, 3)
        agree("search", x, x[0], 3)
        agree("search", x[0], x[0], 3)
    else:
        agree("search", *(normal(rng, *shape) for _ in range(2)), 3)


@pytest.mark.parametrize("metric", FLOAT_METRICS)
def test_defaults(agree, rng, metric):
    q, x = normal(rng, 3, 20), normal(rng, 50, 20)
    assert agree("search", q, x).indices.shape == (3, 10)
    agree("search", q, x, metric=metric)
    values, indices = em.search(q, x, np.int64(4), metric)
    assert values.shape == indices.shape == (3, 4)
    assert indices.dtype == np.int64


class TestNaN:
    def test_rows_come_last_and_only_if_needed(self, agree):
        q, x = make("normal", 3, 30, 12)
        x[[2, 5, 7, 29], 4] = np.nan
        for metric in FLOAT_METRICS:
            top = agree("search", q, x, 26, metric)
            assert not np.isin(top.indices, [2, 5, 7, 29]).any()
            top = agree("search", q, x, 28, metric)
            np.testing.assert_array_equal(top.indices[:, 26:], [[2, 5]] * 3)
            assert np.isnan(top.values[:, 26:]).all()

    def test_many_rows_do_not_hide_the_others(self, agree, isa):
        q, x = make("normal", 3, 5000, 12)
        x[np.arange(5000) % 50 != 17] = np.nan
        for k in (10, 100, 150):
            agree("search", q, x, k)
            agree("search", q, x, k, "euclidean", exclude_self=True)

    def test_rows_never_pass_a_threshold(self, agree):
        x = np.float32([[1], [NAN], [2]])
        agree("search", x[0], x, 3, "dot", threshold=-np.inf, pad=True)
        agree("search", x[0], x, 3, "euclidean", threshold=np.inf)

    def test_a_zero_query_does_not_hide_them(self, agree):
        x = np.float32([[1, 0], [NAN, 0], [0, 0], [-1, 0]])
        agree("search", np.zeros((1, 2), np.float32), x, 4, "cosine")

    def test_queries_are_refused_or_ranked_last(self, agree):
        q, x = make("normal", 4, 30, 12)
        q[2, 5] = np.nan
        with pytest.raises(ValueError, match=r"^queries: .*NaN"):
            em.search(q, x)
        top = agree("search", q, x, 5, nan="rank_last")
        assert (top.indices[2] == -1).all()
        assert np.isnan(top.values[2]).all()

    def test_behind_the_prefix_does_not_count(self, agree):
        q, x = make("normal", 4, 30, 12)
        q[2, 5] = x[7, 6] = np.nan
        agree("search", q, x, 30, dims=5)


class TestMask:
    @pytest.mark.parametrize("metric", FLOAT_METRICS)
    @pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
    def test_shared_is_searching_the_subset(self, isa, rng, metric, share):
        q, x = make("duplicates", 5, 700, 20)
        mask = rng.random(700) < share
        kept = np.flatnonzero(mask)
        masked, subset = em.search(q, x, 9, metric, mask=mask), em.search(q, x[mask], 9, metric)
        columns = subset.values.shape[1]
        reference.assert_same(masked.values[:, :columns], subset.values)
        reference.assert_same(masked.indices[:, :columns], kept[subset.indices])
        assert (masked.indices[:, columns:] == -1).all()

    def test_per_query(self, agree, rng):
        q, x = make("normal", 13, 400, 20)
        agree("search", q, x, 20, mask=rng.random((13, 400)) < 0.05)

    def test_memory_layout_does_not_matter(self, agree, rng):
        q, x = make("normal", 6, 90, 20)
        mask = rng.random((6, 90)) < 0.5
        for view in (np.asfortranarray(mask), mask[::-1], mask[:, ::-1], mask[:1].repeat(6, 0)):
            agree("search", q, x, 7, mask=view)
        agree("search", q, x, 7, mask=np.repeat(mask[0], 2)[::2])
        agree("search", q, x, 7, mask=np.broadcast_to(mask[0], (6, 90)))


@pytest.mark.parametrize("metric", FLOAT_METRICS)
def test_exclude_self(agree, metric):
    x, _ = make("duplicates", 60, 1, 9)
    x[30:] = x[:30]
    for nq in (1, 5, 60):
        for k in (1, 7, 59, 60, 61):
            agree("search", x[:nq], x, k, metric, exclude_self=True)
    agree("search", x[:1], x[:1], 3, metric, exclude_self=True)
    agree("search", x[:1], x[:1], 3, metric, exclude_self=True, pad=True)


@pytest.mark.parametrize("metric", FLOAT_METRICS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8])
def test_threshold_includes_its_own_score(agree, isa, rng, metric, dtype):
    q, x = normal(rng, 5, 40, np.dtype(dtype).name), normal(rng, 300, 40, np.dtype(dtype).name)
    scores = em.search(q, x, 300, metric).values.astype(np.float64)
    worse = -np.inf if metric in ("cosine", "dot") else np.inf
    for cut in scores[0, [0, 1, 10, 299]]:
        for threshold in (cut, np.nextafter(cut, worse), np.nextafter(cut, -worse)):
            agree("search", q, x, 20, metric, threshold=float(threshold))


def test_out_is_filled_and_returned(rng):
    q, x = normal(rng, 6, 9), normal(rng, 20, 9)
    expected = em.search(q, x, 4)
    out = np.empty((6, 4), np.float32), np.empty((6, 4), np.int64)
    top = em.search(q, x, 4, out=out)
    assert top.values is out[0]
    assert top.indices is out[1]
    reference.assert_all_same(top, expected)


def test_progress_reports_the_fraction_done(rng):
    q, x = normal(rng, 300, 64), normal(rng, 100_000, 64)
    calls: list[float] = []
    top = em.search(q, x, 3, progress=calls.append)
    assert calls
    assert calls == sorted(calls)
    assert min(calls) >= 0
    assert calls[-1] == 1
    reference.assert_all_same(top, em.search(q, x, 3))


def test_an_exception_in_progress_stops_the_search(rng):
    def stop(_: float) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        em.search(normal(rng, 300, 64), normal(rng, 100_000, 64), 3, progress=stop)


def test_inputs_are_never_written(rng):
    q, x, mask = normal(rng, 6, 40), normal(rng, 300, 40), rng.random(300) < 0.5
    before = [a.copy() for a in (q, x, mask)]
    em.search(q, x, mask=mask), em.range_search(q, x, 0.1, mask=mask)
    em.rescore(q, x, np.tile(np.arange(9), (6, 1)), 3)
    for now, then in zip((q, x, mask), before, strict=True):
        np.testing.assert_array_equal(now, then)


class TestRepeatedRows:
    """Rows that repeat their predecessor are left out early once enough copies came before."""

    @pytest.mark.parametrize("metric", ["cosine", "euclidean", "manhattan"])
    @pytest.mark.parametrize("run", [2, 9, 200, 3000])
    def test_runs_of_equal_rows(self, isa, agree, rng, metric, run):
        rows = normal(rng, 6000 // run, 40)
        x = np.repeat(rows, run, axis=0)
        for k in (1, 8, 9, 10, 250):
            agree("search", x[: 4 * run : run], x, k, metric)

    @pytest.mark.parametrize("nq", [5, 40])
    def test_a_run_ends_before_a_row_of_nan(self, isa, agree, rng, nq):
        x = normal(rng, 3000, 70)
        x[:32] = x[0]
        x[40, 3] = np.nan
        agree("search", x[33:][[0, 8, 9, 14, 15] * (nq // 5)], x, 4)

    def test_with_masks_and_self_exclusion(self, agree, rng):
        x = np.repeat(normal(rng, 30, 20), 100, axis=0)
        q = x[:200]
        own = rng.random((200, 3000)) < 0.05
        agree("search", q, x, 7, exclude_self=True)
        agree("search", q, x, 7, mask=own)
        agree("search", q, x, 7, mask=own[0])
        agree("search", q, x, 7, mask=own, exclude_self=True, threshold=0.2)
        agree("range_search", q[::50], x, 0.9)

    def test_packed_bits(self, agree, rng):
        x = np.repeat(rng.integers(0, 256, (20, 24)).astype(np.uint8), 150, axis=0)
        for k in (1, 10, 200):
            agree("search", x[::300], x, k, "hamming")
            agree("search", x[::300], x, k, "jaccard")

    def test_a_zero_tail(self, agree, rng):
        x = np.zeros((5000, 33), np.float32)
        x[:50] = normal(rng, 50, 33)
        agree("search", -x[:10], x, 100)
