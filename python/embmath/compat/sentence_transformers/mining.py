"""Pairs of similar rows of one set."""

from typing import Any

import numpy as np
import numpy.typing as npt

import embmath as em

from . import collector
from .inputs import Rows, on_cpu, read_detached
from .metrics import Scale, ScoreFunction, scale_of
from .retrieval import top_of_chunks
from .similarity import cos_sim

NDArray = npt.NDArray[Any]
Pairs = tuple[NDArray, NDArray, NDArray]  # scores, lower and higher row numbers

SAMPLE = 1000  # rows to judge a threshold by
MARGIN = 1.3  # of what is aimed at: a sample of 1000 rows errs by less


def paraphrase_mining(
    model: Any,
    sentences: list[str],
    show_progress_bar: bool = False,
    batch_size: int = 32,
    query_chunk_size: int = 5000,
    corpus_chunk_size: int = 100000,
    max_pairs: int = 500000,
    top_k: int = 100,
    score_function: ScoreFunction = cos_sim,
    truncate_dim: int | None = None,
    prompt_name: str | None = None,
    prompt: str | None = None,
) -> list[list[float | int]]:
    """Encode sentences with a model and find the most similar pairs.

    Parameters
    ----------
    model : SentenceTransformer
    sentences : list of str
    show_progress_bar, batch_size, truncate_dim, prompt_name, prompt
        For ``model.encode``.
    query_chunk_size, corpus_chunk_size, max_pairs, top_k, score_function
        As for :func:`paraphrase_mining_embeddings`.

    Returns
    -------
    list of [score, i, j]
    """
    embeddings = model.encode(
        sentences,
        show_progress_bar=show_progress_bar,
        batch_size=batch_size,
        convert_to_tensor=True,
        truncate_dim=truncate_dim,
        prompt_name=prompt_name,
        prompt=prompt,
    )
    return paraphrase_mining_embeddings(
        embeddings, query_chunk_size, corpus_chunk_size, max_pairs, top_k, score_function
    )


def paraphrase_mining_embeddings(
    embeddings: Any,
    query_chunk_size: int = 5000,
    corpus_chunk_size: int = 100000,
    max_pairs: int = 500000,
    top_k: int = 100,
    score_function: ScoreFunction = cos_sim,
) -> list[list[float | int]]:
    """The most similar pairs among the `top_k` neighbours of every row.

    Parameters
    ----------
    embeddings : list, array or Tensor, (n, d)
    query_chunk_size, corpus_chunk_size : int
        Rows that a `score_function` of your own is called with. Nothing else depends on them.
    max_pairs : int
        The most pairs to return.
    top_k : int
        Neighbours of a row that are considered.
    score_function : callable
        Symmetric; as for :func:`semantic_search`.

    Returns
    -------
    list of [score, i, j]
        Each pair once, i < j, ordered by (score descending, i, j).

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what is allowed.

    Notes
    -----
    O(n^2 d), and memory for n * top_k neighbours.

    Examples
    --------
    >>> paraphrase_mining_embeddings([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]], max_pairs=1)
    [[1.0, 1, 2]]
    """
    rows = read_detached(embeddings)
    k = min(top_k, len(rows) - 1)
    if k <= 0 or max_pairs <= 0:
        return []
    scale = scale_of(score_function, rows)
    if scale is None:
        chunks = (query_chunk_size, corpus_chunk_size)
        values, indices = top_of_chunks(rows, rows, k + 1, score_function, *chunks)
        found = _best_pairs(*_without_self(on_cpu(values), on_cpu(indices), k), max_pairs)
    else:
        found = _search_pairs(rows, k, scale, max_pairs)
    scores, lower, higher = found
    pairs = zip(scores.tolist(), lower.tolist(), higher.tolist(), strict=True)
    with collector.paused():
        return [list(pair) for pair in pairs]


def _search_pairs(rows: Rows, k: int, scale: Scale, max_pairs: int) -> Pairs:
    """The best pairs, with a threshold that is likely to leave out most others.

    It is proven by its result: that many pairs above it contain the best. Else it is dropped.
    """
    thresholds: list[float | None] = [None]
    if len(rows) * k > 4 * max_pairs and len(rows) > 4 * SAMPLE:
        thresholds.insert(0, _likely_threshold(rows, k, scale, max_pairs))
    for threshold in dict.fromkeys(thresholds):
        found = em.search(
            rows,
            rows,
            k,
            scale.metric,
            exclude_self=True,
            threshold=threshold,
            nan="rank_last",
        )
        best = _best_pairs(scale.sign * on_cpu(found.values), on_cpu(found.indices), max_pairs)
        if len(best[0]) == max_pairs:
            break
    return best


def _likely_threshold(rows: Rows, k: int, scale: Scale, max_pairs: int) -> float | None:
    """A score that some more than 2 * max_pairs neighbours reach, judged by a sample of rows."""
    step = len(rows) // SAMPLE
    sample = rows[::step]
    # One neighbour more, instead of the row itself, whose place in the sample is another.
    found = em.search(sample, rows, k + 1, scale.metric, nan="rank_last")
    values, indices = on_cpu(found.values), on_cpu(found.indices)
    is_pair = (indices >= 0) & (indices != step * np.arange(len(indices))[:, None])
    scores = scale.sign * values[is_pair & ~np.isnan(values)].astype(np.float64)
    rank = int(2 * MARGIN * max_pairs * len(sample) / len(rows))
    if rank >= scores.size:
        return None
    return scale.sign * float(-np.partition(-scores, rank)[rank])


def _without_self(values: NDArray, indices: NDArray, k: int) -> tuple[NDArray, NDArray]:
    """The k best others of each row, given its k + 1 best: a stable sort puts the row last."""
    is_self = indices == np.arange(len(indices))[:, None]
    others = np.argsort(is_self, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(values, others, 1), np.take_along_axis(indices, others, 1)


def _best_pairs(values: NDArray, indices: NDArray, max_pairs: int) -> Pairs:
    """The best pairs, each once."""
    n_rows, k = indices.shape
    scores, there = values.ravel(), indices.ravel()
    kept = np.flatnonzero((there >= 0) & ~np.isnan(scores))
    # A pair is there at most twice, with the same score: this many hold all that can be returned.
    if len(kept) > 2 * max_pairs:
        last = 2 * max_pairs - 1
        kept = kept[scores[kept] >= -np.partition(-scores[kept].astype(np.float64), last)[last]]
    here, there, scores = kept // k, there[kept], scores[kept]
    names = np.minimum(here, there) * n_rows + np.maximum(here, there)
    names, first = np.unique(names, return_index=True)  # ascending, hence by (i, j) among equals
    order = np.argsort(-scores[first], kind="stable")[:max_pairs]
    chosen = names[order]
    return scores[first][order], chosen // n_rows, chosen % n_rows
