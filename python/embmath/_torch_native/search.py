"""Exact search of tensors where they are: bound a tile, verify what may matter, merge."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import canonical, order, tensors
from .estimate import Bound, Scaled, bound_for
from .tensors import BIT_METRICS, Rows

SIMILARITIES = ("cosine", "dot")
# A tile of float64 bounds and the rows it is of: 32 MB and 128 MB, some copies of either.
_TILE_SCORES, _TILE_ELEMENTS = 2**22, 2**24
_MOST_QUERIES = 1024


class Asked(NamedTuple):
    """What is searched for; a k of None is all within the threshold."""

    k: int | None
    mask: Tensor | None
    exclude_self: bool
    threshold: float | None
    reject_nan: bool
    progress: Any = None


class Pairs(NamedTuple):
    """Verified (query, row) pairs."""

    query: Tensor
    row: Tensor
    values: Tensor


class Problem:
    """Two sets of rows and a metric: canonical scores of pairs, bounds of tiles."""

    def __init__(self, queries: Rows, corpus: Rows, n_cols: int, metric: str) -> None:
        self.queries, self.corpus, self.metric = queries, corpus, metric
        self.n_numbers = n_cols * 8 if metric in BIT_METRICS else n_cols
        self.largest = metric in SIMILARITIES
        self.device = corpus.device
        self.score_dtype = tensors.score_dtype(queries.dtype, corpus.dtype, n_cols, metric)
        self.bound: Bound = bound_for(
            metric, self.n_numbers, (queries.dtype, corpus.dtype), self.device
        )

    def rows(self, source: Rows, index: Any) -> Tensor:
        """Numbers of some rows, cut to the columns that are compared."""
        return source.take(index)[..., : self.n_numbers]

    def verify(self, query: Tensor, index: Tensor) -> Tensor:
        """Canonical scores of pairs."""

        def part(some: slice) -> tuple[Tensor, Tensor]:
            return self.rows(self.queries, query[some]), self.rows(self.corpus, index[some])

        found = canonical.pair_scores(len(query), self.n_numbers, part, self.metric, self.device)
        return found.to(self.score_dtype)

    def tiles(self, n_queries: int) -> Iterator[slice]:
        """Parts of the corpus that fit beside so many queries."""
        by_rows = _TILE_ELEMENTS // max(self.n_numbers, 1)
        step = max(1, min(_TILE_SCORES // max(n_queries, 1), by_rows))
        for start in range(0, self.corpus.n_rows, step):
            yield slice(start, min(start + step, self.corpus.n_rows))


class BlockSearch:
    """Some of the queries against all rows."""

    def __init__(self, problem: Problem, block: slice, asked: Asked) -> None:
        self.problem, self.block, self.asked = problem, block, asked
        self.n_queries = block.stop - block.start
        numbers = problem.rows(problem.queries, block)
        self.is_nan = numbers.double().isnan().any(-1)
        self.scaled: Scaled = problem.bound.prepare(numbers)
        self.least = self._least()
        self.n_verified = 0
        self.hits: list[Pairs] = []
        k = asked.k or 0
        self.found = order.Best(
            self.n_queries, k, problem.score_dtype, problem.largest, problem.device
        )

    def see(self, tile: slice) -> None:
        """Bound a tile and verify what may belong to the results."""
        scaled = self.problem.bound.prepare(self.problem.rows(self.problem.corpus, tile))
        best = self._rounded(self.problem.bound.best(self.scaled, scaled))
        keep = self._allowed(tile, best)
        is_odd = self.scaled.is_odd.unsqueeze(1) | scaled.is_odd
        keep &= self._reaches(best, is_odd, scaled.is_nan)
        if self.asked.k is not None and int(keep.sum()) > 4 * self.n_queries * self.asked.k:
            self._tighten(tile, best, keep)
            keep &= self._reaches(best, is_odd, scaled.is_nan)
        self._verify(tile, *keep.nonzero(as_tuple=True))

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
        self._verify(tile, *chosen.nonzero(as_tuple=True))

    def _verify(self, tile: slice, query: Tensor, row: Tensor) -> None:
        index = row + tile.start
        values = self.problem.verify(query + self.block.start, index)
        self.n_verified += len(index)
        if self.asked.threshold is not None:
            wide = values.double()
            limit = self.asked.threshold
            near = wide >= limit if self.problem.largest else wide <= limit
            query, index, values = query[near], index[near], values[near]
        if self.asked.k is None:
            self.hits.append(Pairs(query, index, values))
        else:
            self.found.add(query, index, values)


def blocks(problem: Problem, asked: Asked) -> Iterator[BlockSearch]:
    """The search, some queries after others."""
    n_queries, n_rows = problem.queries.n_rows, problem.corpus.n_rows
    if asked.reject_nan:
        check_nan(problem)
    for start in range(0, n_queries, _MOST_QUERIES):
        block = slice(start, min(start + _MOST_QUERIES, n_queries))
        search = BlockSearch(problem, block, asked)
        for tile in problem.tiles(search.n_queries) if asked.k != 0 else ():
            search.see(tile)
            if asked.progress is not None:
                asked.progress((start + tile.stop / n_rows * search.n_queries) / n_queries)
        yield search


def check_nan(problem: Problem) -> None:
    """Refuse queries that hold NaN, before any work is spent on the others."""
    if not problem.queries.dtype.is_floating_point:
        return
    for start in range(0, problem.queries.n_rows, _MOST_QUERIES):
        stop = min(start + _MOST_QUERIES, problem.queries.n_rows)
        is_nan = problem.rows(problem.queries, slice(start, stop)).isnan().any(-1)
        if bool(is_nan.any()):
            raise ValueError(
                f"queries: row {start + int(is_nan.nonzero()[0, 0])} holds NaN, allowed are "
                'numbers (search takes nan="rank_last")'
            )


def top(problem: Problem, asked: Asked, stats: dict[str, Any] | None) -> tuple[Tensor, Tensor]:
    """Values and indices, (queries, k)."""
    done = list(blocks(problem, asked))
    if stats is not None:
        stats |= {"plan": "torch", "verified": sum(block.n_verified for block in done)}
    if not done:
        empty = order.Best(0, asked.k or 0, problem.score_dtype, problem.largest, problem.device)
        return empty.values, empty.indices
    return (
        torch.cat([block.found.values for block in done]),
        torch.cat([block.found.indices for block in done]),
    )


def within(problem: Problem, asked: Asked) -> tuple[Tensor, Tensor, Tensor]:
    """Offsets, values and indices of all hits."""
    device = problem.device
    counts = torch.zeros(problem.queries.n_rows + 1, dtype=torch.int64, device=device)
    values = [torch.empty(0, dtype=problem.score_dtype, device=device)]
    indices = [torch.empty(0, dtype=torch.int64, device=device)]
    for block in blocks(problem, asked):
        for_each = list(zip(*block.hits, strict=True))
        if not for_each:
            continue
        query, index, found = (torch.cat(parts) for parts in for_each)
        sorted_ = order.by(index, order.keys(found, problem.largest), query)
        values.append(found[sorted_])
        indices.append(index[sorted_])
        at = slice(block.block.start + 1, block.block.stop + 1)
        counts[at] = torch.bincount(query, minlength=block.n_queries)
    return torch.cumsum(counts, 0), torch.cat(values), torch.cat(indices)
