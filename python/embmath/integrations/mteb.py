"""MTEB: a search backend for ``SearchEncoderWrapper(model, index_backend=)``."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .._index import Index
from .._search import search
from .._types import Array

_METRICS = ("cosine", "dot", "euclidean")


class EmbmathSearchIndex:
    """Exact search over the whole corpus at once, of float32 scores that do not depend on chunks.

    Parameters
    ----------
    model : EncoderProtocol
        Tells the metric: ``model.mteb_model_meta.similarity_fn_name``.

    Notes
    -----
    Embeddings may be of any floating point type; what is computed is the similarity of the
    embeddings as they are, in float64, given as float32. A Euclidean distance counts negative.
    Equal scores are ordered by place in the corpus. This class needs nothing of MTEB.

    Examples
    --------
    >>> import mteb
    >>> from mteb.models import SearchEncoderWrapper
    >>> from embmath.integrations.mteb import EmbmathSearchIndex
    >>> model = mteb.get_model("mteb/baseline-random-encoder")
    >>> searcher = SearchEncoderWrapper(model, index_backend=EmbmathSearchIndex(model))

    and then ``mteb.evaluate(searcher, tasks)``.
    """

    def __init__(self, model: Any) -> None:
        name = model.mteb_model_meta.similarity_fn_name
        metric = getattr(name, "value", name)
        if metric not in _METRICS:
            raise ValueError(f"similarity_fn_name: expected one of {_METRICS}, got {metric!r}")
        self._metric: Any = metric
        self.clear()

    def clear(self) -> None:
        """Forget all documents."""
        self._index = Index(metric=self._metric, codes="int8")  # made at once, and searched once
        self._places: dict[str, int] = {}

    def add_documents(self, embeddings: Array, idxs: Sequence[str]) -> None:
        """Add documents, (n, d), and their names."""
        if len(embeddings) != len(idxs):
            raise ValueError(f"idxs: expected {len(embeddings)}, one a document, got {len(idxs)}")
        first = self._index.ntotal
        self._index.add(_on_cpu(embeddings))
        self._places.update((name, first + i) for i, name in enumerate(idxs))

    def search(
        self,
        embeddings: Array,
        top_k: int,
        similarity_fn: Callable[[Array, Array], Array] | None = None,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        query_idx_to_id: Mapping[int, str] | None = None,
    ) -> tuple[list[list[float]], list[list[int]]]:
        """Scores and places in the corpus of the best documents of each query.

        With `top_ranked` only those documents are compared, and places are those in their lists.
        `similarity_fn` is not called: the model's metric is known.
        """
        if self._index.ntotal == 0:
            raise ValueError("index: has no documents; call add_documents first")
        queries = _on_cpu(embeddings)
        if top_ranked is None:
            found = self._index.search(queries, top_k)
            return self._signed(found.values).tolist(), found.indices.tolist()
        if query_idx_to_id is None:
            raise ValueError("query_idx_to_id: must be given with top_ranked")
        names = [query_idx_to_id[i] for i in range(len(queries))]
        ranked = [
            self._rerank(queries[i], top_k, name, top_ranked.get(name) or ())
            for i, name in enumerate(names)
        ]
        return [scores for scores, _ in ranked], [places for _, places in ranked]

    def _rerank(
        self, query: Array, top_k: int, name: str, documents: Sequence[str]
    ) -> tuple[list[float], list[int]]:
        if not documents:
            warnings.warn(f"No top-ranked documents for query {name}", stacklevel=3)
            return [], []
        rows = self._index.reconstruct(np.array([self._places[d] for d in documents]))
        found = search(query, rows, top_k, metric=self._metric)
        return self._signed(found.values[0]).tolist(), found.indices[0].tolist()

    def _signed(self, values: Array) -> Array:
        return -values if self._metric == "euclidean" else values


def _on_cpu(embeddings: Array) -> Array:
    """The same rows, on the CPU and without a gradient if they are a tensor."""
    return embeddings.detach().cpu() if hasattr(embeddings, "detach") else embeddings
