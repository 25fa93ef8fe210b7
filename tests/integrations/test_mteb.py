"""The MTEB backend gives what MTEB's own search gives."""

import types
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch")

import torch

from embmath.integrations.mteb import EmbmathSearchIndex

rng = np.random.default_rng(7)
CORPUS = rng.standard_normal((80, 24)).astype(np.float32)
QUERIES = rng.standard_normal((6, 24)).astype(np.float32)
NAMES = [f"d{i}" for i in range(80)]


def model(metric: Any) -> Any:
    meta = types.SimpleNamespace(similarity_fn_name=metric)
    return types.SimpleNamespace(mteb_model_meta=meta)


def scores(metric: str, queries: Any, corpus: Any) -> Any:
    q, c = torch.as_tensor(queries).double(), torch.as_tensor(corpus).double()
    if metric == "euclidean":
        return -torch.cdist(q, c)
    if metric == "cosine":
        q, c = torch.nn.functional.normalize(q), torch.nn.functional.normalize(c)
    return q @ c.T


def given(rows: Any, kind: str) -> Any:
    return rows if kind == "numpy" else torch.as_tensor(rows).to(getattr(torch, kind))


@pytest.mark.parametrize("kind", ["numpy", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_search_and_rerank(metric: str, kind: str) -> None:
    corpus, queries = given(CORPUS, kind), given(QUERIES, kind)
    expected = scores(metric, queries, corpus)
    backend = EmbmathSearchIndex(model(metric))
    for part in (slice(0, 50), slice(50, 80)):
        backend.add_documents(corpus[part], NAMES[part])
    for k in (1, 7, 100):
        values, places = backend.search(queries, k, None)
        best = expected.topk(min(k, 80))
        assert places == best.indices.tolist()
        np.testing.assert_allclose(values, best.values, atol=1e-5)
    lists = {f"q{i}": [NAMES[j] for j in rng.permutation(80)[: 3 + i]] for i in range(5)}
    names = {i: f"q{i}" for i in range(6)}
    with pytest.warns(UserWarning, match="No top-ranked documents for query q5"):
        values, places = backend.search(queries, 4, None, lists, names)
    assert values.pop() == places.pop() == []
    for i in range(5):
        columns = [NAMES.index(name) for name in lists[f"q{i}"]]
        best = expected[i, columns].topk(min(4, len(columns)))
        assert places[i] == best.indices.tolist()
        np.testing.assert_allclose(values[i], best.values, atol=1e-5)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="similarity_fn_name: expected"):
        EmbmathSearchIndex(model("manhattan"))
    backend = EmbmathSearchIndex(model("cosine"))
    with pytest.raises(ValueError, match="no documents"):
        backend.search(QUERIES, 3)
    with pytest.raises(ValueError, match="idxs: expected 80"):
        backend.add_documents(CORPUS, NAMES[1:])
    backend.add_documents(CORPUS, NAMES)
    with pytest.raises(ValueError, match="query_idx_to_id: must"):
        backend.search(QUERIES, 3, None, {"q": NAMES})
    backend.clear()
    with pytest.raises(ValueError, match="no documents"):
        backend.search(QUERIES, 3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("task", ["MockRetrievalTask", "MockRerankingTask"])
def test_metrics_of_the_leaderboard(task: str) -> None:
    mteb = pytest.importorskip("mteb", reason="needs mteb")
    mocks = pytest.importorskip("mteb.mocks", reason="needs a newer mteb")
    from mteb.models.search_wrappers import SearchEncoderWrapper

    encoder = mteb.get_model("mteb/baseline-random-encoder")
    found = []
    for backend in (None, EmbmathSearchIndex(encoder)):
        searcher = SearchEncoderWrapper(encoder, index_backend=backend)
        result = mteb.evaluate(searcher, getattr(mocks, task)(), cache=None)
        found.append(result.task_results[0].scores)
    (theirs,), (ours,) = (scores["test"] for scores in found)
    numbers = {name for name, value in theirs.items() if isinstance(value, float)}
    assert "ndcg_at_10" in numbers
    np.testing.assert_allclose([ours[n] for n in numbers], [theirs[n] for n in numbers])
