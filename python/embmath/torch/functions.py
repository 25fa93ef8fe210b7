"""The operators as functions, with the arguments of embmath's own."""

from typing import NamedTuple, cast

import torch
from torch import Tensor

from .._types import Metric, NanPolicy, Precision, Scope, SimilarityMetric, TopK


class QuantizedRows(NamedTuple):
    """Codes, and what they mean.

    Attributes
    ----------
    data : Tensor, (n, width)
    step, minimum : Tensor
        A code stands for ``place * step + minimum``; no elements where the precision has none.
    """

    data: Tensor
    step: Tensor
    minimum: Tensor


def similarity(a: Tensor, b: Tensor | None = None, metric: SimilarityMetric = "cosine") -> Tensor:
    """:func:`embmath.similarity` with gradients.

    Parameters
    ----------
    a : Tensor, (m, d) or (d,)
    b : Tensor, (n, d) or (d,), optional
        Default: `a`.
    metric : {"cosine", "dot", "euclidean", "sqeuclidean", "manhattan"}

    Returns
    -------
    Tensor, (m, n)

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(m n d), forwards and backwards; the backward pass of "manhattan" is no matrix product.

    Examples
    --------
    >>> similarity(torch.tensor([[3.0, 4.0]]), torch.eye(2))
    tensor([[0.6000, 0.8000]])
    """
    return cast(Tensor, torch.ops.embmath.similarity(a, a if b is None else b, metric))


def similarity_pairwise(a: Tensor, b: Tensor, metric: SimilarityMetric = "cosine") -> Tensor:
    """:func:`embmath.similarity_pairwise` with gradients: row i with row i.

    Parameters
    ----------
    a, b : Tensor, (m, d) or (d,)
    metric : {"cosine", "dot", "euclidean", "sqeuclidean", "manhattan"}

    Returns
    -------
    Tensor, (m,)

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(m d).

    Examples
    --------
    >>> similarity_pairwise(torch.eye(2), torch.tensor([[2.0, 0.0], [1.0, 0.0]]))
    tensor([1., 0.])
    """
    return cast(Tensor, torch.ops.embmath.similarity_pairwise(a, b, metric))


def search(
    queries: Tensor,
    corpus: Tensor,
    k: int = 10,
    metric: Metric = "cosine",
    *,
    mask: Tensor | None = None,
    exclude_self: bool = False,
    threshold: float | None = None,
    pad: bool = False,
    nan: NanPolicy = "raise",
) -> TopK:
    """:func:`embmath.search`; the values have gradients, the indices none.

    Parameters
    ----------
    queries, corpus, k, metric, mask, exclude_self, threshold, pad, nan
        As for :func:`embmath.search`.

    Returns
    -------
    TopK
        Exact, the same bits on every device.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(nq n d) forwards, O(nq k d) backwards.

    Examples
    --------
    >>> search(torch.tensor([[2.0, 1.0]]), torch.eye(2), k=1).indices
    tensor([[0]])
    """
    found = torch.ops.embmath.search(
        queries, corpus, k, metric, mask, exclude_self, threshold, pad, nan
    )
    return TopK(*found)


def normalize(x: Tensor, eps: float = 0.0) -> Tensor:
    """:func:`embmath.normalize` with gradients: rows of unit length.

    Parameters
    ----------
    x : Tensor, (n, d) or (d,)
    eps : float
        Rows shorter than this are divided by it.

    Returns
    -------
    Tensor
        Of the shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(n d).

    Examples
    --------
    >>> normalize(torch.tensor([3.0, 4.0]))
    tensor([0.6000, 0.8000])
    """
    return cast(Tensor, torch.ops.embmath.normalize(x, eps))


def quantize(x: Tensor, precision: Precision, ranges: Tensor | None = None) -> QuantizedRows:
    """:func:`embmath.quantize` as tensors, for compiled code.

    Parameters
    ----------
    x : Tensor, (n, d) or (d,)
    precision : {"int8", "uint8", "int4", "binary", "ubinary", "float16", "bfloat16"}
    ranges : Tensor, (2, d), (2, 1) or (2,), optional
        Default: every row has its own.

    Returns
    -------
    QuantizedRows

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(n d). No gradients.

    Examples
    --------
    >>> quantize(torch.tensor([[1.0, -0.5]]), "int8").data
    tensor([[127, -64]], dtype=torch.int8)
    """
    return QuantizedRows(*torch.ops.embmath.quantize(x, precision, ranges))


def dequantize(
    codes: QuantizedRows,
    precision: Precision,
    dim: int,
    *,
    scope: Scope | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """:func:`embmath.dequantize` of tensors, for compiled code.

    Parameters
    ----------
    codes : QuantizedRows
    precision : str
        What they were made with.
    dim : int
        Dimensions of a row.
    scope : {"row", "dim", "global"}, optional
        What has a step of its own. Default: rows if there is one step in each, else dimensions.
    dtype : torch.dtype
        float16, bfloat16, float32 or float64.

    Returns
    -------
    Tensor, (n, dim) or (dim,)

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(n d). No gradients.

    Examples
    --------
    >>> dequantize(quantize(torch.tensor([[1.0, -0.5]]), "int8"), "int8", dim=2).round(decimals=2)
    tensor([[ 1.0000, -0.5000]])
    """
    if scope is None and codes.step.numel():
        scope = "row" if codes.step.ndim == codes.data.ndim else "dim"
        if scope == "dim" and codes.step.numel() == 1:
            scope = "global"
    found = torch.ops.embmath.dequantize(
        codes.data, precision, dim, codes.step, codes.minimum, scope, dtype
    )
    return cast(Tensor, found)
