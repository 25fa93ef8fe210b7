"""The cheap side of a search: for each (query, row) the best score that it can have.

Larger is better here: distances are negated. Rounding to the dtype of the scores keeps an order, so
a bound on the float64 score, rounded as the score is, bounds the rounded score.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from . import bounds, canonical
from .rounding import powers_of_two, sqrt

# Squares of norms outside leave float64's range, and what is left of them is not to be trusted.
_LEAST_NORM, _MOST_NORM = 2.0**-460, 2.0**460
# Sums of so many products of bytes (of bits) are exact in float32, in any order; bytes and bits are
# exact in TF32 and bfloat16 too.
_EXACT_COLUMNS = {"bytes": 2**24 // 255**2, "bits": 2**24}


class Bound(Protocol):
    """Bounds of a tile."""

    def prepare(self, rows: Tensor) -> "Scaled":
        """What is computed once for queries, and once for each part of the corpus."""

    def best(self, q: "Scaled", x: "Scaled") -> Tensor:
        """(queries, rows), float64 or that of the scores: no canonical score is better."""


class Scaled(NamedTuple):
    """Rows over powers of two: lengths around 1, so that no product overflows or vanishes."""

    unit: Tensor  # (n, d), in the dtype that products are made in
    power: Tensor  # (n,): what they were divided by
    norm: Tensor  # (n,): lengths of `unit`
    is_odd: Tensor  # (n,): not bounded at all
    is_nan: Tensor  # (n,): scores are NaN


def scale(rows: Tensor, dtype: torch.dtype) -> Scaled:
    """Rows ready for products in `dtype`; few passes, and none in float64 unless rows are."""
    work = torch.float64 if rows.dtype == torch.float64 else torch.float32
    wide = rows.to(work)
    largest = torch.linalg.vector_norm(wide, torch.inf, -1) if rows.shape[1] else wide.sum(-1)
    is_finite = largest.isfinite()
    # Within the exponents of normal numbers; rows of subnormals stay a little short (bounds.py).
    most = 1000 if work == torch.float64 else 126
    exponent = torch.frexp(torch.where(is_finite, largest, 1.0)).exponent.clamp(-most, most)
    unit = wide * powers_of_two(-exponent).to(work).unsqueeze(-1)
    norm = torch.linalg.vector_norm(unit, dim=-1, dtype=torch.float64)
    power = powers_of_two(exponent)
    length = norm * power
    is_usual = (length == 0) | ((length >= _LEAST_NORM) & (length <= _MOST_NORM))
    # A float64 row of denormals may vanish when scaled by no more than 2**1000.
    is_odd = ~(is_finite & is_usual) | ((norm == 0) & (largest > 0))
    return Scaled(unit.to(dtype), power, norm, is_odd, norm.isnan())


class ProductBound:
    """Of cosine, dot and Euclidean distances of floats, from a matrix product."""

    def __init__(self, metric: str, n_cols: int, dtype: torch.dtype, device: torch.device) -> None:
        if bounds.dot_error(n_cols, dtype, "ieee") > 0.25:
            dtype = torch.float64
        self.metric, self.n_cols, self.dtype = metric, n_cols, dtype
        self.device = device

    def prepare(self, rows: Tensor) -> Scaled:
        scaled = scale(rows, self.dtype)
        if self.metric != "cosine":
            return scaled
        inverse = torch.where(scaled.norm == 0, 0.0, 1 / scaled.norm)
        return scaled._replace(unit=scaled.unit * inverse.to(self.dtype).unsqueeze(-1))

    def best(self, q: Scaled, x: Scaled) -> Tensor:
        # Read again for each product: another thread may have changed the setting meanwhile.
        precision = bounds.matmul_precision(self.device)
        product = q.unit @ x.unit.T
        error = bounds.dot_error(self.n_cols, self.dtype, precision)
        if self.metric == "cosine":
            return product.add_(error).clamp_(min=-1.0)
        product = product.double()
        product *= q.power.unsqueeze(1)
        product *= x.power
        q_norm, x_norm = (q.norm * q.power).unsqueeze(1), x.norm * x.power
        if self.metric == "dot":
            return product.addcmul_(error * q_norm, x_norm)
        squares = q_norm * q_norm + x_norm * x_norm
        # 2 |q| |x| is at most the sum of the squares.
        least = squares.mul_(1 - error - 2.0**-40).sub_(product, alpha=2).clamp_(min=0.0)
        # A root that is one unit too large would be no bound.
        return -(least.sqrt_() * (1 - 2.0**-50) if self.metric == "euclidean" else least)


class ManhattanBound:
    """Of Manhattan distances of floats, from a sum of differences in the narrower dtype."""

    def __init__(self, n_cols: int, dtype: torch.dtype) -> None:
        if bounds.sum_error(n_cols, dtype) > 0.25:
            dtype = torch.float64
        self.n_cols, self.dtype = n_cols, dtype
        self.relative = bounds.sum_error(n_cols, dtype)
        tiny = torch.finfo(dtype).tiny
        self.absolute = 4 * n_cols * tiny  # differences that a device flushes to zero

    def prepare(self, rows: Tensor) -> Scaled:
        scaled = scale(rows, self.dtype)
        return scaled._replace(unit=rows.to(self.dtype))

    def best(self, q: Scaled, x: Scaled) -> Tensor:
        distance = torch.cdist(q.unit, x.unit, p=1.0).double()
        least = (distance * (1 - self.relative) - self.absolute).clamp_(min=0.0)
        return torch.where(distance.isfinite(), -least, 0.0)


class ExactBound:
    """Of integers and bits: the scores themselves, from sums that are exact in any order."""

    def __init__(self, metric: str, kind: str) -> None:
        self.metric, self.columns = metric, _EXACT_COLUMNS[kind]

    def prepare(self, rows: Tensor) -> Scaled:
        squares = self._sums(rows, rows, is_paired=True)
        none = torch.zeros_like(squares, dtype=torch.bool)
        return Scaled(rows, torch.ones_like(squares), squares, none, none)

    def best(self, q: Scaled, x: Scaled) -> Tensor:
        if self.metric == "manhattan":
            return -self._differences(q.unit, x.unit)
        dot = self._sums(q.unit, x.unit)
        q_squares, x_squares = q.norm.unsqueeze(1), x.norm
        if self.metric == "dot":
            return dot
        if self.metric == "cosine":
            return canonical.cosine_of(dot, sqrt(q_squares), sqrt(x_squares))
        if self.metric == "jaccard":
            return -canonical.jaccard_of(dot, q_squares + x_squares - dot)
        squares = q_squares + x_squares - 2 * dot
        return -(sqrt(squares) if self.metric == "euclidean" else squares)

    def _sums(self, q: Tensor, x: Tensor, is_paired: bool = False) -> Tensor:
        shape = q.shape[:1] if is_paired else (len(q), len(x))
        total = torch.zeros(shape, dtype=torch.float64, device=q.device)
        for start in range(0, q.shape[1], self.columns):
            part = (rows[:, start : start + self.columns].float() for rows in (q, x))
            a, b = part
            total += (a * b).sum(-1) if is_paired else a @ b.T
        return total

    def _differences(self, q: Tensor, x: Tensor) -> Tensor:
        total = torch.zeros((len(q), len(x)), dtype=torch.float64, device=q.device)
        for start in range(0, q.shape[1], 2**16):
            a, b = (rows[:, start : start + 2**16].float() for rows in (q, x))
            total += torch.cdist(a, b, p=1.0)
        return total


def bound_for(
    metric: str, n_cols: int, dtypes: tuple[torch.dtype, torch.dtype], device: torch.device
) -> Bound:
    """What bounds the scores of rows of these dtypes."""
    if metric in ("hamming", "jaccard"):
        return ExactBound(metric, "bits")
    if not dtypes[0].is_floating_point:
        return ExactBound(metric, "bytes")
    dtype = torch.float64 if torch.float64 in dtypes else torch.float32
    if metric == "manhattan":
        return ManhattanBound(n_cols, dtype)
    return ProductBound(metric, n_cols, dtype, device)
