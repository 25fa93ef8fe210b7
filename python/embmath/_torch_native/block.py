"""Some queries against all rows, tile by tile: bound, rule out, verify, merge."""

from typing import NamedTuple

import torch
from torch import Tensor

from . import order
from .estimate import Scaled
from .problem import Asked, Problem

_LEAST_PENDING = 4096  # pairs that cost no more to verify together than a few


class Pairs(NamedTuple):
    """Verified (query, row) pairs."""

    query: Tensor
    row: Tensor
    values: Tensor


class BlockSearch:
    """Some of the queries against all rows."""

    def __init__(self, problem: Problem, block: slice, asked: Asked) -> None:
        self.problem, self.block, self.asked = problem, block, asked
        self.n_queries = block.stop - block.start
        numbers = problem.rows(problem.queries, block)
        self.is_nan = numbers.double().isnan().any(-1)
        self.scaled: Scaled = problem.bound.prepare(numbers)
        self.least = self._least()
        self.pending: list[tuple[Tensor, Tensor]] = []
        self.n_pending = self.n_verified = 0
        self.hits: list[Pairs] = []
        k = asked.k or 0
        self.most_pending = max(_LEAST_PENDING, 2 * self.n_queries * k)
        self.found = order.Best(
            self.n_queries, k, problem.score_dtype, problem.largest, problem.device
        )

    def see(self, tile: slice) -> None:
        """Bound a tile and keep what may belong to the results."""
        scaled = self.problem.bound.prepare(self.problem.rows(self.problem.corpus, tile))
        best = self._rounded(self.problem.bound.best(self.scaled, scaled))
        keep = self._allowed(tile, best)
        is_odd = self.scaled.is_odd.unsqueeze(1) | scaled.is_odd
        keep &= self._reaches(best, is_odd, scaled.is_nan)
        if self.asked.k is not None and int(keep.sum()) > self.most_pending:
            self._tighten(tile, best, keep)
            keep &= self._reaches(best, is_odd, scaled.is_nan)
        self._pend(tile, *keep.nonzero(as_tuple=True))

    def finish(self) -> None:
        """Verify what is left."""
        if not self.pending:
            return
        query, index = (torch.cat(parts) for parts in zip(*self.pending, strict=True))
        self.pending, self.n_pending = [], 0
        values = self.problem.verify(query + self.block.start, index)
        self.n_verified += len(index)
        if self.asked.threshold is not None:
            wide, limit = values.double(), self.asked.threshold
            near = wide >= limit if self.problem.largest else wide <= limit
            query, index, values = query[near], index[near], values[near]
        if self.asked.k is None:
            self.hits.append(Pairs(query, index, values))
        else:
            self.found.add(query, index, values)

    def _pend(self, tile: slice, query: Tensor, row: Tensor) -> None:
        """Pairs to verify, many of several tiles at once: few launches."""
        self.pending.append((query, row + tile.start))
        self.n_pending += len(query)
        if self.n_pending > self.most_pending:
            self.finish()

    def _allowed(self, tile: slice, best: Tensor) -> Tensor:
        keep = (~self.is_nan).unsqueeze(1).repeat(1, best.shape[1])
        mask = self.asked.mask
        if mask is not None:
            keep &= mask[tile] if mask.ndim == 1 else mask[self.block, tile]
        if self.asked.exclude_self:
            own = torch.arange(self.block.start, self.block.stop, device=best.device)
            keep &= own.unsqueeze(1) != torch.arange(tile.start, tile.stop, device=best.device)
        return keep

    def _reaches(self, best: Tensor, is_odd: Tensor, is_nan: Tensor) -> Tensor:
        """Whether rows may be among the results; NaN only where anything is wanted."""
        if self.asked.k is None:
            return (best >= self.least) | (is_odd & ~is_nan)
        is_open = self.found.is_open.unsqueeze(1)
        sign = 1 if self.problem.largest else -1
        last = torch.where(is_open, -torch.inf, sign * self.found.values[:, -1:].to(best.dtype))
        keep = (best >= torch.maximum(last, self.least)).logical_or_(is_odd)
        return keep.logical_and_(is_open | ~is_nan)

    def _rounded(self, best: Tensor) -> Tensor:
        """As scores are, which keeps their order; float64 for integers."""
        dtype = self.problem.score_dtype
        return best.to(dtype if dtype.is_floating_point else torch.float64)

    def _least(self) -> Tensor:
        """What the threshold asks of bounds, and no more."""
        threshold = self.asked.threshold
        if threshold is None:
            threshold = -torch.inf if self.problem.largest else torch.inf
        wide = torch.tensor(threshold, dtype=torch.float64, device=self.problem.device)
        near = self._rounded(wide if self.problem.largest else -wide)
        return torch.nextafter(near, torch.full_like(near, -torch.inf))

    def _tighten(self, tile: slice, best: Tensor, keep: Tensor) -> None:
        """Verify the rows that look best, so that their scores rule out the others."""
        count = min(best.shape[1], self.found.k + self.found.k // 4 + 2)
        hopes = torch.where(keep, best.nan_to_num(nan=-torch.inf), -torch.inf)
        rows = torch.topk(hopes, count, dim=1).indices
        chosen = torch.zeros_like(keep).scatter_(1, rows, True) & keep
        keep &= ~chosen
        self._pend(tile, *chosen.nonzero(as_tuple=True))
        self.finish()
