"""The LlamaIndex store gives what the simple store gives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llama_index.core", reason="needs llama-index-core")

from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.simple import SimpleVectorStore
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

import reference
from embmath.integrations.llama_index import EmbmathVectorStore

rng = np.random.default_rng(4)
ROWS = rng.standard_normal((50, 20)).astype(np.float32).astype(float)
QUERY = rng.standard_normal(20).tolist()


def node(i: int, row: Any) -> TextNode:
    relationships = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"document {i // 5}")}
    return TextNode(
        id_=f"node {i}",
        text=f"text {i}",
        embedding=list(row),
        metadata={"i": i, "kind": ["even", "odd"][i % 2]},
        relationships=relationships,
    )


NODES = [node(i, row) for i, row in enumerate(ROWS)]


@pytest.fixture
def ours() -> EmbmathVectorStore:
    store = EmbmathVectorStore()
    assert store.add(NODES) == [n.node_id for n in NODES]
    return store


@pytest.fixture
def theirs() -> SimpleVectorStore:
    store = SimpleVectorStore()
    store.add(NODES)
    return store


def filters(*conditions: tuple[str, Any, FilterOperator], by: Any = "and") -> MetadataFilters:
    return MetadataFilters(
        filters=[MetadataFilter(key=k, value=v, operator=o) for k, v, o in conditions],
        condition=FilterCondition(by),
    )


EVEN = ("kind", "even", FilterOperator.EQ)
FILTERS = [
    None,
    MetadataFilters(filters=[]),
    filters(EVEN),
    filters(EVEN, ("i", 20, FilterOperator.LT)),
    filters(EVEN, ("i", 20, FilterOperator.GTE), by="or"),
    filters(EVEN, by="not"),
    filters(("i", [1, 2, 3], FilterOperator.IN)),
    filters(("absent", 1, FilterOperator.EQ)),
    filters(("absent", None, FilterOperator.IS_EMPTY)),
]


def assert_same(ours: EmbmathVectorStore, theirs: SimpleVectorStore, **arguments: Any) -> None:
    query = VectorStoreQuery(query_embedding=QUERY, **arguments)
    found, expected = ours.query(query), theirs.query(query)
    assert found.ids == expected.ids
    np.testing.assert_allclose(found.similarities, expected.similarities, atol=1e-6)


@pytest.mark.parametrize("chosen", FILTERS)
@pytest.mark.parametrize("mode", [VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR])
def test_answers_of_the_simple_store(
    ours: EmbmathVectorStore, theirs: SimpleVectorStore, chosen: Any, mode: Any
) -> None:
    # Their marginal relevance forgets all but the last choice: beyond two it is not that of ours.
    for k in (1, 2) if mode == VectorStoreQueryMode.MMR else (1, 7, 80):
        assert_same(ours, theirs, similarity_top_k=k, filters=chosen, mode=mode)
    some = [n.node_id for n in NODES[:9]] + ["absent"]
    for ids in (some, []):
        assert_same(ours, theirs, similarity_top_k=2, filters=chosen, mode=mode, node_ids=ids)


@pytest.mark.parametrize("threshold", [0.05, 0.3, 1.0])
def test_mmr_threshold(
    ours: EmbmathVectorStore, theirs: SimpleVectorStore, threshold: float
) -> None:
    mode = VectorStoreQueryMode.MMR
    query = VectorStoreQuery(query_embedding=QUERY, similarity_top_k=2, mode=mode)
    expected = theirs.query(query, mmr_threshold=threshold)
    assert ours.query(query, mmr_threshold=threshold).ids == expected.ids
    query.mmr_threshold = threshold
    assert ours.query(query).ids == expected.ids


def test_mmr_remembers_all_choices(ours: EmbmathVectorStore) -> None:
    mode = VectorStoreQueryMode.MMR
    found = ours.query(
        VectorStoreQuery(query_embedding=QUERY, similarity_top_k=12, mode=mode), mmr_threshold=0.3
    )
    expected = reference.mmr(QUERY, ROWS, 12, 0.3)
    assert found.ids == [f"node {i}" for i in expected.indices]
    np.testing.assert_allclose(found.similarities, expected.values, atol=1e-6)


def test_changes_follow_the_simple_store(
    ours: EmbmathVectorStore, theirs: SimpleVectorStore
) -> None:
    for store in (ours, theirs):
        store.delete("document 3")
        store.delete("absent")
        store.delete_nodes(["node 1", "node 2", "absent"], filters(EVEN))
        store.delete_nodes(filters=filters(("i", 45, FilterOperator.GT)))
        store.add([node(0, ROWS[7] + 1), node(70, -ROWS[8])])
    assert_same(ours, theirs, similarity_top_k=80)
    assert ours.get("node 0") == pytest.approx(theirs.get("node 0"))
    ours.clear()
    assert ours.query(VectorStoreQuery(query_embedding=QUERY)).ids == []
    ours.add([TextNode(embedding=[1.0, 2.0])])  # of another model


def test_documents_restrict_a_query(ours: EmbmathVectorStore) -> None:
    query = VectorStoreQuery(query_embedding=QUERY, similarity_top_k=80, doc_ids=["document 2"])
    assert set(ours.query(query).ids or ()) == {f"node {i}" for i in range(10, 15)}


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_persist(tmp_path: Path, metric: str) -> None:
    store = EmbmathVectorStore(metric=metric)
    store.add(NODES)
    store.persist(str(tmp_path / "default__vector_store.json"))
    loaded = EmbmathVectorStore.from_persist_dir(str(tmp_path))
    query = VectorStoreQuery(query_embedding=QUERY, similarity_top_k=9, filters=filters(EVEN))
    assert loaded.query(query) == store.query(query)
    assert loaded.metric == metric
    loaded.delete("document 0")
    assert len(loaded.client) == 45


def test_through_an_index(tmp_path: Path) -> None:
    from llama_index.core import MockEmbedding, StorageContext, VectorStoreIndex
    from llama_index.core import load_index_from_storage as load

    storage = StorageContext.from_defaults(vector_store=EmbmathVectorStore())
    model = MockEmbedding(embed_dim=20)
    index = VectorStoreIndex(NODES, storage_context=storage, embed_model=model)
    assert len(index.as_retriever(similarity_top_k=3).retrieve("text")) == 3
    index.storage_context.persist(str(tmp_path))
    store = EmbmathVectorStore.from_persist_dir(str(tmp_path))
    again = load(
        StorageContext.from_defaults(vector_store=store, persist_dir=str(tmp_path)),
        embed_model=model,
    )
    assert len(again.as_retriever(similarity_top_k=3).retrieve("text")) == 3


def test_refusals(ours: EmbmathVectorStore) -> None:
    import fsspec

    with pytest.raises(ValueError, match="query_embedding: expected"):
        ours.query(VectorStoreQuery())
    with pytest.raises(ValueError, match="expected 'default' or 'mmr'"):
        ours.query(VectorStoreQuery(query_embedding=QUERY, mode=VectorStoreQueryMode.SVM))
    with pytest.raises(ValueError, match="metric: expected one of"):
        EmbmathVectorStore(metric="hamming")
    with pytest.raises(ValueError, match="fs: expected the local"):
        ours.persist("x", fs=fsspec.filesystem("memory"))
    with pytest.raises(KeyError):
        ours.get("absent")
    with pytest.raises(ValueError, match="finite numbers"):
        ours.add([TextNode(embedding=[np.nan] * 20)])
