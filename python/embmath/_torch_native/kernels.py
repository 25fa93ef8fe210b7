"""Searches by the CUDA module's kernels, for the problems and chips that they are made for."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import _device
from .problem import Asked, Problem

_METRICS = {"cosine": 0, "dot": 1, "euclidean": 2, "sqeuclidean": 3}
_DTYPES = {torch.float16: 0, torch.bfloat16: 1, torch.float32: 2}
_ROUNDINGS = {"floor": 0, "nearest": 1, "truncate": 2, "ratio": 3}
_ORDERS = {"bytes": 0, "interleaved": 1, "split": 2}
# See _grids.code_format: levels, signed, around zero, rounding, order.
Form = tuple[int, bool, bool, str, str]
_AUTO = 0  # the plan that suits the problem
_MOST_ROWS, _MOST_COLS = 2**32 - 2, 2**20
# Chips whose matrix units are known to the bit: the bound on their error holds (half_bounds.hpp).
_GENERATIONS = (8, 9, 10, 12)

_ready: dict[torch.device, bool] = {}


class Plane:
    """Rows of a corpus as float16 with their certificate, for many searches by one metric."""

    def __init__(self, rows: Tensor, metric: str) -> None:
        rows = _contiguous(rows)
        self._memory = _workspace(_module().plane_bytes(*rows.shape), rows.device)
        _module().make_plane(_rows(rows), _METRICS[metric], _place(self._memory))

    @property
    def address(self) -> int:
        """Where it starts."""
        return _aligned(self._memory)

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self._memory.numel()


def take(queries: Tensor, rows: Tensor, metric: str) -> bool:
    """Whether kernels do searches of such tensors."""
    is_known = metric in _METRICS and {queries.dtype, rows.dtype} <= set(_DTYPES)
    return is_known and rows.shape[1] > 0 and len(rows) <= _MOST_ROWS and _works_on(rows.device)


def top(
    problem: Problem, asked: Asked, stats: dict[str, Any] | None, plane: Plane | None = None
) -> tuple[Tensor, Tensor] | None:
    """Values and indices, (queries, k); None where others must do it."""
    queries, rows = problem.queries.plain, problem.corpus.plain
    if queries is None or rows is None or not take(queries, rows, problem.metric):
        return None
    most = _module().most_results(problem.device.index or 0)
    if asked.k is None or not 0 < asked.k <= most or not len(queries):
        return None
    queries = _contiguous(queries[:, : problem.n_numbers].float())
    rows = _contiguous(rows[:, : problem.n_numbers])
    shape = len(queries), asked.k
    values = torch.empty(shape, dtype=torch.float32, device=problem.device)
    indices = torch.empty(shape, dtype=torch.int64, device=problem.device)
    counters = None
    if stats is not None:
        counters = torch.zeros(2, dtype=torch.int64, device=problem.device)
    mask = None if asked.mask is None else _contiguous(asked.mask)
    call = _module().Search(
        queries=_rows(queries),
        corpus=_rows(rows),
        plane=0 if plane is None else plane.address,
        metric=_METRICS[problem.metric],
        plan=_AUTO,
        k=asked.k,
        mask=0 if mask is None else mask.data_ptr(),
        mask_stride=0 if mask is None or mask.ndim == 1 else mask.stride(0),
        self_row=0 if asked.exclude_self else -1,
        threshold=math.nan if asked.threshold is None else asked.threshold,
        values=values.data_ptr(),
        indices=indices.data_ptr(),
        counters=0 if counters is None else counters.data_ptr(),
    )
    workspace = _workspace(call.workspace_bytes(problem.device.index or 0), problem.device)
    call.run(_place(workspace))
    if stats is not None and counters is not None:
        verified, scanned = counters.tolist()
        how = "float16" if verified or not scanned else "canonical"
        stats |= {"plan": f"kernels, {how}", "verified": verified, "scanned": scanned}
    return values, indices


def normalize(rows: Tensor, eps: float) -> Tensor | None:
    """Rows over their lengths; None where others must do it."""
    if not _read(rows):
        return None
    rows = _contiguous(rows)
    out = torch.empty(rows.shape, dtype=rows.dtype, device=rows.device)
    _module().normalize(_rows(rows), eps, out.data_ptr(), *_where(rows))
    return out


def quantize(rows: Tensor, limits: Tensor, form: Form) -> Tensor | None:
    """Codes on given ranges, (2, d) or (2, 1); None where others must do it."""
    if not _read(rows):
        return None
    rows, limits = _contiguous(rows), limits.contiguous()
    codes = _codes(rows, form)
    low, high = limits[0].data_ptr(), limits[1].data_ptr()
    _module().quantize(
        _rows(rows), _numbered(form), low, high, limits.shape[1], codes.data_ptr(), *_where(rows)
    )
    return codes


class RowCodes(NamedTuple):
    """Codes of rows on ranges of their own, (n, 1) each; no minimum around 0."""

    data: Tensor
    minimum: Tensor | None
    step: Tensor
    first_bad: int | None  # the first row without a finite range


def quantize_rows(rows: Tensor, form: Form) -> RowCodes | None:
    """Codes of rows on ranges of their own; None where others must do it."""
    if not _read(rows):
        return None
    rows = _contiguous(rows)
    codes = _codes(rows, form)
    step = rows.new_empty((len(rows), 1), dtype=torch.float32)
    minimum = None if form[2] else torch.empty_like(step)
    before_bad = torch.zeros(1, dtype=torch.int32, device=rows.device)
    _module().quantize_rows(
        _rows(rows),
        _numbered(form),
        codes.data_ptr(),
        0 if minimum is None else minimum.data_ptr(),
        step.data_ptr(),
        before_bad.data_ptr(),
        *_where(rows),
    )
    left = int(before_bad) % 2**32
    first_bad = None if left == 0 else 2**32 - 1 - left
    return RowCodes(codes, minimum, step, first_bad)


def pack_bits(rows: Tensor, threshold: float, flip: int) -> Tensor | None:
    """Bits of what is above a threshold, most significant first; None where others must do it."""
    if not _read(rows):
        return None
    rows = _contiguous(rows)
    n_bytes = -(-rows.shape[1] // 8)
    codes = torch.empty((len(rows), n_bytes), dtype=torch.uint8, device=rows.device)
    _module().pack_bits(_rows(rows), threshold, flip, codes.data_ptr(), *_where(rows))
    return codes


def _read(rows: Tensor) -> bool:
    """Whether kernels read such rows."""
    if rows.dtype not in _DTYPES or not rows.numel():
        return False
    return len(rows) <= _MOST_ROWS and rows.shape[1] <= _MOST_COLS and _works_on(rows.device)


def _codes(rows: Tensor, form: Form) -> Tensor:
    _, is_signed, around_zero, _, order = form
    n_bytes = rows.shape[1] if order == "bytes" else -(-rows.shape[1] // 2)
    dtype = torch.int8 if is_signed or around_zero else torch.uint8
    return torch.empty((len(rows), n_bytes), dtype=dtype, device=rows.device)


def _numbered(form: Form) -> tuple[int, bool, bool, int, int]:
    return *form[:3], _ROUNDINGS[form[3]], _ORDERS[form[4]]


def _module() -> Any:
    return _device.kernels()


def _works_on(device: torch.device) -> bool:
    """Whether there are kernels for this device; they are loaded at its first use."""
    if device not in _ready:
        _ready[device] = _prepare(device)
    return _ready[device]


def _prepare(device: torch.device) -> bool:
    module = _module()
    if module is None:
        return False
    if not module.is_emulated:
        major, minor = torch.cuda.get_device_capability(device)
        if major not in _GENERATIONS:
            _device.report(f"no kernels for compute capability {major}.{minor}")
            return False
    try:
        module.prepare(device.index or 0)
    except RuntimeError as error:
        _device.report(str(error))
        return False
    return True


def _rows(rows: Tensor) -> tuple[int, int, int, int, int]:
    n_bytes = rows.stride(0) * rows.element_size()
    return rows.data_ptr(), rows.shape[0], rows.shape[1], n_bytes, _DTYPES[rows.dtype]


def _contiguous(rows: Tensor) -> Tensor:
    """Elements of a row follow each other; rows may lie anywhere."""
    return rows if rows.stride(-1) == 1 or rows.shape[-1] == 1 else rows.contiguous()


def _workspace(n_bytes: int, device: torch.device) -> Tensor:
    """Memory that kernels align themselves in: allocators give 512 bytes, the host's 64."""
    return torch.empty(n_bytes + 256, dtype=torch.uint8, device=device)


def _place(memory: Tensor) -> Any:
    address = _aligned(memory)
    n_bytes = memory.numel() - (address - memory.data_ptr())
    device = memory.device
    return _module().Place(address, n_bytes, device.index or 0, _stream(device))


def _aligned(memory: Tensor) -> int:
    return -(-memory.data_ptr() // 256) * 256


def _where(rows: Tensor) -> tuple[int, int]:
    """Device and stream of a call."""
    return rows.device.index or 0, _stream(rows.device)


def _stream(device: torch.device) -> int:
    return int(torch.cuda.current_stream(device).cuda_stream) if device.type == "cuda" else 0
