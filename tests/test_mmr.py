"""Maximal marginal relevance: the incremental choice is that of the definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import embmath as em
import reference
from reference import FLOAT_METRICS


@pytest.mark.parametrize("metric", FLOAT_METRICS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8"])
def test_as_defined(isa, rng, metric, dtype):
    rows = (rng.standard_normal((40, 19)) * 20).astype(dtype)
    found = em.mmr(rows[0], rows[1:], 12, 0.3, metric)
    reference.assert_all_same(found, reference.mmr(rows[0], rows[1:], 12, 0.3, metric))


@given(
    rows=st.lists(st.tuples(*[st.integers(-1, 1)] * 3), min_size=1, max_size=12),
    k=st.integers(1, 14),
    share=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
)
def test_ties_go_to_the_lowest_index(rows, k, share):
    x = np.array(rows, np.float32)
    found = em.mmr([1.0, 1.0, 0.0], x, k, share, "dot")
    reference.assert_all_same(found, reference.mmr(np.ones((1, 3)) - [0, 0, 1], x, k, share, "dot"))
    assert sorted(set(found.indices)) == sorted(found.indices)


def test_ends_of_the_range(rng):
    x = rng.standard_normal((30, 8), dtype=np.float32)
    relevant = em.search(x[0], x[1:], 29).indices[0]
    np.testing.assert_array_equal(em.mmr(x[0], x[1:], 29, 1.0).indices, relevant)
    assert em.mmr(x[0], x[1:], 5, 0.0).indices[0] == relevant[0]


def test_layouts_and_libraries(rng):
    torch = pytest.importorskip("torch", reason="needs Torch")
    x = rng.standard_normal((50, 16), dtype=np.float32)
    wanted = em.mmr(x[0], x[1:], 9)
    for view in (np.asfortranarray(x), x[::-1].copy()[::-1], np.repeat(x, 2, axis=1)[:, ::2]):
        reference.assert_all_same(em.mmr(view[0], view[1:], 9), wanted)
    found = em.mmr(torch.from_numpy(x[0]), torch.from_numpy(x[1:]), 9)
    assert isinstance(found.indices, torch.Tensor)
    reference.assert_same(found.values.numpy(), wanted.values)
    reference.assert_same(found.indices.numpy(), wanted.indices)


def test_nothing_to_choose_from():
    found = em.mmr(np.zeros(4, np.float32), np.empty((0, 4), np.float32), 3)
    assert found.values.shape == found.indices.shape == (0,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "k: must be at least 1"),
        ({"lambda_mult": 1.5}, "lambda_mult: must be between 0 and 1, got 1.5"),
        ({"metric": "hamming"}, "metric: unknown 'hamming'"),
        ({"query": np.ones((2, 3))}, "query: expected one row, got 2"),
        ({"candidates": np.ones((2, 4))}, "expected 3 columns like query, got 4"),
        ({"candidates": [[1.0, 2.0, np.nan]]}, "expected finite similarities"),
    ],
)
def test_refusals(change, message):
    arguments = {"query": np.ones(3), "candidates": np.ones((2, 3)), "k": 1} | change
    with pytest.raises(ValueError, match=message):
        em.mmr(**arguments)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_langchain_chooses_the_same(rng, share):
    utils = pytest.importorskip("langchain_core.vectorstores.utils", reason="needs langchain-core")
    rows = rng.standard_normal((200, 32))
    query, candidates = rows[0], rows[1:] + 0.5 * rows[0]
    wanted = utils.maximal_marginal_relevance(query, list(candidates), lambda_mult=share, k=25)
    found = em.mmr(query, candidates, 25, share)
    assert found.indices.tolist() == wanted
