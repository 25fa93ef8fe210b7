"""The LangChain store: the standard suite, and the in-memory store's answers."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("langchain_core", reason="needs langchain-core")
pytest.importorskip("langchain_tests", reason="needs langchain-tests")

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore
from langchain_tests.integration_tests import VectorStoreIntegrationTests

import embmath as em
from embmath.integrations.langchain import EmbmathVectorStore

EMBEDDING = DeterministicFakeEmbedding(size=24)
TEXTS = [f"text {i}" for i in range(60)]
METADATAS = [{"i": i} for i in range(60)]


class TestStandard(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self) -> VectorStore:  # type: ignore[override]
        return EmbmathVectorStore(self.get_embeddings())


@pytest.fixture
def ours() -> EmbmathVectorStore:
    return EmbmathVectorStore.from_texts(TEXTS, EMBEDDING, METADATAS, ids=TEXTS)


@pytest.fixture
def theirs() -> InMemoryVectorStore:
    return InMemoryVectorStore.from_texts(TEXTS, EMBEDDING, METADATAS, ids=TEXTS)


def is_even(document: Document) -> bool:
    return document.metadata["i"] % 2 == 0


@pytest.mark.parametrize("k", [0, 1, 4, 60, 100])
@pytest.mark.parametrize("keep", [None, is_even, lambda d: False])
def test_answers_of_the_in_memory_store(
    ours: EmbmathVectorStore, theirs: InMemoryVectorStore, k: int, keep: Any
) -> None:
    for query in ("text 7", "another"):
        expected = theirs.similarity_search_with_score(query, k=k, filter=keep)
        found = ours.similarity_search_with_score(query, k=k, filter=keep)
        assert [d for d, _ in found] == [d for d, _ in expected]
        np.testing.assert_allclose([s for _, s in found], [s for _, s in expected], atol=1e-6)
        assert ours.similarity_search(query, k=k, filter=keep) == [d for d, _ in expected]
        vector = EMBEDDING.embed_query(query)
        assert ours.similarity_search_by_vector(vector, k=k, filter=keep) == [
            d for d, _ in expected
        ]


@pytest.mark.parametrize("lambda_mult", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("k", [0, 1, 5, 30])
def test_mmr_of_the_in_memory_store(
    ours: EmbmathVectorStore, theirs: InMemoryVectorStore, k: int, lambda_mult: float
) -> None:
    arguments: dict[str, Any] = {"k": k, "fetch_k": 20, "lambda_mult": lambda_mult}
    expected = theirs.max_marginal_relevance_search("text 7", **arguments, filter=is_even)
    assert ours.max_marginal_relevance_search("text 7", **arguments, filter=is_even) == expected
    found = asyncio.run(ours.amax_marginal_relevance_search("text 7", **arguments, filter=is_even))
    assert found == expected


def test_changes_follow_the_in_memory_store(
    ours: EmbmathVectorStore, theirs: InMemoryVectorStore
) -> None:
    for store in (ours, theirs):
        store.delete(["text 7", "absent", "text 7"])
        store.add_texts(["new", "newer"], ids=["text 3", "text 3"])
        store.add_documents([Document(id="own", page_content="own id")])
    for query in ("text 7", "new", "newer", "own id"):
        assert ours.similarity_search(query, k=100) == theirs.similarity_search(query, k=100)
    assert ours.get_by_ids(["own", "text 7"]) == theirs.get_by_ids(["own", "text 7"])


def test_threshold_retriever(ours: EmbmathVectorStore) -> None:
    retriever = ours.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.9}
    )
    assert [d.id for d in retriever.invoke("text 7")] == ["text 7"]
    with pytest.warns(UserWarning, match="Relevance scores"):  # a cosine may be negative
        far = ours.similarity_search_with_relevance_scores("text 7", k=60)
    assert far == ours.similarity_search_with_score("text 7", k=60)


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_dump_and_load(tmp_path: Path, metric: Any) -> None:
    store = EmbmathVectorStore.from_texts(TEXTS, EMBEDDING, METADATAS, metric=metric)
    path = tmp_path / "folder" / "store.safetensors"
    for _ in range(2):  # the second replaces the first
        store.dump(path)
        loaded = EmbmathVectorStore.load(path, EMBEDDING)
        for query in TEXTS[:3]:
            expected = store.similarity_search_with_score(query, k=5)
            assert loaded.similarity_search_with_score(query, k=5) == expected
        loaded.add_texts(["more"])
        assert len(loaded) == len(store) + 1
        store = loaded
    assert len(list(path.parent.iterdir())) == 2


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    em.Index([[1.0, 2.0]]).save(tmp_path / "plain.safetensors")
    with pytest.raises(em.FileFormatError, match="a store saved"):
        EmbmathVectorStore.load(tmp_path / "plain.safetensors", EMBEDDING)


def test_a_save_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = EmbmathVectorStore.from_texts(TEXTS, EMBEDDING)
    store.dump(path)
    store.add_texts(["not JSON"], [{"object": object()}])
    with pytest.raises(TypeError, match="JSON"):
        store.dump(path)
    assert len(EmbmathVectorStore.load(path, EMBEDDING)) == len(TEXTS)
    assert len(list(tmp_path.iterdir())) == 2


def test_hostile_embeddings(ours: EmbmathVectorStore) -> None:
    document = Document(page_content="x", id="x")
    for vector, message in (
        ([np.nan] * 24, "finite numbers, got NaN or infinity in 'x'"),
        ([1.0] * 23, "24 columns"),
    ):
        with pytest.raises(ValueError, match=message):
            ours.add_embeddings([document], [vector])
    with pytest.raises(ValueError, match="one length"):
        ours.add_embeddings([document, document], [[1.0], [1.0, 2.0]])
    with pytest.raises(ValueError, match="one a document"):
        ours.add_embeddings([document], [])
    with pytest.raises(ValueError, match="same length as texts"):
        ours.add_documents([document], ids=["a", "b"])
    with pytest.raises(ValueError, match="metric: expected"):
        EmbmathVectorStore(EMBEDDING, metric="hamming")  # type: ignore[arg-type]
    assert len(ours) == 60
    assert "x" not in {d.id for d in ours.similarity_search("x", k=100)}
    assert [s for _, s in ours.similarity_search_with_score_by_vector([0.0] * 24)] == [0.0] * 4


def test_records(ours: EmbmathVectorStore, theirs: InMemoryVectorStore) -> None:
    assert list(ours.store) == list(theirs.store)
    assert len(ours.store) == len(theirs.store)
    for id in ("text 0", "text 59"):
        record, expected = dict(ours.store[id]), dict(theirs.store[id])
        np.testing.assert_allclose(record.pop("vector"), expected.pop("vector"), rtol=1e-6)
        assert record == expected
    with pytest.raises(KeyError):
        ours.store["absent"]
