"""range_search: every row at least as close as the threshold, best first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import embmath as em
import reference
from reference import FLOAT_METRICS
from strategies import DATA, make, normal, problems


@given(problems(), st.floats(0, 1))
def test_any_shape_dtype_layout_and_share(agree, isa, problem, share):
    q, x, metric = problem
    scores = reference.matrix(q, x, metric, "search").astype(np.float64)
    scores = scores[~np.isnan(scores)]
    threshold = float(np.sort(scores)[int(share * (scores.size - 1))]) if scores.size else 0.0
    agree("range_search", q, x, threshold, metric)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("metric", FLOAT_METRICS)
def test_hard_data(agree, isa, data, metric):
    q, x = make(data, 6, 1200, 30)
    q = np.nan_to_num(q, nan=0.0, posinf=np.inf, neginf=-np.inf)
    best = reference.search(q, x, 40, metric).values
    for threshold in (best[0, 0], best[0, 39], best[-1, 7]):
        if not np.isnan(threshold):
            agree("range_search", q, x, float(threshold), metric)


@pytest.mark.parametrize("metric", FLOAT_METRICS)
def test_all_and_nothing(agree, metric):
    q, x = make("normal", 5, 700, 20)
    best, worst = (np.inf, -np.inf) if metric in ("cosine", "dot") else (-np.inf, np.inf)
    hits = agree("range_search", q, x, worst, metric)
    np.testing.assert_array_equal(hits.offsets, np.arange(6) * 700)
    reference.assert_same(hits.indices.reshape(5, 700), em.search(q, x, 700, metric).indices)
    assert agree("range_search", q, x, best, metric).offsets[-1] == 0


@pytest.mark.parametrize("metric", FLOAT_METRICS)
def test_is_the_search_with_a_threshold(metric):
    q, x = make("duplicates", 9, 500, 20)
    threshold = float(em.search(q, x, 60, metric).values[3, 59])
    hits = em.range_search(q, x, threshold, metric)
    top = em.search(q, x, 500, metric, threshold=threshold)
    assert np.diff(hits.offsets).tolist() == (top.indices >= 0).sum(axis=1).tolist()
    reference.assert_same(hits.indices, top.indices[top.indices >= 0])
    reference.assert_same(hits.values, top.values[top.indices >= 0])


def test_options(agree, rng):
    q, x = normal(rng, 20, 30), normal(rng, 300, 30)
    x[7, 3] = np.nan
    agree("range_search", q, x, 0.2, mask=rng.random(300) < 0.5)
    agree("range_search", q, x, 0.2, mask=rng.random((20, 300)) < 0.5)
    agree("range_search", q, x, 6.5, "euclidean", dims=20)
    agree("range_search", x[:20], x[:100], 0.2, exclude_self=False, nan="rank_last")
    agree("range_search", x[:20], x[:100], 0.2, exclude_self=True, nan="rank_last")
    with pytest.raises(ValueError, match=r"^queries: .*NaN"):
        em.range_search(x, x, 0.2)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_many_hits_in_many_blocks(agree, threads):
    q, x = make("signs", 3, 20000, 10)
    agree("range_search", q, x, 0.0, "dot", threads=threads)


@pytest.mark.parametrize("shape", [((0, 4), (9, 4)), ((3, 4), (0, 4)), ((0, 4), (0, 4))])
def test_empty(agree, shape):
    agree("range_search", *(np.zeros(s, np.float32) for s in shape), 0.5)


def test_one_row_may_be_one_dimensional(agree, rng):
    x = normal(rng, 30, 8)
    agree("range_search", x[0], x, 0.0)
    agree("range_search", x, x[0], 0.0)
