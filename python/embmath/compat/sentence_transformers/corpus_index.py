"""A corpus of floats or codes with the methods of a FAISS index."""

from typing import Any

import numpy as np
import numpy.typing as npt

import embmath as em

from ..._types import Metric
from .quantization import as_numpy

NDArray = npt.NDArray[Any]
BITS = ("binary", "ubinary")


class CorpusIndex:
    """Rows of a corpus where they lie, searched exactly: uint8 and int8 rows take one byte each.

    What :func:`semantic_search_faiss` and :func:`semantic_search_usearch` return with
    ``output_index=True`` and take as `corpus_index`; sentence-transformers' own take it too.

    Parameters
    ----------
    corpus : array, (n, d) or (n, d / 8)
    precision : {"float32", "int8", "uint8", "binary", "ubinary"}
        What the numbers are.
    metric : {"dot", "cosine", "hamming"}

    Examples
    --------
    >>> index = CorpusIndex(np.uint8([[0b11110000], [0b11111111]]), "ubinary", "hamming")
    >>> index.search(np.uint8([[0b11110001]]), 1)
    (array([[1]], dtype=int32), array([[0]]))
    """

    is_trained = True

    def __init__(self, corpus: Any, precision: str, metric: Metric) -> None:
        rows = as_numpy(corpus)
        self._rows = rows.view(np.uint8) if metric == "hamming" else rows
        self._precision, self._metric = precision, metric

    @property
    def ntotal(self) -> int:
        """Number of rows."""
        return len(self._rows)

    @property
    def d(self) -> int:
        """Number of dimensions; of bits."""
        return int(self._rows.shape[1]) * (8 if self._precision in BITS else 1)

    @property
    def nbytes(self) -> int:
        """Bytes of the rows."""
        return self._rows.nbytes

    def search(self, queries: Any, k: int) -> tuple[NDArray, NDArray]:
        """The k best rows: dot products or cosines descending, Hamming distances ascending.

        Parameters
        ----------
        queries : array, (nq, d)
            Codes of the corpus' precision.
        k : int

        Returns
        -------
        values, indices : array, (nq, k)
            Index -1 where there are not so many rows.
        """
        given = as_numpy(queries)
        given = given.view(np.uint8) if self._metric == "hamming" else given
        found = em.search(given, self._rows, k, self._metric, pad=True, nan="rank_last")
        return found.values, found.indices

    def reconstruct(self, i: int) -> NDArray:
        """Row i."""
        row: NDArray = self._rows[i]
        return row

    def rescore(
        self, queries: NDArray, candidates: NDArray, k: int, ranges: Any
    ) -> tuple[NDArray, NDArray]:
        """The k best candidates by the dot products of float queries with what codes stand for.

        Bits stand for 0 and 1, scalar codes for numbers within `ranges`.
        """
        if not self.ntotal:
            return np.empty((len(queries), 0)), np.empty((len(queries), 0), np.int64)
        codes = self._codes(queries.shape[1], ranges)
        found = em.rescore(queries, codes, candidates, k, "dot")
        if self._precision not in BITS:
            return found.values, found.indices
        # Decoded bits are -1 and 1: q . (2 b - 1) = 2 q . b - sum(q).
        total = queries.astype(np.float64).sum(axis=1, keepdims=True)
        return (found.values.astype(np.float64) + total) / 2, found.indices

    def _codes(self, dim: int, ranges: Any) -> em.Codes:
        if self._precision == "binary":
            signed = self._rows.view(np.int8)
            return em.Codes.from_data(signed, "binary", dim=dim, signedness="offset")
        if self._precision == "ubinary":
            return em.Codes.from_data(self._rows, "ubinary", dim=dim)
        # The lower end of each step, as sentence-transformers decodes; Codes with `ranges` take
        # the middle.
        low, high = np.asarray(ranges, np.float32)
        step = (high - low) / np.float32(255)
        grid = {"minimum": low, "step": np.where(step == 0, np.float32(1), step), "scope": "dim"}
        return em.Codes.from_data(self._rows, self._precision, **grid)  # type: ignore[arg-type]
