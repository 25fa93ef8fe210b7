"""The public functions for tensors on a device; scalar arguments were checked by them."""

from typing import Any

import torch
from torch import Tensor

from .. import _arguments, _grids
from .._codes import Codes
from .._types import (
    ApproximateRangeResult,
    ApproximateTopK,
    Coded,
    RangeResult,
    TopK,
)
from . import codes as _codes
from . import kernel_codes, tensors
from . import matrix as _matrix
from . import order as _order
from . import ranges as _ranges
from . import search as _search
from . import transform as _transform
from .eager import eager
from .kernel_search import Plane
from .problem import Asked, Problem
from .tensors import BIT_METRICS, Rows


@eager
def search(
    queries: Any,
    corpus: Any,
    k: int,
    metric: str,
    *,
    dims: Any,
    mask: Any,
    is_padded: bool,
    asked: _arguments.Search,
    out: Any,
    plane: Plane | None = None,
) -> TopK:
    """See embmath.search; `plane`: codes of the corpus, where an index keeps them."""
    problem, memory = _problem(queries, corpus, metric, dims)
    n_queries, n_rows = problem.queries.n_rows, problem.corpus.n_rows
    available = max(n_rows - asked.options["exclude_self"], 0)
    columns = min(k, available)
    wanted = k if is_padded else columns
    permitted = tensors.row_mask(mask, n_queries, n_rows, problem.device)
    dtypes = problem.score_dtype, torch.int64
    inputs = [*memory, *([] if permitted is None else [permitted])]
    targets = tensors.outputs(out, (n_queries, wanted), dtypes, inputs)
    todo = _asked(problem, columns, permitted, asked)
    values, indices = _search.top(problem, todo, asked.stats, plane)
    if wanted > columns:
        worst = _order.missing(problem.score_dtype, problem.largest)
        pad = torch.nn.functional.pad
        values = pad(values, (0, wanted - columns), value=worst)
        indices = pad(indices, (0, wanted - columns), value=-1)
    asked.finish()
    kind = ApproximateTopK if _is_approximate(corpus, metric) else TopK
    if targets is not None:
        targets[0].copy_(values)
        targets[1].copy_(indices)
        return kind(*targets)
    return kind(values, indices)


@eager
def range_search(
    queries: Any,
    corpus: Any,
    metric: str,
    *,
    dims: Any,
    mask: Any,
    asked: _arguments.Search,
    plane: Plane | None = None,
) -> RangeResult:
    """See embmath.range_search; `plane`: codes of the corpus, where an index keeps them."""
    problem, _ = _problem(queries, corpus, metric, dims)
    n_queries, n_rows = problem.queries.n_rows, problem.corpus.n_rows
    permitted = tensors.row_mask(mask, n_queries, n_rows, problem.device)
    found = _search.within(problem, _asked(problem, None, permitted, asked), plane)
    asked.finish()
    kind = ApproximateRangeResult if _is_approximate(corpus, metric) else RangeResult
    return kind(*found)


@eager
def rescore(queries: Any, corpus: Any, candidates: Any, k: int, metric: str, dims: Any) -> TopK:
    """See embmath.rescore."""
    problem, _ = _problem(queries, corpus, metric, dims)
    n_queries, n_rows = problem.queries.n_rows, problem.corpus.n_rows
    listed = tensors.matrix(
        "candidates", candidates, ("int32", "int64"), problem.device, "queries"
    ).to(torch.int64)
    if len(listed) != n_queries:
        raise ValueError(f"candidates: expected {n_queries} rows like queries, got {len(listed)}")
    is_wrong = (listed < -1) | (listed >= n_rows)
    if bool(is_wrong.any()):
        raise ValueError(
            f"candidates: must be rows of the corpus, below {n_rows}, or -1 for none, "
            f"got {int(listed[is_wrong][0])}"
        )
    _search.check_nan(problem)
    columns = min(k, listed.shape[1])
    found = _order.Best(n_queries, columns, problem.score_dtype, problem.largest, problem.device)
    sorted_ = listed.sort(1).values
    is_new = sorted_ >= 0
    is_new[:, 1:] &= sorted_[:, 1:] != sorted_[:, :-1]
    query, place = is_new.nonzero(as_tuple=True)
    index = sorted_[query, place]
    found.add(query, index, problem.verify(query, index))
    kind = ApproximateTopK if _is_approximate(corpus, metric) else TopK
    return kind(found.values, found.indices)


@eager
def score_matrix(a: Any, b: Any, metric: str, dims: Any, is_distance: bool, out: Any) -> Tensor:
    """See embmath.similarity and embmath.distance."""
    problem, memory = _problem(a, a if b is None else b, metric, dims, ("a", "b"))
    shape = problem.queries.n_rows, problem.corpus.n_rows
    targets = tensors.outputs(out, shape, (problem.score_dtype,), memory)
    target = targets[0] if targets is not None else _empty(problem, shape)
    _matrix.matrix(problem, is_distance, target)
    return target


@eager
def score_pairs(a: Any, b: Any, metric: str, dims: Any, is_distance: bool, out: Any) -> Tensor:
    """See embmath.similarity_pairwise and embmath.distance_pairwise."""
    problem, memory = _problem(a, b, metric, dims, ("a", "b"))
    shape = (problem.queries.n_rows,)
    if shape[0] != problem.corpus.n_rows:
        raise ValueError(f"b: expected {shape[0]} rows like a, got {problem.corpus.n_rows}")
    targets = tensors.outputs(out, shape, (problem.score_dtype,), memory)
    found = _matrix.pairs(problem, is_distance)
    return found if targets is None else targets[0].copy_(found)


@eager
def top_k(x: Any, k: int, axis: Any, largest: bool) -> TopK:
    """See embmath.top_k."""
    source = tensors.read("x", x, tensors.SCORE_DTYPES)
    if source.ndim == 0:
        raise ValueError("x: expected at least 1 dimension, got 0")
    position = _arguments.integer("axis", axis, at_least=-source.ndim)
    if position >= source.ndim:
        raise ValueError(
            f"axis: must be below the number of dimensions, {source.ndim}, got {position}"
        )
    return TopK(*_transform.top_k(source, k, position, largest))


@eager
def normalize(x: Any, eps: float, out: Any) -> Tensor:
    """See embmath.normalize."""
    source = tensors.read("x", x, tensors.FLOATS)
    targets = tensors.outputs(out, tuple(source.shape), (source.dtype,), (source,))
    found = _transform.normalize("x", source, None, eps)
    return found if targets is None else targets[0].copy_(found)


@eager
def truncate(x: Any, dims: int, is_normalized: bool) -> Tensor:
    """See embmath.truncate."""
    source = tensors.read("x", x, tensors.FLOATS)
    widest = tensors.as_rows("x", source).shape[1]
    if dims > widest:
        raise ValueError(f"dims: must be between 1 and {widest}, got {dims}")
    if is_normalized:
        return _transform.normalize("x", source, dims, 0.0)
    return source[..., :dims].clone(memory_format=torch.contiguous_format)


@eager
def quantize(x: Any, precision: str, options: dict[str, Any]) -> Codes:
    """See embmath.quantize."""
    return _codes.quantize(x, precision, **options)


@eager
def codes_from_data(
    data: Any, precision: str, dim: Any, grid: dict[str, Any], form: dict[str, Any]
) -> Codes:
    """See embmath.Codes.from_data."""
    return _codes.from_data(data, precision, dim, grid, form)


@eager
def fit_ranges(x: Any, quantile: Any, scope: str) -> Tensor:
    """See embmath.fit_ranges."""
    rows = tensors.matrix("x", x, tensors.FLOATS)
    return _ranges.fit(rows, "x", _grids.read_share(quantile), scope)


@eager
def dequantize(codes: Codes, dtype: str, center: bool, out: Any) -> Tensor:
    """See embmath.dequantize."""
    found = _codes.dequantize(codes, dtype, center)
    targets = tensors.outputs(out, tuple(found.shape), (found.dtype,), (codes.data,))
    return found if targets is None else targets[0].copy_(found)


@eager
def pack_bits(x: Any, threshold: float) -> Tensor:
    """See embmath.pack_bits."""
    source = tensors.read("x", x)
    packed = kernel_codes.pack_bits(tensors.as_rows("x", source), threshold, 0)
    if packed is None:
        return _codes.pack(source.double() > threshold)
    return packed.reshape(*source.shape[:-1], packed.shape[1])


@eager
def unpack_bits(codes: Any, n_cols: int) -> Tensor:
    """See embmath.unpack_bits."""
    return tensors.unpack(_packed(codes, n_cols, 8))[..., :n_cols].contiguous()


@eager
def pack_int4(x: Any, layout: str) -> Tensor:
    """See embmath.pack_int4."""
    source = tensors.read("x", x, ("uint8",))
    n_cols = tensors.as_rows("x", source).shape[1]
    if layout == "split" and n_cols % 2:
        raise ValueError(f"layout: 'split' takes an even number of dimensions, got {n_cols}")
    if bool((source > 15).any()):
        raise ValueError(f"x: expected codes from 0 to 15, got {int(source.max())}")
    return _codes.pack_nibbles(source, layout)


@eager
def unpack_int4(codes: Any, n_cols: int, layout: str) -> Tensor:
    """See embmath.unpack_int4."""
    source = _packed(codes, n_cols, 2)
    if layout == "split" and n_cols != 2 * source.shape[-1]:
        raise ValueError(f"dims: must be {2 * source.shape[-1]} in layout 'split', got {n_cols}")
    return _codes.unpack_nibbles(source, n_cols, layout).contiguous()


def _packed(codes: Any, n_cols: int, per_byte: int) -> Tensor:
    source = tensors.read("codes", codes, ("uint8",))
    widest = per_byte * tensors.as_rows("codes", source).shape[1]
    if n_cols > widest:
        raise ValueError(f"dims: must be between 1 and {widest}, got {n_cols}")
    return source


def _problem(
    a: Any, b: Any, metric: str, dims: Any, names: tuple[str, str] = ("queries", "corpus")
) -> tuple[Problem, list[Tensor]]:
    """Both sides, checked; and their memory."""
    first = next(value for value in (a, b) if isinstance(_data(value), Tensor))
    device, like = _data(first).device, names[0 if first is a else 1]
    rows, memory = [], []
    for name, value in zip(names, (a, b), strict=True):
        if isinstance(value, Coded):
            tensors.read(name, value.data, (*tensors.EMBEDDING_DTYPES, "uint16"), device, like)
            rows.append(_codes.rows_of_codes(name, value, metric))
        else:
            found = tensors.matrix(name, value, tensors.EMBEDDING_DTYPES, device, like)
            rows.append(tensors.rows_of(name, found, metric))
        memory.append(_data(value))
    _check_bits(rows, (a, b), metric)
    prefix = None if dims is None else _arguments.integer("dims", dims, at_least=1)
    n_cols = tensors.common(rows[0], rows[1], prefix, metric)
    return Problem(rows[0], rows[1], n_cols, metric), memory


def _check_bits(rows: list[Rows], values: tuple[Any, Any], metric: str) -> None:
    has_codes = any(isinstance(value, Coded) for value in values)
    for side in rows:
        if metric in BIT_METRICS and has_codes and side.dtype != torch.uint8:
            raise TypeError(
                f"{side.name}: metric {metric!r} takes packed bits (uint8) or binary codes, "
                f"got {tensors.dtype_name(side.dtype)}"
            )


def _data(value: Any) -> Any:
    return value.data if isinstance(value, Coded) else value


def _empty(problem: Problem, shape: tuple[int, ...]) -> Tensor:
    return torch.empty(shape, dtype=problem.score_dtype, device=problem.device)


def _asked(problem: Problem, k: int | None, mask: Tensor | None, asked: _arguments.Search) -> Asked:
    options = asked.options
    chosen = {name: options[name] for name in ("exclude_self", "threshold", "reject_nan")}
    n_queries, n_rows = problem.queries.n_rows, problem.corpus.n_rows
    if options["exclude_self"] and n_queries > n_rows:
        raise ValueError(
            f"exclude_self: query i is row i of the corpus, got {n_queries} queries "
            f"and {n_rows} rows"
        )
    return Asked(k, mask, **chosen, progress=options["progress"])


def _is_approximate(corpus: object, metric: str) -> bool:
    """Codes are all there is to bits, and stand for more otherwise."""
    return isinstance(corpus, Coded) and metric not in BIT_METRICS
