"""Which operators have gradients: scores and unit rows; indices and codes have none."""

from typing import Any

import torch
from torch import Tensor

from . import gradients


def register() -> None:
    """Tell autograd."""
    for name, backward, setup in (
        ("similarity", _similarity, _keep_pair),
        ("similarity_pairwise", _similarity_pairwise, _keep_pair),
        ("search", _search, _keep_search),
        ("normalize", _normalize, _keep_rows),
    ):
        torch.library.register_autograd(f"embmath::{name}", backward, setup_context=setup)


def _keep_pair(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    a, b, ctx.metric = inputs
    ctx.save_for_backward(a, b)


def _keep_search(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    queries, corpus, _, ctx.metric, *_ = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(queries, corpus, output[1])


def _keep_rows(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, ctx.eps = inputs
    ctx.save_for_backward(x)


def _rows(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype).reshape(-1, x.shape[-1])


def _like(grad: Tensor, x: Tensor) -> Tensor:
    return grad.reshape(x.shape).to(x.dtype)


def _similarity(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    a, b = ctx.saved_tensors
    dtype = gradients.wide(a, b)
    found = gradients.of_matrix(grad.to(dtype), _rows(a, dtype), _rows(b, dtype), ctx.metric)
    return _like(found[0], a), _like(found[1], b), None


def _similarity_pairwise(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    a, b = ctx.saved_tensors
    dtype = gradients.wide(a, b)
    rows = _rows(a, dtype), _rows(b, dtype)
    found = gradients.of_pairs(grad.to(dtype), *rows, ctx.metric, sign=-1)
    return _like(found[0], a), _like(found[1], b), None


def _search(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    queries, corpus, indices = ctx.saved_tensors
    dtype = gradients.wide(queries, corpus)
    q, x = _rows(queries, dtype), _rows(corpus, dtype)
    is_hit = indices >= 0
    index = indices.clamp(min=0)
    g = torch.where(is_hit, grad.to(dtype), 0.0)
    toward_q, toward_x = gradients.of_pairs(g, q.unsqueeze(1), x[index], ctx.metric, sign=1)
    grad_corpus = torch.zeros_like(x).index_add(
        0, index.flatten(), toward_x.expand(*index.shape, x.shape[1]).reshape(-1, x.shape[1])
    )
    return _like(toward_q.sum(1), queries), _like(grad_corpus, corpus), *([None] * 7)


def _normalize(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (x,) = ctx.saved_tensors
    dtype = gradients.wide(x, x)
    return gradients.of_unit_rows(grad.to(dtype), x.to(dtype), ctx.eps).to(x.dtype), None
