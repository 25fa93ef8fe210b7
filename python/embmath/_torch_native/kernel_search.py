"""Searches by the CUDA module's kernels, for the problems and chips that they are made for."""

import math
from typing import Any

import torch
from torch import Tensor

from . import kernel_device as gpu
from .problem import Asked, Problem
from .tensors import Rows

_METRICS = {"cosine": 0, "dot": 1, "euclidean": 2, "sqeuclidean": 3, "hamming": 5}
_AUTO = 0  # the plan that suits the problem
_LEAST_HITS = 2**16  # of a range search, for which there is room at first
_MOST_BYTES = 33025  # of a row: dot products of more leave int32


class Plane:
    """Codes of a corpus with their certificate, for many searches of these rows by one metric."""

    def __init__(self, rows: Tensor, metric: str) -> None:
        view, number = gpu.view(gpu.contiguous(rows)), _METRICS[metric]
        self._memory = gpu.workspace(gpu.module().plane_bytes(view, number), rows.device)
        gpu.module().make_plane(view, number, gpu.place(self._memory))

    @property
    def address(self) -> int:
        """Where it starts."""
        return gpu.aligned(self._memory)

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self._memory.numel()


def take(dtypes: set[torch.dtype], shape: tuple[int, int], metric: str) -> bool:
    """Whether there are kernels for searches of such rows, by queries of the other dtype."""
    n_rows, n_cols = shape
    if metric not in _METRICS or n_cols == 0 or n_rows > gpu.MOST_ROWS:
        return False
    if metric == "hamming" or dtypes <= set(gpu.FLOATS):
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
    call = inputs.call(asked, asked.k, plane, (values, indices, counters))
    workspace = gpu.workspace(call.workspace_bytes(device.index or 0), device)
    call.run(gpu.place(workspace))
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
    call = inputs.call(asked, 1, plane, (None, None, None))
    workspace = gpu.workspace(call.range_bytes(device.index or 0), device)
    capacity = _LEAST_HITS
    while True:
        pairs = torch.empty(capacity, dtype=torch.int64, device=device)
        values = torch.empty(capacity, dtype=problem.score_dtype, device=device)
        count = torch.zeros(1, dtype=torch.int64, device=device)
        call.run_range(
            gpu.place(workspace), pairs.data_ptr(), values.data_ptr(), capacity, count.data_ptr()
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
        has_floats = rows.dtype in gpu.FLOATS
        self.queries, self.rows = gpu.contiguous(queries.float() if has_floats else queries), rows
        self.mask = None if asked.mask is None else gpu.contiguous(asked.mask)
        codes = "float16" if has_floats else "bytes"
        self.codes = "bits" if problem.metric == "hamming" else codes

    def call(
        self, asked: Asked, k: int, plane: Plane | None, outputs: tuple[Tensor | None, ...]
    ) -> Any:
        """The module's search: all addresses in one object."""
        values, indices, counters = map(_address, outputs)
        return gpu.module().Search(
            queries=gpu.view(self.queries),
            corpus=gpu.view(self.rows),
            plane=0 if plane is None else plane.address,
            metric=_METRICS[self.problem.metric],
            plan=_AUTO,
            k=k,
            mask=_address(self.mask),
            mask_stride=0 if self.mask is None or self.mask.ndim == 1 else self.mask.stride(0),
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
    return gpu.most_results(problem.device)


def _stored(rows: Rows, n_cols: int) -> Tensor:
    assert rows.stored is not None
    return gpu.contiguous(rows.stored()[:, :n_cols])


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()
