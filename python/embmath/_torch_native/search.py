"""Exact search of tensors where they are."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from . import kernels, order
from .block import BlockSearch
from .problem import Asked, Problem

_MOST_QUERIES = 1024  # at a time


def blocks(problem: Problem, asked: Asked) -> Iterator[BlockSearch]:
    """The search, some queries after others."""
    n_queries, n_rows = problem.queries.n_rows, problem.corpus.n_rows
    for start in range(0, n_queries, _MOST_QUERIES):
        block = slice(start, min(start + _MOST_QUERIES, n_queries))
        search = BlockSearch(problem, block, asked)
        for tile in problem.tiles(search.n_queries) if asked.k != 0 else ():
            search.see(tile)
            if asked.progress is not None:
                asked.progress((start + tile.stop / n_rows * search.n_queries) / n_queries)
        search.finish()
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


def top(
    problem: Problem,
    asked: Asked,
    stats: dict[str, Any] | None,
    plane: kernels.Plane | None = None,
) -> tuple[Tensor, Tensor]:
    """Values and indices, (queries, k)."""
    if asked.reject_nan:
        check_nan(problem)
    found = kernels.top(problem, asked, stats, plane)
    if found is not None:
        return found
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
    if asked.reject_nan:
        check_nan(problem)
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
