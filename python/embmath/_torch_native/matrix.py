"""Score matrices and their diagonals.

Canonical wherever the kernels' are (float64, integers, bits, pairs); float32 matrices within the
same bound of the canonical scores, at the speed of the device's matrix product.
"""

import torch
from torch import Tensor

from . import bounds, canonical
from .estimate import ExactBound, scale
from .problem import Problem

_TILE_SCORES, _TILE_TERMS = 2**22, 2**22
_TILE_ELEMENTS = 2**24


def pairs(problem: Problem, is_distance: bool) -> Tensor:
    """Row i with row i."""
    n = problem.queries.n_rows

    def part(some: slice) -> tuple[Tensor, Tensor]:
        return problem.rows(problem.queries, some), problem.rows(problem.corpus, some)

    found = canonical.pair_scores(n, problem.n_numbers, part, problem.metric, problem.device)
    return _face(found, problem.metric, is_distance).to(problem.score_dtype)


def matrix(problem: Problem, is_distance: bool, out: Tensor) -> None:
    """Every row with every row, a few at a time."""
    n, m = problem.queries.n_rows, problem.corpus.n_rows
    is_canonical = problem.score_dtype == torch.float64
    step_x = _step(m, problem.n_numbers, _TILE_TERMS if is_canonical else _TILE_ELEMENTS)
    for first in range(0, m, step_x):
        x = problem.rows(problem.corpus, slice(first, first + step_x))
        per_row = len(x) * (max(problem.n_numbers, 16) if is_canonical else 1)
        step_q = max(1, (_TILE_TERMS if is_canonical else _TILE_SCORES) // max(per_row, 1))
        for start in range(0, n, step_q):
            q = problem.rows(problem.queries, slice(start, start + step_q))
            found = _face(_tile(problem, q, x, is_canonical), problem.metric, is_distance)
            out[start : start + len(q), first : first + len(x)] = found


def _step(n_rows: int, n_cols: int, n_elements: int) -> int:
    return max(1, min(n_rows, n_elements // max(n_cols, 16)))


def _tile(problem: Problem, q: Tensor, x: Tensor, is_canonical: bool) -> Tensor:
    metric = problem.metric
    if is_canonical:
        return canonical.scores(q.unsqueeze(1), x.unsqueeze(0), metric)
    if isinstance(problem.bound, ExactBound):
        best = problem.bound.best(problem.bound.prepare(q), problem.bound.prepare(x))
        return best if problem.largest else 0 - best
    if metric in ("cosine", "dot"):
        return _products(q, x, metric, problem.device)
    # From differences, so that near-duplicates keep their accuracy, and in float64, so that no
    # square overflows.
    is_euclidean = metric != "manhattan"
    distance = torch.cdist(
        q.double(),
        x.double(),
        p=2.0 if is_euclidean else 1.0,
        compute_mode="donot_use_mm_for_euclid_dist",
    )
    return distance * distance if metric == "sqeuclidean" else distance


def _products(q: Tensor, x: Tensor, metric: str, device: torch.device) -> Tensor:
    is_plain = bounds.matmul_precision(device) in ("ieee", "none")
    a, b = (scale(rows, torch.float32 if is_plain else torch.float64) for rows in (q, x))
    product = (a.unit @ b.unit.T).double()
    if metric == "dot":
        found = product * a.power.unsqueeze(1) * b.power
    else:
        found = canonical.cosine_of(product, a.norm.unsqueeze(1), b.norm)
    # Rows that hold infinity or NaN: as their elements say.
    for odd, is_query in (
        (a.is_odd.nonzero().flatten(), True),
        (b.is_odd.nonzero().flatten(), False),
    ):
        for row in odd.tolist():
            one, other = (q[row], x) if is_query else (x[row], q)
            scores = canonical.scores(one.unsqueeze(0), other, metric)
            found[row if is_query else slice(None), slice(None) if is_query else row] = scores
    return found


def _face(raw: Tensor, metric: str, is_distance: bool) -> Tensor:
    """Similarities are larger for closer rows, distances smaller."""
    if is_distance:
        return 1.0 - raw if metric == "cosine" else raw
    return raw if metric in ("cosine", "dot") else 0 - raw
