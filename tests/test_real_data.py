"""Exactness on real sentence embeddings, where scores crowd together as they do in use.

The directory comes from the environment variable EMBMATH_DATA; it holds ``*base*.f32.npy`` and
``*queries*.f32.npy``.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import embmath as em
import reference
from reference import FLOAT_METRICS, Array, RangeResult, TopK
from strategies import cast

pytestmark = pytest.mark.realdata
ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("EMBMATH_DATA", ROOT.parent / "shared" / "data"))
NQ = 200


def load(pattern: str) -> Array:
    found = sorted(DATA.glob(pattern))
    if not found:
        pytest.skip(f"no {pattern} in {DATA}; set EMBMATH_DATA to a directory of embeddings")
    return np.load(found[0], mmap_mode="r")


@pytest.fixture(scope="module")
def data() -> tuple[Array, Array]:
    """Some queries, and the whole corpus."""
    return load("*queries*.f32.npy")[:NQ], load("*base*.f32.npy")


def plain_scores(q: Array, x: Array, metric: str) -> Array:
    """Larger is closer, float64 accuracy, in one matrix product."""
    q, x = q.astype(np.float64), x.astype(np.float64)
    if metric == "cosine":
        q, x = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (q, x))
    if metric in ("cosine", "dot"):
        return q @ x.T
    return 2 * q @ x.T - np.square(q).sum(axis=1)[:, None] - np.square(x).sum(axis=1)


def exact(q: Array, x: Array, k: int, metric: str) -> TopK:
    """The oracle, quickly: canonical scores only of rows that may be among the k best.

    A float64 matrix product and the canonical score differ by less than 1e-9 of the largest score,
    and the rounding of the latter to float32 by 6e-8 of it. So every one of the k best rows has a
    product no more than 1e-6 below the k-th best product, and the oracle decides among those.
    """
    scores = plain_scores(q, x, metric)
    margin = 1e-6 * np.abs(scores).max()
    values, indices = [], []
    for i, row in enumerate(scores):
        rows = np.flatnonzero(row >= np.partition(row, -k)[-k] - margin)
        top = reference.search(q[i], x[rows], k, metric)
        values.append(top.values)
        indices.append(rows[top.indices])
    return TopK(np.concatenate(values), np.concatenate(indices))


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean", "sqeuclidean"])
def test_search(isa, data, metric):
    q, x = data
    expected = exact(q, x, 100, metric)
    for k in (1, 10, 100):
        top = em.search(q, x, k, metric)
        reference.assert_all_same(top, TopK(expected.values[:, :k], expected.indices[:, :k]))


@pytest.mark.parametrize("metric", ["cosine", "sqeuclidean"])
def test_all_queries_and_long_answers(data, metric):
    q, x = load("*queries*.f32.npy"), data[1]
    index = em.Index(x, metric=metric)
    for first in range(0, len(q), 500):
        part = np.ascontiguousarray(q[first : first + 500])
        expected = exact(part, x, 1000, metric)
        for k in (1, 10, 100, 1000):
            prefix = TopK(expected.values[:, :k], expected.indices[:, :k])
            stats = {}
            reference.assert_all_same(index.search(part, k, stats=stats), prefix)
            assert stats["plan"].startswith("int8") == (100 * k <= len(x))
            reference.assert_all_same(em.search(part, x, k, metric), prefix)


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean", "sqeuclidean"])
def test_rotated_codes(isa, data, metric):
    q, x = data
    expected = exact(q, x, 100, metric)
    for codes in ("prefix", "int4"):
        index = em.Index(x, metric=metric, codes=codes)
        for nq in (1, 4, len(q)):
            for k in (1, 10, 100):
                stats = {}
                top = index.search(q[:nq], k, stats=stats)
                known = TopK(expected.values[:nq, :k], expected.indices[:nq, :k])
                reference.assert_all_same(top, known)
                assert stats["plan"].startswith(codes)


@pytest.mark.parametrize("metric", ["cosine", "sqeuclidean"])
def test_all_queries_in_rotated_codes(data, metric):
    q, x = load("*queries*.f32.npy"), data[1]
    index = em.Index(x, metric=metric, codes=("prefix", "int4"))
    for first in range(0, len(q), 500):
        part = np.ascontiguousarray(q[first : first + 500])
        expected = exact(part, x, 100, metric)
        for k in (1, 10, 100):
            known = TopK(expected.values[:, :k], expected.indices[:, :k])
            reference.assert_all_same(index.search(part, k), known)
        for i in range(0, len(part), 50):
            one = slice(i, i + 1)
            known = TopK(expected.values[one, :10], expected.indices[one, :10])
            reference.assert_all_same(index.search(part[one], 10), known)


@pytest.mark.parametrize("metric", FLOAT_METRICS)
def test_few_queries_against_the_plain_oracle(agree, data, metric):
    q, x = data
    agree("search", q[:3], x, 50, metric)
    agree("search", x[:3], x, 50, metric, exclude_self=True)
    agree("similarity", q[:3], x[:5000], metric)


@pytest.mark.parametrize("dims", [64, 256])
def test_prefixes(data, dims):
    q, x = data
    expected = exact(np.ascontiguousarray(q[:, :dims]), x[:, :dims], 10, "cosine")
    reference.assert_all_same(em.search(q, x, 10, dims=dims), expected)


def test_range_search(data):
    q, x = data
    full = exact(q, x, 400, "cosine")
    threshold = float(np.median(full.values[:, 99]))
    inside = full.values >= np.float64(threshold)
    assert not inside[:, -1].any() or not inside.all()
    few = ~inside[:, -1]
    assert few.any(), "the threshold must leave queries whose hits are all known"
    hits = em.range_search(q[few], x, threshold)
    offsets = np.concatenate([[0], np.cumsum(inside[few].sum(axis=1))]).astype(np.int64)
    known = RangeResult(offsets, full.values[few][inside[few]], full.indices[few][inside[few]])
    reference.assert_all_same(hits, known)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_float_dtypes(data, dtype):
    q, x = (cast(np.asarray(m), dtype) for m in data)
    top = em.search(q, x, 10)
    expected = exact(q, x, 10, "cosine")
    reference.assert_all_same(top, expected)


def test_int8_and_bits(agree, data):
    q, x = (np.asarray(m) for m in data)
    q8, x8 = (np.clip(np.rint(m * 400), -127, 127).astype(np.int8) for m in (q, x))
    agree("search", q8[:5], x8, 20, "dot")
    qb, xb = agree("pack_bits", q), agree("pack_bits", x)
    agree("search", qb[:20], xb, 20, "hamming")


def test_codes_and_what_they_decode_to(isa, data):
    """Codes as the oracle makes them, errors within half a step, and neighbours that stay."""
    x = data[1]
    sample = np.asarray(x[:5000])
    for precision in ("int8", "uint8", "int4"):
        codes = em.quantize(sample, precision)
        expected, _, step = reference.row_codes(sample, precision)
        stored = codes.data if precision != "int4" else em.unpack_int4(codes.data, codes.dim)
        reference.assert_same(stored, expected)
        reference.assert_same(codes.step, step)
    ranges = em.fit_ranges(x)
    reference.assert_same(ranges, np.float32([x.min(axis=0), x.max(axis=0)]))
    for rounding in ("floor", "nearest", "truncate", "ratio"):
        codes = em.quantize(sample, "int8", ranges=ranges, rounding=rounding)
        expected = reference.grid_codes(sample, ranges, rounding, signed=True)
        reference.assert_same(codes.data, expected)
        error = np.abs(codes.dequantize().astype(np.float64) - sample)
        assert (error <= (1.0001 if rounding == "truncate" else 0.5001) * codes.step).all()


def test_recall_of_decoded_codes(data):
    """Row codes lose less than codes per dimension; both nearly nothing at 8 bits."""
    q, x = data
    truth = em.search(q, x, 10).indices

    def recall(**options):
        codes = em.quantize(x, **options)
        found = em.search(q, codes.dequantize(), 10).indices
        return np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(truth, found, strict=True)])

    assert recall(precision="int8") > 0.985
    assert recall(precision="int8", scope="dim") > 0.985
    assert recall(precision="int4") > 0.9
    assert recall(precision="bfloat16") > 0.98


def test_recall_of_rotated_codes(data):
    """Two bits on principal axes keep nearly what int4 keeps; a random rotation keeps less."""
    q, x = data
    truth = em.search(q, x, 10, "dot").indices
    rotation = em.fit_rotation(x)

    def recall(precision, bits, rotation=None):
        codes = em.quantize(x, precision, bits=bits, rotation=rotation)
        found = em.search(q, codes, 10, "dot").indices
        return np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(truth, found, strict=True)])

    assert recall("pca", 0.5, rotation) > 0.64
    assert recall("pca", 1, rotation) > 0.79
    assert recall("pca", 2, rotation) > 0.9
    assert recall("pca", 4, rotation) > 0.965
    assert recall("rabitq", 1) > 0.72
    assert recall("rabitq", 4) > 0.94


def test_queries_find_themselves(data):
    """A corpus row asked for comes back first, unless an equal row has a lower index."""
    _, x = data
    top = em.search(x[:NQ], x, 1, "euclidean")
    assert (top.values == 0).all()
    assert (top.indices[:, 0] <= np.arange(NQ)).all()
