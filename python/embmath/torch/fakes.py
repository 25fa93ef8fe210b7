"""What the operators return, without computing it: shapes may be symbols."""

from typing import Any

import torch
from torch import Tensor

from .._precisions import PRECISIONS

_LAST_INT32_COLUMNS = 33025  # whose products an int32 holds


def register() -> None:
    """Tell the compiler."""
    for name, fake in _FAKES.items():
        torch.library.register_fake(f"embmath::{name}", fake)


def _n_rows(x: Tensor) -> Any:
    torch._check(x.dim() in (1, 2), lambda: f"expected 1 or 2 dimensions, got {x.dim()}")
    return x.shape[0] if x.dim() == 2 else 1


def score_dtype(a: Tensor, b: Tensor, metric: str) -> torch.dtype:
    """Of the scores of these rows."""
    if metric == "hamming":
        return torch.int32
    if metric == "jaccard":
        return torch.float32
    if not a.dtype.is_floating_point and metric not in ("cosine", "euclidean"):
        return torch.int32 if a.shape[-1] <= _LAST_INT32_COLUMNS else torch.int64
    return torch.float64 if torch.float64 in (a.dtype, b.dtype) else torch.float32


def _similarity(a: Tensor, b: Tensor, metric: str = "cosine") -> Tensor:
    return a.new_empty((_n_rows(a), _n_rows(b)), dtype=score_dtype(a, b, metric))


def _similarity_pairwise(a: Tensor, b: Tensor, metric: str = "cosine") -> Tensor:
    return a.new_empty((_n_rows(a),), dtype=score_dtype(a, b, metric))


def _search(
    queries: Tensor,
    corpus: Tensor,
    k: Any = 10,
    metric: str = "cosine",
    mask: Tensor | None = None,
    exclude_self: bool = False,
    threshold: float | None = None,
    pad: bool = False,
    nan: str = "raise",
) -> tuple[Tensor, Tensor]:
    available = (
        torch.sym_max(_n_rows(corpus) - exclude_self, 0) if exclude_self else _n_rows(corpus)
    )
    shape = _n_rows(queries), k if pad else torch.sym_min(k, available)
    dtype = score_dtype(queries, corpus, metric)
    return queries.new_empty(shape, dtype=dtype), queries.new_empty(shape, dtype=torch.int64)


def _normalize(x: Tensor, eps: float = 0.0) -> Tensor:
    return x.new_empty(x.shape)


def _quantize(
    x: Tensor, precision: str, ranges: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    kind = PRECISIONS[precision]
    data = x.new_empty(
        (*x.shape[:-1], _width(kind.bits, x.shape[-1])), dtype=_dtype(kind.dtypes[0])
    )
    none = x.new_empty((0,), dtype=torch.float32)
    if kind.kind != "scalar":
        return data, none, none.clone()
    if ranges is None:
        shape = (*x.shape[:-1], 1)
        has_minimum = precision != "int8"
    else:
        shape = (1 if ranges.dim() == 1 else ranges.shape[1],)
        has_minimum = True
    step = x.new_empty(shape, dtype=torch.float32)
    return data, step, x.new_empty(shape if has_minimum else (0,), dtype=torch.float32)


def _dequantize(
    data: Tensor,
    precision: str,
    dim: Any,
    step: Tensor | None = None,
    minimum: Tensor | None = None,
    scope: str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    return data.new_empty((*data.shape[:-1], dim), dtype=dtype)


def _width(bits: int, dim: Any) -> Any:
    return dim if bits >= 8 else (dim * bits + 7) // 8


def _dtype(name: str) -> torch.dtype:
    found: torch.dtype = getattr(torch, name)
    return found


_FAKES: dict[str, Any] = {
    "similarity": _similarity,
    "similarity_pairwise": _similarity_pairwise,
    "search": _search,
    "normalize": _normalize,
    "quantize": _quantize,
    "dequantize": _dequantize,
}
