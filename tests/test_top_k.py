"""top_k: selection alone, on arrays of any shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import embmath as em
import reference
from strategies import DTYPES, FLOATS, LAYOUTS, cast

SPECIALS = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 2.0**-149]


@given(
    dtype=st.sampled_from(tuple(DTYPES)),
    shape=st.lists(st.integers(0, 9), min_size=1, max_size=4).map(tuple),
    k=st.integers(1, 12),
    mode=st.sampled_from(["largest", "smallest"]),
    data=st.data(),
)
def test_any_shape_dtype_and_axis(agree, isa, dtype, shape, k, mode, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = rng.choice(SPECIALS, shape) if dtype in FLOATS else rng.integers(-2, 3, shape) * 1.0
    agree("top_k", cast(x, dtype), k, axis=axis, mode=mode)


@pytest.mark.parametrize("mode", ["largest", "smallest"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_long_rows_with_many_ties(agree, isa, rng, dtype, mode):
    for n in (1000, 4099):
        x = cast(np.round(rng.standard_normal((3, n)), 1), dtype)
        for k in (1, 10, 100, n - 1, n):
            agree("top_k", x, k, mode=mode)


@pytest.mark.parametrize("mode", ["largest", "smallest"])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_integer_scores(agree, rng, dtype, mode):
    """What the matrices of integers and bits hold; beyond the integers that float32 can tell."""
    x = (2**30 + rng.integers(-9, 9, (3, 1000))).astype(dtype)
    x[:, 500] = np.iinfo(dtype).min
    agree("top_k", x, 20, mode=mode)


@pytest.mark.parametrize("mode", ["largest", "smallest"])
@pytest.mark.parametrize("order", ["ascending", "descending", "equal", "random", "nan"])
def test_orders_that_defeat_a_threshold(agree, isa, rng, order, mode):
    n = 5000
    x = {
        "ascending": np.arange(n),
        "descending": np.arange(n)[::-1],
        "equal": np.zeros(n),
        "random": rng.standard_normal(n),
        "nan": np.full(n, np.nan),
    }[order].astype(np.float32)
    for k in (1, 7, 64, 1000, 4999):
        agree("top_k", x, k, mode=mode)


@pytest.mark.parametrize("mode", ["largest", "smallest"])
def test_nan_comes_last_in_both_modes(agree, mode):
    x = np.float32([np.nan, 1, -np.inf, np.nan, np.inf])
    assert agree("top_k", x, 5, mode=mode).indices[-2:].tolist() == [0, 3]


def test_zeros_of_both_signs_tie(agree):
    x = np.float32([-0.0, 0.0, -0.0, 0.0])
    for mode in ("largest", "smallest"):
        assert agree("top_k", x, 3, mode=mode).indices.tolist() == [0, 1, 2]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("axis", [0, 1])
def test_memory_layout_does_not_matter(agree, rng, layout, axis):
    agree("top_k", LAYOUTS[layout](rng.standard_normal((40, 33))), 5, axis=axis)


def test_unsorted_holds_the_same_elements(rng):
    x = rng.integers(0, 50, (8, 300)).astype(np.float32)
    loose, strict = em.top_k(x, 20, sorted=False), em.top_k(x, 20)
    np.testing.assert_array_equal(np.sort(loose.indices), np.sort(strict.indices))
    np.testing.assert_array_equal(np.take_along_axis(x, loose.indices, 1), loose.values)


def test_broadcast_input(agree):
    agree("top_k", np.broadcast_to(np.float32([3, 1, 2]), (1000, 3)), 2)
    agree("top_k", np.broadcast_to(np.float32(3), (4, 300)), 9)


def test_result_is_a_named_tuple(rng):
    result = em.top_k(rng.standard_normal((2, 9)), 3)
    values, indices = result
    assert values is result.values
    assert indices is result.indices
    assert indices.dtype == np.int64
    assert isinstance(result, tuple)


def test_of_a_matrix_of_scores_is_the_search(rng):
    """For float64, where matrices are canonical too."""
    q, x = rng.standard_normal((5, 20)), rng.standard_normal((300, 20))
    reference.assert_all_same(em.top_k(em.similarity(q, x), 7), em.search(q, x, 7))
    reference.assert_all_same(
        em.top_k(em.distance(q, x), 7, mode="smallest"), em.search(q, x, 7, "euclidean")
    )
