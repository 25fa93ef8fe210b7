"""Numbers into codes, and the ranges that codes are laid over."""

from dataclasses import replace
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from . import _arguments, _arrays, _core, _device, _grids, _rotated
from ._codes import Codes
from ._precisions import FLIPS, FLOATS, PRECISIONS
from ._rotation import Rotation, fit_rotation, random_rotation, sample_mean
from ._types import Array, Layout, Precision, Progress, Rounding, Scope, Signedness


def quantize(
    x: Array,
    precision: Precision,
    *,
    ranges: Array | None = None,
    calibration: Array | None = None,
    scope: Scope | None = None,
    rounding: Rounding | None = None,
    quantile: float | None = None,
    bits: float | None = None,
    rotation: Rotation | None = None,
    layout: Layout = "interleaved",
    signedness: Signedness | None = None,
    threshold: Literal["gt", "ge"] = "gt",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Codes:
    """Rows as codes of a fraction of a bit to 16 bits per dimension.

    Without further arguments every row has a grid of its own ("int8": ``code * step`` with step =
    max|x| / 127): nothing to calibrate, codes of a row that do not depend on other rows, and the
    least error. With `ranges`, `calibration` or ``scope="dim"`` the result is, bit for bit, that of
    ``sentence_transformers.quantize_embeddings``.

    Parameters
    ----------
    x : array, (n, d) or (d,)
        float16, bfloat16, float32 or float64.
    precision : str
        "int8", "uint8", "int4", "float16", "bfloat16". "binary" and "ubinary": one bit per
        dimension, most significant first, as int8 and uint8. "pca": coordinates on principal axes,
        each block of 16 with as many bits as it deserves [1]_: the most accurate codes there are
        here for up to 4 bits per dimension. "rabitq": the same bits for all coordinates after a
        random rotation [2]_, without training. Both keep a row's length and its component along
        the mean, in eight bytes per row.
    ranges : array, (2, d), (2, 1) or (2,), optional
        Minimum and maximum, per dimension or of all, that the codes are spread over; what lies
        outside gets the first or the last code, NaN the first.
    calibration : array, (m, d), optional
        Rows to take the ranges from, by :func:`fit_ranges`.
    scope : {"row", "dim", "global"}, optional
        What has a grid of its own. Default: "row"; with ranges or calibration rows "dim", or what
        the shape of `ranges` says. Without either, "dim" and "global" take the ranges of `x`
        itself: then codes of different calls do not compare.
    rounding : {"nearest", "floor", "truncate", "ratio"}, optional
        With v = (x - minimum) / step and step = (maximum - minimum) / (2**bits - 1), in float32
        (float64 for float64 rows):

        - "nearest": v to nearest, ties away from zero (default for scope "row"; Qdrant);
        - "floor": v rounded down (default otherwise; sentence-transformers 6);
        - "truncate": int8 codes are v - 128 towards zero (sentence-transformers 5);
        - "ratio": (x - minimum) / (maximum - minimum) * (2**bits - 1), rounded down (FAISS).
    quantile : float, optional
        Take ranges from this central share of the calibration rows: 0.99 cuts 0.5 % at either end.
    bits : float, optional
        "pca": per dimension on average, above 0 and up to 8 (default 2). "rabitq": 1 (default) to
        8. "uint8": 8 (default) or 7, codes from 0 to 127 (Qdrant).
    rotation : Rotation, optional
        Of "pca" and "rabitq". Default: :func:`fit_rotation` of x, or :func:`random_rotation` about
        the mean of x. Codes of different calls compare, and more rows join others, with one and the
        same: ``codes.rotation``.
    layout : {"interleaved", "split"}
        Of int4, see :func:`pack_int4`.
    signedness : {"none", "offset", "twos_complement"}, optional
        How the bytes of "binary" become int8: "offset" subtracts 128 (default;
        sentence-transformers, Cohere, Voyage), "twos_complement" keeps the bits (Vespa); "none":
        uint8.
    threshold : {"gt", "ge"}
        A bit is set where x > 0 (default), or where x >= 0 (vLLM). NaN gives 0.
    threads : int, optional
    progress : callable, optional
        Called with the fraction done, some thirty times a second, from the calling thread.

    Returns
    -------
    Codes

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed; for rows without finite range (scope
        "row", "pca", "rabitq"), NaN or infinity among the rows that ranges are taken from.

    Notes
    -----
    O(n d), limited by memory bandwidth; "pca" and "rabitq" O(n d^2) float64 multiplications. The
    same codes on every instruction set. 16-bit floats are rounded once, to nearest, ties to even.

    References
    ----------
    .. [1] J. Huang, P. Schultheiss, "Block quantization of correlated Gaussian random variables",
       1963.
    .. [2] J. Gao, C. Long, "RaBitQ: quantizing high-dimensional vectors with a theoretical error
       bound for approximate nearest neighbor search", 2024.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.float32([[1, -0.5], [0, 2]])
    >>> em.quantize(x, "int8").data
    array([[127, -64],
           [  0, 127]], dtype=int8)
    >>> em.quantize(x, "uint8", ranges=[[0, -1], [2, 2]]).data
    array([[127,  42],
           [  0, 255]], dtype=uint8)
    >>> em.quantize(x, "ubinary").data
    array([[128],
           [ 64]], dtype=uint8)
    >>> rows = np.random.default_rng(0).standard_normal((1000, 64), dtype=np.float32)
    >>> em.quantize(rows, "pca", bits=2)
    <embmath.Codes: 1000 rows x 64, pca, 2 bits, 24000 bytes, rotation 33792 bytes>
    """
    name = _arguments.choice("precision", precision, tuple(PRECISIONS))
    kind = PRECISIONS[name].kind
    given = {"ranges": ranges, "calibration": calibration, "scope": scope}
    given |= {"rounding": rounding, "quantile": quantile}
    if kind != "scalar":
        _grids.reject_given(name, given)
    how = _arguments.choice("threshold", threshold, ("gt", "ge"))
    if kind != "bits" and how != "gt":
        raise ValueError(f"threshold: means nothing for {name}, got {how!r}")
    if _arrays.is_on_device(x):
        _grids.reject_rotated("x", name)
        _grids.reject_given(name, {"rotation": rotation})
        stored = {"bits": bits, "layout": layout, "signedness": signedness}
        options = given | stored | {"threshold": how}
        return cast(Codes, _device.backend().quantize(x, name, options))
    source = _arrays.read("x", x, allowed=FLOATS)
    rows = _arrays.as_rows(source)
    report = _arguments.progress(progress)
    workers = _arguments.threads(threads)
    if kind == "rotated":
        _grids.check_layout(name, layout, rows.n_cols)
        _grids.check_signedness(name, signedness)
        return _quantize_rotated(precision, source, rows, bits, rotation, workers, report)
    _grids.reject_given(name, {"rotation": rotation})
    signs = _grids.check_signedness(name, signedness)
    width = _grids.check_bits(name, bits)
    order = _grids.check_layout(name, layout, rows.n_cols)
    empty = Codes(None, rows.n_cols, precision, bits=width, layout=order, signedness=signs)
    codes = _on_grids(empty, source, rows, given, how, workers)
    if report is not None:
        report(1.0)
    return codes


def _on_grids(
    empty: Codes,
    source: _arrays.Input,
    rows: _arrays.Input,
    given: dict[str, Any],
    how: str,
    workers: int,
) -> Codes:
    """Codes of a precision that takes one pass, at the speed of memory."""
    name, rounding = empty.precision, given["rounding"]
    kind = PRECISIONS[name].kind
    if kind == "bits":
        return _pack(empty, source, rows, how, workers)
    if kind == "float":
        target = _arrays.allocate_rows((rows.n_rows, rows.n_cols), name)
        _core.convert(rows.typed, name, workers, target)
        data = _arrays.wrap_as(source, target.reshape(source.array.shape), name)
        return replace(empty, data=data)
    limits, found = _limits(rows, given, workers)
    default = "nearest" if found == "row" else "floor"
    rule = (
        default if rounding is None else _arguments.choice("rounding", rounding, _grids.ROUNDINGS)
    )
    codes = replace(empty, scope=found, rounding=rule)  # type: ignore[arg-type]
    if limits is None:
        return _quantize_rows(codes, source, rows, workers)
    form = _grids.code_format(name, empty.bits, False, rule, empty.layout)
    target = _target(codes, rows)
    _core.quantize(rows.typed, limits, form, workers, target)
    grid = _grids.ranges_grid(limits, found, form[0], source)
    return replace(codes, data=_shaped(source, target), **grid)


def fit_ranges(
    x: Array,
    *,
    quantile: float | None = None,
    scope: Literal["dim", "global"] = "dim",
    threads: int | None = None,
) -> Array:
    """Minimum and maximum of every dimension, or of all numbers: what codes are spread over.

    Parameters
    ----------
    x : array, (n, d)
        float16, bfloat16, float32 or float64; at least one row.
    quantile : float, optional
        The central share to cover, above 0 and up to 1: 0.99 leaves out 0.5 % at either end, which
        outliers would otherwise decide.
    scope : {"dim", "global"}
    threads : int, optional

    Returns
    -------
    array of float32, (2, d) or (2, 1)

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed; for NaN and infinity.

    Notes
    -----
    O(n d). Quantiles are those of :func:`numpy.quantile`, interpolated linearly in float64; they
    take 16 n float32 numbers per thread (scope "global": n d).

    Examples
    --------
    >>> import numpy as np
    >>> em.fit_ranges(np.float32([[1, -0.5], [0, 2]]))
    array([[ 0. , -0.5],
           [ 1. ,  2. ]], dtype=float32)
    """
    found = _arguments.choice("scope", scope, ("dim", "global"))
    workers = _arguments.threads(threads)
    if _arrays.is_on_device(x):
        return _device.backend().fit_ranges(x, quantile, found)
    source = _arrays.read("x", x, allowed=FLOATS)
    ranges = _fit(_arrays.as_rows(source), _grids.read_share(quantile), found, workers)
    return source.wrap(ranges)


def _fit(
    rows: _arrays.Input, share: float | None, scope: str, workers: int
) -> npt.NDArray[np.float32]:
    if rows.n_rows == 0:
        raise ValueError(f"{rows.name}: expected at least one row to take ranges from, got none")
    if share is not None:
        n_columns = rows.n_cols if scope == "global" else 16
        _core.require_memory(4 * rows.n_rows * n_columns, "copies of columns to sort")
    ranges = np.zeros((2, rows.n_cols if scope == "dim" else 1), np.float32)
    if rows.n_cols:
        _core.fit_ranges(rows.typed, share, scope, workers, ranges)
    return ranges


def _limits(
    rows: _arrays.Input, given: dict[str, Any], workers: int
) -> tuple[npt.NDArray[np.float32] | None, Any]:
    """The ranges to quantize on, None where every row has its own; and the scope."""
    ranges, calibration = given["ranges"], given["calibration"]
    share = _grids.read_share(given["quantile"])
    scope = _grids.asked_scope(ranges, calibration, share, given["scope"])
    if ranges is not None:
        limits = _grids.read_ranges(ranges, rows.n_cols)
        return limits, _grids.on_ranges(limits, rows.n_cols, scope)
    if scope == "row":
        return None, scope
    if calibration is None:
        if rows.n_rows == 0:
            return np.zeros((2, rows.n_cols if scope == "dim" else 1), np.float32), scope
        if rows.n_rows == 1 and scope == "dim":
            raise ValueError("x: one row has no range per dimension (pass ranges or calibration)")
        return _fit(rows, share, scope, workers), scope
    sample = _arrays.matrix("calibration", calibration, allowed=FLOATS)
    if sample.n_cols != rows.n_cols:
        raise ValueError(f"calibration: expected {rows.n_cols} columns like x, got {sample.n_cols}")
    return _fit(sample, share, scope, workers), scope


def _quantize_rows(codes: Codes, source: _arrays.Input, rows: _arrays.Input, workers: int) -> Codes:
    around_zero = codes.precision == "int8"
    if around_zero and codes.rounding != "nearest":
        raise ValueError(
            f"rounding: must be 'nearest' for int8 codes around 0 (scope 'row'), "
            f"got {codes.rounding!r}"
        )
    step = np.empty(rows.n_rows, np.float32)
    minimum = None if around_zero else np.empty_like(step)
    target = _target(codes, rows)
    form = _grids.code_format(
        codes.precision, codes.bits, around_zero, codes.rounding, codes.layout
    )
    _core.quantize_rows(rows.typed, form, workers, target, minimum, step)
    shape = (*source.array.shape[:-1], 1)
    return replace(
        codes,
        data=_shaped(source, target),
        step=source.wrap(step.reshape(shape)),
        minimum=None if minimum is None else source.wrap(minimum.reshape(shape)),
    )


def _quantize_rotated(
    precision: Precision,
    source: _arrays.Input,
    rows: _arrays.Input,
    bits: object,
    rotation: Rotation | None,
    workers: int,
    report: Progress | None,
) -> Codes:
    if rotation is None:
        rotation = _default_rotation(precision, rows)
    elif not isinstance(rotation, Rotation):
        raise TypeError(f"rotation: expected a Rotation, got {type(rotation).__name__}")
    if rotation.d != rows.n_cols:
        raise ValueError(f"rotation: expected one of {rows.n_cols} columns, got {rotation.d}")
    make = _rotated.fitted_grid if precision == "pca" else _rotated.even_grid
    grid = make(rotation, bits)
    data = _arrays.allocate((rows.n_rows, grid.row_bytes), np.uint8)
    step, offset = (np.empty((rows.n_rows, 1), np.float32) for _ in range(2))
    _core.quantize_rotated(
        rows.typed, grid.axes, rotation.mean, grid.coding, workers, report, data, step, offset
    )
    if report is not None:
        report(1.0)
    shaped = {"step": _shaped(source, step), "offset": _shaped(source, offset)}
    return Codes(_shaped(source, data), rows.n_cols, precision, scope="row", grid=grid, **shaped)


def _default_rotation(precision: str, rows: _arrays.Input) -> Rotation:
    if rows.n_cols == 0:
        raise ValueError(f"x: expected at least one column for {precision}, got none")
    array = _arrays.as_embeddings(rows.array, rows.dtype)
    if precision == "pca":
        return fit_rotation(array)
    return random_rotation(rows.n_cols, mean=sample_mean(array))


def _pack(
    codes: Codes, source: _arrays.Input, rows: _arrays.Input, threshold: str, workers: int
) -> Codes:
    # A number is at least 0 exactly if it is above the largest number below 0.
    limit = 0.0 if threshold == "gt" else -float(np.nextafter(np.float64(0), np.float64(1)))
    dtype = np.uint8 if codes.signedness == "none" else np.int8
    target = _arrays.allocate((rows.n_rows, PRECISIONS[codes.precision].width(codes.dim)), dtype)
    _core.pack_bits(rows.typed, limit, FLIPS[codes.signedness], workers, target)
    return replace(codes, data=_shaped(source, target))


def _target(codes: Codes, rows: _arrays.Input) -> npt.NDArray[Any]:
    kind = PRECISIONS[codes.precision]
    return _arrays.allocate((rows.n_rows, kind.width(codes.dim)), np.dtype(kind.dtypes[0]))


def _shaped(source: _arrays.Input, target: npt.NDArray[Any]) -> Array:
    """One row for one row."""
    return source.wrap(target if source.array.ndim == 2 else target[0])
