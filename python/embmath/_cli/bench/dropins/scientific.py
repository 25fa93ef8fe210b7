"""Functions and estimators of scikit-learn and SciPy."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from embmath._cli.bench.data import rounding
from embmath._cli.bench.dropins.answers import Hits, same_hits, same_matrix, same_numbers
from embmath._cli.bench.dropins.dropin import Data, DropIn, Sizes
from embmath._cli.bench.measure import Run

_SKLEARN = "embmath.compat.sklearn"


def _neighbours(estimator: Any, data: Data) -> Run:
    model = estimator(n_neighbors=10, metric="cosine").fit(data.rows)
    return lambda: model.kneighbors(data.queries)


def _same_neighbours(data: Data, ours: Any, theirs: Any) -> bool:
    return same_hits(Hits(*ours), Hits(*theirs), 2 * data.slack)


def _graph(transformer: Any, data: Data) -> Run:
    model = transformer(n_neighbors=15, metric="cosine")
    return lambda: model.fit_transform(data.rows)


def _same_graph(data: Data, ours: Any, theirs: Any) -> bool:
    def hits(graph: Any) -> Hits:  # all rows have as many neighbours
        shape = (graph.shape[0], -1)
        return Hits(graph.data.reshape(shape), graph.indices.reshape(shape))

    same_rows = np.array_equal(ours.indptr, theirs.indptr)
    return same_rows and same_hits(hits(ours), hits(theirs), 2 * data.slack)


def _scores(function: Any, data: Data) -> Run:
    return lambda: function(data.queries, data.rows)


def _nearest(function: Any, data: Data) -> Run:
    return lambda: function(data.queries, data.rows, metric="cosine")


def _same_nearest(data: Data, ours: Any, theirs: Any) -> bool:
    def hits(found: Any) -> Hits:
        rows, values = found
        return Hits(values[:, None], rows[:, None])

    return same_hits(hits(ours), hits(theirs), 2 * data.slack)


def _distances(function: Any, data: Data) -> Run:
    return lambda: function(data.queries, data.rows, "cosine")


def _same_distances(data: Data, ours: Any, theirs: Any) -> bool:
    return same_numbers(ours, theirs, 2 * rounding(data.rows.shape[1], "float64"))


# Both dtypes: SciPy always computes in float64.
_of = partial(DropIn, dtypes=("float32", "float64"))
DROPINS = (
    _of(
        "sklearn.neighbors:NearestNeighbors",
        f"{_SKLEARN}:NearestNeighbors",
        _neighbours,
        _same_neighbours,
        Sizes(50_000, 1000),
        Sizes(100_000, 1000),
    ),
    _of(
        "sklearn.neighbors:KNeighborsTransformer",
        f"{_SKLEARN}:KNeighborsTransformer",
        _graph,
        _same_graph,
        Sizes(10_000),
        Sizes(50_000),
    ),
    _of(
        "sklearn.metrics.pairwise:cosine_similarity",
        f"{_SKLEARN}:cosine_similarity",
        _scores,
        same_matrix,
        Sizes(10_000, 1000),
        Sizes(50_000, 1000),
    ),
    _of(
        "sklearn.metrics:pairwise_distances_argmin_min",
        f"{_SKLEARN}:pairwise_distances_argmin_min",
        _nearest,
        _same_nearest,
        Sizes(20_000, 1000),
        Sizes(100_000, 1000),
    ),
    _of(
        "scipy.spatial.distance:cdist",
        "embmath.compat.scipy:cdist",
        _distances,
        _same_distances,
        Sizes(10_000, 200),
        Sizes(50_000, 1000),
    ),
)
