"""LangChain: a vector store in place of ``InMemoryVectorStore``."""

import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from ._named_index import NamedIndex

Filter = Callable[[Document], bool]


class _Records(Mapping[str, dict[str, Any]]):
    """What ``InMemoryVectorStore`` keeps, made as it is asked for."""

    def __init__(self, documents: dict[str, Document], rows: NamedIndex) -> None:
        self._documents, self._rows = documents, rows

    def __len__(self) -> int:
        return len(self._documents)

    def __iter__(self) -> Iterator[str]:
        return iter(self._documents)

    def __getitem__(self, id: str) -> dict[str, Any]:
        document = self._documents[id]
        return {
            "id": id,
            "vector": self._rows.vectors([id])[0].tolist(),
            "text": document.page_content,
            "metadata": document.metadata,
        }


class EmbmathVectorStore(VectorStore):
    """Documents in memory with exact search, in place of ``InMemoryVectorStore``.

    Parameters
    ----------
    embedding : Embeddings
        As there.
    metric : {"cosine", "dot", "euclidean"}
        Scores are similarities: a Euclidean distance counts negative.

    Notes
    -----
    The same methods, defaults and results as ``InMemoryVectorStore``, with these differences. Rows
    are kept once, as float32. Equal scores are ordered by age, oldest first; there the newest comes
    first. Embeddings with NaN or infinity raise ValueError when they are added (there: a warning
    and a score of 0), and a query of zeros scores 0 (there: ValueError). Relevance scores
    (``search_type="similarity_score_threshold"``) work: the score itself for "cosine" and "dot".
    Metadata that JSON cannot hold raise when dumped.

    Examples
    --------
    >>> from langchain_core.embeddings import DeterministicFakeEmbedding
    >>> from embmath.integrations.langchain import EmbmathVectorStore
    >>> embedding = DeterministicFakeEmbedding(size=64)
    >>> store = EmbmathVectorStore.from_texts(["one", "two", "three"], embedding)
    >>> [document.page_content for document in store.similarity_search("two", k=1)]
    ['two']
    """

    def __init__(
        self, embedding: Embeddings, *, metric: Literal["cosine", "dot", "euclidean"] = "cosine"
    ) -> None:
        if metric not in ("cosine", "dot", "euclidean"):
            raise ValueError(f"metric: expected 'cosine', 'dot' or 'euclidean', got {metric!r}")
        self.embedding = embedding
        self._rows = NamedIndex(metric)
        self._documents: dict[str, Document] = {}

    @property
    def embeddings(self) -> Embeddings:
        """The embedding model."""
        return self.embedding

    @property
    def store(self) -> Mapping[str, dict[str, Any]]:
        """Every document as ``InMemoryVectorStore`` has it, by id; to be read only."""
        return _Records(self._documents, self._rows)

    def __len__(self) -> int:
        return len(self._documents)

    def add_documents(
        self, documents: list[Document], ids: list[str] | None = None, **kwargs: Any
    ) -> list[str]:
        """Embed and add documents, or replace those of known ids; their ids."""
        vectors = self.embedding.embed_documents([d.page_content for d in documents])
        return self._put(documents, vectors, ids)

    async def aadd_documents(
        self, documents: list[Document], ids: list[str] | None = None, **kwargs: Any
    ) -> list[str]:
        """As :meth:`add_documents`, with the asynchronous embedding."""
        vectors = await self.embedding.aembed_documents([d.page_content for d in documents])
        return self._put(documents, vectors, ids)

    def add_embeddings(
        self, documents: list[Document], vectors: Any, ids: list[str] | None = None
    ) -> list[str]:
        """Add documents whose embeddings are known, an array or lists of (n, d); their ids."""
        return self._put(documents, vectors, ids)

    def _put(self, documents: list[Document], vectors: Any, ids: list[str] | None) -> list[str]:
        if ids and len(ids) != len(documents):
            raise ValueError(
                "ids must be the same length as texts. "
                f"Got {len(ids)} ids and {len(documents)} texts."
            )
        given = ids or [document.id for document in documents]
        names = [id or str(uuid.uuid4()) for id in given]
        with self._rows.lock:
            self._rows.put(names, vectors)
            for name, document in zip(names, documents, strict=True):
                self._documents[name] = document.model_copy(update={"id": name})
        return names

    def delete(self, ids: Sequence[str] | None = None, **kwargs: Any) -> None:
        """Remove documents; ids that are not there are passed over."""
        with self._rows.lock:
            self._rows.drop(ids or ())
            for id in ids or ():
                self._documents.pop(id, None)

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents of these ids, without those that are not there."""
        return [self._documents[id].model_copy() for id in ids if id in self._documents]

    def _search(
        self, embedding: Any, k: int, filter: Filter | None
    ) -> list[tuple[Document, float]]:
        keep = None if filter is None else lambda name: bool(filter(self._documents[name]))
        with self._rows.lock:
            hits = self._rows.search(embedding, k, keep)
            return [(self._documents[name].model_copy(), score) for name, score in hits]

    def similarity_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """The k best documents and their similarities."""
        return self._search(embedding, k, filter)

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """The k best documents for a text and their similarities."""
        return self._search(self.embedding.embed_query(query), k, filter)

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """As :meth:`similarity_search_with_score`, with the asynchronous embedding."""
        return self._search(await self.embedding.aembed_query(query), k, filter)

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """The k best documents."""
        return [document for document, _ in self._search(embedding, k, filter)]

    def similarity_search(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """The k best documents for a text."""
        return [d for d, _ in self.similarity_search_with_score(query, k, filter)]

    async def asimilarity_search(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """As :meth:`similarity_search`, with the asynchronous embedding."""
        return [d for d, _ in await self.asimilarity_search_with_score(query, k, filter)]

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Of the `fetch_k` best documents k that differ from each other, by cosine."""
        with self._rows.lock:
            best = {str(d.id): d for d, _ in self._search(embedding, fetch_k, filter)}
            chosen = self._rows.diverse(embedding, list(best), k, lambda_mult)
        return [best[name] for name, _ in chosen]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **kwargs: Any,
    ) -> list[Document]:
        """As :meth:`max_marginal_relevance_search_by_vector`, for a text."""
        embedding = self.embedding.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(
            embedding, k, fetch_k, lambda_mult, **kwargs
        )

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **kwargs: Any,
    ) -> list[Document]:
        """As :meth:`max_marginal_relevance_search`, with the asynchronous embedding."""
        embedding = await self.embedding.aembed_query(query)
        return self.max_marginal_relevance_search_by_vector(
            embedding, k, fetch_k, lambda_mult, **kwargs
        )

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        if self._rows.index.metric == "euclidean":
            return lambda score: float(self._euclidean_relevance_score_fn(-score))
        return lambda score: score

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        metric: Literal["cosine", "dot", "euclidean"] = "cosine",
        **kwargs: Any,
    ) -> "EmbmathVectorStore":
        """A store of these texts."""
        store = cls(embedding, metric=metric)
        store.add_texts(texts, metadatas, **kwargs)
        return store

    def dump(self, path: str | os.PathLike[str]) -> None:
        """Save: the index to `path`, the documents to a file beside it."""
        with self._rows.lock:
            fields = {id: (d.page_content, d.metadata) for id, d in self._documents.items()}
            self._rows.save(path, fields)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], embedding: Embeddings, **kwargs: Any
    ) -> "EmbmathVectorStore":
        """Open what :meth:`dump` saved; rows are read from the file as searches need them."""
        store = cls(embedding, **kwargs)
        store._rows, fields = NamedIndex.load(path)
        store._documents = {
            id: Document(id=id, page_content=text, metadata=metadata)
            for id, (text, metadata) in fields.items()
        }
        return store
