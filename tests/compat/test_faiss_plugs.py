"""Where other libraries take a FAISS index, they take ours, and answer the same."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pytest

from embmath.compat import faiss as ours

peer = pytest.importorskip("faiss", reason="needs faiss-cpu")

# Of the libraries' own making, at import and in use.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def rows(rng: np.random.Generator) -> np.ndarray:
    x = rng.standard_normal((80, 64)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rescore", [False, True])
@pytest.mark.parametrize("precision", ["float32", "uint8", "ubinary"])
def test_sentence_transformers_corpus_index(
    precision: str, rescore: bool, rows: np.ndarray
) -> None:
    library = pytest.importorskip(
        "sentence_transformers.quantization", reason="needs sentence-transformers"
    )
    codes = library.quantize_embeddings(rows, precision) if precision != "float32" else rows
    found = []
    for lib in (ours, peer):
        is_binary = precision == "ubinary"
        index = lib.IndexBinaryFlat(64) if is_binary else lib.IndexFlatIP(64)
        index.add(codes)
        hits, _ = library.semantic_search_faiss(
            rows[:9],
            corpus_index=index,
            corpus_precision=precision,
            top_k=5,
            rescore=rescore,
            calibration_embeddings=rows,
        )
        found.append(hits)
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(*([h["score"] for h in hits] for hits in (a, b)), rtol=1e-5)
        assert a[0]["corpus_id"] == b[0]["corpus_id"]


def test_datasets_custom_index(rows: np.ndarray) -> None:
    datasets = pytest.importorskip("datasets", reason="needs datasets")
    found = []
    for lib in (ours, peer):
        data = datasets.Dataset.from_dict(
            {"name": [f"row {i}" for i in range(80)], "x": list(rows)}
        )
        data.add_faiss_index("x", custom_index=lib.IndexFlatIP(64), batch_size=7)
        scores, examples = data.get_nearest_examples("x", rows[11], k=4)
        batch = data.search_batch("x", rows[:5], k=3)
        found.append((scores, examples["name"], batch.total_indices))
    (scores, names, indices), (wanted, wanted_names, wanted_indices) = found
    np.testing.assert_allclose(scores, wanted, rtol=1e-5)
    assert names == wanted_names
    np.testing.assert_array_equal(indices, wanted_indices)


def test_langchain_store(rows: np.ndarray) -> None:
    vectorstores = pytest.importorskip(
        "langchain_community.vectorstores.faiss", reason="needs langchain-community"
    )
    from langchain_community.docstore.in_memory import InMemoryDocstore
    from langchain_core.embeddings import Embeddings

    class Numbered(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [rows[int(text)].tolist() for text in texts]

        def embed_query(self, text: str) -> list[float]:
            return [float(number) for number in rows[int(text)]]

    found = []
    for lib in (ours, peer):
        store = vectorstores.FAISS(Numbered(), lib.IndexFlatL2(64), InMemoryDocstore(), {})
        ids = [str(uuid.UUID(int=i)) for i in range(40)]
        store.add_texts([str(i) for i in range(40)], [{"odd": i % 2} for i in range(40)], ids=ids)
        store.delete(ids[3:5])
        found.append(_answers(store))
    assert found[0][0] == found[1][0]
    assert found[0][0]["plain"][0] == "7"
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-5, atol=1e-5)


def _answers(store: Any) -> tuple[dict[str, list[str]], list[float]]:
    plain = store.similarity_search_with_score("7", k=5)
    near = store.similarity_search("3", k=5, filter={"odd": 1})
    diverse = store.max_marginal_relevance_search("7", k=5, fetch_k=20)
    answers = {"near": near, "diverse": diverse, "plain": [document for document, _ in plain]}
    texts = {name: [d.page_content for d in documents] for name, documents in answers.items()}
    return texts, [score for _, score in plain]
