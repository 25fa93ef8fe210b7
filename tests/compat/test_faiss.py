"""embmath.compat.faiss beside FAISS: the same labels, distances, paddings and kinds of errors."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embmath.compat import faiss as ours

peer = pytest.importorskip("faiss", reason="needs faiss-cpu")

BOTH = (ours, peer)
FLAT = {
    "IP": lambda lib, d: lib.IndexFlatIP(d),
    "L2": lambda lib, d: lib.IndexFlatL2(d),
    "L1": lambda lib, d: lib.IndexFlat(d, 2),
    "SQ": lambda lib, d: trained(lib.IndexScalarQuantizer(d, lib.ScalarQuantizer.QT_fp16)),
    "IDMap": lambda lib, d: lib.IndexIDMap(lib.IndexFlatIP(d)),
    "IDMap2": lambda lib, d: lib.IndexIDMap2(lib.IndexFlatL2(d)),
}
QTYPES = sorted(name for name in vars(ours.ScalarQuantizer) if name.startswith("QT_"))


def trained(index: Any) -> Any:
    index.train(np.eye(2, index.d, dtype=np.float32))
    return index


def fill(index: Any, rows: np.ndarray) -> Any:
    if "IDMap" in type(index).__name__:
        index.add_with_ids(rows, np.arange(len(rows)) * 3 + 1)
    else:
        index.add(rows)
    return index


def assert_same(actual: Any, expected: Any, rtol: float = 1e-5) -> None:
    """Results of searches: types, shapes, labels; distances up to the rounding of float32."""
    for one, other in zip(actual, expected, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        if one.dtype.kind == "f":
            np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-4)
        else:
            np.testing.assert_array_equal(one, other)


@pytest.fixture(params=FLAT)
def pair(request: pytest.FixtureRequest, rng: np.random.Generator) -> tuple[Any, Any]:
    rows = rng.standard_normal((60, 40)).astype(np.float32)
    ours_index, peer_index = (fill(FLAT[request.param](lib, 40), rows) for lib in BOTH)
    return ours_index, peer_index


@pytest.fixture
def queries(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((9, 40)).astype(np.float32)


@pytest.mark.parametrize("k", [1, 5, 60, 61, 100])
def test_search(pair: Any, queries: np.ndarray, k: int) -> None:
    assert_same(*(index.search(queries, k) for index in pair))


def test_queries_of_any_type_and_layout(pair: Any, queries: np.ndarray) -> None:
    shapes = (queries[:0], queries[::-1], np.asfortranarray(queries), queries.astype(np.float64))
    integers = (3 * queries).astype(np.int8)
    for x in (*shapes, queries.astype(np.float16), integers):
        assert_same(*(index.search(x, 3) for index in pair))


def test_results_into_given_arrays(pair: Any, queries: np.ndarray) -> None:
    distances, labels = np.empty((9, 4), np.float32), np.empty((9, 4), np.int64)
    found = pair[0].search(queries, 4, D=distances, I=labels)
    assert found[0] is distances
    assert found[1] is labels
    assert_same(found, pair[1].search(queries, 4))
    with pytest.raises(AssertionError):
        pair[0].search(queries, 4, D=distances[:, :3])


def test_not_a_number(queries: np.ndarray, rng: np.random.Generator) -> None:
    rows = rng.standard_normal((12, 40)).astype(np.float32)
    rows[3, 5] = np.nan
    rows[7] = np.inf
    queries[2, 0] = np.nan
    for name in ("IP", "L2"):
        a, b = (fill(FLAT[name](lib, 40), rows) for lib in BOTH)
        assert_same(a.search(queries, 12), b.search(queries, 12))
        assert_same(a.range_search(queries, 1.0), b.range_search(queries, 1.0))


@pytest.mark.parametrize("thresh", [-1e9, 0.0, 2.0, 60.0, 1e9])
def test_range_search(pair: Any, queries: np.ndarray, thresh: float) -> None:
    assert_same(*(index.range_search(queries, thresh) for index in pair))


def test_thresholds_leave_themselves_out() -> None:
    rows = np.float32([[1, 0], [2, 0], [3, 0]])
    for name in ("IP", "L2", "L1"):
        a, b = (fill(FLAT[name](lib, 2), rows) for lib in BOTH)
        for thresh in (0, 1, 2, 4):
            assert_same(a.range_search(rows[:1], thresh), b.range_search(rows[:1], thresh))


def selectors(lib: Any) -> list[Any]:
    bits = np.packbits(np.arange(64) % 3 == 0, bitorder="little")
    bitmap = lib.IDSelectorBitmap(bits)
    span, batch = lib.IDSelectorRange(10, 40), lib.IDSelectorBatch([1, 12, 31, 99])
    made = [span, batch, lib.IDSelectorArray(np.array([7, 4])), bitmap, lib.IDSelectorAll()]
    made += [lib.IDSelectorNot(span), lib.IDSelectorAnd(span, batch), lib.IDSelectorOr(span, batch)]
    return [*made, lib.IDSelectorXOr(span, batch), lib.IDSelectorBatch([])]


def test_selectors(pair: Any, queries: np.ndarray) -> None:
    for a, b in zip(*map(selectors, BOTH), strict=True):
        assert [a.is_member(i) for i in range(80)] == [b.is_member(i) for i in range(80)]
        found = pair[0].search(queries, 6, params=ours.SearchParameters(sel=a))
        assert_same(found, pair[1].search(queries, 6, params=peer.SearchParameters(sel=b)))
        theirs = pair[0].search(queries, 6, params=peer.SearchParameters(sel=b))
        np.testing.assert_array_equal(found[1], theirs[1])
        if not isinstance(pair[0], ours.IndexScalarQuantizer):
            params = (ours.SearchParameters(sel=a), peer.SearchParameters(sel=b))
            assert_same(*(i.range_search(queries, 2, params=p) for i, p in zip(pair, params)))  # noqa: B905


def test_an_id_that_is_named_twice_is_found_once(queries: np.ndarray) -> None:
    index = fill(ours.IndexFlatIP(40), queries)
    params = ours.SearchParameters(sel=ours.IDSelectorArray([7, 4, 7]))
    labels = index.search(queries[:1], 3, params=params)[1]  # FAISS: 7 twice
    assert sorted(labels[0]) == [-1, 4, 7]


def test_selectors_are_checked(queries: np.ndarray) -> None:
    index = fill(ours.IndexFlatIP(40), queries)
    with pytest.raises(TypeError, match="sel: expected an IDSelector, got list"):
        index.search(queries, 1, params=ours.SearchParameters(sel=[1]))
    with pytest.raises(TypeError, match="bitmap: expected uint8"):
        ours.IDSelectorBitmap([1, 2])


def test_removed_rows_move_later_ones_up(pair: Any, queries: np.ndarray) -> None:
    named = "IDMap" in type(pair[0]).__name__
    for x in (np.array([4, 7, 7, 31, 500]), np.array([1]), np.array([], np.int64)):
        assert pair[0].remove_ids(x) == pair[1].remove_ids(x)
        assert_same(*(index.search(queries, 60) for index in pair))
    assert pair[0].remove_ids(ours.IDSelectorRange(3, 20)) == pair[1].remove_ids(
        peer.IDSelectorRange(3, 20)
    )
    if not named:
        for index in pair:
            index.add(queries)
        assert_same(*(index.search(queries, 70) for index in pair))
    for index in pair:
        index.reset()
        fill(index, queries)
    assert_same(*(index.search(queries, 4) for index in pair))
    assert pair[0].ntotal == pair[1].ntotal == 9


def test_reconstruction(pair: Any, queries: np.ndarray) -> None:
    a, b = pair
    if type(a) is ours.IndexIDMap:
        with pytest.raises(RuntimeError, match="IndexIDMap2"):
            a.reconstruct(1)
        return
    keys = np.array([4, 1, 31])
    np.testing.assert_array_equal(a.reconstruct(31), b.reconstruct(31))
    np.testing.assert_array_equal(a.reconstruct_batch(keys), b.reconstruct_batch(keys))
    if type(a) is ours.IndexIDMap2:
        with pytest.raises(RuntimeError, match="no row has the id 2"):
            a.reconstruct(2)
        return
    np.testing.assert_array_equal(a.reconstruct_n(5, 7), b.reconstruct_n(5, 7))
    np.testing.assert_array_equal(a.reconstruct_n(), b.reconstruct_n())
    assert_same(*(index.search_and_reconstruct(queries, 61) for index in pair))
    for key in (-1, 60):
        with pytest.raises(RuntimeError, match=f"key: expected 0 to 59, got {key}"):
            a.reconstruct(key)


@pytest.mark.parametrize("x", [np.ones(40, np.float32), [[1.0] * 40], np.ones((2, 3), np.float32)])
def test_wrong_queries_raise_alike(pair: Any, x: Any) -> None:
    for call in ("search", "range_search"):
        outcomes = []
        for index in pair:
            with pytest.raises((AssertionError, AttributeError, ValueError)) as caught:
                getattr(index, call)(x, 1)
            outcomes.append(caught.type)
        assert outcomes[0] is outcomes[1]


def test_refusals(queries: np.ndarray) -> None:
    index = ours.IndexFlatIP(40)
    with pytest.raises(AssertionError, match="k: expected at least 1, got 0"):
        index.search(queries, 0)
    with pytest.raises(RuntimeError, match="IndexIDMap2"):
        index.add_with_ids(queries, np.arange(9))
    with pytest.raises(RuntimeError, match="numeric_type: expected Float32"):
        index.add(queries, 1)
    with pytest.raises(RuntimeError, match="otherIndex: expected one like"):
        index.merge_from(ours.IndexFlatL2(40))
    with pytest.raises(ValueError, match="metric: expected one of"):
        ours.IndexFlat(40, 23)
    with pytest.raises(ValueError, match="qtype: expected one of"):
        ours.IndexScalarQuantizer(40, 6)
    with pytest.raises(RuntimeError, match="must be trained"):
        ours.IndexScalarQuantizer(40).add(queries)
    with pytest.raises(RuntimeError, match="expected an empty one, got 9 rows"):
        ours.IndexIDMap(fill(index, queries))
    with pytest.raises(RuntimeError, match="rows of this index need ids"):
        ours.IndexIDMap(ours.IndexFlatIP(40)).add(queries)


def test_merge(queries: np.ndarray) -> None:
    for make in FLAT.values():
        merged = []
        for lib in BOTH:
            a, b = fill(make(lib, 40), queries), fill(make(lib, 40), queries[::-1])
            a.merge_from(b, *([100] if "IDMap" in type(a).__name__ else []))
            assert (a.ntotal, b.ntotal) == (18, 0)
            merged.append(a.search(queries + np.float32(0.01), 1)[0])
        np.testing.assert_allclose(*merged, rtol=1e-4, atol=1e-4)


def test_copies_are_independent(pair: Any, queries: np.ndarray) -> None:
    index = pair[0]
    again = copy.deepcopy(index)
    index.reset()
    assert_same(again.search(queries, 3), pair[1].search(queries, 3))


@given(data=st.data())
def test_any_sequence_of_changes(data: st.DataObject) -> None:
    """Small integers: all distances are exact, and equal where labels may differ."""
    pair = [lib.IndexFlatL2(3) for lib in BOTH]
    rows = st.lists(st.tuples(*[st.integers(-3, 3)] * 3), min_size=0, max_size=6)
    for _ in range(data.draw(st.integers(1, 6))):
        if data.draw(st.booleans()):
            added = np.array(data.draw(rows), np.float32).reshape(-1, 3)
            for index in pair:
                index.add(added)
        else:
            ids = np.array(data.draw(st.lists(st.integers(-1, 12), max_size=5)), np.int64)
            assert pair[0].remove_ids(ids) == pair[1].remove_ids(ids)
        assert pair[0].ntotal == pair[1].ntotal
        if pair[0].ntotal:
            np.testing.assert_array_equal(*(index.reconstruct_n() for index in pair))
        found = [index.search(np.zeros((1, 3), np.float32), 5) for index in pair]
        np.testing.assert_array_equal(found[0][0], found[1][0])
        order = list(zip(*(part[0] for part in found[0]), strict=True))
        assert all(a <= b for a, b in itertools.pairwise(order) if b[1] >= 0)


@pytest.mark.parametrize("metric", [0, 1])
@pytest.mark.parametrize("name", QTYPES)
@pytest.mark.parametrize("d", [23, 40])
def test_scalar_quantizer(name: str, metric: int, d: int, rng: np.random.Generator) -> None:
    qtype = getattr(peer.ScalarQuantizer, name)
    assert qtype == getattr(ours.ScalarQuantizer, name)
    rows = 2 * rng.standard_normal((200, d)).astype(np.float32)
    rows[:, 5] = 1  # a dimension without a range
    if "direct" in name:
        rows = rng.integers(*((-128, 128) if "signed" in name else (0, 256)), rows.shape)
    rows = rows.astype(np.float32)
    a, b = (lib.IndexScalarQuantizer(d, qtype, metric) for lib in BOTH)
    assert (a.is_trained, a.code_size) == (b.is_trained, b.code_size)
    for index in (a, b):
        index.train(rows[:150])
        index.add(rows)  # some beyond the ranges
    codes = a.sa_encode(rows)
    numbers, wanted = codes, b.sa_encode(rows)
    if name in ("QT_fp16", "QT_bf16"):  # halves: to even here, upwards in portable builds of FAISS
        numbers, wanted = (x.view(np.uint16) for x in (numbers, wanted))
        assert (numbers != wanted).mean() < 1e-3
        np.testing.assert_allclose(numbers, wanted, atol=1)
    else:
        np.testing.assert_array_equal(numbers, wanted)
    np.testing.assert_allclose(a.sa_decode(codes), b.sa_decode(codes), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(a.sq.trained, peer.vector_to_array(b.sq.trained))
    queries = rows[:7] + np.float32(0.1)
    scale = float(np.abs(b.search(queries, 200)[0]).max())
    for one, other in ((i.search(queries, 5) for i in (a, b)),):
        np.testing.assert_allclose(one[0], other[0], rtol=1e-5, atol=1e-6 * scale)
    assert (a.search(queries, 5)[1] == b.search(queries, 5)[1]).mean() > 0.9


def bits_of(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.integers(0, 256, (n, 5), dtype=np.uint8)


@pytest.fixture
def binary(rng: np.random.Generator) -> tuple[Any, Any]:
    a, b = (lib.IndexBinaryFlat(40) for lib in BOTH)
    rows = bits_of(rng, 30)
    a.add(rows)
    b.add(rows)
    return a, b


def test_binary(binary: Any, rng: np.random.Generator) -> None:
    queries = bits_of(rng, 6)
    for k in (1, 30, 33):
        a, b = (index.search(queries, k) for index in binary)
        assert (a[0].dtype, a[1].dtype) == (b[0].dtype, b[1].dtype)
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1] < 0, b[1] < 0)
    for thresh in (0, 15, 20, 41):
        assert_same(*(index.range_search(queries, thresh) for index in binary))
    assert binary[0].remove_ids(np.array([3, 5])) == binary[1].remove_ids(np.array([3, 5])) == 2
    np.testing.assert_array_equal(*(index.reconstruct_n() for index in binary))
    np.testing.assert_array_equal(*(index.reconstruct(4) for index in binary))
    named = [lib.IndexBinaryIDMap2(lib.IndexBinaryFlat(40)) for lib in BOTH]
    for index in named:
        index.add_with_ids(queries, np.arange(6) + 50)
    np.testing.assert_array_equal(*(index.search(queries, 1)[1] for index in named))
    np.testing.assert_array_equal(*(index.reconstruct(53) for index in named))


def test_binary_refusals(binary: Any) -> None:
    with pytest.raises(TypeError, match="x: expected an array of uint8, got int8"):
        binary[0].search(np.zeros((1, 5), np.int8), 1)
    with pytest.raises(AssertionError, match="expected 5 columns, got 4"):
        binary[0].search(np.zeros((1, 4), np.uint8), 1)
    with pytest.raises(RuntimeError, match="multiple of 8 bits, got 12"):
        ours.IndexBinaryFlat(12)


@pytest.mark.parametrize("k", [0, 1, 9, 12])
@pytest.mark.parametrize("metric", [0, 1])
def test_knn(k: int, metric: int, queries: np.ndarray, rng: np.random.Generator) -> None:
    rows = rng.standard_normal((9, 40))
    if k:
        assert_same(*(lib.knn(queries, rows, k, metric) for lib in BOTH))
    assert ours.knn(queries, rows, k)[0].shape == (9, k)
    for metric_type in (0, 1, 2):
        distances = [lib.pairwise_distances(queries, rows, metric_type) for lib in BOTH]
        np.testing.assert_allclose(*distances, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("variant", ["hc", "mc"])
def test_knn_hamming(variant: str, rng: np.random.Generator) -> None:
    a, b = (lib.knn_hamming(np.zeros((1, 5), np.uint8), bits_of(rng, 9), 4) for lib in BOTH)
    assert (a[0].dtype, a[1].dtype) == (b[0].dtype, b[1].dtype)
    found = ours.knn_hamming(bits_of(rng, 2), bits_of(rng, 3), 5, variant=variant)
    assert (found[0][:, 3:] == np.iinfo(np.int32).max).all()
    assert (found[1][:, 3:] == -1).all()
    with pytest.raises(NotImplementedError, match="variant"):
        ours.knn_hamming(bits_of(rng, 2), bits_of(rng, 3), 1, variant="other")


def test_normalize_in_place(rng: np.random.Generator) -> None:
    x = rng.standard_normal((40_000, 3)).astype(np.float32)
    x[1] = 0
    y = x.copy()
    ours.normalize_L2(x)
    peer.normalize_L2(y)
    np.testing.assert_allclose(x, y, rtol=1e-6)
    with pytest.raises(TypeError, match="float32, which is changed in place, got float64"):
        ours.normalize_L2(np.ones((2, 2)))
