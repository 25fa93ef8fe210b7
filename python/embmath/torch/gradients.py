"""Derivatives of scores, in operations that have derivatives themselves.

Computed in float32 (float64 for float64) and returned in the dtype of the rows. Where a score has
no derivative (the cosine of a zero row, the distance of equal rows, a coordinate on which a
Manhattan distance has its kink) it is taken to be 0, a subgradient.
"""

import torch
from torch import Tensor

_TILE_ELEMENTS = 2**24  # differences that exist at a time, for Manhattan matrices


def wide(x: Tensor, y: Tensor) -> torch.dtype:
    """What gradients are computed in."""
    return torch.float64 if torch.float64 in (x.dtype, y.dtype) else torch.float32


def safe(numerator: Tensor, denominator: Tensor) -> Tensor:
    """A quotient, 0 over 0."""
    is_zero = denominator == 0
    return torch.where(is_zero, 0.0, numerator / torch.where(is_zero, 1.0, denominator))


def of_pairs(grad: Tensor, a: Tensor, b: Tensor, metric: str, sign: int) -> tuple[Tensor, Tensor]:
    """For rows (..., d) that belong together; sign -1: distances are negated scores."""
    g = grad.unsqueeze(-1)
    if metric == "dot":
        return g * b, g * a
    if metric == "cosine":
        a_norm, b_norm = (torch.linalg.vector_norm(x, dim=-1, keepdim=True) for x in (a, b))
        a_unit, b_unit = safe(a, a_norm), safe(b, b_norm)
        cosine = (a_unit * b_unit).sum(-1, keepdim=True)
        return (
            g * safe(b_unit - cosine * a_unit, a_norm),
            g * safe(a_unit - cosine * b_unit, b_norm),
        )
    difference = a - b
    if metric == "manhattan":
        slope = difference.sign()
    elif metric == "sqeuclidean":
        slope = 2 * difference
    else:
        slope = safe(difference, torch.linalg.vector_norm(difference, dim=-1, keepdim=True))
    toward_a = sign * g * slope
    return toward_a, -toward_a


def of_matrix(grad: Tensor, a: Tensor, b: Tensor, metric: str) -> tuple[Tensor, Tensor]:
    """For similarities of every row of (m, d) with every row of (n, d): matrix products."""
    if metric == "dot":
        return grad @ b, grad.T @ a
    if metric == "cosine":
        a_norm, b_norm = (torch.linalg.vector_norm(x, dim=-1, keepdim=True) for x in (a, b))
        a_unit, b_unit = safe(a, a_norm), safe(b, b_norm)
        weighted = grad * (a_unit @ b_unit.T)
        toward_a = grad @ b_unit - weighted.sum(1, keepdim=True) * a_unit
        toward_b = grad.T @ a_unit - weighted.sum(0).unsqueeze(1) * b_unit
        return safe(toward_a, a_norm), safe(toward_b, b_norm)
    if metric == "manhattan":
        return _of_manhattan(grad, a, b)
    weight = 2 * grad
    if metric == "euclidean":
        distance = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
        weight = safe(grad, distance)
    # Of -|a - b| the slope is (b - a) / |a - b|, of its square 2 (b - a).
    toward_a = weight @ b - weight.sum(1, keepdim=True) * a
    toward_b = weight.T @ a - weight.sum(0).unsqueeze(1) * b
    return toward_a, toward_b


def _of_manhattan(grad: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    step = max(1, _TILE_ELEMENTS // max(b.numel(), 1))
    toward_a, toward_b = [], torch.zeros_like(b)
    for start in range(0, len(a), step):
        some, g = a[start : start + step], grad[start : start + step].unsqueeze(-1)
        slope = g * (b - some.unsqueeze(1)).sign()
        toward_a.append(slope.sum(1))
        toward_b = toward_b - slope.sum(0)
    return torch.cat(toward_a) if toward_a else torch.zeros_like(a), toward_b


def of_unit_rows(grad: Tensor, x: Tensor, eps: float) -> Tensor:
    """For rows divided by their length, or by eps where that is larger."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    unit = safe(x, norm)
    turned = safe(grad - (grad * unit).sum(-1, keepdim=True) * unit, norm)
    return torch.where(norm < eps, grad / eps, turned) if eps > 0 else turned
