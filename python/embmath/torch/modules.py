"""The functions as modules, for models."""

import torch
from torch import Tensor

from .._types import Metric, SimilarityMetric, TopK
from . import functions


class CosineSimilarity(torch.nn.Module):
    """Cosine of row i with row i, like ``torch.nn.CosineSimilarity(dim=-1)``; 0 for zero rows.

    Scores are float64 sums rounded once to float32, also for 16-bit rows and under autocast.

    Examples
    --------
    >>> CosineSimilarity()(torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    tensor([1., 0.])
    """

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(m, d), (m, d) -> (m,)."""
        return functions.similarity_pairwise(a, b)


class Similarity(torch.nn.Module):
    """Every row with every row.

    Parameters
    ----------
    metric : {"cosine", "dot", "euclidean", "sqeuclidean", "manhattan"}

    Examples
    --------
    >>> Similarity("dot")(torch.eye(2), torch.tensor([[2.0, 1.0]]))
    tensor([[2.],
            [1.]])
    """

    def __init__(self, metric: SimilarityMetric = "cosine") -> None:
        super().__init__()
        self.metric = metric

    def forward(self, a: Tensor, b: Tensor | None = None) -> Tensor:
        """(m, d), (n, d) -> (m, n)."""
        return functions.similarity(a, b, self.metric)

    def extra_repr(self) -> str:
        """The metric."""
        return f"metric={self.metric!r}"


class Normalize(torch.nn.Module):
    """Rows of unit length.

    Parameters
    ----------
    eps : float
        Rows shorter than this are divided by it.

    Examples
    --------
    >>> Normalize()(torch.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """

    def __init__(self, eps: float = 0.0) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(n, d) -> (n, d)."""
        return functions.normalize(x, self.eps)


class Search(torch.nn.Module):
    """The k best rows of a corpus that the module holds.

    Parameters
    ----------
    corpus : Tensor, (n, d)
        A buffer: it moves with the module, and is saved with it.
    k : int
    metric : str
        As for :func:`embmath.search`.

    Examples
    --------
    >>> Search(torch.eye(3), k=1)(torch.tensor([[0.0, 2.0, 1.0]])).indices
    tensor([[1]])
    """

    corpus: Tensor

    def __init__(self, corpus: Tensor, k: int = 10, metric: Metric = "cosine") -> None:
        super().__init__()
        self.register_buffer("corpus", corpus)
        self.k, self.metric = k, metric

    def forward(self, queries: Tensor) -> TopK:
        """(nq, d) -> values and indices, (nq, k)."""
        return functions.search(queries, self.corpus, self.k, self.metric)

    def extra_repr(self) -> str:
        """What is searched, and how."""
        n, d = self.corpus.shape
        return f"{n} rows x {d}, k={self.k}, metric={self.metric!r}"
