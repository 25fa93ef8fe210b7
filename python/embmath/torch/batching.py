"""The operators under ``torch.vmap``: a batch of rows is more rows, where it can be."""

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor

Dims: TypeAlias = tuple[int | None, ...]
Batched: TypeAlias = tuple[tuple[Tensor, ...], tuple[int, ...]]


def register() -> None:
    """Tell vmap."""
    rules: dict[str, Callable[..., Any]] = {
        "similarity": _similarity,
        "similarity_pairwise": _similarity_pairwise,
        "search": _search,
        "normalize": _normalize,
        "quantize": _one_by_one("quantize"),
        "dequantize": _one_by_one("dequantize"),
    }
    for name, rule in rules.items():
        torch.library.register_vmap(f"embmath::{name}", rule)


def _first(x: Tensor, dim: int) -> Tensor:
    return x.movedim(dim, 0)


def _stacked(x: Tensor, dim: int) -> tuple[Tensor, int, int]:
    """All rows of the batch; how many batches, and rows in each."""
    batched = _first(x, dim)
    rows = batched.unsqueeze(1) if batched.ndim == 2 else batched
    return rows.reshape(-1, rows.shape[-1]), rows.shape[0], rows.shape[1]


# Torch leaves out arguments that have their default.
def _similarity(
    info: Any, in_dims: Dims, a: Tensor, b: Tensor, metric: str = "cosine"
) -> tuple[Tensor, int]:
    op = torch.ops.embmath.similarity
    if in_dims[1] is None:
        rows, n_batches, n_rows = _stacked(a, in_dims[0] or 0)
        return op(rows, b, metric).reshape(n_batches, n_rows, -1), 0
    if in_dims[0] is None:
        rows, n_batches, n_rows = _stacked(b, in_dims[1])
        return op(a, rows, metric).reshape(-1, n_batches, n_rows), 1
    return cast(tuple[Tensor, int], _one_by_one("similarity")(info, in_dims, a, b, metric))


def _similarity_pairwise(
    info: Any, in_dims: Dims, a: Tensor, b: Tensor, metric: str = "cosine"
) -> tuple[Tensor, int]:
    size = info.batch_size
    pair = [
        _stacked(x if dim is not None else x.unsqueeze(0).expand(size, *x.shape), dim or 0)[0]
        for x, dim in zip((a, b), in_dims, strict=False)
    ]
    return torch.ops.embmath.similarity_pairwise(*pair, metric).reshape(size, -1), 0


def _search(
    info: Any,
    in_dims: Dims,
    queries: Tensor,
    corpus: Tensor,
    k: int = 10,
    metric: str = "cosine",
    mask: Tensor | None = None,
    exclude_self: bool = False,
    *rest: Any,
) -> Batched:
    args = queries, corpus, k, metric, mask, exclude_self, *rest
    if in_dims[1] is None and mask is None and not exclude_self:
        rows, n_batches, n_rows = _stacked(queries, in_dims[0] or 0)
        found = torch.ops.embmath.search(rows, *args[1:])
        return tuple(part.reshape(n_batches, n_rows, -1) for part in found), (0, 0)
    return cast(Batched, _one_by_one("search")(info, in_dims, *args))


def _normalize(info: Any, in_dims: Dims, x: Tensor, eps: float = 0.0) -> tuple[Tensor, int]:
    batched = _first(x, in_dims[0] or 0)
    rows = batched.reshape(-1, batched.shape[-1])
    return torch.ops.embmath.normalize(rows, eps).reshape(batched.shape), 0


def _one_by_one(name: str) -> Callable[..., Any]:
    """One call for each of the batch."""

    def run(info: Any, in_dims: Dims, *args: Any) -> Any:
        op = getattr(torch.ops.embmath, name)
        calls = [
            op(
                *(
                    x if dim is None else x.select(dim, i)
                    for x, dim in zip(args, in_dims, strict=False)
                )
            )
            for i in range(info.batch_size)
        ]
        if isinstance(calls[0], Tensor):
            return torch.stack(calls), 0
        return tuple(torch.stack(parts) for parts in zip(*calls, strict=True)), (0,) * len(calls[0])

    return run
