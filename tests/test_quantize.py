"""quantize, dequantize and fit_ranges against the oracle: every precision, rule, dtype, layout."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import embmath as em
import reference
from reference import Array, assert_same
from strategies import DIMS, DTYPES, FLOATS, LAYOUTS, cast, make, normal

FINITE = ("normal", "duplicates", "cauchy", "denormal", "mixed_scales", "signs", "sparse")
ROUNDINGS = ("floor", "nearest", "truncate", "ratio")
EVERY_16_BITS = np.arange(2**16, dtype=np.uint16)


def unpacked(codes: em.Codes) -> Array:
    """Stored codes, one to an element."""
    data = np.asarray(codes.data)
    if codes.precision != "int4":
        return data
    return reference.unpack_int4(data, codes.dim, layout=codes.layout)


def places(codes: em.Codes, center: bool = True) -> Array:
    """Where the oracle decodes each code to, counted from the lowest."""
    stored = unpacked(codes).astype(np.float64)
    if codes.precision == "int8" and codes.minimum is None:
        return stored
    signed = codes.precision == "int8"
    half = 0.5 if center and codes.rounding != "nearest" else 0.0
    if signed and codes.rounding == "truncate":
        middle = stored + half * np.sign(stored)
    else:
        middle = stored + half
    return np.clip(middle + 128 * signed, 0, 2 ** min(codes.bits, 8) - 1)


def bounded(x: Array) -> Array:
    """Finite in float32 and in the own dtype, spans included."""
    with np.errstate(all="ignore"):
        narrow = x.astype(np.float32)
        return np.where(np.abs(narrow) < 1e38, x, 1).astype(x.dtype)


@st.composite
def matrices(draw: st.DrawFn, smallest: int = 0) -> Array:
    dtype = draw(st.sampled_from(FLOATS))
    n, d = draw(st.sampled_from([0, 1, 2, 17, 40])), draw(st.sampled_from(DIMS))
    seed = draw(st.integers(0, 2**16))
    _, x = make(draw(st.sampled_from(FINITE)), 0, max(n, smallest), d, dtype, seed)
    return LAYOUTS[draw(st.sampled_from(tuple(LAYOUTS)))](bounded(x))


@given(matrices(), st.sampled_from(["int8", "uint8", "int4"]))
def test_rows_with_a_grid_of_their_own(isa, x, precision):
    codes = em.quantize(x, precision)
    expected, minimum, step = reference.row_codes(x, precision)
    assert_same(unpacked(codes), expected)
    assert_same(codes.step, step)
    if precision == "int8":
        assert codes.minimum is None
    else:
        assert_same(codes.minimum, minimum)
    for dtype in FLOATS:
        start = 0.0 if minimum is None else minimum
        values = reference.decode(places(codes), step, start, DTYPES[dtype])
        assert_same(codes.dequantize(dtype=dtype), values)


@given(
    matrices(2),
    st.sampled_from(ROUNDINGS),
    st.sampled_from(["int8", "uint8", "uint7", "int4"]),
    st.sampled_from(["dim", "global"]),
    st.booleans(),
)
def test_grids_on_ranges(isa, x, rounding, precision, scope, inside):
    sample = x if inside else x[: len(x) // 2]
    if not sample.size:
        return
    ranges = em.fit_ranges(sample, scope=scope)
    assert_same(ranges, reference.fit_ranges(sample, scope=scope))
    bits = {"uint7": 7, "int4": 4}.get(precision, 8)
    name = precision.replace("7", "8")
    width = 7 if bits == 7 else 8
    codes = em.quantize(x, name, ranges=ranges, rounding=rounding, bits=width)
    signed = precision == "int8"
    assert_same(unpacked(codes), reference.grid_codes(x, ranges, rounding, bits, signed))
    step = reference.grid_steps(ranges, bits)
    assert_same(codes.step, step)
    for center in (True, False):
        values = reference.decode(places(codes, center), step, ranges[0])
        assert_same(codes.dequantize(center=center), values)
    per_column = reference.decode(places(codes), step, ranges[0], np.float64)
    assert_same(em.dequantize(codes, dtype=np.float64), per_column)


@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_and_infinity_on_given_ranges(isa, dtype):
    x = cast(np.array([[np.nan, np.inf, -np.inf, 0.75]]), dtype)
    for rounding in ROUNDINGS:
        codes = em.quantize(x, "uint8", ranges=[0, 1], rounding=rounding)
        assert codes.data.tolist() == [[0, 255, 0, 191]]
        codes = em.quantize(x, "int8", ranges=[0, 1], rounding=rounding)
        assert codes.data[0, :3].tolist() == [-128, 127, -128]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_next_to_every_border(isa, rng, rounding, dtype):
    """Where codes change, and up to four numbers to either side, on grids of every magnitude."""
    for scale in (1, 3, 0.1, 1e-3, 1e-25, 1e-38, 1e25, 1e36):
        low = np.float32(rng.standard_normal(20) * scale)
        ranges = np.stack([low, low + np.float32(rng.uniform(0.1, 9, 20) * scale)])
        step = reference.grid_steps(ranges).astype(np.float64)
        place = np.arange(256)[:, None] + (0.5 if rounding == "nearest" else 0)
        below = above = (ranges[0] + place * step).astype(dtype)
        for _ in range(4):
            below, above = np.nextafter(below, -np.inf), np.nextafter(above, np.inf)
            for x in (below, above):
                for signed in (False, True):
                    codes = em.quantize(
                        x, "int8" if signed else "uint8", ranges=ranges, rounding=rounding
                    )
                    expected = reference.grid_codes(x, ranges, rounding, signed=signed)
                    assert_same(codes.data, expected)
        symmetric = np.concatenate([above, -above]).astype(dtype)
        expected, _, step = reference.row_codes(symmetric, "int8")
        assert_same(em.quantize(symmetric, "int8").data, expected)
        ties = np.float32([-127, *(np.arange(-126, 127) + 0.5)]) * np.float32(scale)
        near = np.stack([ties, np.nextafter(ties, 0), np.nextafter(ties, np.inf, dtype=np.float32)])
        near[:, 0] = ties[0]
        assert_same(em.quantize(near, "int8").data, reference.row_codes(near, "int8")[0])


def test_ties_go_away_from_zero(isa):
    x = np.float32([[0.5, 1.5, 2.5, 254.5, 0.49999997, 1e-45]])
    codes = em.quantize(x, "uint8", ranges=[0, 255], rounding="nearest")
    assert codes.data.tolist() == [[1, 2, 3, 255, 0, 0]]
    x = np.float32([[-127, -2.5, -1.5, -0.5, -0.49999997, 0.5]])
    assert em.quantize(x, "int8").data.tolist() == [[-127, -3, -2, -1, 0, 1]]


@pytest.mark.parametrize("center", [False, True])
def test_every_int8_and_uint8_and_int4_decodes(isa, center):
    every = np.arange(256, dtype=np.uint8)
    ranges = np.float32([-1.25, 3.5])
    for precision, data in (("uint8", every), ("int8", every.view(np.int8)), ("int4", every)):
        for rounding in ROUNDINGS:
            codes = em.Codes.from_data(data, precision, ranges=ranges, rounding=rounding)
            levels = 15 if precision == "int4" else 255
            step = np.float32(4.75) / np.float32(levels)
            place = np.clip(places(codes, center), 0, levels)
            assert_same(codes.dequantize(center=center), reference.decode(place, step, ranges[0]))
    symmetric = em.Codes.from_data(every.view(np.int8), "int8", step=0.1, scope="global")
    expected = every.view(np.int8).astype(np.float32) * np.float32(0.1)
    assert_same(symmetric.dequantize(), expected)


@pytest.mark.filterwarnings("ignore:invalid value")  # signalling NaNs, in the comparison
@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_every_16_bit_float(isa, precision):
    """All of them, and from wider types every midpoint between two and both its neighbours."""
    every = EVERY_16_BITS.view(DTYPES[precision])
    assert_same(em.quantize(every, precision).data, every)
    for wide in (np.float32, np.float64):
        assert_same(em.dequantize(em.quantize(every, precision), dtype=wide), every.astype(wide))
    finite = np.unique(every[np.isfinite(every)].astype(np.float64))
    middle = (finite[1:] + finite[:-1]) / 2
    for wide in (np.float32, np.float64):
        at = middle.astype(wide)
        for x in (at, np.nextafter(at, wide(-np.inf)), np.nextafter(at, wide(np.inf))):
            assert_same(em.quantize(x, precision).data, nearest_even(x, precision))


def nearest_even(x: Array, precision: str) -> Array:
    """Rounded once, by comparing distances in float64 (exact here)."""
    every = EVERY_16_BITS[: 2**15].view(DTYPES[precision])
    grid = every[np.isfinite(every)].astype(np.float64)
    size = np.abs(x.astype(np.float64))
    upper = np.clip(np.searchsorted(grid, size), 1, len(grid) - 1)
    below, above = size - grid[upper - 1], grid[upper] - size
    index = upper - ((below < above) | ((below == above) & (upper % 2 == 1)))
    return np.copysign(grid[index], x).astype(DTYPES[precision])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_float_extremes(isa, dtype, precision):
    values = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e300, -1e300, 65519.99, 65520, 3.4e38, 2.0**-149]
    x = cast(np.array(values), dtype)
    with np.errstate(over="ignore"):
        narrow = x.astype(np.float32) if precision == "bfloat16" else x
        expected = narrow.astype(DTYPES[precision])
    assert_same(em.quantize(x, precision).data, expected)


@given(matrices(), st.sampled_from(["gt", "ge"]))
def test_signs(isa, x, threshold):
    bits = np.packbits(x > 0 if threshold == "gt" else x >= 0, axis=-1)
    assert_same(em.quantize(x, "ubinary", threshold=threshold).data, bits)
    offset = em.quantize(x, "binary", threshold=threshold)
    assert_same(offset.data, (bits.astype(np.int16) - 128).astype(np.int8))
    twos = em.quantize(x, "binary", threshold=threshold, signedness="twos_complement")
    assert_same(twos.data, bits.view(np.int8))
    none = em.quantize(x, "binary", threshold=threshold, signedness="none")
    assert_same(none.data, bits)
    for codes in (offset, twos, none):
        positive = x > 0 if threshold == "gt" else x >= 0
        assert_same(codes.dequantize(), np.where(positive, np.float32(1), np.float32(-1)))


def test_nan_and_signed_zeros_as_bits(isa):
    for dtype in FLOATS:
        x = cast(np.array([np.nan, 0.0, -0.0, 1, -1, np.inf, -np.inf, np.nan]), dtype)
        assert em.quantize(x, "ubinary").data.tolist() == [0b00010100]
        assert em.quantize(x, "ubinary", threshold="ge").data.tolist() == [0b01110100]


@given(st.integers(0, 9), st.integers(1, 300), st.integers(0, 999))
def test_nibbles(isa, n, d, seed):
    x = np.random.default_rng(seed).integers(0, 16, (n, d), dtype=np.uint8)
    for layout in ("interleaved", "split")[: 2 - d % 2]:
        packed = em.pack_int4(x, layout=layout)
        assert_same(packed, reference.pack_int4(x, layout=layout))
        assert_same(em.unpack_int4(packed, d, layout=layout), x)
    assert_same(em.unpack_int4(em.pack_int4(x), d - d // 2), x[:, : d - d // 2])


def test_every_byte_of_nibbles_and_bits(isa):
    every = np.arange(256, dtype=np.uint8)
    for layout in ("interleaved", "split"):
        pairs = em.unpack_int4(every, 512, layout=layout)
        assert_same(pairs, reference.unpack_int4(every, 512, layout=layout))
        assert_same(em.pack_int4(pairs, layout=layout), every)
    assert_same(em.unpack_bits(every, 2048), np.unpackbits(every))


@given(matrices(1), st.floats(0.01, 1), st.sampled_from(["dim", "global"]))
def test_quantiles(x, quantile, scope):
    if x.size:
        actual = em.fit_ranges(x, quantile=quantile, scope=scope)
        expected = reference.fit_ranges(x.astype(np.float32), quantile=quantile, scope=scope)
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("precision", ["int8", "uint8", "int4", "binary", "float16", "bfloat16"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layout_and_threads_do_not_matter(rng, layout, precision):
    x = normal(rng, 300, 700)
    one, other = (
        em.quantize(x, precision, threads=1),
        em.quantize(LAYOUTS[layout](x), precision, threads=3),
    )
    assert_same(np.asarray(other), np.asarray(one))
    stored = em.Codes.from_data(LAYOUTS[layout](np.asarray(one)), precision, dim=700)
    if precision not in ("int8", "uint8", "int4"):
        assert_same(stored.dequantize(threads=3), one.dequantize(threads=1))
    assert_same(em.fit_ranges(LAYOUTS[layout](x), threads=3), em.fit_ranges(x, threads=1))
    assert_same(em.fit_ranges(LAYOUTS[layout](x), quantile=0.9), em.fit_ranges(x, quantile=0.9))


@pytest.mark.parametrize("precision", ["int8", "uint8", "int4"])
def test_decoded_rows_are_within_half_a_step(rng, precision):
    x = normal(rng, 50, 128)
    for options in (
        {},
        {"scope": "dim"},
        {"scope": "dim", "rounding": "nearest"},
        {"scope": "global"},
    ):
        codes = em.quantize(x, precision, **options)
        error = np.abs(codes.dequantize().astype(np.float64) - x)
        assert (error <= 0.5001 * np.float64(codes.step)).all()


def test_a_quantile_clips_outliers(rng):
    x = normal(rng, 1000, 8)
    x[3] = 1e6
    plain, clipped = (em.quantize(x, "uint8", scope="dim", quantile=q) for q in (None, 0.99))
    assert (np.float32(clipped.step) < 0.1).all()
    assert (np.float32(plain.step) > 1000).all()
    assert (clipped.data[3] == 255).all()


def test_inputs_are_never_written(rng):
    x = normal(rng, 20, 33)
    before = x.copy()
    for precision in ("int8", "uint8", "int4", "binary", "ubinary", "float16", "bfloat16"):
        em.quantize(x, precision).dequantize()
    em.fit_ranges(x, quantile=0.5)
    assert_same(x, before)
