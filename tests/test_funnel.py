"""Fewer columns first: the funnel, and leading columns of an index."""

from __future__ import annotations

import math

import numpy as np
import pytest

import embmath as em
import reference
from reference import FLOAT_METRICS, Array, TopK
from strategies import FLOATS, make, normal


def steep(rng: np.random.Generator, n: int, d: int) -> Array:
    return (rng.standard_normal((n, d)) * 0.9 ** np.arange(d)).astype(np.float32)


def stepwise(q: Array, x: Array, k: int, metric: str, dims: tuple[int, ...], factor: float) -> TopK:
    """The funnel by its definition: each level's best of what the one before it left."""
    kept = [min(math.ceil(k * factor**i), len(x)) for i in range(len(dims), 0, -1)]
    best = reference.search(q, x, kept[0], metric, dims=dims[0]).indices
    for width, count in zip(dims[1:], kept[1:], strict=True):
        best = reference.rescore(q, x, best, count, metric, dims=width).indices
    return reference.rescore(q, x, best, k, metric)


@pytest.mark.parametrize("metric", FLOAT_METRICS)
@pytest.mark.parametrize(("dims", "factor"), [((4,), 4.0), ((4, 12), 2.5), ((1, 2, 3), 1.0)])
def test_each_level_keeps_its_best(isa, rng, metric, dims, factor):
    q, x = steep(rng, 6, 24), steep(rng, 500, 24)
    found = em.funnel_search(q, x, 5, metric, dims=dims, oversample=factor)
    wanted = stepwise(q, x, 5, metric, dims, factor)
    reference.assert_all_same(found, wanted)


def test_a_wide_funnel_is_a_search(rng):
    q, x = steep(rng, 4, 30), steep(rng, 300, 30)
    found = em.funnel_search(q, x, 7, dims=(3, 9), oversample=50)
    reference.assert_all_same(found, reference.search(q, x, 7))
    assert em.funnel_search(q, x, 1000, dims=[3]).indices.shape == (4, 300)


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ValueError, r"^dims: expected ascending prefixes", {"dims": ()}),
        (ValueError, r"^dims: expected ascending prefixes", {"dims": (4, 4)}),
        (ValueError, r"^dims: expected ascending prefixes", {"dims": (6, 4)}),
        (ValueError, r"^dims: .*at most 7", {"dims": (8,)}),
        (ValueError, r"^dims: .*at least 1", {"dims": (0, 2)}),
        (ValueError, r"^oversample: .*at least 1", {"dims": (2,), "oversample": 0.5}),
        (ValueError, r"^oversample: .*finite", {"dims": (2,), "oversample": math.inf}),
        (ValueError, r"^k: ", {"dims": (2,), "k": 0}),
        (TypeError, r"^dims: ", {"dims": (2.5,)}),
    ],
)
def test_refused(error, message, options):
    x = np.eye(8, dtype=np.float32)
    with pytest.raises(error, match=message):
        em.funnel_search(x, x, **options)


@pytest.mark.parametrize("codes", ["int8", "prefix", "int4", None])
@pytest.mark.parametrize("dtype", FLOATS)
def test_leading_columns_of_an_index(isa, rng, codes, dtype):
    q, x = normal(rng, 40, 48, dtype), normal(rng, 1500, 48, dtype)
    for metric in ("cosine", "dot", "euclidean"):
        index = em.Index(x, metric=metric, codes=codes)
        for dims in (1, 17, 47, 48):
            wanted = reference.search(q[:, :dims], x[:, :dims], 6, metric)
            for nq in (1, 40):
                part = TopK(wanted.values[:nq], wanted.indices[:nq])
                reference.assert_all_same(index.search(q[:nq], 6, dims=dims), part)
            cut = float(np.median(wanted.values))
            hits = reference.range_search(q[:3, :dims], x[:, :dims], cut, metric)
            reference.assert_all_same(index.range_search(q[:3], cut, dims=dims), hits)


def test_leading_columns_after_changes(rng):
    q, x = make("duplicates", 5, 1300, 40)
    index = em.Index(x)
    index.remove(np.arange(0, 1300, 3))
    left = np.flatnonzero(np.arange(1300) % 3 != 0)
    wanted = reference.search(q[:, :9], x[left][:, :9], 8)
    reference.assert_all_same(index.search(q, 8, dims=9), TopK(wanted.values, left[wanted.indices]))
    assert em.Index(dim=5).search(x[:2, :5], 3, dims=2).indices.shape == (2, 0)
    for dims, message in ((0, "at least 1"), (41, "at most 40")):
        with pytest.raises(ValueError, match=rf"^dims: .*{message}"):
            index.search(q, dims=dims)


def test_axes_as_they_are(rng):
    x = steep(rng, 3000, 32) + 0.5
    rotation = em.fit_rotation(x, axes="given")
    assert np.array_equal(rotation.basis, np.eye(32))
    np.testing.assert_allclose(rotation.variance, x.astype(np.float64).var(axis=0), rtol=1e-6)
    np.testing.assert_allclose(rotation.mean, x.astype(np.float64).mean(axis=0), rtol=1e-6)
    index = em.Index(x, metric="dot", codes=("prefix", "int4"), rotation=rotation)
    q = steep(rng, 50, 32)
    reference.assert_all_same(index.search(q, 5), reference.search(q, x, 5, "dot"))
    with pytest.raises(ValueError, match=r"^axes: unknown 'pca'"):
        em.fit_rotation(x, axes="pca")
