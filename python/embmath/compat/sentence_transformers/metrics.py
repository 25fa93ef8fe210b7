"""Which metric a score function stands for, so that the engine can search by it."""

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

from torch import Tensor

from ..._types import Metric
from . import maxsim, similarity
from .inputs import Rows, is_wide

ScoreFunction = Callable[[Any, Any], Tensor]


class SimilarityFunction(Enum):
    """Similarity functions by name, as in ``sentence_transformers.SimilarityFunction``.

    Examples
    --------
    >>> SimilarityFunction.to_similarity_fn("dot")([[1.0, 2.0]], [[3.0, 4.0]])
    tensor([[11.]])
    """

    COSINE = "cosine"
    DOT_PRODUCT = "dot"
    DOT = "dot"
    EUCLIDEAN = "euclidean"
    MANHATTAN = "manhattan"
    MAXSIM = "maxsim"
    MEAN_MAXSIM = "meanmaxsim"

    @staticmethod
    def to_similarity_fn(similarity_function: "str | SimilarityFunction") -> Callable[..., Tensor]:
        """The function for all pairs; ValueError for another name."""
        return _FUNCTIONS[SimilarityFunction(similarity_function)][0]

    @staticmethod
    def to_similarity_pairwise_fn(
        similarity_function: "str | SimilarityFunction",
    ) -> Callable[..., Tensor]:
        """The function for pair i with pair i; ValueError for another name."""
        return _FUNCTIONS[SimilarityFunction(similarity_function)][1]

    @staticmethod
    def possible_values() -> list[str]:
        """All names."""
        return [member.value for member in SimilarityFunction]


_FUNCTIONS: dict[SimilarityFunction, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    SimilarityFunction.COSINE: (similarity.cos_sim, similarity.pairwise_cos_sim),
    SimilarityFunction.DOT: (similarity.dot_score, similarity.pairwise_dot_score),
    SimilarityFunction.EUCLIDEAN: (similarity.euclidean_sim, similarity.pairwise_euclidean_sim),
    SimilarityFunction.MANHATTAN: (similarity.manhattan_sim, similarity.pairwise_manhattan_sim),
    SimilarityFunction.MAXSIM: (maxsim.maxsim, maxsim.maxsim_pairwise),
    SimilarityFunction.MEAN_MAXSIM: (maxsim.mean_maxsim, maxsim.mean_maxsim_pairwise),
}


class Scale(NamedTuple):
    """A metric, and the sign that makes its scores similarities."""

    metric: Metric
    sign: int


_SCALES = {
    "cos_sim": Scale("cosine", 1),
    "pytorch_cos_sim": Scale("cosine", 1),
    "dot_score": Scale("dot", 1),
    "euclidean_sim": Scale("euclidean", -1),
    "manhattan_sim": Scale("manhattan", -1),
}
_HOMES = (similarity.__name__, "sentence_transformers.util")


def scale_of(score_function: ScoreFunction, *rows: Rows) -> Scale | None:
    """How the engine ranks by one of the functions here or of sentence-transformers; else None."""
    if any(is_wide(each) for each in rows):
        return None
    home = getattr(score_function, "__module__", None) or ""
    if not home.startswith(_HOMES):
        return None
    return _SCALES.get(getattr(score_function, "__name__", ""))
