"""Result types and the names that arguments may take."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

# An array of the caller's library comes back as an array of that library; no common static type
# exists for NumPy, Torch and whatever else speaks DLPack.
Array: TypeAlias = Any

Metric: TypeAlias = Literal[
    "cosine", "dot", "euclidean", "sqeuclidean", "manhattan", "hamming", "jaccard"
]
SimilarityMetric: TypeAlias = Literal["cosine", "dot", "euclidean", "sqeuclidean", "manhattan"]
DistanceMetric: TypeAlias = Literal[
    "cosine", "euclidean", "sqeuclidean", "manhattan", "hamming", "jaccard"
]
Mode: TypeAlias = Literal["largest", "smallest"]
NanPolicy: TypeAlias = Literal["raise", "rank_last"]
Precision: TypeAlias = Literal["int8", "uint8", "int4", "binary", "ubinary", "float16", "bfloat16"]
Scope: TypeAlias = Literal["dim", "row", "global"]
Rounding: TypeAlias = Literal["floor", "nearest", "truncate", "ratio"]
Layout: TypeAlias = Literal["interleaved", "split"]
Signedness: TypeAlias = Literal["none", "offset", "twos_complement"]
Progress: TypeAlias = Callable[[float], object]


class FileFormatError(ValueError):
    """A file is not what it is read as: of another kind, truncated, damaged or foreign.

    The message names the path, what was expected and what was found.
    """


class TopK(NamedTuple):
    """The best entries of each row, best first.

    Attributes
    ----------
    values : array, (n, k)
        Similarities (descending) or distances (ascending).
    indices : array of int64, (n, k)
        Their positions; -1 where a row has fewer than k entries.
    """

    values: Array
    indices: Array


class RangeResult(NamedTuple):
    """All hits of each query: those of query i are ``offsets[i]:offsets[i + 1]``, best first.

    Attributes
    ----------
    offsets : array of int64, (n_queries + 1,)
    values : array, (n_hits,)
    indices : array of int64, (n_hits,)
    """

    offsets: Array
    values: Array
    indices: Array
