"""By (score, lowest index): total orders in integers, and selection by them.

Signed zeros are equal, NaN comes last, what is missing after that. Nothing here depends on how a
device breaks ties.
"""

import torch
from torch import Tensor

_MISSING = 2**63 - 1  # beyond NaN
_NAN = _MISSING - 1


def keys(values: Tensor, largest: bool) -> Tensor:
    """int64 whose ascending order is best first; NaN last."""
    if not values.is_floating_point():
        wide = values.to(torch.int64)
        return ~wide if largest else wide  # unlike -, right for the smallest integer too
    number = values.double() + 0.0  # -0.0 becomes 0.0
    bits = number.view(torch.int64)
    ascending = bits ^ ((bits >> 63) & 0x7FFFFFFFFFFFFFFF)
    return torch.where(number.isnan(), _NAN, ~ascending if largest else ascending)


def by(*columns: Tensor) -> Tensor:
    """Positions in the order of the last column, then the one before it, and so on."""
    order = torch.argsort(columns[0], stable=True)
    for column in columns[1:]:
        order = order[torch.argsort(column[order], stable=True)]
    return order


def top(values: Tensor, k: int, largest: bool) -> Tensor:
    """Positions of the k best along the last axis, best first, lowest index among equals."""
    order = keys(values, largest)
    is_short = values.dtype in (torch.float16, torch.bfloat16, torch.float32)
    if not is_short and values.dtype not in (torch.int8, torch.uint8, torch.int32):
        return torch.sort(order, dim=-1, stable=True).indices[..., :k]
    if is_short:
        # A float32 widened to float64 leaves the low 29 bits of its key empty.
        order = torch.where(values.isnan(), 2**34 - 1, order >> 29)
    # Key and position in one integer: no two are equal, so that any selection finds the same.
    positions = torch.arange(values.shape[-1], device=values.device)
    both = (order << 29) + positions if values.shape[-1] < 2**29 else None
    if both is None:
        return torch.sort(order, dim=-1, stable=True).indices[..., :k]
    return torch.topk(both, k, dim=-1, largest=False, sorted=True).values & (2**29 - 1)


class Best:
    """The k best rows of each query so far."""

    def __init__(
        self, n_queries: int, k: int, dtype: torch.dtype, largest: bool, device: torch.device
    ) -> None:
        shape = n_queries, k
        self.k, self.largest = k, largest
        worst = missing(dtype, largest)
        self.values = torch.full(shape, worst, dtype=dtype, device=device)
        self.indices = torch.full(shape, -1, dtype=torch.int64, device=device)
        self.keys = torch.full(shape, _MISSING, dtype=torch.int64, device=device)

    def add(self, query: Tensor, index: Tensor, values: Tensor) -> None:
        """Rows not seen before, each with its query."""
        if not len(query) or not self.k:
            return
        n_queries, k = self.keys.shape
        own = torch.arange(n_queries, device=query.device)
        queries = torch.cat((own.repeat_interleave(k), query))
        indices = torch.cat((self.indices.flatten(), index))
        found = torch.cat((self.values.flatten(), values))
        order_keys = torch.cat((self.keys.flatten(), keys(values, self.largest)))
        order = by(indices, order_keys, queries)
        counts = torch.bincount(queries, minlength=n_queries)
        first = torch.cumsum(counts, 0) - counts
        rank = torch.arange(len(order), device=query.device) - first[queries[order]]
        chosen = order[rank < k]
        self.values = found[chosen].view(n_queries, k)
        self.indices = indices[chosen].view(n_queries, k)
        self.keys = order_keys[chosen].view(n_queries, k)

    @property
    def is_open(self) -> Tensor:
        """Queries that anything would improve: fewer than k rows so far, or NaN among them."""
        return self.keys[:, -1] >= _NAN


def missing(dtype: torch.dtype, largest: bool) -> float | int:
    """What stands where there is no row: NaN, or the worst integer."""
    if dtype.is_floating_point:
        return float("nan")
    return int(torch.iinfo(dtype).min if largest else torch.iinfo(dtype).max)
