"""Indexes of FAISS and USearch, and what is shaped like them, as corpora to search and rescore."""

from abc import abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from ..._types import Metric
from .corpus_index import BITS, CorpusIndex

NDArray = npt.NDArray[Any]


class ForeignIndex:
    """An index of another library: it finds candidates, they are rescored here."""

    def __init__(self, inner: Any, precision: str, metric: Metric) -> None:
        self.inner, self._precision, self._metric = inner, precision, metric

    @abstractmethod
    def search(self, queries: NDArray, k: int) -> tuple[NDArray, NDArray]:
        """Values and indices, (nq, k); -1 where there are no more."""

    @abstractmethod
    def _rows(self, indices: NDArray) -> NDArray:
        """The codes of some rows."""

    def rescore(
        self, queries: NDArray, candidates: NDArray, k: int, ranges: Any
    ) -> tuple[NDArray, NDArray]:
        """The k best candidates, as :meth:`CorpusIndex.rescore` finds them."""
        known, places = np.unique(candidates, return_inverse=True)
        places = places.reshape(candidates.shape).astype(np.int64)
        if known.size and known[0] < 0:
            known, places = known[1:], places - 1
        # Bytes of bits are as they were stored, without an offset.
        precision = "ubinary" if self._precision in BITS else self._precision
        if not known.size:
            return np.empty((len(queries), 0)), np.empty((len(queries), 0), np.int64)
        corpus = CorpusIndex(self._rows(known), precision, self._metric)
        values, found = corpus.rescore(queries, places, k, ranges)
        return values, np.where(found < 0, -1, known[found])


class FaissLike(ForeignIndex):
    """Any object with FAISS' ``search`` and ``reconstruct``."""

    def search(self, queries: NDArray, k: int) -> tuple[NDArray, NDArray]:
        values, indices = self.inner.search(queries, k)
        return np.asarray(values), np.asarray(indices, np.int64)

    def _rows(self, indices: NDArray) -> NDArray:
        rows = np.stack([np.asarray(self.inner.reconstruct(int(i))) for i in indices])
        return rows.astype(np.uint8)


class UsearchLike(ForeignIndex):
    """A ``usearch.index.Index``."""

    def __init__(self, inner: Any, precision: str, metric: Metric, exact: bool) -> None:
        super().__init__(inner, precision, metric)
        self._exact = exact

    def search(self, queries: NDArray, k: int) -> tuple[NDArray, NDArray]:
        if self._precision == "binary":
            queries = queries.view(np.uint8) ^ 0x80  # undo the offset of 128
        found = self.inner.search(queries, count=k, exact=self._exact)
        values = np.atleast_2d(found.distances)
        indices = np.atleast_2d(found.keys).astype(np.int64)
        # A single query has no counts: it gets what there is.
        counts = np.asarray(getattr(found, "counts", values.shape[1])).reshape(-1, 1)
        return values, np.where(np.arange(values.shape[1]) < counts, indices, -1)

    def _rows(self, indices: NDArray) -> NDArray:
        rows = np.stack(self.inner.get(indices.astype(np.uint64)))
        return rows.astype(np.uint8) if self._precision in BITS else rows.astype(np.int8)
