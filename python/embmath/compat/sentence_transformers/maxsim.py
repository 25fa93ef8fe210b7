"""Late interaction: the best document token of every query token, summed."""

from typing import Any

import torch
from torch import Tensor

import embmath as em

from .inputs import has_gradient, to_tensor
from .tokens import Tokens, blocks

# Numbers of one block of token similarities: 400 MB of float32, as in sentence-transformers.
DEFAULT_BLOCK = 100_000_000
# Ranks below any score, and survives squaring in float32.
EMPTY_DOCUMENT = -1e9


def maxsim(
    a: Any,
    b: Any,
    a_mask: Any = None,
    b_mask: Any = None,
    chunk_elements: int | None = None,
    length_normalize: bool = False,
    device: str | torch.device | None = None,
) -> Tensor:
    """MaxSim of every query with every document: ``sum_i max_j (a_i . b_j)``, as of ColBERT.

    Parameters
    ----------
    a, b : list of (tokens, d), array or Tensor (n, tokens, d) or (tokens, d)
        Queries and documents: a list of token matrices, a padded batch, or one token matrix. Rows
        of zeros in a padded batch without a mask are padding. int8 and uint8 tokens go with their
        own kind.
    a_mask, b_mask : Tensor, array or list of 1-D, optional
        Zero: no token. Numbers in `a_mask` weigh the query tokens.
    chunk_elements : int, optional
        Token similarities computed at once. Default: 100 million.
    length_normalize : bool
        Divide by the number of query tokens.
    device : str or torch.device, optional
        Where to compute; scores come back to the documents' device.

    Returns
    -------
    Tensor, (n_queries, n_documents)
        float32, with gradients. A document without tokens has -1e9.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(query tokens times document tokens times d); masked tokens and padding cost nothing.

    Examples
    --------
    >>> query = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> maxsim(query, [torch.tensor([[2.0, 0.0]]), torch.eye(2)])
    tensor([[2., 2.]])
    """
    queries, documents, place, home = _sides(a, b, a_mask, b_mask, device)
    if not (len(queries) and len(documents)):
        return torch.zeros(len(queries), len(documents), device=home)
    size = DEFAULT_BLOCK if chunk_elements is None else chunk_elements
    columns = []
    for some in blocks(documents.lengths, size // max(queries.widest, 1)):
        part = documents[some].to(place)
        chosen = blocks(queries.lengths, size // max(len(part.rows), 1))
        columns.append(torch.cat([_scores(queries[q].to(place), part) for q in chosen]).to(home))
    scores = torch.cat(columns, 1)
    return scores / queries.counts.clamp(min=1).to(home)[:, None] if length_normalize else scores


def maxsim_pairwise(
    a: Any,
    b: Any,
    a_mask: Any = None,
    b_mask: Any = None,
    chunk_elements: int | None = None,
    length_normalize: bool = False,
    device: str | torch.device | None = None,
) -> Tensor:
    """MaxSim of query i with document i; as :func:`maxsim`.

    `chunk_elements` is accepted and not needed: pairs are computed one by one, without padding.

    Returns
    -------
    Tensor, (n,)

    Raises
    ------
    ValueError
        Also where there are not as many queries as documents.

    Examples
    --------
    >>> maxsim_pairwise([torch.eye(2)], [torch.tensor([[2.0, 0.0]])])
    tensor([2.])
    """
    queries, documents, place, home = _sides(a, b, a_mask, b_mask, device)
    if len(queries) != len(documents):
        raise ValueError(f"b: expected {len(queries)} items like a, got {len(documents)}")
    one = [slice(i, i + 1) for i in range(len(queries))]
    pairs = [_scores(queries[i].to(place), documents[i].to(place))[0] for i in one]
    scores = (torch.cat(pairs) if pairs else torch.zeros(0)).to(home)
    return scores / queries.counts.clamp(min=1).to(home) if length_normalize else scores


def mean_maxsim(
    a: Any,
    b: Any,
    a_mask: Any = None,
    b_mask: Any = None,
    chunk_elements: int | None = None,
    length_normalize: bool = True,
    device: str | torch.device | None = None,
) -> Tensor:
    """:func:`maxsim` per query token, so that long and short queries compare.

    Examples
    --------
    >>> mean_maxsim(torch.eye(2), [torch.tensor([[2.0, 0.0]])])
    tensor([[1.]])
    """
    return maxsim(a, b, a_mask, b_mask, chunk_elements, length_normalize, device)


def mean_maxsim_pairwise(
    a: Any,
    b: Any,
    a_mask: Any = None,
    b_mask: Any = None,
    chunk_elements: int | None = None,
    length_normalize: bool = True,
    device: str | torch.device | None = None,
) -> Tensor:
    """:func:`maxsim_pairwise` per query token."""
    return maxsim_pairwise(a, b, a_mask, b_mask, chunk_elements, length_normalize, device)


def _sides(
    a: Any, b: Any, a_mask: Any, b_mask: Any, device: str | torch.device | None
) -> tuple[Tokens, Tokens, torch.device, torch.device]:
    """Queries and documents of one kind, where to compute, and where scores are expected."""
    queries, documents = Tokens.read("a", a, a_mask), Tokens.read("b", b, b_mask)
    home = _device(b) or _device(a) or torch.device("cpu")
    place = home if device is None else torch.device(device)
    if queries.rows.dtype != documents.rows.dtype and not (
        queries.rows.is_floating_point() and documents.rows.is_floating_point()
    ):
        queries, documents = queries.to_float(), documents.to_float()
    return queries, documents, place, home


def _device(value: Any) -> torch.device | None:
    first = value[0] if isinstance(value, list) and value else value
    return first.device if isinstance(first, Tensor) else None


def _scores(queries: Tokens, documents: Tokens) -> Tensor:
    """Scores of a block, (n_queries, n_documents)."""
    if len(documents.rows) and len(queries.rows):
        similar = _token_similarity(documents.rows, queries.rows)
        best = torch.segment_reduce(
            similar, "max", lengths=documents.lengths, axis=0, initial=EMPTY_DOCUMENT
        )
        weighted = best.T if queries.weights is None else best.T * queries.weights[:, None]
        sums = torch.segment_reduce(
            weighted.contiguous(), "sum", lengths=queries.lengths, axis=0, initial=0
        )
    else:
        sums = documents.rows.new_zeros((len(queries), len(documents)), dtype=torch.float32)
    return sums.masked_fill(documents.lengths == 0, EMPTY_DOCUMENT)


def _token_similarity(documents: Tensor, queries: Tensor) -> Tensor:
    if has_gradient(documents, queries):
        from ... import torch as emt

        return emt.similarity(documents, queries, "dot").float()
    return to_tensor(em.similarity(documents, queries, "dot")).float()
