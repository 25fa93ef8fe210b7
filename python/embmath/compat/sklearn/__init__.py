"""scikit-learn's pairwise metrics and neighbours, exact and several times faster.

    from embmath.compat.sklearn import NearestNeighbors  # was: from sklearn.neighbors import ...

Same arguments, defaults, return types and errors. What embmath has no kernel for (sparse input,
other metrics, trees) is scikit-learn's own computation, so nothing that ran before stops running.
"""

from .neighbors import KNeighborsTransformer, NearestNeighbors
from .pairwise import (
    cosine_distances,
    cosine_similarity,
    euclidean_distances,
    pairwise_distances_argmin_min,
)

__all__ = [
    "KNeighborsTransformer",
    "NearestNeighbors",
    "cosine_distances",
    "cosine_similarity",
    "euclidean_distances",
    "pairwise_distances_argmin_min",
]
