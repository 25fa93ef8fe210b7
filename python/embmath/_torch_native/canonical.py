"""The canonical score in Torch, on whatever device the rows are: the order of additions is fixed.

Only separate multiplications and additions: a fused one would round squares once instead of twice.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .rounding import sqrt

LANES = 16
_CHUNK_ELEMENTS = 2**22  # float64 terms that exist at a time: 32 MB


def lane_sum(terms: Tensor) -> Tensor:
    """Sum over the last axis: sixteen strided lanes in ascending order, then a tree."""
    n_cols = terms.shape[-1]
    lanes = terms.new_zeros((*terms.shape[:-1], LANES))
    for start in range(0, n_cols, LANES):
        width = min(LANES, n_cols - start)
        lanes[..., :width] += terms[..., start : start + width]
    while lanes.shape[-1] > 1:
        half = lanes.shape[-1] // 2
        lanes = lanes[..., :half] + lanes[..., half:]
    return lanes[..., 0]


def _dot(q: Tensor, x: Tensor) -> Tensor:
    return lane_sum(q * x)


def _sqeuclidean(q: Tensor, x: Tensor) -> Tensor:
    difference = q - x
    return lane_sum(difference * difference)


def _jaccard(q: Tensor, x: Tensor) -> Tensor:
    both, either = lane_sum(q * x), lane_sum(torch.maximum(q, x))
    return jaccard_of(both, either)


def cosine_of(dot: Tensor, q_norm: Tensor, x_norm: Tensor) -> Tensor:
    """A row without direction is similar to nothing; a NaN is never hidden behind that rule."""
    norms = q_norm * x_norm
    is_zero = (norms == 0) & ~dot.isnan()
    cosine = torch.clamp(dot / torch.where(is_zero, 1.0, norms), -1.0, 1.0)
    return torch.where(is_zero, 0.0, cosine)


def jaccard_of(both: Tensor, either: Tensor) -> Tensor:
    """The distance of two sets of bits; 0 where none are set."""
    return torch.where(either == 0, 0.0, 1.0 - both / either.clamp(min=1.0))


def norms(rows: Tensor) -> Tensor:
    """Canonical lengths of float64 rows."""
    return sqrt(lane_sum(rows * rows))


_FLOAT64_SCORES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine": lambda q, x: cosine_of(_dot(q, x), norms(q), norms(x)),
    "dot": _dot,
    "sqeuclidean": _sqeuclidean,
    "euclidean": lambda q, x: sqrt(_sqeuclidean(q, x)),
    "manhattan": lambda q, x: lane_sum((q - x).abs()),
    "hamming": lambda q, x: lane_sum((q - x).abs()),
    "jaccard": _jaccard,
}


def scores(q: Tensor, x: Tensor, metric: str) -> Tensor:
    """Scores in float64, not yet rounded, of rows that broadcast against each other.

    Integers and bits (as 0 and 1) are exact in float64, whatever the order.
    """
    return _FLOAT64_SCORES[metric](q.double(), x.double())


def pair_scores(
    n_pairs: int,
    n_cols: int,
    rows: Callable[[slice], tuple[Tensor, Tensor]],
    metric: str,
    device: torch.device,
) -> Tensor:
    """Scores of many pairs, a bounded number at a time."""
    step = max(1, _CHUNK_ELEMENTS // max(n_cols, LANES))
    parts = [
        scores(*rows(slice(start, min(start + step, n_pairs))), metric)
        for start in range(0, n_pairs, step)
    ]
    return torch.cat(parts) if parts else torch.empty(0, dtype=torch.float64, device=device)
