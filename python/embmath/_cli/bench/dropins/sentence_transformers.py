"""Functions of sentence-transformers."""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

import numpy as np

import embmath as em
from embmath._cli.bench.dropins.answers import (
    hits_of_dicts,
    same_codes,
    same_groups,
    same_hits,
    same_matrix,
    same_pairs,
)
from embmath._cli.bench.dropins.dropin import Array, Data, DropIn, Sizes, tensors
from embmath._cli.bench.measure import Run

_GROUPS, _MEMBERS = 0.4, 40  # share of rows in groups; of how many rows each, about


def _search(function: Any, data: Data) -> Run:
    queries, rows = tensors(data)
    return lambda: function(queries, rows, top_k=100)


def _same_hits(data: Data, ours: Any, theirs: Any) -> bool:
    return same_hits(hits_of_dicts(ours), hits_of_dicts(theirs), 2 * data.slack)


def _mine(function: Any, data: Data) -> Run:
    rows = tensors(data)[1]
    return lambda: function(rows)


def _find_groups(function: Any, data: Data) -> Run:
    torch = importlib.import_module("torch")
    rows = torch.from_numpy(data.extra)
    return lambda: function(rows, threshold=0.75, min_community_size=10)


def _grouped(data: Data) -> Array:
    """Some rows close to centres of their own, and the rest far from all others.

    Few cosines lie near the threshold, where rounding decides.
    """
    rng = np.random.default_rng(len(data.rows))
    n_rows = len(data.rows)
    rows = rng.standard_normal((n_rows, data.rows.shape[1]), dtype=np.float32)
    n_grouped = int(_GROUPS * n_rows)
    centres = rng.standard_normal(
        (max(1, n_grouped // _MEMBERS), data.rows.shape[1]), dtype=np.float32
    )
    rows[:n_grouped] *= np.float32(0.4)
    rows[:n_grouped] += centres[rng.integers(len(centres), size=n_grouped)]
    unit = np.asarray(em.normalize(rng.permutation(rows)))
    return unit.astype(data.rows.dtype, copy=False)


def _scores(function: Any, data: Data) -> Run:
    queries, rows = tensors(data)
    return lambda: function(queries, rows)


def _quantize(precision: str, function: Any, data: Data) -> Run:
    return lambda: function(data.rows, precision)


def _codes(precision: str, data: Data) -> tuple[Array, Array]:
    """Codes, and the ranges that they were made with."""
    library = importlib.import_module("embmath.compat.sentence_transformers")
    ranges = np.vstack([data.rows.min(axis=0), data.rows.max(axis=0)])
    return library.quantize_embeddings(data.rows, precision, ranges), ranges


def _search_codes(precision: str, function: Any, data: Data) -> Run:
    codes, ranges = data.extra
    asked = {"corpus_precision": precision, "ranges": ranges, "top_k": 10}
    index = function(data.queries[:1], codes, output_index=True, **asked)[2]
    return lambda: function(data.queries, corpus_index=index, **asked)[0]


def _of(module: str, name: str, *rest: Any, **more: Any) -> DropIn:
    after = f"embmath.compat.sentence_transformers:{name}"
    return DropIn(f"sentence_transformers.{module}:{name}", after, *rest, **more)


_scores_of = partial(_of, "util", dtypes=("float32", "float64"))


_CODES = (Sizes(20_000), Sizes(100_000))
_CODE_SEARCH = (Sizes(50_000, 500), Sizes(100_000, 1000))
DROPINS = (
    _scores_of("semantic_search", _search, _same_hits, Sizes(50_000, 500), Sizes(100_000, 10_000)),
    _scores_of("paraphrase_mining_embeddings", _mine, same_pairs, Sizes(5_000), Sizes(50_000)),
    _scores_of(
        "community_detection",
        _find_groups,
        same_groups,
        Sizes(10_000),
        Sizes(50_000),
        extra=_grouped,
    ),
    _scores_of("cos_sim", _scores, same_matrix, Sizes(10_000, 1000), Sizes(50_000, 1000)),
    *(
        _of(
            "quantization",
            "quantize_embeddings",
            partial(_quantize, precision),
            same_codes,
            *_CODES,
            variant=precision,
        )
        for precision in ("int8", "binary")
    ),
    *(
        _of(
            "quantization",
            "semantic_search_faiss",
            partial(_search_codes, precision),
            _same_hits,
            *_CODE_SEARCH,
            variant=precision,
            needs=("faiss",),
            extra=partial(_codes, precision),
        )
        for precision in ("uint8", "ubinary")
    ),
)
