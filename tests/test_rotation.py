"""fit_rotation and Rotation against eigenvectors in NumPy's float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import embmath as em
import reference
from reference import Array
from strategies import FLOATS, LAYOUTS, cast

N, D = 400, 24


def rows(rng: np.random.Generator, n: int = N, d: int = D, dtype: str = "float32") -> Array:
    """Variances that differ by factors, around a mean, in mixed columns."""
    mix = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return cast((rng.standard_normal((n, d)) * 0.8 ** np.arange(d) + 0.5) @ mix, dtype)


def same_axes(a: Array, b: Array, atol: float = 1e-5) -> None:
    """Each axis, whichever way it points."""
    assert a.shape == b.shape
    cosines = np.abs((a.astype(np.float64) * b).sum(axis=1))
    np.testing.assert_allclose(cosines, 1, atol=atol)


def agrees(rotation: em.Rotation, x: Array, **options: bool) -> None:
    mean, axes, variance = reference.principal_axes(x, **options)
    np.testing.assert_allclose(rotation.mean, mean, atol=1e-12)
    np.testing.assert_allclose(rotation.variance, variance[: rotation.dims], rtol=1e-7, atol=1e-13)
    same_axes(rotation.basis, axes[: rotation.dims])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("normalize", [True, False])
def test_axes_and_variances(
    rng: np.random.Generator, dtype: str, center: bool, normalize: bool
) -> None:
    x = rows(rng, dtype=dtype)
    rotation = em.fit_rotation(x, center=center, normalize=normalize)
    agrees(rotation, x, center=center, normalize=normalize)
    assert rotation.basis.dtype == np.float32
    assert rotation.mean.dtype == rotation.variance.dtype == np.float64
    assert center or not rotation.mean.any()


@pytest.mark.parametrize("dims", [1, 5, D])
def test_dims(rng: np.random.Generator, dims: int) -> None:
    x = rows(rng)
    rotation = em.fit_rotation(x, dims=dims)
    assert (rotation.d, rotation.dims) == (D, dims)
    agrees(rotation, x)
    assert f"{D} -> {dims}" in repr(rotation)


@pytest.mark.parametrize("n", [1, 2, D - 1, D, 4095, 4096, 4097, 9000])
def test_any_number_of_rows(rng: np.random.Generator, n: int) -> None:
    x = rows(rng, n)
    rotation = em.fit_rotation(x)
    mean, axes, variance = reference.principal_axes(x)
    np.testing.assert_allclose(rotation.mean, mean, atol=1e-12)
    np.testing.assert_allclose(rotation.variance, variance, rtol=1e-7, atol=1e-12)
    held = min(n - 1, D)  # axes beyond are any
    same_axes(rotation.basis[:held], axes[:held], atol=1e-4)


def test_axes_are_orthonormal_whatever_the_rows(rng: np.random.Generator) -> None:
    one = rows(rng, 1)
    for x in (
        one,
        np.tile(one, (50, 1)),
        np.zeros((9, D)),
        rows(rng),
        one * rng.normal(0, 1, (9, 1)),
    ):
        basis = em.fit_rotation(x).basis.astype(np.float64)
        np.testing.assert_allclose(basis @ basis.T, np.eye(D), atol=1e-6)
        _, axes, spread = em.fit_rotation(x).coding_basis()
        np.testing.assert_allclose(axes.astype(np.float64) @ axes.T, np.eye(D), atol=1e-6)
        assert (spread >= 0).all()


def test_mixed_blocks_span_what_they_did(rng: np.random.Generator) -> None:
    """The sum of variances of every block, and the space it stands for, are kept."""
    rotation = em.fit_rotation(rows(rng, 2000, 150))
    mean, axes, spread = rotation.coding_basis()
    assert mean is rotation.mean
    for first in (0, 64, 128):
        block = slice(first, min(first + 64, 150))
        np.testing.assert_allclose(
            (spread[block] ** 2).sum(), rotation.variance[block].sum(), rtol=1e-12
        )
        overlap = axes[block].astype(np.float64) @ rotation.basis[block].T
        np.testing.assert_allclose(overlap @ overlap.T, np.eye(len(overlap)), atol=1e-5)


def test_sample_and_seed(rng: np.random.Generator) -> None:
    x = rows(rng)
    a, b, other = (em.fit_rotation(x, sample=50, seed=seed) for seed in (1, 1, 2))
    assert (a.basis == b.basis).all()
    assert (a.mean == b.mean).all()
    assert (a.mean != other.mean).any()
    chosen = np.sort(np.random.default_rng(1).choice(N, 50, replace=False))
    agrees(a, x[chosen])
    assert (em.fit_rotation(x, sample=N).basis == em.fit_rotation(x).basis).all()
    assert (em.fit_rotation(x, sample=10**9).basis == em.fit_rotation(x).basis).all()


def test_rows_that_are_not_finite_do_not_count(rng: np.random.Generator) -> None:
    x = rows(rng)
    bad = x.copy()
    bad[5, 3], bad[77, 0], bad[78, 1] = np.nan, np.inf, -np.inf
    agrees(em.fit_rotation(bad), np.delete(x, [5, 77, 78], axis=0))
    with pytest.raises(ValueError, match=r"^x: expected at least one row of finite numbers"):
        em.fit_rotation(np.full((3, D), np.nan))
    with pytest.raises(ValueError, match=r"^x: expected at least one row of finite numbers"):
        em.fit_rotation(np.empty((0, D), np.float32))


def test_zero_rows_have_no_length_to_divide_by(rng: np.random.Generator) -> None:
    x = rows(rng)
    x[::7] = 0
    agrees(em.fit_rotation(x, normalize=True), x, normalize=True)


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e30, 1e140])
def test_scales(rng: np.random.Generator, scale: float) -> None:
    x = rows(rng, dtype="float64")
    rotation = em.fit_rotation(x * scale)
    same_axes(rotation.basis, em.fit_rotation(x).basis)
    np.testing.assert_allclose(rotation.variance / scale**2, em.fit_rotation(x).variance, rtol=1e-6)


def test_rows_too_large_for_their_squares_do_not_count(rng: np.random.Generator) -> None:
    x = rows(rng, dtype="float64")
    bad = x.copy()
    bad[[3, 30]] *= 1e200
    agrees(em.fit_rotation(bad), np.delete(x, [3, 30], axis=0))
    with pytest.raises(ValueError, match=r"^x: expected at least one row .* squares below"):
        em.fit_rotation(x * 1e200)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(rng: np.random.Generator, layout: str) -> None:
    x = rows(rng)
    laid = LAYOUTS[layout](x)
    plain = em.fit_rotation(x)
    same_axes(em.fit_rotation(laid).basis, plain.basis)
    assert (plain.apply(laid) == plain.apply(x)).all()


# --- apply -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("center", [True, False])
def test_apply(isa: str, rng: np.random.Generator, dtype: str, center: bool) -> None:
    x = rows(rng, dtype=dtype)
    rotation = em.fit_rotation(x, center=center)
    for dims in (None, 1, 7, D):
        y = rotation.apply(x, dims)
        assert y.dtype == np.float32
        assert y.shape == (N, dims or D)
        wanted = reference.rotate(x, rotation.mean, rotation.basis[:dims])
        np.testing.assert_allclose(y, wanted, atol=D * 2.0**-22 * np.abs(x.astype(float)).max())


def test_one_row_is_a_row(rng: np.random.Generator) -> None:
    x = rows(rng)
    rotation = em.fit_rotation(x)
    assert rotation.apply(x[3]).shape == (D,)
    assert rotation.apply(x[3], dims=2).shape == (2,)
    np.testing.assert_allclose(rotation.apply(x[3]), rotation.apply(x)[3], atol=1e-6)
    assert rotation.apply(x[:0]).shape == (0, D)
    assert rotation.apply(x[3].tolist()).shape == (D,)


def test_what_a_rotation_keeps(rng: np.random.Generator) -> None:
    x = rows(rng)
    y = em.fit_rotation(x).apply(x)
    np.testing.assert_allclose(em.distance(y, y), em.distance(x, x), atol=1e-4)
    z = em.fit_rotation(x, center=False).apply(x)
    np.testing.assert_allclose(em.similarity(z, z, "dot"), em.similarity(x, x, "dot"), atol=1e-4)
    np.testing.assert_allclose(y.astype(float).mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(y.astype(float).var(axis=0), em.fit_rotation(x).variance, rtol=1e-4)


def test_threads_change_nothing(rng: np.random.Generator) -> None:
    x = rows(rng, 3000)
    rotation = em.fit_rotation(x)
    assert (rotation.apply(x, threads=1) == rotation.apply(x, threads=3)).all()


def test_nan_stays_nan(rng: np.random.Generator) -> None:
    x = rows(rng)
    rotation = em.fit_rotation(x)
    x[4, 2] = np.nan
    y = rotation.apply(x)
    assert np.isnan(y[4]).all()
    assert np.isfinite(np.delete(y, 4, axis=0)).all()


@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 2**16))
def test_any_shape(d: int, n: int, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((n, d))
    rotation = em.fit_rotation(x)
    wanted = reference.rotate(x, rotation.mean, rotation.basis)
    np.testing.assert_allclose(rotation.apply(x), wanted, atol=1e-4)
    np.testing.assert_allclose(rotation.variance.sum(), x.var(axis=0).sum(), atol=1e-9)
    assert (np.diff(rotation.variance) <= 1e-12).all()


def test_torch(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    x = rows(rng)
    for tensor in (torch.from_numpy(x), torch.from_numpy(x).to(torch.bfloat16)):
        rotation = em.fit_rotation(tensor)
        y = rotation.apply(tensor, 3)
        assert isinstance(y, torch.Tensor)
        assert y.dtype == torch.float32
        wanted = reference.rotate(tensor.double().numpy(), rotation.mean, rotation.basis[:3])
        np.testing.assert_allclose(y.numpy(), wanted, atol=1e-4)


# --- whether it is worth it --------------------------------------------------------------------


def test_leads(rng: np.random.Generator) -> None:
    even, steep = np.ones(100), 1 / (1 + np.arange(100.0))
    for variance, expected in ((even, False), (steep, True), (0 * even, False)):
        assert em.Rotation(np.zeros(100), np.eye(100), variance).leads() is expected
    assert em.Rotation(np.zeros(1), np.eye(1), np.ones(1)).leads()


# --- refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ValueError, "^dims: ", {"dims": 0}),
        (ValueError, "^dims: ", {"dims": D + 1}),
        (TypeError, "^dims: ", {"dims": 2.0}),
        (ValueError, "^sample: ", {"sample": 0}),
        (TypeError, "^sample: ", {"sample": "all"}),
        (ValueError, "^seed: ", {"seed": -1, "sample": 9}),
    ],
)
def test_refused_options(rng, error, message, options) -> None:
    with pytest.raises(error, match=message):
        em.fit_rotation(rows(rng), **options)


def test_refused_rows(rng: np.random.Generator) -> None:
    x = rows(rng)
    rotation = em.fit_rotation(x, dims=5)
    for bad, error in ((x.astype(np.int8), TypeError), (x[None], ValueError), ("text", TypeError)):
        with pytest.raises(error, match=r"^x: "):
            em.fit_rotation(bad)
        with pytest.raises(error, match=r"^x: "):
            rotation.apply(bad)
    with pytest.raises(ValueError, match=rf"^x: expected {D} columns like the rotation, got 9"):
        rotation.apply(x[:, :9])
    for dims in (0, 6):
        with pytest.raises(ValueError, match=r"^dims: "):
            rotation.apply(x, dims)
    with pytest.raises(ValueError, match=r"^threads: "):
        rotation.apply(x, threads=0)


def test_refused_rotations() -> None:
    good = (np.zeros(4), np.eye(4)[:2], np.ones(2))
    em.Rotation(*good)
    for i, bad in (
        (0, np.zeros(3)),
        (1, np.eye(4)),
        (1, np.ones(4)),
        (1, np.eye(4)[:0]),
        (2, np.ones(4)),
    ):
        with pytest.raises(ValueError, match=r"^rotation: expected mean"):
            em.Rotation(*(bad if i == j else part for j, part in enumerate(good)))
    for i, value in ((0, np.nan), (1, np.inf), (2, np.nan), (2, -1.0)):
        parts = [part.copy() for part in good]
        parts[i].flat[0] = value
        with pytest.raises(ValueError, match=r"^rotation: expected finite numbers"):
            em.Rotation(*parts)


def test_a_rotation_does_not_change(rng: np.random.Generator) -> None:
    mean = np.zeros(4)
    rotation = em.Rotation(mean, np.eye(4), np.ones(4))
    mean[0] = 1
    assert not rotation.mean.any()
    for part in (rotation.mean, rotation.basis, rotation.variance):
        with pytest.raises(ValueError, match="read-only"):
            part[...] = 0


def test_the_method_has_an_example_that_runs() -> None:
    import doctest

    tests = doctest.DocTestFinder().find(em.Rotation, globs={"em": em, "np": np})
    runner = doctest.DocTestRunner()
    for test in tests:
        runner.run(test)
    assert runner.tries > 0
    assert runner.failures == 0
