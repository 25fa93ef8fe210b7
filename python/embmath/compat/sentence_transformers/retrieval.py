"""Semantic search: the best corpus rows of each query, by the exact engine."""

from typing import Any

import torch

import embmath as em

from . import collector
from .inputs import Rows, on_device_of, read_detached, to_tensor
from .metrics import ScoreFunction, scale_of
from .similarity import cos_sim

Hit = dict[str, int | float]


def semantic_search(
    query_embeddings: Any,
    corpus_embeddings: Any,
    query_chunk_size: int = 100,
    corpus_chunk_size: int = 500000,
    top_k: int = 10,
    score_function: ScoreFunction = cos_sim,
) -> list[list[Hit]]:
    """The `top_k` best corpus rows of each query.

    Parameters
    ----------
    query_embeddings : list, array or Tensor, (nq, d) or (d,)
    corpus_embeddings : list, array or Tensor, (n, d)
        Memory-mapped arrays are read in place.
    query_chunk_size, corpus_chunk_size : int
        Rows that a `score_function` of your own is called with. Nothing else depends on them.
    top_k : int
    score_function : callable
        :func:`cos_sim`, :func:`dot_score`, :func:`euclidean_sim` or :func:`manhattan_sim`, from
        here or from sentence-transformers, searches with the exact engine. Another function of two
        Tensors is called on chunks.

    Returns
    -------
    list of list of dict
        Per query ``{"corpus_id": int, "score": float}``, best first, lowest index first among
        equals. Scores of int8 and uint8 dot products are int. A query that holds NaN has no hits.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(nq n d); see :func:`embmath.search`. int8 and uint8 rows are searched as they are.

    Examples
    --------
    >>> semantic_search([[2.0, 1.0]], [[0.0, 1.0], [4.0, 2.0]], top_k=1)
    [[{'corpus_id': 1, 'score': 1.0}]]
    """
    corpus = read_detached(corpus_embeddings)
    queries = on_device_of(read_detached(query_embeddings), corpus)
    k = min(top_k, len(corpus))
    if k <= 0 or not len(queries):
        return [[] for _ in range(len(queries))]
    scale = scale_of(score_function, queries, corpus)
    if scale is None:
        chunks = (query_chunk_size, corpus_chunk_size)
        return hits(*top_of_chunks(queries, corpus, k, score_function, *chunks))
    found = em.search(queries, corpus, k, scale.metric, nan="rank_last")
    return hits(scale.sign * found.values, found.indices)


def information_retrieval(*args: Any, **kwargs: Any) -> list[list[Hit]]:
    """:func:`semantic_search` by its old name."""
    return semantic_search(*args, **kwargs)


def hits(values: Any, indices: Any) -> list[list[Hit]]:
    """Rows of scores and indices as sentence-transformers returns them, without places of none."""
    with collector.paused():
        return [
            [{"corpus_id": i, "score": score} for score, i in zip(*row, strict=True) if i >= 0]
            for row in zip(values.tolist(), indices.tolist(), strict=True)
        ]


def top_of_chunks(
    queries: Rows,
    corpus: Rows,
    k: int,
    score_function: ScoreFunction,
    query_chunk_size: int,
    corpus_chunk_size: int,
) -> tuple[Any, Any]:
    """The k best by a function that scores matrices: values and indices, (nq, k)."""
    queries, corpus = to_tensor(queries), to_tensor(corpus)
    return tuple(
        torch.cat(parts)
        for parts in zip(
            *(
                _top_of_corpus(chunk, corpus, k, score_function, corpus_chunk_size)
                for chunk in queries.split(query_chunk_size)
            ),
            strict=True,
        )
    )  # type: ignore[return-value]


def _top_of_corpus(
    queries: torch.Tensor, corpus: torch.Tensor, k: int, score_function: ScoreFunction, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    best: tuple[torch.Tensor, torch.Tensor] | None = None
    for number, chunk in enumerate(corpus.split(size)):
        values, indices = em.top_k(torch.as_tensor(score_function(queries, chunk)).detach(), k)
        indices = indices + number * size
        if best is not None:
            # Earlier chunks come first, so equal scores stay in the order of their indices.
            values, indices = torch.cat([best[0], values], 1), torch.cat([best[1], indices], 1)
            values, places = em.top_k(values, k)
            indices = indices.gather(1, places)
        best = values, indices
    assert best is not None
    return best
