"""rescore: the best of the candidates that the caller names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import embmath as em
import reference
from reference import FLOAT_METRICS
from strategies import DATA, make, normal, problems


@given(problems(), st.integers(0, 30), st.integers(1, 20), st.integers(0, 999))
def test_any_shape_dtype_and_layout(agree, isa, problem, c, k, seed):
    q, x, metric = problem
    candidates = np.random.default_rng(seed).integers(-1, max(len(x), 1), (len(q), c))
    agree("rescore", q, x, candidates if len(x) else candidates * 0 - 1, k, metric)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("metric", FLOAT_METRICS)
def test_hard_data(agree, data, metric):
    q, x = make(data, 6, 1200, 30)
    q = np.nan_to_num(q, nan=0.0, posinf=np.inf, neginf=-np.inf)
    candidates = np.random.default_rng(1).integers(0, 1200, (6, 300))
    agree("rescore", q, x, candidates, 20, metric)


@pytest.mark.parametrize("metric", FLOAT_METRICS)
def test_all_rows_as_candidates_is_the_search(metric):
    q, x = make("duplicates", 5, 200, 20)
    everything = np.tile(np.arange(200)[::-1], (5, 1))
    reference.assert_all_same(em.rescore(q, x, everything, 30, metric), em.search(q, x, 30, metric))


def test_duplicates_count_once_and_missing_are_skipped(agree, rng):
    q, x = normal(rng, 2, 8), normal(rng, 9, 8)
    top = agree("rescore", q, x, np.array([[3, 3, -1, 3, 5], [-1, -1, -1, -1, -1]]), 4)
    assert sorted(top.indices[0].tolist()) == [-1, -1, 3, 5]
    assert (top.indices[1] == -1).all()
    assert np.isnan(top.values[1]).all()


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_candidates_in_any_layout(agree, rng, dtype):
    q, x = normal(rng, 7, 8), normal(rng, 90, 8)
    candidates = rng.integers(-1, 90, (7, 12)).astype(dtype)
    for view in (candidates, np.asfortranarray(candidates), candidates[::-1], candidates[:, ::-2]):
        agree("rescore", q, x, view, 5)
    candidates.flags.writeable = False
    agree("rescore", q, x, candidates, 5, "euclidean", dims=5, threads=2)


def test_results_of_a_search_are_candidates(rng):
    """The use rescore is made for: candidates from half of the dimensions, scores from all."""
    q, x = normal(rng, 7, 64), normal(rng, 500, 64)
    first = em.search(q, x, 100, dims=32)
    second = em.rescore(q, x, first.indices, 10)
    reference.assert_all_same(second, reference.rescore(q, x, first.indices, 10))


def test_nan_rows_come_last(agree, rng):
    q, x = normal(rng, 2, 8), normal(rng, 9, 8)
    x[4, 4] = np.nan
    agree("rescore", q, x, np.array([[4, 1, 2]] * 2), 3)


def test_nan_queries_are_refused(rng):
    with pytest.raises(ValueError, match=r"^queries: .*NaN"):
        em.rescore(np.float32([[np.nan, 1]]), normal(rng, 9, 2), np.array([[0, 1]]), 1)


@pytest.mark.parametrize(("nq", "c"), [(0, 5), (3, 0), (0, 0)])
def test_empty(agree, rng, nq, c):
    agree("rescore", normal(rng, nq, 4), normal(rng, 9, 4), np.zeros((nq, c), np.int64), 3)
