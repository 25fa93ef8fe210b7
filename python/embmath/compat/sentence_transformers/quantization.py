"""Embeddings as codes, of unit length, and their leading columns."""

import logging
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import embmath as em

from .inputs import has_gradient

Precision: TypeAlias = Literal["float32", "int8", "uint8", "binary", "ubinary"]
NDArray: TypeAlias = npt.NDArray[Any]

PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")
FEWEST_ROWS = 100  # below which ranges are a guess
_logger = logging.getLogger(__name__)


def quantize_embeddings(
    embeddings: Any,
    precision: Precision,
    ranges: Any = None,
    calibration_embeddings: Any = None,
) -> Any:
    """Embeddings as codes, bit for bit those of sentence-transformers 6.

    Parameters
    ----------
    embeddings : array or Tensor, (n, d), or a list of rows or of matrices
    precision : {"float32", "int8", "uint8", "binary", "ubinary"}
    ranges : array, (2, d), optional
        Minimum and maximum of every dimension, for int8 and uint8.
    calibration_embeddings : array, (m, d), optional
        Rows to take the ranges from. Default: the embeddings.

    Returns
    -------
    array, (n, d) or (n, ceil(d / 8))
        NumPy's, also for Tensors. A list of arrays for a list of matrices, which share their
        ranges.

    Raises
    ------
    ValueError
        For int8 and uint8 codes of a single row without ranges; for another precision.
    TypeError
        For int8 and uint8 embeddings.

    Notes
    -----
    O(n d), at the speed of memory; see :func:`embmath.quantize`.

    Examples
    --------
    >>> quantize_embeddings(np.float32([[0.5, -1.0, 2.0]]), "ubinary")
    array([[160]], dtype=uint8)
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision: unknown {precision!r}, expected: {', '.join(PRECISIONS)}")
    if isinstance(embeddings, list):
        if not embeddings:
            return []
        rows = [as_numpy(each) for each in embeddings]
        if rows[0].ndim == 2:
            return _quantize_matrices(rows, precision, ranges, calibration_embeddings)
        embeddings = np.array(rows)
    array = as_numpy(embeddings)
    if array.dtype in (np.int8, np.uint8):
        raise TypeError(f"embeddings: expected floats, got {array.dtype}, which are codes already")
    if precision == "float32":
        return array.astype(np.float32)
    if precision in ("binary", "ubinary"):
        flat = array.reshape(-1, array.shape[-1])
        codes = as_numpy(em.quantize(flat, precision).data)
        return codes.reshape(*array.shape[:-1], codes.shape[-1])
    if array.ndim == 2 and not len(array):
        return np.zeros(array.shape, precision)
    limits = code_ranges(array, precision, ranges, calibration_embeddings)
    return em.quantize(array, precision, ranges=limits, scope="dim").data


def code_ranges(embeddings: NDArray, precision: str, ranges: Any, calibration: Any) -> NDArray:
    """The ranges given, or those of the calibration rows, or those of the embeddings."""
    if ranges is not None:
        return np.asarray(ranges, np.float32)
    if calibration is None:
        if embeddings.ndim == 1 or len(embeddings) == 1:
            raise ValueError(
                f"ranges: {precision} ranges cannot be taken from a single row "
                "(pass ranges or calibration_embeddings)"
            )
        if len(embeddings) < FEWEST_ROWS:
            _logger.warning(
                "%s ranges are taken from %d rows; ranges or calibration_embeddings of more rows "
                "make better codes.",
                precision,
                len(embeddings),
            )
        calibration = embeddings
    return np.asarray(em.fit_ranges(as_numpy(calibration)))


def _quantize_matrices(
    matrices: list[NDArray], precision: Precision, ranges: Any, calibration: Any
) -> list[Any]:
    is_scalar = precision in ("int8", "uint8")
    if is_scalar and ranges is None:
        rows = np.concatenate(matrices) if calibration is None else as_numpy(calibration)
        ranges = code_ranges(rows, precision, None, calibration) if len(rows) else None
    return [quantize_embeddings(each, precision, ranges, calibration) for each in matrices]


def as_numpy(value: Any) -> NDArray:
    """On the CPU; bfloat16 as float32."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    return np.asarray(value)


def normalize_embeddings(embeddings: Tensor) -> Tensor:
    """Rows of unit length, of the same dtype; zero rows stay zero.

    Parameters
    ----------
    embeddings : Tensor, (..., d)
        Sparse COO tensors stay sparse.

    Returns
    -------
    Tensor
        With gradients. Lengths are float64 sums, so float16 rows do not overflow.

    Raises
    ------
    TypeError
        For arrays that are no tensors, and for integers.

    Examples
    --------
    >>> normalize_embeddings(torch.tensor([3.0, 4.0]))
    tensor([0.6000, 0.8000])
    """
    if not isinstance(embeddings, Tensor):
        raise TypeError(f"embeddings: expected a Tensor, got {type(embeddings).__name__}")
    if embeddings.is_sparse:
        lengths = (embeddings * embeddings).sum(-1).to_dense().sqrt().unsqueeze(-1)
        return embeddings * torch.where(lengths == 0, 0, 1 / lengths)
    rows = embeddings.reshape(-1, embeddings.shape[-1])
    if has_gradient(rows):
        from ... import torch as emt

        return emt.normalize(rows, 1e-12).view(embeddings.shape)
    unit: Tensor = em.normalize(rows, eps=1e-12)
    return unit.view(embeddings.shape)


def truncate_embeddings(embeddings: Any, truncate_dim: int | None) -> Any:
    """The first `truncate_dim` columns as a view, not renormalised; all for None.

    Parameters
    ----------
    embeddings : array or Tensor, (..., d)
    truncate_dim : int or None

    Returns
    -------
    array or Tensor, (..., min(truncate_dim, d))

    Examples
    --------
    >>> truncate_embeddings(np.float32([[3, 4, 12]]), 2)
    array([[3., 4.]], dtype=float32)
    """
    return embeddings[..., :truncate_dim]
