"""The Codes object: what it holds, how it is cut, wrapped and shown; and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import embmath as em
from reference import assert_same
from strategies import FLOATS, normal

PRECISIONS = ("int8", "uint8", "int4", "binary", "ubinary", "float16", "bfloat16")
X = np.float32([[1, -0.5, 0.25], [0, 2, -3]])


@pytest.fixture(params=PRECISIONS)
def codes(request, rng):
    return em.quantize(normal(rng, 12, 37), request.param)


def test_size_and_shape(codes):
    width = {"int4": 19, "binary": 5, "ubinary": 5}.get(codes.precision, 37)
    assert len(codes) == 12
    assert codes.shape == (12, 37)
    assert codes.data.shape == (12, width)
    numbers = {"int8": 1, "uint8": 2, "int4": 2}.get(codes.precision, 0)
    assert codes.nbytes == codes.data.nbytes + 12 * 4 * numbers


@pytest.mark.parametrize(
    "rows",
    [
        slice(2, 9, 3),
        slice(None, None, -1),
        slice(5, 5),
        [3, 0, 3],
        np.arange(12) % 2 == 0,
        -1,
        np.int64(4),
    ],
    ids=str,
)
def test_rows_are_those_of_the_decoded_matrix(codes, rows):
    part = codes[rows]
    assert part.precision == codes.precision
    assert_same(part.dequantize(), codes.dequantize()[rows])
    if isinstance(rows, slice) and part.data.size:
        assert np.shares_memory(part.data, codes.data)


@pytest.mark.parametrize("rows", [(0, 1), None, (slice(None), 0), np.zeros((2, 2), int)])
def test_columns_cannot_be_cut(codes, rows):
    with pytest.raises(IndexError, match=r"^codes: expected rows"):
        codes[rows]


def test_one_row(codes, rng):
    row = normal(rng, 1, 37)[0]
    one = em.quantize(row, codes.precision)
    assert one.shape == (37,)
    assert_same(one.dequantize(), em.quantize(row[None], codes.precision).dequantize()[0])
    with pytest.raises(TypeError, match="single row"):
        len(one)
    with pytest.raises(IndexError, match="single row"):
        one[0]
    assert "1 row x 37" in repr(one)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (0,)])
def test_empty(codes, shape):
    empty = em.quantize(np.zeros(shape, np.float32), codes.precision)
    assert empty.shape == shape
    assert_same(empty.dequantize(), np.zeros(shape, np.float32))


@pytest.mark.parametrize("scope", ["row", "dim", "global"])
@pytest.mark.parametrize("precision", ["int8", "uint8", "int4"])
def test_rows_without_dimensions(precision, scope):
    codes = em.quantize(np.zeros((3, 0), np.float32), precision, scope=scope)
    assert_same(codes.dequantize(), np.zeros((3, 0), np.float32))


def test_protocols(codes):
    stored = np.asarray(codes)
    assert_same(stored, np.asarray(codes.data))
    assert stored is not np.array(codes)
    assert np.asarray(codes, np.float32).dtype == np.float32
    if codes.precision != "bfloat16":  # NumPy cannot export ml_dtypes' type
        assert codes.__dlpack_device__()[0] == 1
        assert_same(np.from_dlpack(codes), stored)


def test_immutable_and_compared_by_identity(codes):
    with pytest.raises(dataclasses.FrozenInstanceError):
        codes.dim = 3
    assert codes == codes  # noqa: PLR0124
    assert codes != codes[:]
    assert len({codes, codes}) == 1


def test_the_same_grid_again(rng):
    x, more = normal(rng, 200, 8), normal(rng, 50, 8)
    for scope in ("dim", "global"):
        codes = em.quantize(x, "int8", scope=scope)
        assert codes.scope == scope
        again = em.quantize(x, "int8", ranges=codes.ranges)
        assert_same(again.data, codes.data)
        assert_same(em.quantize(more, "int8", ranges=codes.ranges).step, codes.step)


def test_foreign_codes(codes):
    grid = {}
    if codes.step is not None:
        grid = {"step": codes.step, "minimum": codes.minimum, "scope": "row"}
    again = em.Codes.from_data(codes.data, codes.precision, dim=37, **grid)
    assert again.data is codes.data
    assert_same(again.dequantize(), codes.dequantize())
    assert repr(again) == repr(codes)


def test_foreign_scalars_per_dimension_and_for_all():
    data = np.int8([[1, -2], [3, 4]])
    scaled = em.Codes.from_data(data, "int8", step=[0.5, 2], scope="dim")
    assert scaled.dequantize().tolist() == [[0.5, -4], [1.5, 8]]
    assert em.Codes.from_data(data, "int8", step=0.5).dequantize().tolist() == [[0.5, -1], [1.5, 2]]
    moved = em.Codes.from_data(data, "int8", step=1, minimum=-128, rounding="nearest")
    assert moved.dequantize().tolist() == data.tolist()


def test_bfloat16_as_uint16(rng):
    codes = em.quantize(normal(rng, 3, 5), "bfloat16")
    raw = em.Codes.from_data(codes.data.view(np.uint16), "bfloat16")
    assert_same(raw.dequantize(), codes.dequantize())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_torch(precision, rng):
    torch = pytest.importorskip("torch")
    x = normal(rng, 9, 37)
    ours = em.quantize(x, precision)
    codes = em.quantize(torch.from_numpy(x), precision)
    assert isinstance(codes.data, torch.Tensor)
    if precision in ("float16", "bfloat16"):
        assert codes.data.dtype == getattr(torch, precision)
    else:
        assert_same(codes.data.numpy(), ours.data)
    for part, expected in ((codes, ours), (codes[2:5], ours[2:5]), (codes[3], ours[3])):
        values = part.dequantize()
        assert isinstance(values, torch.Tensor)
        assert_same(values.numpy(), expected.dequantize())
    assert codes.dequantize(dtype=torch.bfloat16).dtype == torch.bfloat16
    assert codes.nbytes == ours.nbytes
    out = torch.empty(9, 37, dtype=torch.float16)
    assert codes.dequantize(dtype=torch.float16, out=out) is out
    if precision == "int8":
        torch.testing.assert_close(codes.step * codes.data, codes.dequantize())
        assert isinstance(em.fit_ranges(torch.from_numpy(x)), torch.Tensor)


@pytest.mark.parametrize("dtype", FLOATS)
def test_out_is_filled_and_returned(codes, dtype):
    expected = codes.dequantize(dtype=dtype)
    out = np.ones_like(expected)
    assert codes.dequantize(dtype=dtype, out=out) is out
    assert_same(out, expected)
    with pytest.raises(ValueError, match=r"^out: expected shape"):
        codes.dequantize(dtype=dtype, out=out[:3])


ROWS = np.ones((3, 4), np.float32)
BAD = ROWS.copy()
BAD[1, 2] = np.nan
HUGE = np.float32([[-3e38, 3e38]])
I8, U8 = np.zeros((2, 4), np.int8), np.zeros((2, 4), np.uint8)


@pytest.mark.parametrize(
    ("kind", "message", "call"),
    [
        (ValueError, "^precision: unknown 'int3'", lambda: em.quantize(ROWS, "int3")),
        (TypeError, "^precision: ", lambda: em.quantize(ROWS, 8)),
        (TypeError, "^x: expected dtype float16", lambda: em.quantize(I8, "int8")),
        (ValueError, "^x: .* row 1$", lambda: em.quantize(BAD, "int8")),
        (ValueError, "^x: .* row 1$", lambda: em.quantize(BAD, "int4")),
        (ValueError, "^x: .* row 0$", lambda: em.quantize(HUGE, "uint8")),
        (ValueError, "^x: expected finite", lambda: em.quantize(BAD, "uint8", scope="dim")),
        (ValueError, "^x: expected finite", lambda: em.fit_ranges(BAD)),
        (ValueError, "^x: expected finite", lambda: em.fit_ranges(BAD, quantile=0.5)),
        (
            ValueError,
            "^x: expected finite",
            lambda: em.fit_ranges(BAD, quantile=0.5, scope="global"),
        ),
        (ValueError, "^x: one row", lambda: em.quantize(ROWS[:1], "int8", scope="dim")),
        (ValueError, "^x: expected at least one row", lambda: em.fit_ranges(ROWS[:0])),
        (ValueError, "^scope: unknown", lambda: em.fit_ranges(ROWS, scope="row")),
        (ValueError, "^scope: unknown", lambda: em.quantize(ROWS, "int8", scope="column")),
        (
            ValueError,
            "^scope: ranges .*'dim', got 'row'",
            lambda: em.quantize(ROWS, "int8", ranges=np.ones((2, 4)), scope="row"),
        ),
        (
            ValueError,
            "^scope: rows have",
            lambda: em.quantize(ROWS, "int8", calibration=ROWS, scope="row"),
        ),
        (
            ValueError,
            "^ranges: expected shape",
            lambda: em.quantize(ROWS, "int8", ranges=np.ones((2, 3))),
        ),
        (
            ValueError,
            "^ranges: expected finite",
            lambda: em.quantize(ROWS, "int8", ranges=[0, np.inf]),
        ),
        (
            ValueError,
            "^ranges: expected finite",
            lambda: em.quantize(ROWS, "int8", ranges=[-3e38, 3e38]),
        ),
        (
            ValueError,
            "^ranges: expected minimum <= maximum, got 1.0 and 0.0 in column 0",
            lambda: em.quantize(ROWS, "int8", ranges=[1, 0]),
        ),
        (
            ValueError,
            "^ranges: .*both",
            lambda: em.quantize(ROWS, "int8", ranges=[0, 1], calibration=ROWS),
        ),
        (
            ValueError,
            "^calibration: expected 4 columns",
            lambda: em.quantize(ROWS, "int8", calibration=ROWS[:, :2]),
        ),
        (ValueError, "^quantile: ", lambda: em.fit_ranges(ROWS, quantile=0)),
        (ValueError, "^quantile: ", lambda: em.fit_ranges(ROWS, quantile=1.5)),
        (ValueError, "^rounding: unknown", lambda: em.quantize(ROWS, "uint8", rounding="up")),
        (
            ValueError,
            "^rounding: must be 'nearest'",
            lambda: em.quantize(ROWS, "int8", rounding="floor"),
        ),
        (ValueError, "^bits: must be 8 for int8", lambda: em.quantize(ROWS, "int8", bits=7)),
        (ValueError, "^bits: ", lambda: em.quantize(ROWS, "uint8", bits=6)),
        (ValueError, "^layout: only int4", lambda: em.quantize(ROWS, "int8", layout="split")),
        (ValueError, "^layout: 'split'", lambda: em.quantize(ROWS[:, :3], "int4", layout="split")),
        (ValueError, "^layout: 'split'", lambda: em.pack_int4(U8[:, :3], layout="split")),
        (ValueError, "^dims: must be 8", lambda: em.unpack_int4(U8, 6, layout="split")),
        (ValueError, "^dims: ", lambda: em.unpack_int4(U8, 9)),
        (ValueError, "^x: expected codes from 0 to 15, got 16", lambda: em.pack_int4(U8 + 16)),
        (
            ValueError,
            "^threshold: means nothing",
            lambda: em.quantize(ROWS, "int8", threshold="ge"),
        ),
        (ValueError, "^threshold: unknown", lambda: em.quantize(ROWS, "binary", threshold=">")),
        (
            ValueError,
            "^signedness: unknown",
            lambda: em.quantize(ROWS, "ubinary", signedness="offset"),
        ),
        (
            ValueError,
            "^ranges: means nothing for binary",
            lambda: em.quantize(ROWS, "binary", ranges=[0, 1]),
        ),
        (
            ValueError,
            "^rounding: means nothing for float16",
            lambda: em.quantize(ROWS, "float16", rounding="floor"),
        ),
        (TypeError, "^codes: expected Codes, got ndarray", lambda: em.dequantize(I8)),
        (TypeError, "^dtype: ", lambda: em.quantize(ROWS, "int8").dequantize(dtype="int8")),
        (
            ValueError,
            "^codes: cannot be decoded",
            lambda: em.Codes.from_data(I8, "int8").dequantize(),
        ),
        (TypeError, "^data: expected dtype int8", lambda: em.Codes.from_data(U8, "int8")),
        (
            TypeError,
            "^data: expected dtype int8 for signedness 'offset'",
            lambda: em.Codes.from_data(U8, "binary", signedness="offset"),
        ),
        (
            ValueError,
            "^dim: 40 dimensions of ubinary take 5 columns",
            lambda: em.Codes.from_data(U8, "ubinary", dim=40),
        ),
        (ValueError, "^dim: 3 dimensions of int8", lambda: em.Codes.from_data(I8, "int8", dim=3)),
        (ValueError, "^scope: 2 elements", lambda: em.Codes.from_data(I8, "int8", step=[1, 2])),
        (
            ValueError,
            "^step: expected 2 elements",
            lambda: em.Codes.from_data(I8, "int8", step=[1, 2, 3], scope="row"),
        ),
        (ValueError, "^step: expected finite", lambda: em.Codes.from_data(I8, "int8", step=np.nan)),
        (ValueError, "^minimum: uint8", lambda: em.Codes.from_data(U8, "uint8", step=1)),
        (ValueError, "^minimum: .*none", lambda: em.Codes.from_data(U8, "uint8", minimum=1)),
        (
            ValueError,
            "^ranges: .*both",
            lambda: em.Codes.from_data(U8, "uint8", ranges=[0, 1], step=1),
        ),
        (
            ValueError,
            "^ranges: means nothing",
            lambda: em.Codes.from_data(U8, "ubinary", ranges=[0, 1]),
        ),
    ],
)
def test_refusals(kind, message, call):
    with pytest.raises(kind, match=message):
        call()
