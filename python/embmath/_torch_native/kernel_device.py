"""Where the CUDA module's kernels run, and what they are given: addresses, shapes, streams."""

from typing import Any

import torch
from torch import Tensor

from .. import _device

FLOATS = {torch.float16: 0, torch.bfloat16: 1, torch.float32: 2}
DTYPES = {**FLOATS, torch.int8: 4, torch.uint8: 5}
MOST_ROWS, MOST_COLS = 2**32 - 2, 2**20
# Chips whose matrix units are known to the bit: the bound on their error holds (half_bounds.hpp).
_GENERATIONS = (8, 9, 10, 12)

_most_results: dict[torch.device, int] = {}  # of devices seen so far; 0: no kernels


def module() -> Any:
    """The CUDA module; None where there is none."""
    return _device.kernels()


def most_results(device: torch.device) -> int:
    """The largest k on this device, 0 without kernels; they are loaded at its first use."""
    if device not in _most_results:
        _most_results[device] = _prepare(device)
    return _most_results[device]


def _prepare(device: torch.device) -> int:
    kernels = module()
    if kernels is None:
        return 0
    if not kernels.is_emulated:
        major, minor = torch.cuda.get_device_capability(device)
        if major not in _GENERATIONS:
            _device.report(f"no kernels for compute capability {major}.{minor}")
            return 0
    try:
        kernels.prepare(device.index or 0)
    except RuntimeError as error:
        _device.report(str(error))
        return 0
    return int(kernels.most_results(device.index or 0))


def view(rows: Tensor) -> tuple[int, int, int, int, int]:
    n_bytes = rows.stride(0) * rows.element_size()
    return rows.data_ptr(), rows.shape[0], rows.shape[1], n_bytes, DTYPES[rows.dtype]


def contiguous(rows: Tensor) -> Tensor:
    """Elements of a row follow each other; rows may lie anywhere."""
    return rows if rows.stride(-1) == 1 or rows.shape[-1] == 1 else rows.contiguous()


def workspace(n_bytes: int, device: torch.device) -> Tensor:
    """Memory that kernels align themselves in: allocators give 512 bytes, the host's 64."""
    return torch.empty(n_bytes + 256, dtype=torch.uint8, device=device)


def place(memory: Tensor) -> Any:
    address = aligned(memory)
    n_bytes = memory.numel() - (address - memory.data_ptr())
    device = memory.device
    return module().Place(address, n_bytes, device.index or 0, _stream(device))


def aligned(memory: Tensor) -> int:
    return -(-memory.data_ptr() // 256) * 256


def where(rows: Tensor) -> tuple[int, int]:
    """Device and stream of a call."""
    return rows.device.index or 0, _stream(rows.device)


def _stream(device: torch.device) -> int:
    return int(torch.cuda.current_stream(device).cuda_stream) if device.type == "cuda" else 0
