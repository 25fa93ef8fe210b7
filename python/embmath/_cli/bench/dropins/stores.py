"""Vector stores of LangChain, LlamaIndex and Haystack: one query of ten documents."""

from __future__ import annotations

import importlib
from typing import Any

from embmath._cli.bench.dropins.answers import hits_of_pairs, same_hits
from embmath._cli.bench.dropins.dropin import Data, DropIn, Sizes
from embmath._cli.bench.measure import Run

_K = 10
_SIZES = (Sizes(10_000, 1), Sizes(50_000, 1))


def _langchain(store_class: Any, data: Data) -> Run:
    embeddings = importlib.import_module("langchain_core.embeddings").Embeddings

    class Known(embeddings):  # type: ignore[misc, valid-type]
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            rows: list[list[float]] = data.rows[[int(text) for text in texts]].tolist()
            return rows

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    names = [str(i) for i in range(len(data.rows))]
    store = store_class.from_texts(names, Known(), ids=names)
    query = data.queries[0].tolist()

    def ask() -> list[tuple[float, str]]:
        found = store.similarity_search_with_score_by_vector(query, k=_K)
        return [(score, document.id) for document, score in found]

    return ask


def _llama_index(store_class: Any, data: Data) -> Run:
    node = importlib.import_module("llama_index.core.schema").TextNode
    query_class = importlib.import_module("llama_index.core.vector_stores.types").VectorStoreQuery
    store = store_class()
    rows = enumerate(data.rows.tolist())
    store.add([node(id_=str(i), text=str(i), embedding=row) for i, row in rows])
    query = query_class(query_embedding=data.queries[0].tolist(), similarity_top_k=_K)

    def ask() -> list[tuple[float, str]]:
        found = store.query(query)
        return list(zip(found.similarities, found.ids, strict=True))

    return ask


def _haystack(store_class: Any, data: Data) -> Run:
    document = importlib.import_module("haystack").Document
    store = store_class(embedding_similarity_function="cosine")
    rows = enumerate(data.rows.tolist())
    store.write_documents([document(id=str(i), content=str(i), embedding=row) for i, row in rows])
    query = data.queries[0].tolist()

    def ask() -> list[tuple[float, str]]:
        return [(found.score, found.id) for found in store.embedding_retrieval(query, top_k=_K)]

    return ask


def _same(data: Data, ours: Any, theirs: Any) -> bool:
    return same_hits(hits_of_pairs(ours), hits_of_pairs(theirs), 2 * data.slack)


DROPINS = (
    DropIn(
        "langchain_core.vectorstores:InMemoryVectorStore",
        "embmath.integrations.langchain:EmbmathVectorStore",
        _langchain,
        _same,
        *_SIZES,
    ),
    DropIn(
        "llama_index.core.vector_stores:SimpleVectorStore",
        "embmath.integrations.llama_index:EmbmathVectorStore",
        _llama_index,
        _same,
        *_SIZES,
    ),
    DropIn(
        "haystack.document_stores.in_memory:InMemoryDocumentStore",
        "embmath.integrations.haystack:EmbmathDocumentStore",
        _haystack,
        _same,
        *_SIZES,
    ),
)
