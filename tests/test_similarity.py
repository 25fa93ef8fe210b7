"""similarity, distance, their pairwise forms and cosine_similarity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

import embmath as em
import reference
from reference import BIT_METRICS, FLOAT_METRICS
from strategies import DATA, DTYPES, FLOATS, make, normal, problems

DISTANCES = ("cosine", "euclidean", "sqeuclidean", "manhattan")


@given(problems())
def test_any_shape_dtype_and_layout(agree, isa, problem):
    q, x, metric = problem
    if metric not in BIT_METRICS:
        agree("similarity", q, x, metric)
    if metric != "dot":
        agree("distance", q, x, metric)


@given(problems())
def test_pairwise_is_canonical_on_any_data(agree, isa, problem):
    q, x, metric = problem
    m = min(len(q), len(x))
    function = "distance_pairwise" if metric in BIT_METRICS else "similarity_pairwise"
    agree(function, q[:m], x[:m], metric)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("metric", FLOAT_METRICS)
def test_matrices_keep_their_bound_on_any_data(agree, isa, data, dtype, metric):
    """Overflow, underflow and cancellation on the way must not show in the result."""
    for seed in range(3):
        q, x = make(data, 5, 40, 33, dtype, seed)
        agree("similarity", q, x, metric)
        if metric in DISTANCES:
            agree("distance", q, x, metric)


@pytest.mark.parametrize("metric", FLOAT_METRICS)
def test_one_argument_compares_rows_with_each_other(agree, rng, metric):
    x = normal(rng, 30, 20)
    agree("similarity", x, None, metric)
    values = em.similarity(x, metric=metric)
    if metric != "cosine":  # there each side is scaled in turn, which rounds in that order
        np.testing.assert_array_equal(values, values.T)
    np.testing.assert_array_equal(values, em.similarity(x, x.copy(), metric))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", DISTANCES)
def test_distance_to_itself_is_zero(rng, dtype, metric):
    x = normal(rng, 20, 50, dtype)
    if metric == "cosine":
        assert np.abs(np.diag(em.distance(x, metric=metric))).max() <= 66 * 2.0**-24
        assert np.abs(em.distance_pairwise(x, x, metric)).max() <= 2.0**-52
    else:
        assert (np.diag(em.distance(x, metric=metric)) == 0).all()
        assert (em.distance_pairwise(x, x, metric) == 0).all()


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "manhattan"])
def test_near_duplicates_are_not_lost_to_cancellation(agree, metric):
    """The trap of |q|² + |x|² - 2qx: every row is the query with one value one ulp away."""
    q, x = make("near_ties", 1, 64, 300)
    assert (q != x).any(axis=1).all()
    assert (agree("distance", q, x, metric) > 0).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_cosine_stays_within_one(dtype, rng):
    x = np.repeat(normal(rng, 30, 700, dtype), 2, axis=0)
    for values in (em.similarity(x), em.similarity_pairwise(x, x), em.similarity_pairwise(x, -x)):
        assert np.abs(values).max() <= 1


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_cosine_ignores_the_scale(agree, rng, scale):
    a, b = normal(rng, 9, 64), normal(rng, 33, 64)
    agree("similarity", (a * scale).astype(np.float32), (b / scale).astype(np.float32))


def test_cosine_similarity_is_similarity(rng):
    a, b = normal(rng, 4, 9), normal(rng, 5, 9)
    np.testing.assert_array_equal(em.cosine_similarity(a, b), em.similarity(a, b, "cosine"))
    np.testing.assert_array_equal(em.cosine_similarity(a), em.similarity(a))


@pytest.mark.parametrize("function", ["similarity", "distance"])
@pytest.mark.parametrize("dims", [1, 15, 16, 17, 40])
def test_dims_compares_a_prefix(agree, rng, function, dims):
    a, b = normal(rng, 6, 40), normal(rng, 6, 40)
    a[:, dims:] = np.nan
    agree(function, a, b, "cosine", dims=dims)
    agree(f"{function}_pairwise", a, b, "cosine", dims=dims)


def test_dims_counts_bytes_of_packed_rows(agree, rng):
    a, b = (rng.integers(0, 256, (n, 12), dtype=np.uint8) for n in (3, 5))
    agree("distance", a, b, "hamming", dims=7)


@pytest.mark.parametrize(
    ("a", "b", "result"),
    [
        ("float16", "float16", "float32"),
        ("bfloat16", "bfloat16", "float32"),
        ("float16", "bfloat16", "float32"),
        ("float32", "float16", "float32"),
        ("float64", "float16", "float64"),
        ("bfloat16", "float64", "float64"),
        ("float32", "float64", "float64"),
    ],
)
@pytest.mark.parametrize("metric", FLOAT_METRICS)
def test_mixed_float_dtypes_promote(agree, rng, a, b, result, metric):
    x, y = normal(rng, 5, 33, a), normal(rng, 5, 33, b)
    assert agree("similarity", x, y, metric).dtype == result
    assert agree("similarity_pairwise", x, y, metric).dtype == result
    agree("search", x, y, 3, metric)


@pytest.mark.parametrize("function", ["similarity", "distance"])
def test_one_row_may_be_one_dimensional(agree, rng, function):
    a, b = normal(rng, 4, 9), normal(rng, 5, 9)
    for left, right in ((a[0], b), (a, b[0]), (a[0], b[0])):
        agree(function, left, right, "cosine")
    agree(f"{function}_pairwise", a[0], b[0], "cosine")


@pytest.mark.parametrize("shape", [((0, 5), (3, 5)), ((3, 5), (0, 5)), ((0, 0), (0, 0))])
@pytest.mark.parametrize("metric", FLOAT_METRICS)
def test_empty(agree, shape, metric):
    agree("similarity", *(np.zeros(s, np.float32) for s in shape), metric)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("metric", FLOAT_METRICS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_propagate(agree, isa, rng, dtype, metric, value):
    a, b = normal(rng, 5, 40, dtype), normal(rng, 50, 40, dtype)
    b[7, 3] = b[44, 39] = value
    finite = np.isfinite(agree("similarity", a, b, metric)).all(axis=0)
    np.testing.assert_array_equal(np.flatnonzero(~finite), [7, 44])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8"])
@pytest.mark.parametrize("function", ["similarity", "distance"])
def test_out_is_filled_and_returned(rng, dtype, function):
    a, b = normal(rng, 6, 9, dtype), normal(rng, 6, 9, dtype)
    for name, args in ((function, (a, b, "euclidean")), (f"{function}_pairwise", (a, b, "cosine"))):
        expected = getattr(em, name)(*args)
        out = np.full_like(expected, 7)
        assert getattr(em, name)(*args, out=out) is out
        reference.assert_same(out, expected)


def test_inputs_are_never_written(rng):
    a, b = normal(rng, 6, 40), normal(rng, 30, 40)
    before = a.copy(), b.copy()
    em.similarity(a, b), em.distance(a, b), em.distance_pairwise(a, b[:6])
    np.testing.assert_array_equal((a, b[:6]), (before[0], before[1][:6]))
    np.testing.assert_array_equal(b, before[1])
