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
Precision: TypeAlias = Literal[
    "int8", "uint8", "int4", "binary", "ubinary", "float16", "bfloat16", "pca", "rabitq"
]
Scope: TypeAlias = Literal["dim", "row", "global"]
Rounding: TypeAlias = Literal["floor", "nearest", "truncate", "ratio"]
Layout: TypeAlias = Literal["interleaved", "split"]
Signedness: TypeAlias = Literal["none", "offset", "twos_complement"]
Progress: TypeAlias = Callable[[float], object]


class FileFormatError(ValueError):
    """A file is not what it is read as: of another kind, truncated, damaged or foreign.

    The message names the path, what was expected and what was found.
    """


class Coded:
    """What Codes are made of, for the modules that Codes are built on."""

    data: Array
    dim: int
    precision: Precision
    step: Array | None
    minimum: Array | None
    offset: Array | None
    grid: Any
    scope: Scope | None
    rounding: Rounding
    bits: int
    layout: Layout
    signedness: Signedness
    residuals: "Residuals | None"


class Residuals(NamedTuple):
    """How far codes are from the rows that they were made of: the most of any row, rounded up.

    Attributes
    ----------
    euclidean, manhattan : float
        Length of the difference.
    cosine : float
        Length of the difference of the two, scaled to length 1.
    norm : float
        Length of a row or of what its codes stand for.
    """

    euclidean: float
    manhattan: float
    cosine: float
    norm: float


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

    @property
    def is_exact(self) -> bool:
        """Whether these are proven to be the best rows there are."""
        return True


class ApproximateTopK(TopK):
    """The best entries by codes: of the rows that the codes were made of, others may be better."""

    __slots__ = ()

    @property
    def is_exact(self) -> bool:
        """False."""
        return False


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

    @property
    def is_exact(self) -> bool:
        """Whether these are the rows within the threshold, not just by their codes."""
        return True


class ApproximateRangeResult(RangeResult):
    """All hits by codes: the rows that the codes were made of may lie on the other side."""

    __slots__ = ()

    @property
    def is_exact(self) -> bool:
        """False."""
        return False
