"""Tensors as arguments: checked like arrays, and kept where they are."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

EMBEDDING_DTYPES = ("float16", "bfloat16", "float32", "float64", "int8", "uint8")
SCORE_DTYPES = (*EMBEDDING_DTYPES, "int32", "int64")
FLOATS = EMBEDDING_DTYPES[:4]
BIT_METRICS = ("hamming", "jaccard")
# 33025 * 255 * 255 is the last sum of products that an int32 can hold whatever the rows are.
_LAST_INT32_COLUMNS = 33025

Take = Callable[[Any], Tensor]  # a slice, or a tensor of positions


class Rows(NamedTuple):
    """Rows that are compared: read a few at a time, as numbers (bits as 0 and 1)."""

    name: str
    n_rows: int
    n_cols: int  # what `dims` counts: bytes of bits
    dtype: torch.dtype  # of the numbers
    device: torch.device
    take: Take
    stored: Callable[[], Tensor] | None = None  # numbers, or packed bits, where none are decoded


def dtype_name(dtype: torch.dtype) -> str:
    """Without the name of the library."""
    return str(dtype).removeprefix("torch.")


def read(
    name: str,
    value: object,
    allowed: Sequence[str] = EMBEDDING_DTYPES,
    device: torch.device | None = None,
    like: str = "",
) -> Tensor:
    """A dense tensor of an allowed dtype, on the device of the others."""
    if not isinstance(value, Tensor):
        where = f" on {device} like {like}" if device is not None else ""
        raise TypeError(f"{name}: expected a tensor{where}, got {type(value).__name__}")
    if device is not None and value.device != device:
        raise TypeError(
            f"{name}: expected a tensor on {device} like {like}, got one on {value.device} "
            "(nothing is moved between devices unasked: pass .to())"
        )
    if value.layout is not torch.strided:
        raise TypeError(f"{name}: expected a dense tensor, got layout {value.layout}")
    if dtype_name(value.dtype) not in allowed:
        raise TypeError(f"{name}: expected dtype {', '.join(allowed)}, got {value.dtype}")
    if value.requires_grad and torch.is_grad_enabled():
        raise TypeError(
            f"{name}: gradients do not flow through embmath, got a tensor that requires grad "
            "(pass .detach(), call under torch.no_grad(), or see embmath.torch)"
        )
    return value.detach().resolve_neg()


def matrix(name: str, value: object, *args: Any, **options: Any) -> Tensor:
    """The same with two dimensions; 1-D is one row."""
    return as_rows(name, read(name, value, *args, **options))


def as_rows(name: str, tensor: Tensor) -> Tensor:
    """1-D is one row."""
    if tensor.ndim == 1:
        return tensor.unsqueeze(0)
    if tensor.ndim == 2:
        return tensor
    raise ValueError(f"{name}: expected 1 or 2 dimensions, got {tensor.ndim}")


def common(a: Rows, b: Rows, dims: Any, metric: str) -> int:
    """Columns to compare, after the checks that concern both."""
    widest = min(a.n_cols, b.n_cols)
    if dims is None and a.n_cols != b.n_cols:
        raise ValueError(f"{b.name}: expected {a.n_cols} columns like {a.name}, got {b.n_cols}")
    if dims is not None and dims > widest:
        raise ValueError(f"dims: must be between 1 and {widest}, got {dims}")
    came = ", ".join(f"{rows.name} {dtype_name(rows.dtype)}" for rows in (a, b))
    if metric in BIT_METRICS:
        if not a.dtype == b.dtype == torch.uint8:
            raise TypeError(f"metric: {metric!r} takes packed bits (uint8), got {came}")
    elif a.dtype != b.dtype and not (a.dtype.is_floating_point and b.dtype.is_floating_point):
        raise TypeError(
            f"{b.name}: integers go with the same integer dtype only, got {came} "
            "(convert one side; codes and floats differ by a scale)"
        )
    return widest if dims is None else int(dims)


def score_dtype(a: torch.dtype, b: torch.dtype, n_cols: int, metric: str) -> torch.dtype:
    """Of the scores of rows of these dtypes."""
    if metric == "hamming":
        return torch.int32
    if metric == "jaccard":
        return torch.float32
    if not a.is_floating_point and metric not in ("cosine", "euclidean"):
        return torch.int32 if n_cols <= _LAST_INT32_COLUMNS else torch.int64
    return torch.float64 if torch.float64 in (a, b) else torch.float32


def outputs(
    out: Any, shape: tuple[int, ...], dtypes: tuple[torch.dtype, ...], inputs: Sequence[Tensor]
) -> tuple[Tensor, ...] | None:
    """The caller's tensors for results, checked; they are written to at the end."""
    if out is None:
        return None
    is_pair = len(dtypes) == 2
    if is_pair and not (isinstance(out, (tuple, list)) and len(out) == 2):
        raise TypeError(f"out: expected a pair (values, indices), got {type(out).__name__}")
    for i, (target, dtype) in enumerate(zip(out if is_pair else (out,), dtypes, strict=True)):
        name = f"out[{i}]" if is_pair else "out"
        read(name, target, (dtype_name(dtype),), inputs[0].device, "the inputs")
        if tuple(target.shape) != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {tuple(target.shape)}")
        if not target.is_contiguous():
            raise ValueError(f"{name}: expected a contiguous tensor, got strides {target.stride()}")
        if any(_overlap(target, source) for source in inputs):
            raise ValueError(f"{name}: expected memory of its own, got an overlap with an input")
    return tuple(out) if is_pair else (out,)


def _overlap(a: Tensor, b: Tensor) -> bool:
    if not (a.numel() and b.numel()):
        return False
    start_a, start_b = a.data_ptr(), b.data_ptr()
    return start_a < start_b + _extent(b) and start_b < start_a + _extent(a)


def _extent(t: Tensor) -> int:
    last = sum((n - 1) * stride for n, stride in zip(t.shape, t.stride(), strict=True))
    return int((last + 1) * t.element_size())


def row_mask(mask: object, n_queries: int, n_rows: int, device: torch.device) -> Tensor | None:
    """Which rows may be returned: for all queries, or one row per query."""
    if mask is None:
        return None
    found = read("mask", mask, ("bool",), device, "queries")
    if tuple(found.shape) not in ((n_rows,), (n_queries, n_rows)):
        raise ValueError(
            f"mask: expected shape ({n_rows},) or ({n_queries}, {n_rows}), got {tuple(found.shape)}"
        )
    return found


def rows_of(name: str, tensor: Tensor, metric: str) -> Rows:
    """Rows of a matrix."""
    take: Take = (
        (lambda index: unpack(tensor[index])) if metric in BIT_METRICS else tensor.__getitem__
    )
    n_rows, n_cols = tensor.shape
    return Rows(name, n_rows, n_cols, tensor.dtype, tensor.device, take, lambda: tensor)


def unpack(packed: Tensor) -> Tensor:
    """Bits of bytes as 0 and 1, most significant first."""
    shifts = torch.arange(7, -1, -1, device=packed.device, dtype=torch.uint8)
    bits = (packed.unsqueeze(-1) >> shifts) & 1
    return bits.reshape(*packed.shape[:-1], 8 * packed.shape[-1])
