"""Similarity of all rows with all rows, and of row i with row i, as tensors."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

import embmath as em

from ..._types import SimilarityMetric
from .inputs import Rows, has_gradient, is_wide, read, read_rows, to_tensor


def cos_sim(a: Any, b: Any) -> Tensor:
    """Cosine of every row of `a` with every row of `b`.

    Parameters
    ----------
    a : list, array or Tensor, (m, d) or (d,)
    b : list, array or Tensor, (n, d) or (d,)

    Returns
    -------
    Tensor, (m, n)
        float32, float64 if either input is; on the inputs' device, with gradients. int8 and uint8
        rows have cosines too, and rows however short or long: only zero rows have 0.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(m n d).

    Examples
    --------
    >>> cos_sim([[3.0, 4.0], [0.0, 2.0]], [6.0, 8.0])
    tensor([[1.0000],
            [0.8000]])
    """
    return _matrix(a, b, "cosine")


def pytorch_cos_sim(a: Any, b: Any) -> Tensor:
    """:func:`cos_sim` by its old name."""
    return cos_sim(a, b)


def dot_score(a: Any, b: Any) -> Tensor:
    """Dot product of every row of `a` with every row of `b`.

    As :func:`cos_sim`; int8 and uint8 rows give exact int32, where sentence-transformers wraps
    around at 8 bits.

    Examples
    --------
    >>> dot_score(torch.tensor([[100, 100]], dtype=torch.int8), torch.tensor([[90, 90]]).char())
    tensor([[18000]], dtype=torch.int32)
    """
    left, right = read_rows(a), read_rows(b)
    if is_wide(left) and is_wide(right):
        return torch.mm(to_tensor(left), to_tensor(right).T)
    return _matrix(left, right, "dot")


def euclidean_sim(a: Any, b: Any) -> Tensor:
    """Negative Euclidean distance of every row of `a` to every row of `b`.

    As :func:`cos_sim`; computed from differences, so that near-duplicates keep their distance.

    Examples
    --------
    >>> euclidean_sim([[0.0, 0.0]], [[3.0, 4.0]])
    tensor([[-5.]])
    """
    return _matrix(a, b, "euclidean")


def manhattan_sim(a: Any, b: Any) -> Tensor:
    """Negative Manhattan distance of every row of `a` to every row of `b`; as :func:`cos_sim`.

    Examples
    --------
    >>> manhattan_sim([[0.0, 0.0]], [[3.0, 4.0]])
    tensor([[-7.]])
    """
    return _matrix(a, b, "manhattan")


def pairwise_cos_sim(a: Any, b: Any) -> Tensor:
    """Cosine of row i of `a` with row i of `b`.

    Parameters
    ----------
    a, b : list, array or Tensor, (..., d)
        Shapes broadcast.

    Returns
    -------
    Tensor, (...)
        As from :func:`cos_sim`; canonical scores (see :func:`embmath.search`).

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(m d).

    Examples
    --------
    >>> pairwise_cos_sim([[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.0], [1.0, 0.0]])
    tensor([1., 0.])
    """
    return _pairs(read(a), read(b), "cosine")


def pairwise_dot_score(a: Any, b: Any) -> Tensor:
    """Dot product of row i of `a` with row i of `b`; as :func:`pairwise_cos_sim`."""
    return _pairs(read(a), read(b), "dot")


def pairwise_euclidean_sim(a: Any, b: Any) -> Tensor:
    """Negative Euclidean distance of row i to row i; as :func:`pairwise_cos_sim`."""
    return _pairs(read(a), read(b), "euclidean")


def pairwise_manhattan_sim(a: Any, b: Any) -> Tensor:
    """Negative Manhattan distance of row i to row i; as :func:`pairwise_cos_sim`."""
    return _pairs(read(a), read(b), "manhattan")


def pairwise_angle_sim(x: Any, y: Any) -> Tensor:
    """Absolute AnglE similarity of row i of `x` with row i of `y`: ``|cosine + sine|`` [1]_.

    The halves of a row are the real and the imaginary parts of complex numbers; the sine is the
    cosine with `x` turned by a right angle.

    Parameters
    ----------
    x, y : list, array or Tensor, (n, d)
        An odd d is filled up with a zero.

    Returns
    -------
    Tensor, (n,)

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(n d).

    References
    ----------
    .. [1] X. Li and J. Li, AnglE-optimized text embeddings, arXiv:2309.12871, 2023.

    Examples
    --------
    >>> pairwise_angle_sim([[1.0, 0.0]], [[1.0, 0.0]])
    tensor([1.])
    """
    left, right = (_even(to_tensor(read(value))) for value in (x, y))
    real, imaginary = left.chunk(2, dim=-1)
    turned = torch.cat([imaginary, -real], dim=-1)
    return (_pairs(left, right, "cosine") + _pairs(turned, right, "cosine")).abs()


def _even(rows: Tensor) -> Tensor:
    return torch.nn.functional.pad(rows, (0, rows.shape[-1] % 2))


def _matrix(a: Any, b: Any, metric: SimilarityMetric) -> Tensor:
    left, right = read_rows(a), read_rows(b)
    if has_gradient(left, right):
        from ... import torch as emt

        return emt.similarity(to_tensor(left), to_tensor(right), metric)
    return torch.as_tensor(em.similarity(left, right, metric))


def _pairs(a: Rows, b: Rows, metric: SimilarityMetric) -> Tensor:
    shape = np.broadcast_shapes(tuple(a.shape), tuple(b.shape))
    left, right = _spread(a, shape), _spread(b, shape)
    if has_gradient(left, right):
        from ... import torch as emt

        return emt.similarity_pairwise(to_tensor(left), to_tensor(right), metric).view(shape[:-1])
    return torch.as_tensor(em.similarity_pairwise(left, right, metric)).view(shape[:-1])


def _spread(rows: Rows, shape: tuple[int, ...]) -> Rows:
    """Every row that the shape asks for, without a copy of one that is repeated."""
    if isinstance(rows, Tensor):
        return rows.expand(shape).reshape(-1, shape[-1])
    return np.broadcast_to(rows, shape).reshape(-1, shape[-1])
