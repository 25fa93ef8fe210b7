"""The Haystack store gives what the in-memory store gives."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("haystack", reason="needs haystack-ai")

from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.document_stores.errors import DocumentStoreError, DuplicateDocumentError
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import DuplicatePolicy
from haystack.testing.document_store import (
    CountDocumentsByFilterTest,
    CountUniqueMetadataByFilterTest,
    DocumentStoreBaseExtendedTests,
    GetMetadataFieldMinMaxTest,
    GetMetadataFieldsInfoTest,
    GetMetadataFieldUniqueValuesTest,
)

from embmath.integrations.haystack import EmbmathDocumentStore

rng = np.random.default_rng(5)
ROWS = rng.standard_normal((40, 16)).astype(np.float32).astype(float)
QUERY = rng.standard_normal(16).tolist()
DOCUMENTS = [
    Document(
        id=str(i),
        content=f"text {i}",
        meta={"i": i},
        embedding=None if i == 9 else list(row),
    )
    for i, row in enumerate(ROWS)
]
FILTERS = [
    None,
    {"field": "meta.i", "operator": ">=", "value": 30},
    {"field": "meta.i", "operator": ">", "value": 99},
    {
        "operator": "OR",
        "conditions": [
            {"field": "meta.i", "operator": "==", "value": 3},
            {"field": "meta.i", "operator": "in", "value": [5, 6]},
        ],
    },
]
METRICS = ["dot_product", "cosine"]


def stores(metric: Any, **arguments: Any) -> list[InMemoryDocumentStore]:
    kinds = (EmbmathDocumentStore, InMemoryDocumentStore)
    both = [kind(embedding_similarity_function=metric, **arguments) for kind in kinds]
    for store in both:
        store.write_documents(DOCUMENTS)
    return both


def assert_same(both: list[InMemoryDocumentStore], **arguments: Any) -> None:
    ours, theirs = (store.embedding_retrieval(QUERY, **arguments) for store in both)
    assert [replace(d, score=None) for d in ours] == [replace(d, score=None) for d in theirs]
    np.testing.assert_allclose([d.score for d in ours], [d.score for d in theirs], atol=2e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("scale_score", [False, True])
def test_answers_of_the_in_memory_store(metric: Any, filters: Any, scale_score: bool) -> None:
    both = stores(metric)
    for top_k in (0, 1, 10, 100):
        assert_same(both, filters=filters, top_k=top_k, scale_score=scale_score)
    for return_embedding in (True, False, None):
        assert_same(both, filters=filters, return_embedding=return_embedding)


@pytest.mark.parametrize("metric", METRICS)
def test_changes_follow_the_in_memory_store(metric: Any) -> None:
    both = stores(metric)
    assert_same(both)
    more = [replace(d, embedding=list(-ROWS[i])) for i, d in enumerate(DOCUMENTS[:5])]
    for store in both:
        store.write_documents(more, DuplicatePolicy.OVERWRITE)
        store.delete_documents(["20", "absent"])
        store.delete_by_filter({"field": "meta.i", "operator": "==", "value": 21})
        store.update_by_filter({"field": "meta.i", "operator": "==", "value": 22}, {"j": 1})
    assert_same(both, top_k=100)
    new = [Document(id="new", embedding=[1.0, 2.0])]  # of another model
    for store in both:
        store.delete_all_documents()
        assert store.embedding_retrieval(QUERY) == []
        store.write_documents(new)
    found = [store.embedding_retrieval([1.0, 0.0]) for store in both]
    assert [d.id for d in found[0]] == [d.id for d in found[1]]


def test_documents_of_a_shared_index() -> None:
    ours = EmbmathDocumentStore(index="shared")
    theirs = InMemoryDocumentStore(index="shared")
    theirs.write_documents(DOCUMENTS)
    assert_same([ours, theirs])
    theirs.delete_documents([d.id for d in DOCUMENTS[:20]])
    assert_same([ours, theirs])


def test_zero_vectors() -> None:
    both = stores("cosine")
    for store in both:
        store.write_documents([Document(id=f"zero {i}", embedding=[0.0] * 16) for i in range(3)])
    assert_same(both, top_k=100)


def test_equal_documents_by_age() -> None:  # there: by how the product rounds in each place
    store = EmbmathDocumentStore()
    store.write_documents([Document(id=str(i), embedding=list(ROWS[3])) for i in range(20)])
    assert [d.id for d in store.embedding_retrieval(QUERY)] == [str(i) for i in range(10)]


def test_in_a_pipeline(tmp_path: Path) -> None:
    store = stores("cosine")[0]
    pipeline = Pipeline()
    pipeline.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=3))
    again = Pipeline.loads(pipeline.dumps(), allowed_modules=["embmath.integrations.haystack"])
    retriever = again.get_component("retriever")
    assert type(retriever.document_store) is EmbmathDocumentStore
    found = pipeline.run({"retriever": {"query_embedding": QUERY}})["retriever"]["documents"]
    assert found == store.embedding_retrieval(QUERY, top_k=3)
    assert asyncio.run(store.embedding_retrieval_async(QUERY, top_k=3)) == found
    store.save_to_disk(str(tmp_path / "store.json"))
    loaded = EmbmathDocumentStore.load_from_disk(str(tmp_path / "store.json"))
    assert loaded.embedding_retrieval(QUERY, top_k=3) == found


def test_refusals() -> None:
    ours, theirs = stores("cosine")
    for store in (ours, theirs):
        for query in ([], [1, 2]):
            with pytest.raises(ValueError, match="non-empty list of floats"):
                store.embedding_retrieval(query)
        with pytest.raises(DocumentStoreError, match="size of the query should be the same"):
            store.embedding_retrieval([1.0])
        with pytest.raises(ValueError, match="Invalid filter syntax"):
            store.embedding_retrieval(QUERY, filters={"x": 1})
        store.write_documents([Document(id="short", embedding=[1.0])])
        for _ in range(2):
            with pytest.raises(DocumentStoreError, match="size of all Documents should be"):
                store.embedding_retrieval(QUERY)
        store.delete_documents(["short"])
    assert_same([ours, theirs])
    ours.write_documents([Document(id="short", embedding=[1.0])])
    with pytest.raises(DocumentStoreError, match="size of all Documents should be"):
        ours.embedding_retrieval(QUERY)
    ours.delete_all_documents()
    assert ours.embedding_retrieval(QUERY) == []
    with pytest.raises(ValueError, match="embedding_similarity_function: expected"):
        EmbmathDocumentStore(embedding_similarity_function="euclidean")  # type: ignore[arg-type]


class TestAsHaystackTestsStores(
    DocumentStoreBaseExtendedTests,
    CountDocumentsByFilterTest,
    CountUniqueMetadataByFilterTest,
    GetMetadataFieldMinMaxTest,
    GetMetadataFieldsInfoTest,
    GetMetadataFieldUniqueValuesTest,
):
    """Haystack's own tests of any store."""

    @pytest.fixture
    def document_store(self) -> EmbmathDocumentStore:
        return EmbmathDocumentStore(embedding_similarity_function="cosine")

    def test_write_documents(self, document_store: Any) -> None:
        documents = [Document(content="one"), Document(content="two")]
        assert document_store.write_documents(documents) == 2
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents(documents)
