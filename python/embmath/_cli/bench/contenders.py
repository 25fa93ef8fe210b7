"""What people run today, each as one entry: how it is prepared, and how it searches.

Preparing is what happens once for a corpus (building an index); searching is what is timed. All
find the k rows with the largest inner product of rows of length 1.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import embmath as em

Rows = NDArray[Any]
Indices = NDArray[np.int64]
Search = Callable[[Rows], Indices]


class Contender(NamedTuple):
    """One way to search."""

    name: str
    package: str  # that must be installed
    dtypes: tuple[str, ...]
    prepare: Callable[[Rows, int, int], Search]  # (corpus, k, threads)


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
    torch.set_num_threads(threads)
    rows = torch.from_numpy(corpus)

    def search(queries: Rows) -> Indices:
        found = torch.topk(torch.from_numpy(queries) @ rows.T, k, dim=1)
        return np.asarray(found.indices.numpy())

    return search


def _faiss(corpus: Rows, k: int, threads: int) -> Search:
    faiss = importlib.import_module("faiss")
    faiss.omp_set_num_threads(threads)
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
    torch.set_num_threads(threads)
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
        return np.asarray(found.keys, np.int64).reshape(
            len(queries), -1
        )  # one query: one dimension

    return search


_ALL, _SINGLE = ("float32", "float16"), ("float32",)
OURS = Contender("embmath.Index", "embmath", _ALL, _index)
CONTENDERS = (
    OURS,
    Contender("embmath.search", "embmath", _ALL, _one_shot),
    Contender("numpy", "numpy", _ALL, _numpy),
    Contender("torch", "torch", _SINGLE, _torch),
    Contender("faiss", "faiss", _SINGLE, _faiss),
    Contender("scikit-learn", "sklearn", _SINGLE, _sklearn),
    Contender("sentence-transformers", "sentence_transformers", _SINGLE, _sentence_transformers),
    Contender("usearch", "usearch", _ALL, _usearch),
)


def installed(names: Sequence[str] | None, dtype: str) -> list[Contender]:
    """Those that can run here; of `names`, if given, and always ours."""
    return [
        each
        for each in CONTENDERS
        if dtype in each.dtypes
        and importlib.util.find_spec(each.package) is not None
        and (names is None or each.package == "embmath" or each.name in names)
    ]
