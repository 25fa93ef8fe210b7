"""The certificate of float16 products: results stay exact for every product that it allows for.

The matrix product of a search by tiles is the test's own, so that its errors can be the worst that
matrix units are allowed, in the worst direction.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import reference
from cuda_devices import METRICS, TILES, Array, Kernels


def exact_and_size(a: Array, b: Array) -> tuple[Array, Array]:
    """Products in float64, and |a||b| of each pair."""
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    size = np.linalg.norm(wide_a, axis=1)[:, None] * np.linalg.norm(wide_b, axis=1)
    return wide_a @ wide_b.T, size


def against(best: Array, share: float) -> Callable[[Array, Array], Array]:
    """Products off by a share of what the certificate allows: the best rows down, all others up."""

    def multiply(a: Array, b: Array) -> Array:
        exact, size = exact_and_size(a, b)
        n_cols = np.flatnonzero((a != 0).any(0) | (b != 0).any(0)).max() + 1
        sign = np.ones(exact.shape)
        np.put_along_axis(sign, best, -1.0, axis=1)
        return np.float32(exact + sign * share * (n_cols + 16) * 2.0**-23 * size)

    return multiply


def close_rows(rng: np.random.Generator, q: Array, n: int, spread: float) -> Array:
    """Rows whose scores with the queries are about `spread` from each other."""
    base = q.mean(0) + 0.2 * rng.standard_normal(q.shape[1])
    return np.float32(base + spread * rng.standard_normal((n, q.shape[1])))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_cols", [4, 33, 200, 1500])
@pytest.mark.parametrize("spread", [1e-4, 1e-3])
def test_the_worst_allowed_products(kernels: Kernels, rng, metric, n_cols, spread):
    q = np.float32(rng.standard_normal((3, n_cols)))
    x = close_rows(rng, q, 500, spread)
    wanted = reference.search(q, x, 5, metric)
    found = kernels.search(q, x, 5, metric, plan=TILES, multiply=against(wanted.indices, 0.999))
    np.testing.assert_array_equal(found.indices, wanted.indices)
    np.testing.assert_array_equal(found.values, wanted.values)


def test_products_beyond_the_certificate_are_noticed(kernels: Kernels, rng):
    """The tests above could fail: an error of some margins loses the best rows."""
    q = np.float32(rng.standard_normal((3, 200)))
    x = close_rows(rng, q, 500, 1e-2)
    wanted = reference.search(q, x, 5, "cosine")
    found = kernels.search(q, x, 5, "cosine", plan=TILES, multiply=against(wanted.indices, 300.0))
    assert found.scanned == 0
    assert (found.indices != wanted.indices).any()


def cut(x: Array, bits: Array) -> Array:
    """Towards zero, to a multiple of 2^bits."""
    return np.trunc(np.ldexp(x, -bits)) * np.exp2(bits.astype(np.float64))


def matrix_unit(a: Array, b: Array, *, depth: int, kept: int) -> Array:
    """A model of the hardware: a step's terms are cut where the largest has `kept` bits.

    The sum so far is one of them. Ampere: steps of 8 columns, 24 bits; Hopper and Blackwell: 16
    columns, 25 bits.
    """
    total = np.zeros((len(a), len(b)))
    for first in range(0, a.shape[1], depth):
        part = slice(first, first + depth)
        terms = a[:, None, part].astype(np.float64) * b[None, :, part].astype(np.float64)
        terms = np.concatenate([terms, total[..., None]], axis=-1)
        top = np.frexp(np.abs(terms).max(-1))[1]
        cut_terms = cut(terms, (top - kept)[..., None])
        total = cut_terms.sum(-1)
        total = cut(total, np.frexp(total)[1] - 24)  # float32, towards zero
    return total


@pytest.mark.parametrize(("depth", "kept"), [(8, 24), (16, 25)])
@pytest.mark.parametrize("n_cols", [1, 7, 16, 48, 384, 1024])
def test_models_of_matrix_units_stay_within_the_allowed_error(rng, depth, kept, n_cols):
    shape = (40, n_cols)
    kinds = [
        rng.standard_normal(shape),
        np.abs(rng.standard_normal(shape)),  # ever growing sums
        rng.standard_normal(shape) * 10 ** rng.uniform(-3, 0, shape),
        np.where(np.arange(n_cols) == 0, 1.0, 2.0**-11) * np.ones(shape),  # a peak and dust
    ]
    for kind in kinds:
        a = np.float16(kind * 100)
        b = np.float16(rng.permutation(kind) * 100)
        exact, size = exact_and_size(a, b)
        error = np.abs(matrix_unit(a, b, depth=depth, kept=kept) - exact)
        assert (error <= (n_cols + 16) * 2.0**-23 * size).all()


@pytest.mark.parametrize("metric", METRICS)
def test_searches_by_models_of_matrix_units(kernels: Kernels, rng, metric):
    q = np.float32(rng.standard_normal((2, 120)))
    x = close_rows(rng, q, 300, 1e-3)
    wanted = reference.search(q, x, 7, metric)
    for depth, kept in ((8, 24), (16, 25)):
        found = kernels.search(
            q,
            x,
            7,
            metric,
            plan=TILES,
            multiply=lambda a, b, d=depth, k=kept: matrix_unit(a, b, depth=d, kept=k),
        )
        np.testing.assert_array_equal(found.indices, wanted.indices)
        np.testing.assert_array_equal(found.values, wanted.values)
