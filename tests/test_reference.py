"""The oracle itself, against definitions even plainer: Python floats, integers and sorted()."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

import reference
from strategies import DATA, DIMS, DTYPES, FLOATS, LAYOUTS, cast, make, normal


def plain_lanes(terms: list[float]) -> float:
    """The order of the contract spelled out on Python floats."""
    lanes = [0.0] * 16
    for j, term in enumerate(terms):
        lanes[j % 16] += term
    eight = [lanes[i] + lanes[i + 8] for i in range(8)]
    four = [eight[i] + eight[i + 4] for i in range(4)]
    two = [four[0] + four[2], four[1] + four[3]]
    return two[0] + two[1]


def plain_score(q: list[float], x: list[float], metric: str) -> float:
    pairs = list(zip(q, x, strict=True))
    if metric == "manhattan":
        return plain_lanes([abs(a - b) for a, b in pairs])
    if metric in ("euclidean", "sqeuclidean"):
        squared = plain_lanes([(a - b) * (a - b) for a, b in pairs])
        return math.sqrt(squared) if metric == "euclidean" else squared
    dot = plain_lanes([a * b for a, b in pairs])
    if metric == "dot":
        return dot
    norms = math.sqrt(plain_lanes([a * a for a in q])) * math.sqrt(plain_lanes([b * b for b in x]))
    return max(-1.0, min(1.0, dot / norms)) if norms else 0.0


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("metric", reference.FLOAT_METRICS)
@pytest.mark.parametrize("d", DIMS)
def test_float_scores_are_the_plain_definition(d, metric, dtype, rng):
    q, x = normal(rng, 3, d, dtype), normal(rng, 4, d, dtype)
    plain = [[plain_score(a, b, metric) for b in x.tolist()] for a in q.tolist()]
    out = np.float64 if dtype == "float64" else np.float32
    reference.assert_same(np.array(plain, out), reference.matrix(q, x, metric, "search"))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_fused_or_not_is_the_same_for_exact_products(dtype, rng):
    """The claim that lets kernels use FMA for dot: the product of two floats is exact."""
    q, x = normal(rng, 1, 333, dtype)[0].tolist(), normal(rng, 1, 333, dtype)[0].tolist()
    assert all(Fraction(a) * Fraction(b) == Fraction(a * b) for a, b in zip(q, x, strict=True))


@pytest.mark.parametrize("data", sorted(set(DATA) - {"specials", "huge", "extreme"}))
def test_dot_is_within_the_error_of_float64(data):
    q, x = make(data, 3, 5, 100)
    q, x = q.astype(float), x.astype(float)
    scores = reference.matrix(q, x, "dot", "search")
    for i, j in np.ndindex(scores.shape):
        terms = q[i] * x[j]
        bound = 100 * 2.0**-53 * math.fsum(np.abs(terms)) + 2.0**-1074
        assert abs(scores[i, j] - math.fsum(terms)) <= bound


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_integer_scores_are_exact(dtype, rng):
    q, x = (normal(rng, n, 77, dtype) for n in (3, 4))
    a, b = q.tolist(), x.tolist()
    dot = [[sum(s * t for s, t in zip(u, v, strict=True)) for v in b] for u in a]
    reference.assert_same(np.array(dot, np.int32), reference.matrix(q, x, "dot", "search"))
    l1 = [[sum(abs(s - t) for s, t in zip(u, v, strict=True)) for v in b] for u in a]
    reference.assert_same(np.array(l1, np.int32), reference.matrix(q, x, "manhattan", "search"))
    l2 = [[sum((s - t) ** 2 for s, t in zip(u, v, strict=True)) for v in b] for u in a]
    reference.assert_same(np.array(l2, np.int32), reference.matrix(q, x, "sqeuclidean", "search"))
    root = np.sqrt(np.array(l2, float)).astype(np.float32)
    reference.assert_same(root, reference.matrix(q, x, "euclidean", "search"))


def test_bit_scores_by_counting_digits(rng):
    q, x = (rng.integers(0, 256, (n, 9), dtype=np.uint8) for n in (3, 4))
    numbers = [[int.from_bytes(row.tobytes(), "big") for row in m] for m in (q, x)]
    hamming = [[(a ^ b).bit_count() for b in numbers[1]] for a in numbers[0]]
    reference.assert_same(np.array(hamming, np.int32), reference.distance(q, x, "hamming"))
    jaccard = [
        [1 - (a & b).bit_count() / (a | b).bit_count() for b in numbers[1]] for a in numbers[0]
    ]
    reference.assert_same(np.array(jaccard, np.float32), reference.distance(q, x, "jaccard"))
    empty = np.zeros((1, 9), np.uint8)
    assert reference.distance(empty, empty, "jaccard") == 0


def test_signs_of_the_two_faces(rng):
    a, b = normal(rng, 2, 5), normal(rng, 3, 5)
    assert (reference.similarity(a, b, "euclidean") == -reference.distance(a, b, "euclidean")).all()
    cosine = reference.similarity(a.astype(float), b.astype(float))
    np.testing.assert_array_equal(
        reference.distance(a, b, "cosine"), (1 - cosine).astype(np.float32)
    )


def test_zero_rows_score_zero_and_nan_is_never_hidden_by_that():
    zero, nan = np.zeros(3, np.float32), np.array([1, np.nan, 0], np.float32)
    assert reference.similarity(zero, [1.0, 2.0, 3.0]) == 0
    assert reference.similarity(zero, zero) == 0
    assert np.isnan(reference.similarity(zero, nan))


@pytest.mark.parametrize("metric", ["dot", "manhattan"])
def test_search_is_sorted_by_score_then_index(metric):
    q, x = make("signs", 4, 50, 6)
    scores = reference.matrix(q, x, metric, "search")
    sign = -1 if metric == "dot" else 1
    found = reference.search(q, x, 20, metric)
    for i, row in enumerate(scores.tolist()):
        order = sorted(range(50), key=lambda j: (sign * row[j], j))[:20]
        assert found.indices[i].tolist() == order
        assert found.values[i].tolist() == [row[j] for j in order]


def test_search_rules_on_a_case_small_enough_to_read():
    nan = float("nan")
    x = np.array([[1], [nan], [3], [3], [2]], np.float32)
    top = reference.search(np.float32([1]), x, 9, "dot", pad=True)
    np.testing.assert_array_equal(top.indices, [[2, 3, 4, 0, 1, -1, -1, -1, -1]])
    np.testing.assert_array_equal(top.values, np.float32([[3, 3, 2, 1, nan, nan, nan, nan, nan]]))
    top = reference.search(np.float32([[1], [1]]), x, 4, "dot", exclude_self=True, threshold=2.0)
    np.testing.assert_array_equal(top.indices, [[2, 3, 4, -1], [2, 3, 4, -1]])
    hits = reference.range_search(np.float32([[1], [3]]), x, 1.0, "manhattan")
    np.testing.assert_array_equal(hits.offsets, [0, 2, 5])
    np.testing.assert_array_equal(hits.indices, [0, 4, 2, 3, 4])
    best = reference.rescore(np.float32([1]), x, np.array([[4, -1, 2, 4, 1]]), 5, "dot")
    np.testing.assert_array_equal(best.indices, [[2, 4, 1, -1, -1]])


def test_top_k_against_sorted(rng):
    x = rng.integers(-3, 4, (6, 40)).astype(np.float64)
    x[0, :5] = np.nan
    for mode, sign in (("largest", -1), ("smallest", 1)):
        found = reference.top_k(x, 12, mode=mode)
        for row, indices in zip(x.tolist(), found.indices.tolist(), strict=True):
            keys = [(math.isnan(v), 0 if math.isnan(v) else sign * v, j) for j, v in enumerate(row)]
            assert indices == [j for *_, j in sorted(keys)[:12]]


def test_bits_on_a_case_small_enough_to_read():
    x = np.array([[0.5, -1, 0, 2, 1, 1, -3, 1, 7]], np.float32)
    np.testing.assert_array_equal(reference.pack_bits(x), [[0b10011101, 0b10000000]])
    np.testing.assert_array_equal(
        reference.unpack_bits(reference.pack_bits(x), 9), [[1, 0, 0, 1, 1, 1, 0, 1, 1]]
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts_keep_the_values(layout, dtype, rng):
    x = normal(rng, 5, 7, dtype)
    stored = LAYOUTS[layout](x)
    reference.assert_same(stored, x)
    expected = {"misaligned": dtype in ("int8", "uint8")}
    assert stored.flags.aligned == expected.get(layout, stored.flags.aligned)


def test_comparison_sees_a_single_bit():
    x = cast(np.ones((2, 2)), "float32")
    y = x.copy()
    y[1, 1] = np.nextafter(y[1, 1], 2, dtype=np.float32)
    with pytest.raises(AssertionError):
        reference.assert_same(y, x)
    with pytest.raises(AssertionError):
        reference.assert_same(-0.0 * x, 0.0 * x)
    with pytest.raises(AssertionError):
        reference.assert_within_bound(2 * x, x, x, x, "dot")
