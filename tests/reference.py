"""The oracle: the contract of embmath in plain NumPy, float64, written from the contract alone.

It mirrors the public functions one to one, never imports the package, and reproduces the
*canonical score* bit for bit: sixteen strided lanes accumulated in ascending dimension, the lanes
added as a tree, the metric's finish in float64, and one rounding. NumPy never contracts a product
and a sum into an FMA, so products are rounded before the addition wherever that matters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import ml_dtypes
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Face = Literal["search", "similarity", "distance"]

LANES = 16
FLOAT_METRICS = ("cosine", "dot", "euclidean", "sqeuclidean", "manhattan")
BIT_METRICS = ("hamming", "jaccard")
# 33025 * 255 * 255 is the last sum of products that an int32 can hold whatever the rows are.
LAST_INT32_DIMS = 33025
POPCOUNT = np.array([value.bit_count() for value in range(256)], np.int64)
INT_DTYPES = (np.dtype(np.int8), np.dtype(np.uint8))


class TopK(NamedTuple):
    """The k best: values and row indices, best first."""

    values: Array
    indices: Array


class RangeResult(NamedTuple):
    """Hits of all queries, one after another; query i owns offsets[i]:offsets[i + 1]."""

    offsets: Array
    values: Array
    indices: Array


# --- the canonical score ---------------------------------------------------------------------


def lane_sum(a: Array, b: Array, term: Callable[[Array, Array], Array]) -> Array:
    """Sum of ``term(a_j, b_j)`` over the last axis, in the order the contract fixes."""
    shape = np.broadcast_shapes(a.shape[:-1], b.shape[:-1])
    lanes = np.zeros((*shape, LANES), a.dtype)
    for start in range(0, a.shape[-1], LANES):
        part = term(a[..., start : start + LANES], b[..., start : start + LANES])
        lanes[..., : part.shape[-1]] += part
    while lanes.shape[-1] > 1:
        half = lanes.shape[-1] // 2
        lanes = lanes[..., :half] + lanes[..., half:]
    return lanes[..., 0]


def _squared_difference(q: Array, x: Array) -> Array:
    difference = q - x
    return difference * difference


def _cosine(a: Array, b: Array) -> Array:
    dot = lane_sum(a, b, np.multiply) * 1.0
    norms = np.sqrt(lane_sum(a, a, np.multiply)) * np.sqrt(lane_sum(b, b, np.multiply))
    # A row without direction is similar to nothing; a NaN is never hidden behind that rule.
    zero = (norms == 0) & ~np.isnan(dot)
    return np.where(zero, 0.0, np.clip(dot / np.where(zero, 1.0, norms), -1.0, 1.0))


def _jaccard(a: Array, b: Array) -> Array:
    both = lane_sum(a, b, lambda q, x: POPCOUNT[q & x])
    either = lane_sum(a, b, lambda q, x: POPCOUNT[q | x])
    return np.where(either == 0, 0.0, 1.0 - both / np.maximum(either, 1))


RAW: dict[str, Callable[[Array, Array], Array]] = {
    "cosine": _cosine,
    "dot": lambda a, b: lane_sum(a, b, np.multiply),
    "sqeuclidean": lambda a, b: lane_sum(a, b, _squared_difference),
    "euclidean": lambda a, b: np.sqrt(lane_sum(a, b, _squared_difference)),
    "manhattan": lambda a, b: lane_sum(a, b, lambda q, x: np.abs(q - x)),
    "hamming": lambda a, b: lane_sum(a, b, lambda q, x: POPCOUNT[q ^ x]),
    "jaccard": _jaccard,
}


def score_dtype(a: Array, b: Array, metric: str) -> np.dtype[Any]:
    """The dtype of a score; ``a`` and ``b`` already cut to the compared dimensions."""
    if metric in ("hamming", "jaccard"):
        return np.dtype(np.int32 if metric == "hamming" else np.float32)
    if a.dtype in INT_DTYPES and metric not in ("cosine", "euclidean"):
        return np.dtype(np.int32 if a.shape[-1] <= LAST_INT32_DIMS else np.int64)
    return np.dtype(np.float64 if np.float64 in (a.dtype, b.dtype) else np.float32)


def score(a: Array, b: Array, metric: str, face: Face = "search") -> Array:
    """Canonical scores of rows that broadcast against each other, last axis the dimensions."""
    wide = np.int64 if a.dtype in INT_DTYPES else np.float64
    with np.errstate(all="ignore"):
        raw = RAW[metric](a.astype(wide), b.astype(wide))
        if face == "similarity" and metric not in ("cosine", "dot"):
            raw = 0 - raw  # and not -raw: the best similarity is 0.0, never -0.0
        if face == "distance" and metric == "cosine":
            raw = 1.0 - raw
        return raw.astype(score_dtype(a, b, metric))


def rows(x: Any, dims: int | None = None) -> Array:
    """``x`` as a matrix, one row if it was 1-D, cut to its first ``dims`` columns."""
    return np.atleast_2d(np.asarray(x))[:, :dims]


def matrix(a: Any, b: Any, metric: str, face: Face, dims: int | None = None) -> Array:
    """Scores of every row of ``a`` with every row of ``b``, a few rows of ``a`` at a time."""
    a = rows(a, dims)
    b = a if b is None else rows(b, dims)
    step = max(1, 2**16 // (LANES * max(1, len(b))))
    parts = [
        score(a[i : i + step, None], b[None], metric, face) for i in range(0, len(a), step)
    ] or [np.empty((0, len(b)), score_dtype(a, b, metric))]
    return np.concatenate(parts)


# --- the public functions --------------------------------------------------------------------


def similarity(a: Any, b: Any = None, metric: str = "cosine", *, dims: int | None = None) -> Array:
    return matrix(a, b, metric, "similarity", dims)


def distance(a: Any, b: Any = None, metric: str = "euclidean", *, dims: int | None = None) -> Array:
    return matrix(a, b, metric, "distance", dims)


def cosine_similarity(a: Any, b: Any = None) -> Array:
    return similarity(a, b)


def similarity_pairwise(
    a: Any, b: Any, metric: str = "cosine", *, dims: int | None = None
) -> Array:
    return score(rows(a, dims), rows(b, dims), metric, "similarity")


def distance_pairwise(
    a: Any, b: Any, metric: str = "euclidean", *, dims: int | None = None
) -> Array:
    return score(rows(a, dims), rows(b, dims), metric, "distance")


def best_first(scores: Array, metric: str) -> Array:
    """Row numbers by (score, lowest index), NaN last."""
    keys = scores.astype(np.float64)
    return np.argsort(-keys if metric in ("cosine", "dot") else keys, kind="stable")


def missing(dtype: np.dtype[Any], metric: str) -> float | int:
    """What stands where there is no row: NaN, or the worst integer."""
    if dtype.kind == "f":
        return float("nan")
    return int(np.iinfo(dtype).min if metric == "dot" else np.iinfo(dtype).max)


def _keep(scores: Array, metric: str, threshold: float | None) -> Array:
    if threshold is None:
        return np.ones(scores.shape, np.bool_)
    if metric in ("cosine", "dot"):
        return scores.astype(np.float64) >= threshold
    return scores.astype(np.float64) <= threshold


def _candidates(
    queries: Array,
    corpus: Array,
    metric: str,
    mask: Any,
    exclude_self: bool,
    threshold: float | None,
    nan: str,
) -> tuple[Array, list[Array]]:
    """Scores, and for every query the rows it may return, best first."""
    scores = matrix(queries, corpus, metric, "search")
    allowed = _keep(scores, metric, threshold)
    if mask is not None:
        allowed &= np.asarray(mask)
    if exclude_self:
        allowed &= np.arange(scores.shape[1]) != np.arange(len(scores))[:, None]
    bad = np.isnan(queries.astype(np.float64)).any(axis=1)
    if bad.any() and nan == "raise":
        raise ValueError("queries: NaN")
    allowed[bad] = False
    found = [np.flatnonzero(row) for row in allowed]
    return scores, [
        index[best_first(row[index], metric)] for row, index in zip(scores, found, strict=True)
    ]


def _top(scores: Array, chosen: list[Array], columns: int, metric: str) -> TopK:
    values = np.full((len(scores), columns), missing(scores.dtype, metric), scores.dtype)
    indices = np.full((len(scores), columns), -1, np.int64)
    for i, index in enumerate(chosen):
        best = index[:columns]
        values[i, : len(best)] = scores[i, best]
        indices[i, : len(best)] = best
    return TopK(values, indices)


def search(
    queries: Any,
    corpus: Any,
    k: int = 10,
    metric: str = "cosine",
    *,
    dims: int | None = None,
    mask: Any = None,
    exclude_self: bool = False,
    threshold: float | None = None,
    pad: bool = False,
    nan: str = "raise",
) -> TopK:
    q, x = rows(queries, dims), rows(corpus, dims)
    scores, chosen = _candidates(q, x, metric, mask, exclude_self, threshold, nan)
    columns = k if pad else min(k, max(0, len(x) - exclude_self))
    return _top(scores, chosen, columns, metric)


def range_search(
    queries: Any,
    corpus: Any,
    threshold: float,
    metric: str = "cosine",
    *,
    dims: int | None = None,
    mask: Any = None,
    exclude_self: bool = False,
    nan: str = "raise",
) -> RangeResult:
    q, x = rows(queries, dims), rows(corpus, dims)
    scores, chosen = _candidates(q, x, metric, mask, exclude_self, threshold, nan)
    offsets = np.cumsum([0] + [len(index) for index in chosen], dtype=np.int64)
    parts = [row[index] for row, index in zip(scores, chosen, strict=True)]
    return RangeResult(
        offsets,
        np.concatenate([np.empty(0, scores.dtype), *parts]),
        np.concatenate([np.empty(0, np.int64), *chosen]),
    )


def rescore(
    queries: Any,
    corpus: Any,
    candidates: Any,
    k: int,
    metric: str = "cosine",
    *,
    dims: int | None = None,
) -> TopK:
    scores = matrix(queries, corpus, metric, "search", dims)
    chosen = []
    for row, wanted in zip(scores, np.asarray(candidates), strict=True):
        index = np.unique(wanted[wanted >= 0]).astype(np.int64)
        chosen.append(index[best_first(row[index], metric)])
    return _top(scores, chosen, min(k, np.shape(candidates)[1]), metric)


def top_k(x: Any, k: int, /, *, axis: int = -1, mode: str = "largest") -> TopK:
    x = np.asarray(x)
    # ~ reverses the order of integers and, unlike -, of the smallest one too.
    keys = x.astype(np.int64 if x.dtype.kind in "iu" else np.float64)
    if mode == "largest":
        keys = ~keys if keys.dtype == np.int64 else -keys
    order = np.argsort(keys, axis=axis, kind="stable")
    indices = np.take(order, np.arange(min(k, x.shape[axis])), axis=axis).astype(np.int64)
    return TopK(np.take_along_axis(x, indices, axis=axis), indices)


def mmr(
    query: Any, candidates: Any, k: int, lambda_mult: float = 0.5, metric: str = "cosine"
) -> TopK:
    """The definition of maximal marginal relevance: all similarities to all chosen, every time."""
    c = rows(candidates)
    relevance = similarity(query, c, metric)[0]
    values: list[float] = []
    chosen: list[int] = []
    for _ in range(min(k, len(c))):
        best, best_rank, best_value = -1, -np.inf, 0.0
        for i in range(len(c)):
            if i in chosen:
                continue
            value = lambda_mult * float(relevance[i])
            if chosen:
                value -= (1 - lambda_mult) * float(similarity(c[i], c[chosen], metric).max())
            rank = value if chosen else float(relevance[i])
            if rank > best_rank:
                best, best_rank, best_value = i, rank, value
        values.append(best_value)
        chosen.append(best)
    return TopK(np.array(values), np.array(chosen, np.int64))


def _unit_rows(x: Array, eps: float) -> Array:
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        norms = np.maximum(np.sqrt(lane_sum(wide, wide, np.multiply)), eps)[..., None]
        return (wide / np.where(norms == 0, 1.0, norms)).astype(x.dtype)


def normalize(x: Any, *, eps: float = 0.0) -> Array:
    return _unit_rows(np.asarray(x), eps)


def truncate(x: Any, dims: int, *, normalize: bool = True) -> Array:
    part = np.asarray(x)[..., :dims]
    return _unit_rows(part, 0.0) if normalize else part


def pack_bits(x: Any, *, threshold: float = 0.0) -> Array:
    return np.packbits(np.asarray(x).astype(np.float64) > threshold, axis=-1, bitorder="big")


def unpack_bits(codes: Any, dims: int) -> Array:
    return np.unpackbits(np.asarray(codes), axis=-1, bitorder="big")[..., :dims]


# --- codes ------------------------------------------------------------------------------------


def _numbers(x: Array) -> Array:
    """Rows as codes are computed from them: float32, or float64 for float64 rows."""
    return x if x.dtype == np.float64 else x.astype(np.float32)


def _nearest(v: Array) -> Array:
    """To nearest, ties away from zero; |v| - floor(|v|) is exact."""
    size = np.abs(v)
    whole = np.floor(size)
    return np.copysign(whole + (size - whole >= 0.5), v)


def fit_ranges(x: Any, *, quantile: float | None = None, scope: str = "dim") -> Array:
    x = rows(x).astype(np.float64)
    axis = 0 if scope == "dim" else None
    cut = 0.0 if quantile is None else (1 - quantile) / 2
    ends = [np.quantile(x, q, axis=axis) for q in (cut, 1 - cut)]
    return (np.float32(ends) + np.float32(0)).reshape(2, -1)


def grid_steps(ranges: Array, bits: int = 8) -> Array:
    step = (ranges[1] - ranges[0]) / np.float32(2**bits - 1)
    return np.where(step == 0, np.float32(1), step)


def grid_codes(x: Any, ranges: Array, rounding: str, bits: int = 8, signed: bool = False) -> Array:
    """Codes counted from 0 (from -128 if signed) on given ranges."""
    levels = np.float32(2**bits - 1)
    start, span = ranges[0], ranges[1] - ranges[0]
    with np.errstate(all="ignore"):
        step = grid_steps(ranges, bits)
        offset = _numbers(x) - start
        if rounding == "ratio":
            v = offset / np.where(span == 0, np.float32(np.inf), span) * levels
        else:
            v = offset / step
        v = np.where(np.isnan(v), 0, np.clip(v, 0, levels)).astype(v.dtype)
        if rounding == "truncate" and signed:
            w = np.clip(_numbers(x) - start, -np.inf, np.inf) / step - np.float32(128)
            return np.trunc(np.where(np.isnan(w), -128, np.clip(w, -128, 127))).astype(np.int8)
    code = _nearest(v) if rounding == "nearest" else np.floor(v)
    return (code - 128).astype(np.int8) if signed else code.astype(np.uint8)


def row_codes(x: Any, precision: str) -> tuple[Array, Array | None, Array]:
    """Codes, minimum and step of rows with a grid of their own."""
    x = rows(x)
    narrow = x.astype(np.float32)
    if precision != "int8":
        bits = 4 if precision == "int4" else 8
        ranges = np.float32([narrow.min(1, initial=np.inf), narrow.max(1, initial=-np.inf)])
        if not x.shape[1]:
            ranges[:] = 0
        codes = grid_codes(x, ranges[:, :, None], "nearest", bits)
        return codes, ranges[0][:, None] + np.float32(0), grid_steps(ranges, bits)[:, None]
    step = np.abs(narrow).max(1, initial=0, keepdims=True) / np.float32(127)
    step = np.where(step == 0, np.float32(1), step)
    codes = _nearest(np.clip(_numbers(x) / step, -127, 127))
    return codes.astype(np.int8), None, step


def decode(places: Array, step: Array, minimum: Array | float, dtype: Any = np.float32) -> Array:
    """In float64, then float32, then narrower."""
    value = places.astype(np.float64) * np.float64(step) + np.float64(minimum)
    with np.errstate(over="ignore"):
        return (
            value.astype(dtype) if dtype == np.float64 else value.astype(np.float32).astype(dtype)
        )


def pack_int4(x: Any, *, layout: str = "interleaved") -> Array:
    x = np.asarray(x)
    if layout == "split":
        half = x.shape[-1] // 2
        return x[..., :half] << 4 | x[..., half:]
    padded = np.concatenate([x, np.zeros_like(x[..., : x.shape[-1] % 2])], axis=-1)
    return padded[..., ::2] | padded[..., 1::2] << 4


def unpack_int4(codes: Any, dims: int, *, layout: str = "interleaved") -> Array:
    codes = np.asarray(codes)
    if layout == "split":
        return np.concatenate([codes >> 4, codes & 15], axis=-1)
    return np.stack([codes & 15, codes >> 4], -1).reshape(*codes.shape[:-1], 2 * codes.shape[-1])[
        ..., :dims
    ]


# --- comparing -------------------------------------------------------------------------------


def assert_same(actual: Any, expected: Array) -> None:
    """Same dtype, same shape, same bits; one NaN is as good as another."""
    actual = np.asarray(actual)
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    if expected.dtype.kind not in "iub":
        nan = np.isnan(expected)
        np.testing.assert_array_equal(np.isnan(actual), nan)
        actual, expected = np.where(nan, 0, actual), np.where(nan, 0, expected)
        np.testing.assert_array_equal(np.signbit(actual), np.signbit(expected))
    np.testing.assert_array_equal(actual, expected)


# --- rotations ---------------------------------------------------------------------------------


def principal_axes(
    x: Any, *, center: bool = True, normalize: bool = False
) -> tuple[Array, Array, Array]:
    """Mean, axes and variances: singular vectors, which no covariance has rounded."""
    x = np.asarray(x).astype(np.float64)
    if normalize:
        lengths = np.sqrt((x * x).sum(axis=1, keepdims=True))
        x = np.divide(x, lengths, out=np.zeros_like(x), where=lengths > 0)
    mean = x.mean(axis=0) if center else np.zeros(x.shape[1])
    _, singular, axes = np.linalg.svd(x - mean)
    variance = np.zeros(x.shape[1])
    variance[: len(singular)] = singular**2 / len(x)
    return mean, axes, variance


def rotate(x: Any, mean: Array, axes: Array) -> Array:
    """``V (x - mean)`` in float64."""
    return (np.asarray(x).astype(np.float64) - mean) @ axes.astype(np.float64).T


def on_axes(x: Any, axes: Array, mean: Array | None = None) -> tuple[Array, Array]:
    """Float32 coordinates of ``x - mean``, and its squared lengths: column by column in float64."""
    with np.errstate(all="ignore"):
        x = np.asarray(x).astype(np.float32)
        if mean is not None:
            x = (x.astype(np.float64) - mean).astype(np.float32)
        wide, axes = x.astype(np.float64), axes.astype(np.float64)
        y, sq_norm = np.zeros((len(x), len(axes))), np.zeros(len(x))
        for column in range(x.shape[1]):
            y += wide[:, column, None] * axes[:, column]
            sq_norm += wide[:, column] ** 2
        return y.astype(np.float32), sq_norm


def with_rest(x: Any, axes: Array) -> Array:
    """``on_axes``, and in a last column the length of what they do not span."""
    y, sq_norm = on_axes(x, axes)
    spanned = np.zeros(len(y))
    for column in y.T.astype(np.float64):
        spanned += column**2
    rest = np.sqrt(np.maximum(sq_norm - spanned, 0))
    return np.concatenate([y, rest[:, None].astype(np.float32)], axis=1)


def rotated_codes(
    x: Any, axes: Array, mean: Array, n_coded: int, widths: Array, steps: Array, direction: Array
) -> tuple[Array, Array, Array]:
    """Bit planes, scale and offset of rows; ``n_coded`` coordinates, then those without codes."""
    y, sq_row = on_axes(x, axes, mean)
    sums = {name: np.zeros(len(y)) for name in ("length", "gg", "gu", "yu", "gy")}
    for j in range(n_coded):
        sums["length"] += y[:, j].astype(np.float64) ** 2
    with np.errstate(divide="ignore"):
        shrink = np.where(sums["length"] > 0, 1 / np.sqrt(sums["length"]), 0).astype(np.float32)
    planes: list[Array] = []
    u = direction.astype(np.float64)
    for block, (width, step) in enumerate(zip(widths.tolist(), steps, strict=True)):
        half = np.float32(2.0 ** (width - 1))
        words = np.zeros((width, len(y)), np.uint16)
        for j in range(min(16 * block + 16, n_coded) - 1, 16 * block - 1, -1):
            place = y[:, j] * shrink * (np.float32(1) / step) + half
            code = np.clip(place, 0, 2 * half - 1).astype(np.int64)
            point = (code.astype(np.float32) + (np.float32(0.5) - half)) * step
            wide, here = point.astype(np.float64), y[:, j].astype(np.float64)
            sums["gg"] += wide * wide
            sums["gu"] += wide * u[j]
            sums["gy"] += wide * here
            sums["yu"] += here * u[j]
            for p in range(width):
                words[p] |= ((code >> p & 1) << (j % 16)).astype(np.uint16)
        planes.extend(words)
    for j in range(n_coded, len(axes)):
        sums["yu"] += y[:, j].astype(np.float64) * u[j]
    scale, offset = _row_numbers(sums, sq_row, u, mean)
    is_zero = ~np.asarray(x).astype(np.float32).any(axis=1)
    scale[is_zero] = offset[is_zero] = 0
    data = np.stack(planes, axis=1).astype("<u2").view(np.uint8) if len(y) else None
    return np.zeros((0, 2 * int(widths.sum())), np.uint8) if data is None else data, scale, offset


def _row_numbers(
    sums: dict[str, Array], sq_row: Array, u: Array, mean: Array
) -> tuple[Array, Array]:
    sq_u = sum((value * value for value in u.tolist()), 0.0)
    inverse = 1 / sq_u if sq_u else 0.0
    sq_grid = sums["gg"] - sums["gu"] * sums["gu"] * inverse
    sq_rest = sq_row - sums["yu"] * sums["yu"] * inverse
    agrees = sums["gy"] - sums["gu"] * sums["yu"] * inverse > 0
    is_scaled = agrees & (sq_rest > 0) & (sq_grid > 2.0**-40 * sums["gg"])
    with np.errstate(all="ignore"):
        scale = np.where(is_scaled, np.sqrt(sq_rest / sq_grid), 0).astype(np.float32)
    if not sq_u:
        return scale[:, None], np.zeros_like(scale)[:, None]
    length = np.sqrt(sum((value * value for value in mean.tolist()), 0.0))
    offset = (sums["yu"] - scale.astype(np.float64) * sums["gu"]) * inverse + length
    return scale[:, None], offset.astype(np.float32)[:, None]


def rotated_coordinates(
    data: Array, scale: Array, offset: Array, widths: Array, steps: Array, direction: Array
) -> Array:
    """What codes stand for on their axes, as searches see it: ``direction`` has every column."""
    out = offset * direction
    bits = (data.view("<u2")[:, :, None] >> np.arange(16) & 1).astype(np.float32)
    first = 0
    for block, (width, step) in enumerate(zip(widths.tolist(), steps, strict=True)):
        weights = np.float32(2.0) ** np.arange(width, dtype=np.float32)
        points = (bits[:, first : first + width] * weights[:, None]).sum(axis=1)
        points += np.float32(0.5 - 2.0 ** (width - 1))
        columns = slice(16 * block, min(16 * block + 16, out.shape[1]))
        out[:, columns] += (points * step * scale)[:, : columns.stop - columns.start]
        first += width
    return out


def assert_all_same(actual: Any, expected: tuple[Array, ...]) -> None:
    """``assert_same`` for results of several arrays, by field name."""
    for name, wanted in zip(expected._fields, expected, strict=True):  # type: ignore[attr-defined]
        assert_same(getattr(actual, name), wanted)


def assert_one_ulp(actual: Any, expected: Array) -> None:
    """Same dtype, same shape, values at most one unit in the last place of their dtype apart."""
    actual = np.asarray(actual)
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    info = ml_dtypes.finfo(expected.dtype)
    actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    step = float(info.eps) * np.abs(expected) + float(info.smallest_subnormal)
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite])
    assert (np.abs(actual - expected)[finite] <= step[finite]).all()


def assert_within_bound(
    actual: Any, expected: Array, a: Any, b: Any, metric: str, dims: int | None = None
) -> None:
    """A float32 matrix lies within the documented bound of the canonical scores."""
    actual = np.asarray(actual)
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    a, b = rows(a, dims), rows(a if b is None else b, dims)
    growth = (a.shape[1] + 16) * 2.0**-24
    if metric == "cosine":
        bound: Any = growth
    elif metric == "dot":
        norms = (np.linalg.norm(x.astype(np.float64), axis=1) for x in (a, b))
        with np.errstate(invalid="ignore"):  # 0 * inf beside an entry that is not finite itself
            bound = growth * np.outer(*norms)
    else:
        bound = 2 * growth * np.abs(expected.astype(np.float64))
    underflow = (a.shape[1] + 1) * float(np.finfo(np.float32).tiny)
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite])
    with np.errstate(invalid="ignore"):
        error = np.abs(actual.astype(np.float64) - expected.astype(np.float64))
    assert (error <= bound + underflow)[finite].all()
