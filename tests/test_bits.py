"""Packed bits: pack_bits, unpack_bits, hamming and jaccard."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import embmath as em
import reference
from reference import BIT_METRICS
from strategies import DTYPES, FLOATS, LAYOUTS, cast, normal, problems


@given(problems(), st.sampled_from([0.0, 0.5, -1.0, 3.0]))
def test_pack_any_shape_dtype_and_layout(agree, isa, problem, threshold):
    agree("pack_bits", problem.corpus, threshold=threshold)


@given(st.integers(0, 9), st.integers(1, 70), st.integers(0, 999))
def test_unpack_reverses_pack(agree, n, d, seed):
    bits = np.random.default_rng(seed).integers(0, 2, (n, d), dtype=np.uint8)
    codes = agree("pack_bits", bits)
    assert codes.shape == (n, -(-d // 8))
    reference.assert_same(em.unpack_bits(codes, d), bits)


def test_first_dimension_is_the_highest_bit_and_the_rest_is_zero():
    assert em.pack_bits(np.float32([[1, -1, 0, 1, 1, 1, 1, 1, 1]])).tolist() == [[159, 128]]
    assert em.unpack_bits(np.uint8([[159, 128]]), 9).tolist() == [[1, 0, 0, 1, 1, 1, 1, 1, 1]]


def test_a_bit_is_set_above_the_threshold_only():
    above, below = np.nextafter(np.float32(0.5), np.float32([1, 0]))
    x = np.float32([0.5, above, below, np.nan, np.inf, -np.inf, 0, -0.0])
    assert em.pack_bits(x, threshold=0.5).tolist() == [0b01001000]
    assert em.pack_bits(x).tolist() == [0b11101000]


def test_denormals_are_above_zero(isa):
    for dtype in FLOATS:
        tiny = np.full((1, 8), 2.0 ** {"float16": -24, "float64": -1074}.get(dtype, -133))
        assert em.pack_bits(cast(tiny, dtype)).tolist() == [[255]]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_memory_layout_does_not_matter(agree, rng, layout, dtype):
    x = LAYOUTS[layout](normal(rng, 9, 37, dtype))
    codes = LAYOUTS[layout](agree("pack_bits", x))
    agree("unpack_bits", codes, 37)


def test_one_row_stays_one_dimensional(agree, rng):
    codes = agree("pack_bits", normal(rng, 1, 37)[0])
    assert codes.ndim == 1
    agree("unpack_bits", codes, 37)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_empty(agree, shape):
    agree("pack_bits", np.zeros(shape, np.float32))


@pytest.mark.parametrize("metric", BIT_METRICS)
def test_distances_of_bits_are_distances_of_their_codes(rng, metric):
    bits = rng.integers(0, 2, (30, 50), dtype=np.uint8)
    codes = em.pack_bits(bits)
    expected = reference.distance(bits, bits, metric)
    reference.assert_same(em.distance(codes, metric=metric), expected)


@pytest.mark.parametrize("nq", [3, 17])  # scanned, and packed into panels
@pytest.mark.parametrize("n_bytes", [1, 2, 48, 96, 128])
@pytest.mark.parametrize("metric", BIT_METRICS)
def test_search_with_many_ties(agree, isa, rng, metric, n_bytes, nq):
    """Sparse bits, so that whole groups of rows share a distance and zero rows appear."""
    q, x = (rng.integers(0, 256, (n, n_bytes)) for n in (nq, 2000))
    q, x = ((m & (rng.random(m.shape) < 0.3) * 255).astype(np.uint8) for m in (q, x))
    top = agree("search", q, x, 50, metric)
    agree("range_search", q, x, float(top.values[0, 20]), metric)
    agree("search", q, x, 50, metric, threshold=float(top.values[0, 20]))
    agree("search", x[:nq], x, 3, metric, exclude_self=True, mask=np.arange(2000) % 3 == 0)
    agree("search", q, x, 5, metric, dims=1)


@pytest.mark.parametrize("metric", BIT_METRICS)
def test_extremes(agree, metric):
    x = np.array([[0] * 70, [255] * 70, [1] * 70], np.uint8)
    assert agree("distance", x, x, metric)[0, 0] == 0
    agree("search", x, x, 3, metric)
