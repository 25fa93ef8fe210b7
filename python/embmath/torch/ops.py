"""The operators: their schemas, and what runs on each of them."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

import embmath as em

SCHEMAS = {
    "similarity": '(Tensor a, Tensor b, str metric="cosine") -> Tensor',
    "similarity_pairwise": '(Tensor a, Tensor b, str metric="cosine") -> Tensor',
    "search": '(Tensor queries, Tensor corpus, SymInt k=10, str metric="cosine", '
    "Tensor? mask=None, bool exclude_self=False, float? threshold=None, bool pad=False, "
    'str nan="raise") -> (Tensor values, Tensor indices)',
    "normalize": "(Tensor x, float eps=0.0) -> Tensor",
    "quantize": "(Tensor x, str precision, Tensor? ranges=None) "
    "-> (Tensor data, Tensor step, Tensor minimum)",
    "dequantize": "(Tensor data, str precision, SymInt dim, Tensor? step=None, "
    "Tensor? minimum=None, str? scope=None, ScalarType dtype=float) -> Tensor",
}

# Kept for as long as the process lives: an operator goes when its library does.
_library = torch.library.Library("embmath", "DEF")


def register() -> None:
    """Define every operator and its kernel, the same for all devices: embmath's function."""
    for name, schema in SCHEMAS.items():
        _library.define(name + schema, tags=(torch.Tag.pt2_compliant_tag,))
        _library.impl(name, KERNELS[name], "CompositeExplicitAutograd")


def register_autocast() -> None:
    """float32 under autocast, whatever it would choose: 16-bit scores tie where rows do not."""
    for name in ("similarity", "similarity_pairwise", "search", "normalize"):
        for device in ("cpu", "cuda"):
            torch.library.register_autocast(f"embmath::{name}", device, torch.float32)


def _similarity(a: Tensor, b: Tensor, metric: Any = "cosine") -> Tensor:
    return cast(Tensor, em.similarity(a, b, metric))


def _similarity_pairwise(a: Tensor, b: Tensor, metric: Any = "cosine") -> Tensor:
    return cast(Tensor, em.similarity_pairwise(a, b, metric))


def _search(
    queries: Tensor, corpus: Tensor, k: int = 10, metric: Any = "cosine", *args: Any, **options: Any
) -> tuple[Tensor, Tensor]:
    names = ("mask", "exclude_self", "threshold", "pad", "nan")
    options |= dict(zip(names, args, strict=False))
    found = em.search(queries, corpus, k, metric, **options)
    return found.values, found.indices


def _normalize(x: Tensor, eps: float = 0.0) -> Tensor:
    return cast(Tensor, em.normalize(x, eps=eps))


def _quantize(
    x: Tensor, precision: Any, ranges: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    with torch.no_grad():  # there is no gradient to stop at: rounding has none
        codes = em.quantize(x, precision, ranges=ranges)
    none = x.new_empty(0, dtype=torch.float32)
    # A result may not be an argument: ranges of one column could come back as their own minimum.
    step = none if codes.step is None else codes.step.clone()
    minimum = none.clone() if codes.minimum is None else codes.minimum.clone()
    return codes.data, step, minimum


def _dequantize(
    data: Tensor,
    precision: Any,
    dim: int,
    step: Tensor | None = None,
    minimum: Tensor | None = None,
    scope: Any = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    step, minimum = (
        part if part is not None and part.numel() else None for part in (step, minimum)
    )
    with torch.no_grad():
        codes = em.Codes.from_data(
            data, precision, dim=dim, step=step, minimum=minimum, scope=scope
        )
        return cast(Tensor, em.dequantize(codes, dtype=dtype))


KERNELS: dict[str, Callable[..., Any]] = {
    "similarity": _similarity,
    "similarity_pairwise": _similarity_pairwise,
    "search": _search,
    "normalize": _normalize,
    "quantize": _quantize,
    "dequantize": _dequantize,
}
