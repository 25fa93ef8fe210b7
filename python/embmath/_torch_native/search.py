"""Exact search of tensors where they are."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from . import kernel_search, order
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
    plane: kernel_search.Plane | None = None,
) -> tuple[Tensor, Tensor]:
    """Values and indices, (queries, k)."""
    if asked.reject_nan:
        check_nan(problem)
    found = kernel_search.top(problem, asked, stats, plane)
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


def within(
    problem: Problem, asked: Asked, plane: kernel_search.Plane | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Offsets, values and indices of all hits."""
    if asked.reject_nan:
        check_nan(problem)
    found = kernel_search.within(problem, asked, plane)
    query, index, values = _all_hits(problem, asked) if found is None else found
    sorted_ = order.by(index, order.keys(values, problem.largest), query)
    offsets = torch.zeros(problem.queries.n_rows + 1, dtype=torch.int64, device=problem.device)
    counts = torch.bincount(query, minlength=problem.queries.n_rows)
    torch.cumsum(counts, 0, out=offsets[1:])
    return offsets, values[sorted_], index[sorted_]


def _all_hits(problem: Problem, asked: Asked) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, indices and values of all hits."""
    none = torch.empty(0, dtype=torch.int64, device=problem.device)
    hits = [(none, none, none.to(problem.score_dtype))]
    for block in blocks(problem, asked):
        start = block.block.start
        hits += [(query + start, index, values) for query, index, values in block.hits]
    query, index, values = (torch.cat(parts) for parts in zip(*hits, strict=True))
    return query, index, values
