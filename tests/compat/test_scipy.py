"""embmath.compat.scipy beside SciPy: float64 throughout, NaN where it has NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs SciPy")

from scipy.spatial import distance as peer

from embmath.compat.scipy import METRICS, cdist


@pytest.mark.parametrize("metric", [*METRICS, "chebyshev", "hamming", peer.cosine, peer.cityblock])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8])
def test_distances(metric: Any, dtype: Any, rng: np.random.Generator) -> None:
    a = (3 * rng.standard_normal((6, 11))).astype(dtype)
    b = (3 * rng.standard_normal((5, 11))).astype(dtype)
    b[2] = 0
    with np.errstate(all="ignore"):
        expected = peer.cdist(a, b, metric)
    for x, y in ((a, b), (a.tolist(), b.tolist()), (a[::-1], b[:, ::-1]), (a[:0], b)):
        actual = cdist(x, y, metric)
        assert actual.dtype == np.float64
        if x is a or isinstance(x, list):
            np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)
        else:
            with np.errstate(all="ignore"):
                expected_here = peer.cdist(x, y, metric)
            np.testing.assert_allclose(actual, expected_here, rtol=1e-12, atol=1e-12)


def test_own_function_is_scipys_to_call() -> None:
    def cosine(a: Any, b: Any) -> float:
        return 7.0

    assert cdist([[1.0, 2.0]], [[3.0, 4.0]], cosine) == 7


def test_weights(rng: np.random.Generator) -> None:
    a, w = rng.standard_normal((4, 3)), np.array([1.0, 2.0, 0.5])
    np.testing.assert_array_equal(cdist(a, a, w=w), peer.cdist(a, a, w=w))


def test_nan_and_infinity(rng: np.random.Generator) -> None:
    a = rng.standard_normal((4, 5))
    a[1, 2], a[2, 3] = np.nan, np.inf
    with np.errstate(all="ignore"):
        for metric in ("euclidean", "sqeuclidean", "cityblock", "cosine"):
            np.testing.assert_allclose(
                cdist(a, a[:2], metric), peer.cdist(a, a[:2], metric), rtol=1e-12, atol=1e-12
            )


def test_out(rng: np.random.Generator) -> None:
    a, b = rng.standard_normal((4, 3)), rng.standard_normal((2, 3))
    out = np.empty((4, 2))
    assert cdist(a, b, "cosine", out=out) is out
    np.testing.assert_allclose(out, peer.cdist(a, b, "cosine"), rtol=1e-12)
    for wrong in (np.empty((2, 4)), np.empty((4, 2), np.float32), np.empty((2, 4)).T):
        for library in (peer.cdist, cdist):
            with pytest.raises(ValueError, match=r"out|Output|output"):
                library(a, b, out=wrong)


@pytest.mark.parametrize(("a", "b"), [((3,), (2, 3)), ((2, 3), (2, 4)), ((2, 3, 1), (2, 3))])
def test_wrong_shapes(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    for library in (peer.cdist, cdist):
        with pytest.raises(ValueError, match=r"dimension|columns"):
            library(np.ones(a), np.ones(b))


def test_no_columns() -> None:
    np.testing.assert_array_equal(cdist(np.ones((2, 0)), np.ones((3, 0))), np.zeros((2, 3)))
