"""normalize and truncate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

import embmath as em
import reference
from strategies import DATA, FLOATS, LAYOUTS, cast, make, normal, problems


# Without float64 rows whose length leaves the range of float64.
@given(problems(tuple(sorted(set(DATA) - {"extreme"}))))
def test_any_shape_dtype_and_layout(agree_closely, isa, problem):
    x = problem.corpus
    if x.dtype.name in FLOATS:
        agree_closely("normalize", x)


@pytest.mark.parametrize("dtype", FLOATS)
def test_rows_become_unit_rows(rng, dtype):
    x = normal(rng, 20, 300, dtype)
    norms = np.linalg.norm(em.normalize(x).astype(np.float64), axis=1)
    np.testing.assert_allclose(
        norms, 1, atol=float(np.finfo("f4").eps) * (2**16 if "16" in dtype else 4)
    )


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-20, 1.0, 1e20, 1e30, 1e37])
def test_no_scale_over_or_underflows(agree_closely, rng, scale):
    agree_closely("normalize", (rng.uniform(1, 9, (5, 40)) * scale).astype(np.float32))


def test_zero_rows_stay_zero(rng):
    x = normal(rng, 5, 7)
    x[2] = 0
    assert (em.normalize(x)[2] == 0).all()
    assert (em.normalize(x[2]) == 0).all()
    assert (em.normalize(x, eps=1e-12)[2] == 0).all()


def test_eps_bounds_the_divisor(agree_closely, rng):
    """As in torch.nn.functional.normalize: rows are divided by max(norm, eps)."""
    x = normal(rng, 5, 7) * np.float32([[1e-6], [1e-3], [1], [10], [0]])
    agree_closely("normalize", x, eps=0.5)


def test_nan_and_infinity_stay_in_their_row(rng):
    x = normal(rng, 5, 7)
    x[1, 3], x[3, 3] = np.nan, np.inf
    unit = em.normalize(x)
    assert np.isnan(unit[1]).all()
    assert np.isnan(unit[3, 3])
    np.testing.assert_array_equal(unit[[0, 2, 4]], em.normalize(x[[0, 2, 4]]))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_memory_layout_does_not_matter(rng, layout, dtype):
    x = normal(rng, 9, 37, dtype)
    reference.assert_same(em.normalize(LAYOUTS[layout](x)), em.normalize(x))
    reference.assert_same(em.truncate(LAYOUTS[layout](x), 20), em.truncate(x, 20))


def test_one_row_stays_one_dimensional(agree_closely, rng):
    x = normal(rng, 1, 37)[0]
    agree_closely("normalize", x)
    agree_closely("truncate", x, 12)
    agree_closely("truncate", x, 12, normalize=False)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_empty(agree_closely, shape):
    agree_closely("normalize", np.zeros(shape, np.float32))


@pytest.mark.parametrize("dtype", FLOATS)
def test_out_is_filled_and_returned(rng, dtype):
    x = normal(rng, 6, 9, dtype)
    expected, out = em.normalize(x), np.ones_like(x)
    assert em.normalize(x, out=out) is out
    reference.assert_same(out, expected)


@pytest.mark.parametrize("dtype", FLOATS)
def test_truncate_without_normalizing_copies(agree, rng, dtype):
    x = normal(rng, 6, 20, dtype)
    for dims in (1, 7, 20):
        agree("truncate", x, dims, normalize=False)


@pytest.mark.parametrize("dims", [1, 16, 33, 64])
def test_truncate_is_normalize_of_the_prefix(rng, dims):
    x = normal(rng, 6, 64)
    reference.assert_same(em.truncate(x, dims), em.normalize(x[:, :dims]))


def test_truncated_rows_score_like_dims(rng):
    """Matryoshka use: searching the shortened rows is searching with dims=."""
    q, x = make("normal", 4, 100, 64)
    short = em.search(em.truncate(q, 24), em.truncate(x, 24), 5)
    long = em.search(q, x, 5, dims=24)
    np.testing.assert_array_equal(short.indices, long.indices)
    np.testing.assert_allclose(short.values, long.values, atol=1e-6)


def test_inputs_are_never_written(rng):
    x = cast(rng.standard_normal((5, 9)), "float32")
    before = x.copy()
    em.normalize(x), em.truncate(x, 3)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("offset", [0, 1, 3])
@pytest.mark.parametrize("d", [385, 768, 5000])
@pytest.mark.parametrize("dtype", FLOATS)
def test_results_larger_than_the_caches_are_the_same(rng, isa, dtype, d, offset):
    """They are written past the caches, lines that two rows share included, and nothing else is."""
    x = np.tile(normal(rng, 61, d, dtype), (1 + (17 << 20) // (61 * d * 2), 1))
    x[7], x[-1, 2] = 0, np.nan
    memory = np.full(x.size + 2 * offset, 7, x.dtype)
    out = memory[offset : offset + x.size].reshape(x.shape)
    em.normalize(x, out=out)
    for rows in np.array_split(np.arange(len(x)), 40):
        reference.assert_same(out[rows], em.normalize(x[rows]))
    edges = np.concatenate((memory[:offset], memory[offset + x.size :]))
    np.testing.assert_array_equal(edges.astype(np.float64), 7)
