"""Which results of candidates chosen by codes are proven to be those of an exact search.

Let x be a row, x̂ what its codes stand for, s the metric and B = B(q) with |s(q, x) - s(q, x̂)| <= B
for every row:

    dot          |<q, x - x̂>| <= |q| max |x - x̂|
    cosine       |<q/|q|, u - û>| <= max |u - û|,  u = x / |x|
    euclidean    ||q - x| - |q - x̂|| <= max |x - x̂|, the triangle inequality
    manhattan    likewise, in its own norm
    sqeuclidean  the euclidean bound, squared

The candidates are the m rows with the best scores by codes, w the worst of these. A similarity
s(q, x̂) of any other row is at most w before it was rounded to float32, give or take one float32:
its exact similarity is below w + B. Where that is below the k-th best exact score among the
candidates, no other row belongs to the k best. Below means: at most the float32 before it, for then
it also rounds to less, and ties need not be considered. Distances likewise with the signs turned.

What canonical sums lose in float64 counts as part of B. Products of float32 are exact there, and no
sum over- or underflows, so a sum of d terms is within c = (d + 32) 2**-52 of the sum of their
magnitudes: |q| |x| for products; of differences, which are all positive, a relative error.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays
from ._types import Residuals

Floats = npt.NDArray[np.float64]

_NARROW = ("float16", "bfloat16", "float32")  # what the bounds on sums are made for
_SLACK = 1 + 2.0**-30  # more than the few operations here can lose


class Certificate:
    """How far the score of any row may be from that of its codes, query by query."""

    def __init__(
        self, metric: str, residuals: Residuals, n_cols: int, query_norms: Floats, is_prefix: bool
    ) -> None:
        self.metric = metric
        self.loss = 4 * (n_cols + 32) * 2.0**-52
        if metric == "dot":
            with np.errstate(invalid="ignore", over="ignore"):
                reach = query_norms * (residuals.euclidean + self.loss * residuals.norm)
        elif metric == "cosine":
            # A prefix turns further than the whole row may.
            reach = np.full(len(query_norms), np.inf if is_prefix else residuals.cosine + self.loss)
        else:
            largest = residuals.manhattan if metric == "manhattan" else residuals.euclidean
            reach = np.full(len(query_norms), largest)
        self.reach = reach * _SLACK

    def proves(self, rows: npt.NDArray[np.intp], worst: Any, best: Any) -> npt.NDArray[np.bool_]:
        """Which of these queries no other row belongs to the results of.

        `worst`: the score by codes that other rows do not exceed; `best`: the exact score that they
        would have to reach; both float32, NaN where there is none.
        """
        reach, infinity = self.reach[rows], np.float32(np.inf)
        with np.errstate(invalid="ignore", over="ignore"):
            if self.metric in ("cosine", "dot"):
                at_most = np.nextafter(worst, infinity).astype(np.float64) + reach
                limit = np.nextafter(best, -infinity).astype(np.float64)
                at_most += (np.abs(at_most) + reach) * 2.0**-40
                return np.asarray(at_most <= limit)
            at_least = np.nextafter(worst, -infinity).astype(np.float64)
            limit = np.nextafter(best, infinity).astype(np.float64)
            if self.metric == "sqeuclidean":
                at_least, limit = np.sqrt(np.maximum(at_least, 0)), np.sqrt(limit)
            rest = at_least * (1 - self.loss - 2.0**-40) - reach
            return np.asarray((rest > 0) & (rest >= limit * (1 + self.loss + 2.0**-40)))

    def contradicts(
        self, rows: npt.NDArray[np.intp], by_codes: Any, exact: Any
    ) -> npt.NDArray[np.bool_]:
        """Which of these queries have a row whose two scores, float32, differ by more than B."""
        with np.errstate(invalid="ignore", over="ignore"):
            a, b = by_codes.astype(np.float64), exact.astype(np.float64)
            if self.metric == "sqeuclidean":
                a, b = np.sqrt(a), np.sqrt(b)
            # The root of what a denormal sum may lose is 2**-75.
            rounding = 2.0**-20 * (np.abs(a) + np.abs(b)) + 2.0**-70
            return np.asarray(np.abs(a - b) > self.reach[rows] + rounding)

    def distance(self, rows: npt.NDArray[np.intp], worst: Any, best: Any) -> Floats:
        """About how far `worst` is from where it would prove something."""
        reach, worst, best = self.reach[rows], worst.astype(np.float64), best.astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            if self.metric == "sqeuclidean":
                return np.asarray((np.sqrt(best) + reach) ** 2 - worst)
            sign = 1 if self.metric in ("cosine", "dot") else -1
            return np.asarray(sign * (worst - best) + reach)


def applies(*sources: _arrays.Input) -> bool:
    """Whether the bounds hold for sums over these types; codes are decoded to float32."""
    return all(source.coding is not None or source.dtype in _NARROW for source in sources)
