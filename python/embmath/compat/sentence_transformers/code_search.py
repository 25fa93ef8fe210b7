"""Search of quantized corpora: what FAISS and USearch are called for, without either."""

import logging
import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..._types import Metric
from .corpus_index import BITS, CorpusIndex
from .foreign_index import FaissLike, UsearchLike
from .quantization import as_numpy, code_ranges, quantize_embeddings
from .retrieval import Hit, hits

NDArray = npt.NDArray[Any]
_logger = logging.getLogger(__name__)

FAISS_METRICS: dict[str, Metric] = {"float32": "dot", "uint8": "dot", "ubinary": "hamming"}
USEARCH_METRICS: dict[str, Metric] = {
    "float32": "cosine",
    "int8": "dot",
    "ubinary": "hamming",
    "binary": "hamming",
}


def semantic_search_faiss(
    query_embeddings: Any,
    corpus_embeddings: Any = None,
    corpus_index: Any = None,
    corpus_precision: Literal["float32", "uint8", "ubinary"] = "float32",
    top_k: int = 10,
    ranges: Any = None,
    calibration_embeddings: Any = None,
    rescore: bool = True,
    rescore_multiplier: int = 2,
    exact: bool = True,
    output_index: bool = False,
) -> tuple[Any, ...]:
    """The best corpus rows by codes, rescored with the float queries; FAISS is not needed.

    Parameters
    ----------
    query_embeddings : array or Tensor, (nq, d)
        Floats, or codes of the corpus' precision, which are not rescored.
    corpus_embeddings : array or Tensor, (n, d) or (n, ceil(d / 8))
        Read where it lies: uint8 codes take a quarter of what FAISS makes of them.
    corpus_index : CorpusIndex or faiss.Index
        Instead of `corpus_embeddings`; also any object with FAISS' ``search`` and ``reconstruct``.
    corpus_precision : {"float32", "uint8", "ubinary"}
    top_k : int
    ranges, calibration_embeddings : array, optional
        As the corpus was quantized with. Default: those of the queries, which rarely suits.
    rescore : bool
        Take ``top_k * rescore_multiplier`` candidates and rank them by the dot product of the float
        query with what the codes stand for; bits stand for 0 and 1.
    rescore_multiplier : int
    exact : bool
        Accepted; this search is always exact.
    output_index : bool
        Return the index too.

    Returns
    -------
    results : list of list of dict
        As from :func:`semantic_search`. Scores are dot products, Hamming distances of ubinary codes
        that are not rescored.
    seconds : float
    index : CorpusIndex, or the one given
        With `output_index`.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(nq n d) byte operations.

    Examples
    --------
    >>> corpus = np.float32([[1, -1, 1], [-1, 1, 1]])
    >>> codes = quantize_embeddings(corpus, "ubinary")
    >>> results, _ = semantic_search_faiss(corpus[1:], codes, corpus_precision="ubinary", top_k=1)
    >>> results
    [[{'corpus_id': 1, 'score': 2.0}]]
    """
    asked = _Asked(top_k, ranges, calibration_embeddings, rescore, rescore_multiplier)
    metric = _metric(corpus_precision, FAISS_METRICS)
    index = _index(corpus_embeddings, corpus_index, corpus_precision, metric)
    if not isinstance(index, CorpusIndex):
        index = FaissLike(index, corpus_precision, metric)
    found = _search(as_numpy(query_embeddings), index, corpus_precision, asked)
    return (*found, _unwrapped(index)) if output_index else found


def semantic_search_usearch(
    query_embeddings: Any,
    corpus_embeddings: Any = None,
    corpus_index: Any = None,
    corpus_precision: Literal["float32", "int8", "ubinary", "binary"] = "float32",
    top_k: int = 10,
    ranges: Any = None,
    calibration_embeddings: Any = None,
    rescore: bool = True,
    rescore_multiplier: int = 2,
    exact: bool = True,
    output_index: bool = False,
) -> tuple[Any, ...]:
    """The best corpus rows by codes, rescored with the float queries; USearch is not needed.

    Parameters
    ----------
    query_embeddings, corpus_embeddings, top_k, ranges, calibration_embeddings, rescore
        As for :func:`semantic_search_faiss`.
    corpus_index : CorpusIndex or usearch.index.Index
        Instead of `corpus_embeddings`.
    corpus_precision : {"float32", "int8", "ubinary", "binary"}
    rescore_multiplier, output_index
        As for :func:`semantic_search_faiss`.
    exact : bool
        Without effect but on a `corpus_index` of USearch.

    Returns
    -------
    results, seconds, index
        As from :func:`semantic_search_faiss`; scores that are not rescored are distances: one minus
        the cosine ("float32") or dot product ("int8"), or Hamming's.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(nq n d) byte operations.

    Examples
    --------
    >>> corpus = np.float32([[1, -1, 1], [-1, 1, 1]])
    >>> codes = quantize_embeddings(corpus, "binary")
    >>> results, _ = semantic_search_usearch(corpus[1:], codes, corpus_precision="binary", top_k=1)
    >>> results
    [[{'corpus_id': 1, 'score': 2.0}]]
    """
    asked = _Asked(top_k, ranges, calibration_embeddings, rescore, rescore_multiplier)
    metric = _metric(corpus_precision, USEARCH_METRICS)
    index = _index(corpus_embeddings, corpus_index, corpus_precision, metric)
    if isinstance(index, CorpusIndex):
        index = _Distances(index, metric)
    else:
        index = UsearchLike(index, corpus_precision, metric, exact)
    found = _search(as_numpy(query_embeddings), index, corpus_precision, asked)
    return (*found, _unwrapped(index)) if output_index else found


@dataclass(frozen=True)
class _Asked:
    top_k: int
    ranges: Any
    calibration: Any
    rescore: bool
    multiplier: int


@dataclass(frozen=True)
class _Distances:
    """Scores as USearch gives them: the smaller the closer."""

    inner: CorpusIndex
    metric: Metric

    def search(self, queries: NDArray, k: int) -> tuple[NDArray, NDArray]:
        values, indices = self.inner.search(queries, k)
        return (values if self.metric == "hamming" else 1 - values), indices

    def rescore(self, *args: Any) -> tuple[NDArray, NDArray]:
        return self.inner.rescore(*args)


def _metric(precision: str, known: dict[str, Metric]) -> Metric:
    if precision not in known:
        raise ValueError(
            f"corpus_precision: unknown {precision!r}, expected one of: {', '.join(known)}"
        )
    return known[precision]


def _index(corpus: Any, index: Any, precision: str, metric: Metric) -> Any:
    if (corpus is None) == (index is None):
        given = "neither" if corpus is None else "both"
        raise ValueError(f"corpus_embeddings: expected it or corpus_index, got {given}")
    return CorpusIndex(corpus, precision, metric) if index is None else index


def _unwrapped(index: Any) -> Any:
    return getattr(index, "inner", index)


def _search(
    queries: NDArray, index: Any, precision: str, asked: _Asked
) -> tuple[list[list[Hit]], float]:
    are_codes = queries.dtype in (np.uint8, np.int8)
    is_rescored = asked.rescore and not are_codes and precision != "float32"
    if asked.rescore and not is_rescored:
        which = "query" if are_codes else "corpus"
        wrong = "quantized already" if are_codes else "not quantized"
        _logger.warning("rescore=True has no effect: the %s embeddings are %s.", which, wrong)
    codes, ranges = queries, asked.ranges
    if not are_codes:
        if precision not in (*BITS, "float32"):
            ranges = code_ranges(queries, precision, ranges, asked.calibration)
        codes = quantize_embeddings(queries, precision, ranges)  # type: ignore[arg-type]
    start = time.perf_counter()
    if asked.top_k < 1:
        return [[] for _ in queries], 0.0
    values, indices = index.search(codes, asked.top_k * (asked.multiplier if is_rescored else 1))
    if is_rescored:
        values, indices = index.rescore(queries, indices, asked.top_k, ranges)
    seconds = time.perf_counter() - start
    return hits(values.astype(np.float64), indices), seconds
