"""Same question, same bits: whatever the instruction set, threads, batch, order or layout."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import embmath as em
import reference
from reference import BIT_METRICS, FLOAT_METRICS
from strategies import DTYPES, LAYOUTS, make

# Data with exact ties and data without; float32 carries the filter, the others their own paths.
CASES = [
    *itertools.product(["float32"], FLOAT_METRICS, ["normal", "duplicates", "near_ties", "cauchy"]),
    *itertools.product(
        ["float16", "bfloat16", "float64", "int8", "uint8"], ["dot", "euclidean"], ["duplicates"]
    ),
    *itertools.product(["float32"], FLOAT_METRICS, ["all_equal", "ascending", "mixed_scales"]),
    *itertools.product(["uint8"], BIT_METRICS, ["duplicates"]),
]
FMA = [name for name in em.isas() if name != "scalar"]


@pytest.fixture(params=CASES, ids="-".join)
def case(request):
    """Queries, corpus, metric and the answer of the plainest call."""
    dtype, metric, data = request.param
    q, x = make(data, 21, 1500, 50, dtype)
    return q, x, metric, em.search(q, x, 25, metric, threads=1)


def same(actual, expected) -> None:
    reference.assert_all_same(reference.TopK(*actual), reference.TopK(*expected))


class TestSearch:
    def test_instruction_set(self, case, force_isa):
        q, x, metric, expected = case
        for name in em.isas():
            force_isa(name)
            same(em.search(q, x, 25, metric), expected)

    def test_threads(self, case):
        q, x, metric, expected = case
        for threads in range(1, 9):
            same(em.search(q, x, 25, metric, threads=threads), expected)

    def test_batch(self, case):
        q, x, metric, expected = case
        for size in (1, 2, 5, 8, 20):
            parts = [em.search(q[i : i + size], x, 25, metric) for i in range(0, len(q), size)]
            same(tuple(map(np.concatenate, zip(*parts, strict=True))), expected)

    def test_prefix_of_a_longer_answer(self, case):
        q, x, metric, _ = case
        expected = em.search(q, x, 1500, metric)
        for k in (1, 2, 10, 24, 25, 26, 800):
            top = em.search(q, x, k, metric)
            same(top, (expected.values[:, :k], expected.indices[:, :k]))

    def test_memory_layout(self, case):
        q, x, metric, expected = case
        for store in LAYOUTS.values():
            same(em.search(store(q), store(x), 25, metric), expected)

    def test_order_of_the_rows(self, case, rng):
        """Values never depend on it; indices follow, with ties to the row that is now lower."""
        q, x, metric, _ = case
        for order in (np.arange(1500)[::-1], rng.permutation(1500)):
            top, full = em.search(q, x[order], 25, metric), em.search(q, x, 1500, metric)
            position = np.argsort(order)
            for i in range(len(q)):
                sign = -1.0 if metric in ("cosine", "dot") else 1.0
                moved = position[full.indices[i]]
                best = np.lexsort((moved, sign * full.values[i].astype(np.float64)))[:25]
                reference.assert_same(top.indices[i], moved[best])
                reference.assert_same(top.values[i], full.values[i, best])

    def test_corpus_cut_in_two(self, case):
        q, x, metric, expected = case
        low, high = em.search(q, x[:700], 25, metric), em.search(q, x[700:], 25, metric)
        values = np.concatenate([low.values, high.values], axis=1)
        indices = np.concatenate([low.indices, high.indices + 700], axis=1)
        best = [reference.best_first(row, metric)[:25] for row in values]
        merged = (np.take_along_axis(a, np.stack(best), axis=1) for a in (values, indices))
        same(reference.TopK(*merged), expected)

    def test_progress_and_out(self, case):
        q, x, metric, expected = case
        out = tuple(np.empty_like(a) for a in expected)
        same(em.search(q, x, 25, metric, out=out, progress=lambda done: None), expected)

    def test_other_ways_to_the_same_score(self, case):
        """range_search, rescore and the pairwise functions share the canonical score."""
        q, x, metric, expected = case
        same(em.rescore(q, x, expected.indices[:, ::-1], 25, metric), expected)
        hits = em.range_search(q[:1], x, float(expected.values[0, -1]), metric)
        reference.assert_same(hits.indices[:25], expected.indices[0])
        reference.assert_same(hits.values[:25], expected.values[0])
        if metric in BIT_METRICS:
            pairs = em.distance_pairwise(q, x[expected.indices[:, 0]], metric)
        else:
            pairs = em.similarity_pairwise(q, x[expected.indices[:, 0]], metric)
            pairs = pairs if metric in ("cosine", "dot") else -pairs
        np.testing.assert_array_equal(pairs, expected.values[:, 0])


@pytest.mark.parametrize("metric", FLOAT_METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
class TestMatrices:
    """Not canonical in float32, yet each entry depends on its two rows alone."""

    @pytest.fixture
    def rows(self, dtype):
        return make("normal", 23, 150, 77, dtype)

    def test_batch(self, isa, rows, metric):
        a, b = rows
        whole = em.similarity(a, b, metric)
        for i in (0, 5, 22):
            reference.assert_same(em.similarity(a[i], b, metric)[0], whole[i])
            reference.assert_same(em.similarity(a, b[i], metric)[:, 0], whole[:, i])
        reference.assert_same(em.similarity(a[3:20], b[7:101], metric), whole[3:20, 7:101])

    def test_threads(self, rows, metric):
        whole = em.similarity(*rows, metric, threads=1)
        for threads in range(2, 9):
            reference.assert_same(em.similarity(*rows, metric, threads=threads), whole)

    def test_memory_layout(self, rows, metric):
        a, b = rows
        whole = em.similarity(a, b, metric)
        for store in LAYOUTS.values():
            reference.assert_same(em.similarity(store(a), store(b), metric), whole)

    def test_instruction_sets_with_fma(self, rows, metric, force_isa):
        results = []
        for name in FMA:
            force_isa(name)
            results.append(em.similarity(*rows, metric))
        for result in results[1:]:
            reference.assert_same(result, results[0])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_transforms(force_isa, dtype):
    """normalize is the same for one row, all rows and every instruction set."""
    x = make("cauchy", 1, 40, 77, dtype)[1]
    whole = em.normalize(x)
    reference.assert_same(np.stack([em.normalize(row) for row in x]), whole)
    for name in em.isas():
        force_isa(name)
        reference.assert_same(em.normalize(x), whole)
