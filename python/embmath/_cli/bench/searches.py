"""Exact search as people run it today, each way as one entry.

All find the k rows with the largest inner product of rows of length 1.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import embmath as em
from embmath._cli.bench.data import embeddings, rounding
from embmath._cli.bench.measure import Contender, Run
from embmath._cli.bench.packages import are_installed

Rows = NDArray[Any]
Indices = NDArray[np.int64]
Search = Callable[[Rows], Indices]


class Inputs(NamedTuple):
    """What a search is given."""

    queries: Rows
    corpus: Rows
    k: int
    threads: int


class Searcher(NamedTuple):
    """One way to search."""

    name: str
    package: str  # that must be installed
    dtypes: tuple[str, ...]
    open: Callable[[Rows, int, int], Search]  # (corpus, k, threads)

    def prepare(self, inputs: Inputs) -> Run:
        """Ready to search these rows."""
        search = self.open(inputs.corpus, inputs.k, inputs.threads)
        return lambda: search(inputs.queries)


@dataclass(frozen=True)
class SearchCase:
    """One point of the axes."""

    queries: int
    rows: int
    dims: int
    dtype: str
    k: int
    threads: int
    peers: tuple[str, ...] | None = None  # all

    @property
    def title(self) -> str:
        """Along the axes."""
        asking = "1 query" if self.queries == 1 else f"{self.queries} queries"
        return f"{asking}, {self.rows} x {self.dims}, {self.dtype}"

    def inputs(self) -> Inputs:
        """Queries and rows of one distribution."""
        seed = [self.dims, self.rows]
        found = embeddings(self.rows + self.queries, self.dims, self.dtype, seed)
        return Inputs(found[self.rows :], found[: self.rows], self.k, self.threads)

    def contenders(self) -> list[Contender]:
        """Those that can run here; of `peers`, if given, and always ours."""
        return [
            Contender(each.name, (each.package,), each.prepare)
            for each in SEARCHERS
            if self.dtype in each.dtypes
            and are_installed([each.package])
            and (self.peers is None or each.package == "embmath" or each.name in self.peers)
        ]

    def agree(self, inputs: Inputs, ours: Indices, found: Indices) -> bool:
        """Whether rows as good as a plain search's were found, by their canonical scores."""
        queries, corpus, k, _ = inputs
        wanted = np.asarray(em.search(queries, corpus, k, "dot").values)
        candidates = found.astype(np.int64)
        scores = np.asarray(em.rescore(queries, corpus, candidates, found.shape[1], "dot").values)
        if scores.shape != wanted.shape:
            return False
        return bool(np.all(np.abs(scores - wanted) <= rounding(self.dims, self.dtype)))

    def request(self) -> dict[str, Any]:
        """As JSON."""
        return {"kind": "search", **asdict(self)}


def _index(corpus: Rows, k: int, threads: int) -> Search:
    index = em.Index(corpus, metric="dot", threads=threads)
    return lambda q: np.asarray(index.search(q, k, threads=threads).indices)


def _one_shot(corpus: Rows, k: int, threads: int) -> Search:
    return lambda q: np.asarray(em.search(q, corpus, k, "dot", threads=threads).indices)


def _numpy(corpus: Rows, k: int, threads: int) -> Search:
    def search(queries: Rows) -> Indices:
        scores = queries.astype(np.float32) @ corpus.astype(np.float32, copy=False).T
        best = np.argpartition(scores, -k, axis=1)[:, -k:]
        order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable")
        return np.take_along_axis(best, order, 1)

    return search


def _torch(corpus: Rows, k: int, threads: int) -> Search:
    torch = importlib.import_module("torch")
    rows = torch.from_numpy(corpus)

    def search(queries: Rows) -> Indices:
        found = torch.topk(torch.from_numpy(queries) @ rows.T, k, dim=1)
        return np.asarray(found.indices.numpy())

    return search


def _faiss(corpus: Rows, k: int, threads: int) -> Search:
    faiss = importlib.import_module("faiss")
    index = faiss.IndexFlatIP(corpus.shape[1])
    index.add(corpus)
    return lambda q: np.asarray(index.search(q, k)[1])


def _sklearn(corpus: Rows, k: int, threads: int) -> Search:
    neighbors = importlib.import_module("sklearn.neighbors")
    model = neighbors.NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute")
    model.fit(corpus)
    return lambda q: np.asarray(model.kneighbors(q, return_distance=False))


def _sentence_transformers(corpus: Rows, k: int, threads: int) -> Search:
    torch = importlib.import_module("torch")
    util = importlib.import_module("sentence_transformers.util")
    rows = torch.from_numpy(corpus)

    def search(queries: Rows) -> Indices:
        score = util.dot_score
        found = util.semantic_search(torch.from_numpy(queries), rows, top_k=k, score_function=score)
        return np.array([[hit["corpus_id"] for hit in hits] for hits in found])

    return search


def _usearch(corpus: Rows, k: int, threads: int) -> Search:
    usearch = importlib.import_module("usearch.index")

    def search(queries: Rows) -> Indices:
        kind = usearch.MetricKind.IP
        found = usearch.search(corpus, queries, k, kind, exact=True, threads=threads)
        # One query: one dimension.
        return np.asarray(found.keys, np.int64).reshape(len(queries), -1)

    return search


_ALL, _SINGLE = ("float32", "float16"), ("float32",)
SEARCHERS = (
    Searcher("embmath.Index", "embmath", _ALL, _index),
    Searcher("embmath.search", "embmath", _ALL, _one_shot),
    Searcher("numpy", "numpy", _ALL, _numpy),
    Searcher("torch", "torch", _SINGLE, _torch),
    Searcher("faiss", "faiss", _SINGLE, _faiss),
    Searcher("scikit-learn", "sklearn", _SINGLE, _sklearn),
    Searcher("sentence-transformers", "sentence_transformers", _SINGLE, _sentence_transformers),
    Searcher("usearch", "usearch", _ALL, _usearch),
)
