"""What goes in and what comes out: memory layouts, dtypes, lists, DLPack, named results."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import embmath as em
import reference
from reference import Array
from strategies import DTYPES, LAYOUTS, normal


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", ["dot", "manhattan"])
def test_every_layout_of_every_argument(agree, isa, rng, layout, dtype, metric):
    store = LAYOUTS[layout]
    q, x = normal(rng, 7, 37, dtype), normal(rng, 90, 37, dtype)
    for left, right in ((store(q), x), (q, store(x)), (store(q), store(x))):
        agree("search", left, right, 5, metric)
        agree("similarity", left, right, metric)
        agree("similarity_pairwise", left, right[:7], metric)
        agree("rescore", left, right, np.tile(np.arange(90), (7, 1)), 5, metric)
        agree("search", left, right, 5, metric, dims=17)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_packed_bits(agree, rng, layout):
    q, x = (LAYOUTS[layout](rng.integers(0, 256, (n, 13), dtype=np.uint8)) for n in (7, 90))
    for metric in reference.BIT_METRICS:
        agree("distance", q, x, metric)
        agree("search", q, x, 5, metric, dims=9)


@pytest.mark.parametrize("dtype", DTYPES)
def test_broadcast_rows_and_columns(agree, rng, dtype):
    """Strides of zero: one row seen a hundred times, one value seen forty times."""
    q = normal(rng, 3, 40, dtype)
    for x in (
        np.broadcast_to(normal(rng, 1, 40, dtype), (100, 40)),
        np.broadcast_to(normal(rng, 100, 1, dtype), (100, 40)),
        np.broadcast_to(q[0, 0], (100, 40)),
    ):
        agree("search", q, x, 7, "euclidean")
        agree("similarity", q, x, "dot")
        agree("similarity", x[:5], q, "dot")


@pytest.mark.parametrize("dtype", DTYPES)
def test_overlapping_rows(agree, rng, dtype):
    """Sliding windows: rows one element apart."""
    x = np.lib.stride_tricks.sliding_window_view(normal(rng, 1, 200, dtype)[0], 33)
    agree("search", x[:5], x, 7, "euclidean")
    agree("similarity", x[:5], x, "dot")


def test_slices_of_larger_arrays(agree, rng):
    block = rng.standard_normal((40, 3, 50)).astype(np.float32)
    for x in (block[:, 1], block[:, :, 7], block[3], block[5].T, block[::-3, 1, ::-2]):
        agree("search", x[:2], x, 3)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("count", [0, 1])
def test_axes_of_length_zero_and_one_with_any_stride(agree, axis, count):
    """NumPy may give such axes absurd strides."""
    shape = [6, 6]
    shape[axis] = count
    x = np.lib.stride_tricks.as_strided(
        np.ones((6, 6), np.float32), tuple(shape), tuple(2**40 if s < 2 else 4 for s in shape)
    )
    agree("search", x, x, 2)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_swapped_bytes_are_refused_or_understood(rng, dtype):
    """Never read as garbage."""
    x = rng.standard_normal((5, 8)).astype(dtype)
    try:
        swapped = em.similarity(x.astype(">" + dtype))
    except TypeError:
        return
    reference.assert_same(swapped, em.similarity(x))


class TestLists:
    def test_of_floats_are_float64(self, agree):
        q, x = [[1.0, 2.0, 0.5]], [[0.1, 0.2, 0.3], [1.0, 0.0, 1.0]]
        assert agree("similarity", q, x).dtype == np.float64
        assert agree("search", q, x, 2).values.dtype == np.float64
        assert agree("search", q[0], x, 2).indices.shape == (1, 2)
        assert type(em.normalize(x)) is np.ndarray

    def test_of_arrays_keep_their_dtype(self, agree, rng):
        rows = [normal(rng, 1, 8)[0] for _ in range(4)]
        assert agree("similarity", rows).dtype == np.float32
        assert agree("search", tuple(rows), rows, 2).values.dtype == np.float32

    def test_of_ints_are_refused_with_the_way_out(self):
        with pytest.raises(TypeError, match=r"^a: .*int64.*") as error:
            em.similarity([[1, 2, 3]])
        assert "float32" in str(error.value)

    def test_ragged_is_refused(self):
        with pytest.raises((TypeError, ValueError)):
            em.similarity([[1.0, 2.0], [1.0]])


class Foreign:
    """An array of some other library: DLPack and nothing else."""

    def __init__(self, array: Array) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


class ForeignWithNamespace(Foreign):
    def __array_namespace__(self, **_: Any) -> Any:
        return SimpleNamespace(from_dlpack=lambda x: ForeignWithNamespace(np.from_dlpack(x)))


class TestDLPack:
    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8"])
    def test_without_a_namespace_gives_numpy(self, rng, dtype):
        q, x = normal(rng, 3, 9, dtype), normal(rng, 20, 9, dtype)
        top = em.search(Foreign(q), Foreign(x), 4, "dot")
        assert type(top.values) is np.ndarray
        reference.assert_all_same(top, reference.search(q, x, 4, "dot"))

    def test_comes_back_in_its_own_namespace(self, rng):
        q, x = normal(rng, 3, 9), normal(rng, 20, 9)
        top = em.search(ForeignWithNamespace(q), ForeignWithNamespace(x), 4)
        assert isinstance(top.values, ForeignWithNamespace)
        reference.assert_same(top.indices.array, reference.search(q, x, 4).indices)
        assert isinstance(em.similarity(ForeignWithNamespace(q)), ForeignWithNamespace)

    def test_strided_and_read_only(self, rng):
        x = normal(rng, 20, 18)[::-2, ::3]
        reference.assert_same(em.similarity(Foreign(x)), em.similarity(x))
        x.flags.writeable = False
        reference.assert_same(em.similarity(Foreign(x)), em.similarity(x))

    def test_a_strict_array_library(self, rng):
        """One that implements the standard and not a bit more."""
        strict = pytest.importorskip("array_api_strict")
        q, x = normal(rng, 3, 9), normal(rng, 20, 9)
        top = em.search(strict.asarray(q), strict.asarray(x), 4)
        assert type(top.values) is type(strict.asarray(q))
        reference.assert_same(np.from_dlpack(top.indices), reference.search(q, x, 4).indices)

    def test_what_cannot_be_exported_is_refused(self, rng):
        class OnDevice(Foreign):
            def __dlpack__(self, **_: Any) -> Any:
                raise BufferError("lives on another device")

        with pytest.raises(TypeError, match=r"^queries: .*lives on another device"):
            em.search(OnDevice(normal(rng, 2, 4)), normal(rng, 2, 4), 1)


class TestResults:
    def test_search_and_range_search_are_named_tuples(self, rng):
        x = normal(rng, 9, 5)
        assert isinstance(em.search(x, x, 2), tuple)
        assert em.search(x, x, 2)._fields == ("values", "indices")
        assert em.range_search(x, x, 0.5)._fields == ("offsets", "values", "indices")

    def test_arrays_belong_to_the_caller(self, rng):
        x = normal(rng, 9, 5)
        for array in (*em.search(x, x, 2), *em.range_search(x, x, 0.5), em.similarity(x)):
            assert type(array) is np.ndarray
            assert array.flags.writeable
            assert array.flags.c_contiguous

    def test_survive_their_inputs(self, rng):
        x = normal(rng, 300, 64)
        expected = reference.search(x, x, 3)
        top = em.search(x.copy(), x.copy(), 3)
        del x
        reference.assert_all_same(top, expected)

    def test_lists_of_what_is_supported(self):
        assert set(em.dtypes()) == set(DTYPES)
        assert set(em.metrics()) == {*reference.FLOAT_METRICS, *reference.BIT_METRICS}

    def test_bfloat16_keeps_its_dtype_in_transforms(self, rng):
        x = normal(rng, 4, 9, "bfloat16")
        assert em.normalize(x).dtype == em.truncate(x, 3).dtype == ml_dtypes.bfloat16
