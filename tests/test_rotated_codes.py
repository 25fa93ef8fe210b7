"""Codes in rotated coordinates against the oracle, and what they promise."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import embmath as em
import reference
from embmath import _rotated
from reference import assert_same
from strategies import DTYPES, FLOATS, LAYOUTS, cast

METRICS = ("cosine", "dot", "euclidean", "sqeuclidean")
SIZES = ((1, 1), (3, 2), (20, 15), (40, 16), (33, 17), (70, 40), (50, 100))


def rows(rng: np.random.Generator, n: int, d: int, shift: float = 0.5) -> np.ndarray:
    """Rows of a falling spectrum around a mean, on axes of their own."""
    turn = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return ((rng.standard_normal((n, d)) * 0.9 ** np.arange(d)) @ turn + shift).astype(np.float32)


def parts(grid: em.RotatedGrid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Widths and steps of the blocks that have codes, and the mean's direction."""
    used = grid.widths > 0
    return grid.widths[used], grid.steps[used], grid.direction


def coordinates(codes: em.Codes) -> np.ndarray:
    """As searches see codes."""
    widths, steps, direction = parts(codes.grid)
    wide = np.zeros(codes.grid.n_coords, np.float32)
    wide[: len(direction)] = direction
    n_coded = codes.grid.coding[3]
    out = reference.rotated_coordinates(
        np.asarray(codes.data), codes.step, codes.offset, widths, steps, wide[:n_coded]
    )
    return np.concatenate([out, codes.offset * wide[n_coded:]], axis=1)


def queries_on(grid: em.RotatedGrid, q: np.ndarray) -> np.ndarray:
    n_axes = len(grid.axes)
    return reference.with_rest(q, grid.axes)[:, : grid.n_coords] if n_axes else q


def assert_codes(codes: em.Codes, x: np.ndarray) -> None:
    grid = codes.grid
    fixed = grid.axes, codes.rotation.mean, grid.coding[3]
    expected = reference.rotated_codes(x, *fixed, *parts(grid))
    for found, wanted in zip((codes.data, codes.step, codes.offset), expected, strict=True):
        assert_same(found, wanted)


# --- against the oracle -----------------------------------------------------------------------


@pytest.mark.usefixtures("isa")
class TestDefinition:
    @pytest.mark.parametrize(("n", "d"), SIZES)
    @pytest.mark.parametrize("bits", [0.5, 1, 2, 3.3, 8])
    def test_pca(self, rng, n, d, bits):
        x = rows(rng, n, d)
        assert_codes(em.quantize(x, "pca", bits=bits), x)

    @pytest.mark.parametrize(("n", "d"), SIZES)
    @pytest.mark.parametrize("bits", [1, 2, 5, 8])
    def test_rabitq(self, rng, n, d, bits):
        x = rows(rng, n, d)
        assert_codes(em.quantize(x, "rabitq", bits=bits), x)

    @pytest.mark.parametrize("dtype", FLOATS)
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_dtypes_and_layouts(self, rng, dtype, layout):
        x = cast(rows(rng, 37, 33), dtype)
        rotation = em.fit_rotation(x)
        codes = em.quantize(LAYOUTS[layout](x), "pca", bits=2, rotation=rotation)
        assert_codes(codes, x)

    @pytest.mark.parametrize(("n", "d"), SIZES)
    @pytest.mark.parametrize("precision", ["pca", "rabitq"])
    def test_decoding(self, rng, n, d, precision):
        codes = em.quantize(rows(rng, n, d), precision)
        grid = codes.grid
        back = np.ascontiguousarray(grid.axes.T)
        numbers = coordinates(codes)[:, : len(grid.axes)]
        assert_same(codes.dequantize(), reference.on_axes(numbers, back)[0])
        for dtype in FLOATS:
            found = codes.dequantize(dtype=dtype)
            assert_same(found, codes.dequantize().astype(DTYPES[dtype]))

    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize(("nq", "n", "d", "bits"), [(1, 300, 40, 2), (30, 90, 17, 1)])
    @pytest.mark.parametrize("precision", ["pca", "rabitq"])
    def test_search(self, rng, metric, nq, n, d, bits, precision):
        x, q = rows(rng, n, d), rows(rng, nq, d)
        x[n // 2 :] = x[: n - n // 2]  # ties
        codes = em.quantize(x, precision, bits=bits)
        found = em.search(q, codes, 9, metric)
        on_axes = queries_on(codes.grid, q), coordinates(codes)
        reference.assert_all_same(found, reference.search(*on_axes, 9, metric))
        assert not found.is_exact

    def test_many_queries(self, rng):
        """Enough for tiles of int8."""
        x, q = rows(rng, 3000, 64), rows(rng, 150, 64)
        codes = em.quantize(x, "pca")
        found = em.search(q, codes, 5, "dot")
        on_axes = queries_on(codes.grid, q), coordinates(codes)
        reference.assert_all_same(found, em.search(*on_axes, 5, "dot"))


@settings(max_examples=60)
@given(
    n=st.integers(1, 70),
    d=st.integers(1, 70),
    bits=st.floats(0.05, 8),
    seed=st.integers(0, 999),
    threads=st.integers(1, 3),
    shift=st.sampled_from([0.0, 1e-6, 3.0]),
)
def test_any_size(n, d, bits, seed, threads, shift):
    x = rows(np.random.default_rng(seed), n, d, shift)
    codes = em.quantize(x, "pca", bits=bits, threads=threads)
    assert_codes(codes, x)
    assert codes.grid.bits * d <= max(bits * d, 16)
    again = em.quantize(x, "pca", bits=codes.grid.bits, rotation=codes.rotation)
    assert (again.grid.widths == codes.grid.widths).all()


def test_a_vector_by_hand():
    """Two bits, one block: grid points at -1.5, -0.5, 0.5, 1.5 steps; a bit plane is two bytes."""
    rotation = em.Rotation(np.zeros(4), np.eye(4), np.ones(4))
    codes = em.quantize(
        np.float32([[3, -3, 1, -1], [0, 0, 0, 2]]), "rabitq", bits=2, rotation=rotation
    )
    assert codes.data.tolist() == [[0b1001, 0, 0b0101, 0], [0b1000, 0, 0b1111, 0]]
    assert codes.dequantize()[0].round(4).tolist() == [3, -3, 1, -1]
    assert codes.offset.tolist() == [[0], [0]]


# --- what it promises -------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["pca", "rabitq"])
@pytest.mark.parametrize("bits", [1, 3])
@pytest.mark.parametrize("shift", [0.0, 0.1, 5.0])
def test_lengths_and_the_mean_are_kept(rng, precision, bits, shift):
    x = rows(rng, 200, 60, shift)
    codes = em.quantize(x, precision, bits=bits)
    wide, found = x.astype(np.float64), codes.dequantize().astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), lengths, rtol=1e-5)
    mean = codes.rotation.mean / np.linalg.norm(codes.rotation.mean)
    assert (np.abs(found @ mean - wide @ mean) < 1e-5 * lengths).all()


@pytest.mark.parametrize("metric", METRICS)
def test_search_is_that_of_decoded_rows(rng, metric):
    x, q = rows(rng, 500, 48), rows(rng, 20, 48)
    codes = em.quantize(x, "pca", bits=1)
    scores = reference.matrix(q, codes.dequantize(), metric, "search")
    found = em.search(q, codes, 10, metric)
    best = np.take_along_axis(scores, reference_order(scores, metric)[:, :10], 1)
    scale = 1.0 if metric == "cosine" else np.abs(q).sum() ** 2
    np.testing.assert_allclose(found.values, best, atol=1e-5 * scale, rtol=1e-5)
    mine = np.take_along_axis(scores, found.indices, 1)
    np.testing.assert_allclose(found.values, mine, atol=1e-5 * scale, rtol=1e-5)


def reference_order(scores: np.ndarray, metric: str) -> np.ndarray:
    return np.stack([reference.best_first(row, metric) for row in scores])


def test_more_bits_lose_less(rng):
    x = rows(rng, 400, 64)
    lost = [
        np.square(em.quantize(x, "pca", bits=bits).dequantize() - x).sum()
        for bits in (0.5, 1, 2, 3, 4, 6, 8)
    ]
    assert (np.diff(lost) < 0).all()
    assert lost[-1] < 2e-4 * np.square(x - x.mean(0)).sum()


def test_rescoring(rng):
    x, q = rows(rng, 2000, 64), rows(rng, 50, 64)
    exact = em.search(q, x, 10)
    for precision, bits in (("pca", 0.5), ("pca", 1), ("pca", 2), ("pca", 4), ("rabitq", 1)):
        codes = em.quantize(x, precision, bits=bits)
        found = em.search(q, codes, 10, rescore=x)
        assert not found.is_exact
        hits = [
            len(np.intersect1d(*pair)) for pair in zip(found.indices, exact.indices, strict=True)
        ]
        assert np.mean(hits) > 8


def test_codes_meet_codes(rng):
    x, y = rows(rng, 80, 30), rows(rng, 60, 30)
    codes = em.quantize(x, "pca", bits=3)
    same = em.quantize(y, "pca", bits=3, rotation=codes.rotation)
    other = em.quantize(y, "rabitq", bits=2)
    for queries in (same, other, em.quantize(y, "int8"), em.quantize(y, "binary")):
        wanted = reference.matrix(queries.dequantize(), codes.dequantize(), "dot", "similarity")
        np.testing.assert_allclose(em.similarity(queries, codes, "dot"), wanted, atol=1e-4)
    wanted = reference.matrix(codes.dequantize(), y, "euclidean", "distance")
    np.testing.assert_allclose(em.distance(codes, y), wanted, atol=1e-3)
    np.testing.assert_allclose(em.distance(y, codes), wanted.T, atol=1e-3)


# --- the grid ---------------------------------------------------------------------------------


def lost_by(widths: Any, weights: list[float]) -> float:
    return sum(w * _rotated._LOST[b] for w, b in zip(weights, widths, strict=True))


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=4), st.integers(1, 10))
def test_no_allocation_loses_less(variances, n_planes):
    widths = _rotated._allocated(variances, [16] * len(variances), 16 * n_planes)
    assert sum(widths) == min(n_planes, 8 * len(variances))
    weights = [v**1.5 for v in variances]
    choices = itertools.product(range(9), repeat=len(variances))
    least = min(lost_by(c, weights) for c in choices if sum(c) == sum(widths))
    assert lost_by(widths, weights) <= least * (1 + 1e-9)


def test_more_rows_on_the_same_grid(rng):
    x = rows(rng, 300, 50)
    codes = em.quantize(x, "pca", bits=1.5)
    again = em.quantize(x[100:], "pca", bits=codes.grid.bits, rotation=codes.rotation)
    assert_same(again.data, codes.data[100:])
    assert_same(again.step, codes.step[100:])


@pytest.mark.parametrize("d", [1, 2, 3, 5, 16, 31, 64, 100, 127, 384])
def test_random_rotations_are_orthonormal(d):
    basis = em.random_rotation(d, seed=3).basis.astype(np.float64)
    assert np.abs(basis @ basis.T - np.eye(d)).max() < 1e-6


def test_random_rotations_repeat():
    first = em.random_rotation(5).basis[0].astype(np.float64)
    assert first.round(4).tolist() == [0.0808, -0.1951, -0.5335, -0.7727, -0.2714]
    assert_same(em.random_rotation(9, seed=1).basis, em.random_rotation(9, seed=1).basis)
    assert (em.random_rotation(9, seed=1).basis != em.random_rotation(9).basis).any()
    spread = np.abs(em.random_rotation(512).basis)
    assert spread.max() < 0.35  # no coordinate of 512 stays what it was


def test_slices_and_pickles(rng):
    codes = em.quantize(rows(rng, 30, 40), "pca")
    for part in (codes[4:9], codes[[3, 1]], codes[7], pickle.loads(pickle.dumps(codes))):
        assert part.grid is codes.grid or (part.grid.widths == codes.grid.widths).all()
        assert part.nbytes == part.data.nbytes + part.step.nbytes + part.offset.nbytes
    assert_same(codes[4:9].dequantize(), codes.dequantize()[4:9])
    assert_same(codes[7].dequantize(), codes.dequantize()[7])
    assert repr(codes[7]).startswith("<embmath.Codes: 1 row x 40, pca, 2 bits, 18 bytes, rotation ")
    assert codes.nbytes == 30 * (10 + 8)


def test_one_row_and_torch(rng):
    torch = pytest.importorskip("torch")
    x = rows(rng, 50, 20)
    codes = em.quantize(torch.from_numpy(x), "pca")
    assert isinstance(codes.data, torch.Tensor)
    assert_same(codes.dequantize().numpy(), em.quantize(x, "pca").dequantize())
    one = em.quantize(torch.from_numpy(x[0]), "pca", rotation=codes.rotation)
    assert one.data.shape == (codes.grid.row_bytes,)
    assert_same(one.dequantize().numpy(), codes.dequantize().numpy()[0])
    found = em.search(torch.from_numpy(x[:3]), codes, 2)
    assert isinstance(found.values, torch.Tensor)
