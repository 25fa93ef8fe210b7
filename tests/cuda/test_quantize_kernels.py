"""Codes by the CUDA kernels: those of the oracle and of the CPU, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import embmath as em
import reference
from cuda_devices import ALL, Array, Kernels, narrow

DTYPES = ("float32", "float16", "bfloat16")
ROUNDINGS = ("floor", "nearest", "truncate", "ratio")
BYTES = {"bytes": 0, "interleaved": 1, "split": 2}
# Around the edges of pieces (4 or 8 columns), of a group of lanes, and of what lanes keep.
COLUMNS = (1, 2, 7, 8, 31, 64, 100, 257, 768, 1030, 2064)
# Every column; columns that start anywhere, of rows further apart.
PARTS = (ALL, slice(8, -8), slice(3, -2))
HOSTILE = np.float32([0.0, -0.0, np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 1e-45, -1e-45, 1e-38])


def wide(rng: np.random.Generator, n_rows: int, n_cols: int, part: slice, dtype: str) -> Array:
    """Rows of which `part` has so many columns."""
    spare = 0 if part == ALL else part.start - part.stop
    return narrow(rng.standard_normal((n_rows, n_cols + spare)), dtype)


def same(found: Array, wanted: Any) -> None:
    wanted = np.asarray(wanted)
    assert found.shape == wanted.shape
    assert found.tobytes() == wanted.tobytes()


def columns(layout: str) -> tuple[int, ...]:
    return COLUMNS if layout != "split" else tuple(n for n in COLUMNS if n % 2 == 0)


def stored(codes: Array, layout: str) -> Array:
    return codes if layout == "bytes" else reference.pack_int4(codes, layout=layout)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("dtype", DTYPES)
class TestRows:
    def test_int8(self, kernels: Kernels, rng, dtype, part):
        for n_cols in COLUMNS:
            x = wide(rng, 37, n_cols, part, dtype)
            x[3] = 0
            x[5, ::2] = -0.0
            codes, _, step = reference.row_codes(x[:, part], "int8")
            found = kernels.quantize_rows(x, (127, False, True, 1, 0), part)
            same(found.data, codes)
            same(found.step, step[:, 0])
            assert found.first_bad is None

    @pytest.mark.parametrize("layout", BYTES)
    def test_on_their_ranges(self, kernels: Kernels, rng, dtype, part, layout):
        precision, levels = ("uint8", 255) if layout == "bytes" else ("int4", 15)
        for n_cols in columns(layout):
            x = wide(rng, 37, n_cols, part, dtype)
            x[3] = 2
            codes, minimum, step = reference.row_codes(x[:, part], precision)
            found = kernels.quantize_rows(x, (levels, False, False, 1, BYTES[layout]), part)
            same(found.data, stored(codes, layout))
            same(found.step, step[:, 0])
            same(found.minimum, minimum[:, 0])
            assert found.first_bad is None


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_roundings_of_rows(kernels: Kernels, rng, dtype, rounding):
    x = narrow(rng.standard_normal((40, 200)), dtype)
    wanted = em.quantize(x, "uint8", rounding=rounding)
    found = kernels.quantize_rows(x, (255, False, False, ROUNDINGS.index(rounding), 0))
    same(found.data, wanted.data)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", [(127, False, True, 1, 0), (255, False, False, 1, 0)])
def test_the_first_row_without_a_range(kernels: Kernels, rng, dtype, value, form):
    x = narrow(rng.standard_normal((60, 1300)), dtype)
    for n_cols, column in ((1, 0), (6, 4), (64, 63), (1300, 0), (1300, 1299)):
        y = x[:60, :n_cols].copy()
        y[[51, 20, 59], column] = value
        assert kernels.quantize_rows(y, form).first_bad == 20
    assert kernels.quantize_rows(x, form).first_bad is None


def test_a_range_beyond_float32(kernels: Kernels):
    x = np.float32([[1, 2], [-3e38, 3e38], [0, 1]])
    assert kernels.quantize_rows(x, (255, False, False, 1, 0)).first_bad == 1
    assert kernels.quantize_rows(x, (127, False, True, 1, 0)).first_bad is None


@pytest.mark.parametrize("size", [1e-45, 1e-43, 3e-40, 1e-38, 1e-20, 1e20, 1.6e38])
def test_rows_at_the_ends_of_float32(kernels: Kernels, rng, size):
    x = np.float32(rng.uniform(-1, 1, (50, 96)) * size)
    for precision, form in (
        ("int8", (127, False, True, 1, 0)),
        ("uint8", (255, False, False, 1, 0)),
    ):
        wanted = em.quantize(x, precision)
        found = kernels.quantize_rows(x, form)
        same(found.data, wanted.data)
        same(found.step, wanted.step[:, 0])


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_given_ranges(kernels: Kernels, rng, dtype, part, rounding):
    for n_cols in (1, 7, 64, 257, 1030):
        x = wide(rng, 45, n_cols, part, dtype)
        x[7] = narrow(rng.choice(HOSTILE, x.shape[1]), dtype)
        low = np.float32(rng.uniform(-2, 0, n_cols))
        ranges = np.stack([low, low + np.float32(rng.uniform(0, 3, n_cols))])
        ranges[1, n_cols // 2] = ranges[0, n_cols // 2]
        for limits, is_signed in ((ranges, False), (ranges, True), (ranges[:, :1], True)):
            form = (255, is_signed, False, ROUNDINGS.index(rounding), 0)
            found = kernels.quantize(x, form, limits, part)
            same(found, reference.grid_codes(x[:, part], limits, rounding, 8, is_signed))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["interleaved", "split"])
def test_nibbles_on_given_ranges(kernels: Kernels, rng, dtype, part, layout):
    for n_cols in columns(layout):
        x = wide(rng, 45, n_cols, part, dtype)
        ranges = np.float32([np.full(n_cols, -1.5), rng.uniform(0, 2, n_cols)])
        found = kernels.quantize(x, (15, False, False, 0, BYTES[layout]), ranges, part)
        codes = reference.grid_codes(x[:, part], ranges, "floor", 4)
        same(found, stored(codes, layout))


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@example(ends=(-1.8e38, -1.8e38), rounding="nearest", seed=0)
@settings(max_examples=80, deadline=None)
@given(
    ends=st.tuples(FLOATS, FLOATS), rounding=st.sampled_from(ROUNDINGS), seed=st.integers(0, 999)
)
def test_quotients_are_those_of_a_division(kernels: Kernels, ends, rounding, seed):
    """Numbers beside the borders between codes, on any ranges that the library takes."""
    low, high = np.sort(np.float32(ends))
    with np.errstate(over="ignore"):
        if not np.isfinite(high - low):
            return
    rng = np.random.default_rng(seed)
    levels = int(rng.choice([15, 127, 255]))
    step = np.float64(high - low) / levels
    borders = (
        np.float64(low)
        + step * rng.choice([0, 0.5], 4000)
        + step * rng.integers(-2, levels + 3, 4000)
    )
    with np.errstate(over="ignore"):
        x = np.float32(borders).view(np.int32) + rng.integers(-3, 4, 4000, dtype=np.int32)
    x = np.concatenate([x.view(np.float32), HOSTILE, rng.standard_normal(86).astype(np.float32)])
    x = x.reshape(-1, 128)
    ranges = np.float32([[low], [high]])
    is_signed = bool(rng.integers(2)) and levels == 255
    form = (levels, is_signed, False, ROUNDINGS.index(rounding), 0)
    bits = levels.bit_length()
    with np.errstate(all="ignore"):
        wanted = reference.grid_codes(x, ranges, rounding, bits, is_signed)
    same(kernels.quantize(x, form, ranges), wanted)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_bits(kernels: Kernels, rng, dtype, part):
    for n_cols in COLUMNS:
        x = wide(rng, 45, n_cols, part, dtype)
        x[7] = narrow(rng.choice(HOSTILE, x.shape[1]), dtype)
        for threshold in (0.0, -5e-324, 0.3, 1e300, -1e300) if n_cols == 100 else (0.0,):
            wanted = reference.pack_bits(x[:, part], threshold=threshold)
            flip = int(rng.choice([0, 0x80]))
            same(kernels.pack_bits(x, threshold, flip, part), wanted ^ flip)


def test_what_is_refused(kernels: Kernels, rng):
    x, ranges = np.ones((2, 3), np.float32), np.float32([[0], [1]])
    for form in ((0, False, False, 1, 0), (256, False, False, 1, 0), (16, False, False, 1, 1)):
        with pytest.raises(ValueError, match=r"^format: expected 1 to 255 levels"):
            kernels.quantize_rows(x, form)
    for form in ((15, False, False, 1, 2), (127, False, True, 1, 0), (255, False, False, 4, 0)):
        with pytest.raises(ValueError, match=r"^format: expected 1 to 255 levels"):
            kernels.quantize(x, form, ranges)
    with pytest.raises(ValueError, match=r"^shape: expected"):
        kernels.quantize(x, (255, False, False, 1, 0), np.float32([[0, 0], [1, 1]]))
