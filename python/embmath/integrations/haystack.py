"""Haystack: a document store in place of ``InMemoryDocumentStore``."""

import operator
from typing import Any

from haystack import logging
from haystack.dataclasses import Document
from haystack.document_stores.errors import DocumentStoreError
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.utils import expit

from ._named_index import NamedIndex

logger = logging.getLogger(__name__)

_METRICS = {"dot_product": "dot", "cosine": "cosine"}
_DOT_SCALE = 100  # InMemoryDocumentStore's


class EmbmathDocumentStore(InMemoryDocumentStore):
    """``InMemoryDocumentStore`` whose ``embedding_retrieval`` searches an index.

    All else is inherited: arguments, filters, BM25, saving, asynchronous methods. It goes wherever
    the other goes, ``InMemoryEmbeddingRetriever`` included.

    Notes
    -----
    The other makes an array of all embeddings for every query. Here rows are kept as float32, and
    before a search those documents are indexed whose embedding is another object than before,
    whoever changed it; O(n) look-ups. Changing the numbers within a list goes unnoticed. NaN or
    infinity raise ValueError. Where Haystack asks which modules a saved pipeline may name, the
    answer is ``allowed_modules=["embmath.integrations.haystack"]``.

    Examples
    --------
    >>> from haystack import Document
    >>> from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
    >>> from embmath.integrations.haystack import EmbmathDocumentStore
    >>> store = EmbmathDocumentStore(embedding_similarity_function="cosine")
    >>> store.write_documents([Document(content="a", embedding=[1.0, 0.0])])
    1
    >>> retriever = InMemoryEmbeddingRetriever(document_store=store)
    >>> [d.content for d in retriever.run(query_embedding=[1.0, 0.1])["documents"]]
    ['a']
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.embedding_similarity_function not in _METRICS:
            raise ValueError(
                f"embedding_similarity_function: expected one of {', '.join(_METRICS)}, "
                f"got {self.embedding_similarity_function!r}"
            )
        self._rows = NamedIndex(_METRICS[self.embedding_similarity_function])  # type: ignore[arg-type]
        self._seen: dict[str, Any] = {}  # the embeddings that are in the index
        self._names: list[str] | None = None  # all documents, when it was last up to date
        self._embeddings: list[Any] = []

    def embedding_retrieval(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        scale_score: bool = False,
        return_embedding: bool | None = False,
    ) -> list[Document]:
        """The documents most similar to the embedding of a query, as there."""
        if len(query_embedding) == 0 or not isinstance(query_embedding[0], float):
            raise ValueError("query_embedding should be a non-empty list of floats.")
        with self._rows.lock:
            return self._retrieve(query_embedding, filters, top_k, scale_score, return_embedding)

    def _retrieve(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None,
        top_k: int,
        scale_score: bool,
        return_embedding: bool | None,
    ) -> list[Document]:
        documents = self.storage
        allowed = {d.id for d in self.filter_documents(filters)} if filters else None
        self._index(documents)
        if not self._seen:
            logger.warning(
                "No Documents found with embeddings. Returning empty list. "
                "To generate embeddings, use a DocumentEmbedder."
            )
            return []
        if len(query_embedding) != self._rows.index.d:
            raise DocumentStoreError(
                "The embedding size of the query should be the same as the embedding size of the "
                f"Documents, {self._rows.index.d}, got {len(query_embedding)}."
            )
        keep = None if allowed is None else allowed.__contains__
        hits = self._rows.search(query_embedding, top_k, keep)
        is_returned = self.return_embedding if return_embedding is None else return_embedding
        found = []
        for name, score in hits:
            fields = documents[name].to_dict()
            fields["score"] = self._scaled(score) if scale_score else score
            if not is_returned:
                fields["embedding"] = None
            found.append(Document.from_dict(fields))
        return found

    def _index(self, documents: dict[str, Document]) -> None:
        """Bring the index to what the documents are now."""
        names, rows = list(documents), [document.embedding for document in documents.values()]
        if names == self._names and all(map(operator.is_, rows, self._embeddings)):
            return
        self._names = None  # what follows may fail half way
        now = {name: row for name, row in zip(names, rows, strict=True) if row is not None}
        new = {name: row for name, row in now.items() if self._seen.get(name) is not row}
        old = [name for name in self._seen if name not in now or name in new]
        self._rows.drop(old)
        for name in old:
            del self._seen[name]
        widths = {len(row) for row in new.values()}
        if self._seen:
            widths.add(self._rows.index.d)
        if len(widths) > 1:
            raise DocumentStoreError(
                "The embedding size of all Documents should be the same, got "
                f"{sorted(widths)}. Please embed the Documents with the same model."
            )
        self._rows.put(list(new), list(new.values()))
        self._seen |= new
        self._names, self._embeddings = names, rows

    def _scaled(self, score: float) -> float:
        if self.embedding_similarity_function == "dot_product":
            return float(expit(score / _DOT_SCALE))
        return (score + 1) / 2
