"""LlamaIndex: a vector store in place of ``SimpleVectorStore``."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    DEFAULT_PERSIST_DIR,
    DEFAULT_PERSIST_FNAME,
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from llama_index.core.vector_stores.utils import build_metadata_filter_fn, node_to_metadata_dict

from ._named_index import NamedIndex

_METRICS = ("cosine", "dot", "euclidean")


class EmbmathVectorStore(BasePydanticVectorStore):
    """Embeddings in memory with exact search, in place of ``SimpleVectorStore``.

    Parameters
    ----------
    metric : {"cosine", "dot", "euclidean"}
        Similarities: a Euclidean distance counts negative.

    Notes
    -----
    The same methods and results as ``SimpleVectorStore``, with these differences. Rows are kept as
    float32; equal similarities are ordered by age. A vector of zeros scores 0 (there: NaN), and
    NaN or infinity raise ValueError when they are added. ``doc_ids`` and ``mmr_threshold`` of a
    query count (there they are passed over). Modes are "default" and "mmr", which compares with all
    nodes chosen before (there: with the last one only, so that the third may repeat the first).
    Saved is an index with a file beside it, which is not for ``SimpleVectorStore``.

    Examples
    --------
    >>> from llama_index.core import MockEmbedding, StorageContext, VectorStoreIndex
    >>> from llama_index.core.schema import TextNode
    >>> from embmath.integrations.llama_index import EmbmathVectorStore
    >>> storage = StorageContext.from_defaults(vector_store=EmbmathVectorStore())
    >>> nodes = [TextNode(text="a", embedding=[1.0, 0.0]), TextNode(text="b", embedding=[0.0, 1.0])]
    >>> model = MockEmbedding(embed_dim=2)
    >>> index = VectorStoreIndex(nodes, storage_context=storage, embed_model=model)
    >>> len(index.as_retriever(similarity_top_k=1).retrieve("query"))
    1
    """

    stores_text: bool = False
    metric: str = "cosine"
    _rows: NamedIndex = PrivateAttr()
    _documents: dict[str, str] = PrivateAttr(default_factory=dict)
    _metadata: dict[str, dict[str, Any]] = PrivateAttr(default_factory=dict)

    def __init__(self, metric: str = "cosine", **kwargs: Any) -> None:
        if metric not in _METRICS:
            raise ValueError(f"metric: expected one of {', '.join(_METRICS)}, got {metric!r}")
        super().__init__(metric=metric, **kwargs)
        self._rows = NamedIndex(metric)  # type: ignore[arg-type]

    @classmethod
    def class_name(cls) -> str:
        """Name in serialised form."""
        return "EmbmathVectorStore"

    @property
    def client(self) -> Any:
        """The :class:`embmath.Index`."""
        return self._rows.index

    def get(self, text_id: str) -> list[float]:
        """The embedding of a node."""
        if text_id not in self._rows:
            raise KeyError(text_id)
        return list(self._rows.vectors([text_id])[0].tolist())

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Add nodes with embeddings, or replace those of known ids; their ids."""
        names = [node.node_id for node in nodes]
        with self._rows.lock:
            self._rows.put(names, [node.get_embedding() for node in nodes])
            for node in nodes:
                metadata = node_to_metadata_dict(node, remove_text=True, flat_metadata=False)
                metadata.pop("_node_content", None)
                self._metadata[node.node_id] = metadata
                self._documents[node.node_id] = node.ref_doc_id or "None"
        return names

    def delete(self, ref_doc_id: str, **kwargs: Any) -> None:
        """Remove the nodes of a document."""
        with self._rows.lock:
            of = self._documents
            self._drop([name for name in of if of[name] == ref_doc_id])

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **kwargs: Any,
    ) -> None:
        """Remove the nodes of these ids that pass the filters; all that pass them without ids."""
        keep = self._filter(filters)
        with self._rows.lock:
            names = self._rows.names() if node_ids is None else node_ids
            self._drop([name for name in names if name in self._rows and keep(name)])

    def _drop(self, names: list[str]) -> None:
        self._rows.drop(names)
        for name in names:
            self._documents.pop(name, None)
            self._metadata.pop(name, None)

    def clear(self) -> None:
        """Remove all nodes."""
        with self._rows.lock:
            self._drop(self._rows.names())

    def _filter(self, filters: MetadataFilters | None) -> Callable[[str], bool]:
        passes: Callable[[str], bool] = build_metadata_filter_fn(
            self._metadata.__getitem__, filters
        )
        return passes

    def _kept(self, query: VectorStoreQuery) -> Callable[[str], bool] | None:
        """Which nodes the query allows; None for all."""
        if query.filters is None and query.node_ids is None and query.doc_ids is None:
            return None
        passes = self._filter(query.filters)
        nodes = None if query.node_ids is None else set(query.node_ids)
        documents = None if query.doc_ids is None else set(query.doc_ids)
        return lambda name: (
            (nodes is None or name in nodes)
            and (documents is None or self._documents[name] in documents)
            and passes(name)
        )

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The nodes most similar to the query's embedding."""
        if query.query_embedding is None:
            raise ValueError("query_embedding: expected an embedding, got None")
        keep, k = self._kept(query), query.similarity_top_k or len(self._rows)
        with self._rows.lock:
            if query.mode == VectorStoreQueryMode.MMR:
                given = kwargs.get("mmr_threshold", query.mmr_threshold)
                names = [name for name in self._rows.names() if keep is None or keep(name)]
                threshold = 0.5 if given is None else given
                hits = self._rows.diverse(query.query_embedding, names, k, threshold)
            elif query.mode == VectorStoreQueryMode.DEFAULT:
                hits = self._rows.search(query.query_embedding, k, keep)
            else:
                raise ValueError(f"Invalid query mode: {query.mode}; expected 'default' or 'mmr'")
        return VectorStoreQueryResult(
            similarities=[score for _, score in hits], ids=[name for name, _ in hits]
        )

    def persist(
        self,
        persist_path: str = os.path.join(DEFAULT_PERSIST_DIR, DEFAULT_PERSIST_FNAME),
        fs: Any = None,
    ) -> None:
        """Save: the index to `persist_path`, metadata to a file beside it."""
        _check_local(fs)
        with self._rows.lock:
            fields = {"documents": self._documents, "metadata": self._metadata}
            self._rows.save(persist_path, fields)

    @classmethod
    def from_persist_path(cls, persist_path: str, fs: Any = None) -> "EmbmathVectorStore":
        """Open what :meth:`persist` saved; rows are read from the file as searches need them."""
        _check_local(fs)
        rows, fields = NamedIndex.load(persist_path)
        store = cls(metric=rows.index.metric)
        store._rows = rows
        store._documents, store._metadata = fields["documents"], fields["metadata"]
        return store

    @classmethod
    def from_persist_dir(
        cls, persist_dir: str = DEFAULT_PERSIST_DIR, namespace: str = "default", fs: Any = None
    ) -> "EmbmathVectorStore":
        """Open what a ``StorageContext`` saved to a folder."""
        path = os.path.join(persist_dir, f"{namespace}__{DEFAULT_PERSIST_FNAME}")
        return cls.from_persist_path(path, fs)


def _check_local(fs: Any) -> None:
    protocol = () if fs is None else fs.protocol
    if fs is not None and "file" not in ((protocol,) if isinstance(protocol, str) else protocol):
        raise ValueError(f"fs: expected the local file system, got {protocol!r}")
