"""What the functions take: lists, arrays and tensors, read where they lie."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Rows: TypeAlias = "Tensor | npt.NDArray[Any]"


def read(value: Any) -> Rows:
    """An array or a tensor as it is, a list as one of them.

    Sparse COO tensors become dense: float32, n times d numbers.
    """
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, list) and value and all(isinstance(x, np.ndarray) for x in value):
        return np.stack(value)
    if isinstance(value, list) and value and all(isinstance(x, Tensor) for x in value):
        return torch.stack([_dense(x) for x in value])
    return _dense(value if isinstance(value, Tensor) else torch.tensor(value))


def _dense(tensor: Tensor) -> Tensor:
    if tensor.is_sparse:
        return tensor.to(torch.float32).to_dense()
    is_byte = tensor.is_floating_point() and tensor.element_size() == 1
    return tensor.to(torch.float32) if is_byte else tensor


def read_rows(value: Any) -> Rows:
    """The same as a matrix; one dimension is one row."""
    rows = read(value)
    return rows[None] if rows.ndim == 1 else rows


def read_detached(value: Any) -> Rows:
    """The same for what has no gradient: results that are lists."""
    rows = read(value)
    if rows.ndim == 1:
        rows = rows[None] if len(rows) else rows.reshape(0, 0)  # [] is no row, not an empty one
    return rows.detach() if isinstance(rows, Tensor) else rows


def to_tensor(rows: Rows) -> Tensor:
    """For Torch to compute with; memory that must not be written is copied."""
    if isinstance(rows, Tensor):
        return rows
    return torch.from_numpy(rows if rows.flags.writeable else rows.copy())


def on_device_of(rows: Rows, other: Rows) -> Rows:
    """Moved to where the other one is, if they are not in one place."""
    if isinstance(other, Tensor) and other.device.type != "cpu":
        return to_tensor(rows).to(other.device)
    return rows.cpu() if isinstance(rows, Tensor) else rows


def on_cpu(rows: Rows) -> npt.NDArray[Any]:
    """As a NumPy array."""
    return rows.cpu().numpy() if isinstance(rows, Tensor) else rows


def is_wide(rows: Rows) -> bool:
    """Whether these are integers that no embeddings have; Torch computes with them."""
    return str(rows.dtype).removeprefix("torch.") in ("int16", "int32", "int64")


def has_gradient(*values: Rows) -> bool:
    """Whether a result has to know where it came from."""
    return torch.is_grad_enabled() and any(
        isinstance(value, Tensor) and value.requires_grad for value in values
    )
