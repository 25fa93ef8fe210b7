"""Searches by the CUDA module's kernels, for the problems and chips that they are made for."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import _device
from .problem import Asked, Problem
from .tensors import Rows

_METRICS = {"cosine": 0, "dot": 1, "euclidean": 2, "sqeuclidean": 3, "hamming": 5}
_FLOATS = {torch.float16: 0, torch.bfloat16: 1, torch.float32: 2}
_DTYPES = {**_FLOATS, torch.int8: 4, torch.uint8: 5}
_AUTO = 0  # the plan that suits the problem
_MOST_ROWS, _MOST_COLS = 2**32 - 2, 2**20
_LEAST_HITS = 2**16  # of a range search, for which there is room at first
_MOST_BYTES = 33025  # of a row: dot products of more leave int32
_ROUNDINGS = {"floor": 0, "nearest": 1, "truncate": 2, "ratio": 3}
_ORDERS = {"bytes": 0, "interleaved": 1, "split": 2}
# See _grids.code_format: levels, signed, around zero, rounding, order.
Form = tuple[int, bool, bool, str, str]
# Chips whose matrix units are known to the bit: the bound on their error holds (half_bounds.hpp).
_GENERATIONS = (8, 9, 10, 12)

_most_results: dict[torch.device, int] = {}  # of devices seen so far; 0: no kernels


class Plane:
    """Codes of a corpus with their certificate, for many searches of these rows by one metric."""

    def __init__(self, rows: Tensor, metric: str) -> None:
        view, number = _rows(_contiguous(rows)), _METRICS[metric]
        self._memory = _workspace(_module().plane_bytes(view, number), rows.device)
        _module().make_plane(view, number, _place(self._memory))

    @property
    def address(self) -> int:
        """Where it starts."""
        return _aligned(self._memory)

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self._memory.numel()


def most_results(device: torch.device) -> int:
    """The largest k on this device, 0 without kernels; they are loaded at its first use."""
    if device not in _most_results:
        _most_results[device] = _prepare(device)
    return _most_results[device]


def take(dtypes: set[torch.dtype], shape: tuple[int, int], metric: str) -> bool:
    """Whether there are kernels for searches of such rows, by queries of the other dtype."""
    n_rows, n_cols = shape
    if metric not in _METRICS or n_cols == 0 or n_rows > _MOST_ROWS:
        return False
    if metric == "hamming" or dtypes <= set(_FLOATS):
        return True
    return dtypes in ({torch.int8}, {torch.uint8}) and n_cols <= _MOST_BYTES


def top(
    problem: Problem, asked: Asked, stats: dict[str, Any] | None, plane: Plane | None = None
) -> tuple[Tensor, Tensor] | None:
    """Values and indices, (queries, k); None where others must do it."""
    if asked.k is None or not 0 < asked.k <= _limit(problem):
        return None
    device, shape = problem.device, (problem.queries.n_rows, asked.k)
    values = torch.empty(shape, dtype=problem.score_dtype, device=device)
    indices = torch.empty(shape, dtype=torch.int64, device=device)
    counters = None if stats is None else torch.zeros(2, dtype=torch.int64, device=device)
    inputs = _Inputs(problem, asked)
    outputs = (_address(each) for each in (values, indices, counters))
    call = inputs.call(asked, asked.k, plane, *outputs)
    workspace = _workspace(call.workspace_bytes(device.index or 0), device)
    call.run(_place(workspace))
    if stats is not None and counters is not None:
        verified, scanned = counters.tolist()
        how = inputs.codes if verified or not scanned else "canonical"
        stats |= {"plan": f"kernels, {how}", "verified": verified, "scanned": scanned}
    return values, indices


def within(
    problem: Problem, asked: Asked, plane: Plane | None = None
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Queries, indices and values of all hits, in no order; None where others must do it."""
    if not _limit(problem):
        return None
    device, inputs = problem.device, _Inputs(problem, asked)
    call = inputs.call(asked, 1, plane, 0, 0, 0)
    workspace = _workspace(call.range_bytes(device.index or 0), device)
    capacity = _LEAST_HITS
    while True:
        pairs = torch.empty(capacity, dtype=torch.int64, device=device)
        values = torch.empty(capacity, dtype=problem.score_dtype, device=device)
        count = torch.zeros(1, dtype=torch.int64, device=device)
        call.run_range(
            _place(workspace), pairs.data_ptr(), values.data_ptr(), capacity, count.data_ptr()
        )
        n = int(count)
        if n <= capacity:
            break
        capacity = n
    is_hit = pairs[:n] != -1
    pairs = pairs[:n][is_hit]
    return pairs >> 32, pairs & 0xFFFFFFFF, values[:n][is_hit]


class _Inputs:
    """What kernels read, kept alive as long as they are launched."""

    def __init__(self, problem: Problem, asked: Asked) -> None:
        self.problem = problem
        queries, rows = (
            _stored(side, problem.n_cols) for side in (problem.queries, problem.corpus)
        )
        has_floats = rows.dtype in _FLOATS
        self.queries, self.rows = _contiguous(queries.float() if has_floats else queries), rows
        self.mask = None if asked.mask is None else _contiguous(asked.mask)
        codes = "float16" if has_floats else "bytes"
        self.codes = "bits" if problem.metric == "hamming" else codes

    def call(self, asked: Asked, k: int, plane: Plane | None, *outputs: int) -> Any:
        """The module's search: all addresses in one object."""
        values, indices, counters = outputs
        has_masks = self.mask is not None and self.mask.ndim > 1
        return _module().Search(
            queries=_rows(self.queries),
            corpus=_rows(self.rows),
            plane=0 if plane is None else plane.address,
            metric=_METRICS[self.problem.metric],
            plan=_AUTO,
            k=k,
            mask=_address(self.mask),
            mask_stride=self.mask.stride(0) if self.mask is not None and has_masks else 0,
            self_row=0 if asked.exclude_self else -1,
            threshold=math.nan if asked.threshold is None else asked.threshold,
            values=values,
            indices=indices,
            counters=counters,
        )


def _limit(problem: Problem) -> int:
    """The largest k of a search that kernels do; 0 where they do not."""
    queries, corpus = problem.queries, problem.corpus
    if queries.stored is None or corpus.stored is None or not queries.n_rows:
        return 0
    shape = corpus.n_rows, problem.n_cols
    if not take({queries.dtype, corpus.dtype}, shape, problem.metric):
        return 0
    return most_results(problem.device)


def _stored(rows: Rows, n_cols: int) -> Tensor:
    assert rows.stored is not None
    return _contiguous(rows.stored()[:, :n_cols])


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


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
    """Whether kernels transform such rows."""
    if rows.dtype not in _FLOATS or not rows.numel():
        return False
    fits = len(rows) <= _MOST_ROWS and rows.shape[1] <= _MOST_COLS
    return fits and most_results(rows.device) > 0


def _codes(rows: Tensor, form: Form) -> Tensor:
    _, is_signed, around_zero, _, order = form
    n_bytes = rows.shape[1] if order == "bytes" else -(-rows.shape[1] // 2)
    dtype = torch.int8 if is_signed or around_zero else torch.uint8
    return torch.empty((len(rows), n_bytes), dtype=dtype, device=rows.device)


def _numbered(form: Form) -> tuple[int, bool, bool, int, int]:
    return *form[:3], _ROUNDINGS[form[3]], _ORDERS[form[4]]


def _module() -> Any:
    return _device.kernels()


def _prepare(device: torch.device) -> int:
    module = _module()
    if module is None:
        return 0
    if not module.is_emulated:
        major, minor = torch.cuda.get_device_capability(device)
        if major not in _GENERATIONS:
            _device.report(f"no kernels for compute capability {major}.{minor}")
            return 0
    try:
        module.prepare(device.index or 0)
    except RuntimeError as error:
        _device.report(str(error))
        return 0
    return int(module.most_results(device.index or 0))


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
