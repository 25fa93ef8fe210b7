"""The index: building it, searching it, and changing it."""

from __future__ import annotations

from typing import Any

import numpy as np

import embmath as em

from . import axes

_N = 50_000
_PART = 500  # rows of one change


class IndexBuild:
    """50 000 rows, by metric and dtype."""

    param_names = ("metric", "dtype")
    params = (("cosine", "dot", "sqeuclidean"), axes.DTYPES)

    def setup(self, metric: Any, dtype: str) -> None:
        """Rows."""
        axes.need("Index")
        self.corpus = axes.rows(_N, dtype)

    @axes.titled("build an Index")
    def time_build(self, metric: Any, dtype: str) -> None:
        """Codes and bounds of rows that stay where they are."""
        em.Index(self.corpus, metric=metric)

    @axes.titled("build an Index, memory")
    def peakmem_build(self, metric: Any, dtype: str) -> None:
        """Resident memory of the process, the rows included."""
        em.Index(self.corpus, metric=metric)


class IndexSearch:
    """float32 cosine, by batch, k and codes."""

    param_names = ("queries", "k", "codes")
    params = (axes.BATCHES, (10, 100), ("auto", None))

    def setup(self, nq: int, k: int, codes: Any) -> None:
        """Queries, and an index of the corpus."""
        axes.need("Index")
        self.queries, corpus = axes.pair("cosine", "float32", nq, _N)
        self.index = em.Index(corpus, codes=codes)

    @axes.titled("search an Index, by batch")
    def time_search(self, nq: int, k: int, codes: Any) -> None:
        """The k best of each query."""
        self.index.search(self.queries, k)

    @axes.titled("search an Index, time per product", unit="ps/MAC")
    def track_cost(self, nq: int, k: int, codes: Any) -> float:
        """Picoseconds per multiplication, fastest of three runs."""
        return 1e12 * axes.fastest(self.time_search, nq, k, codes) / (nq * _N * axes.DIMS)


class IndexTypes:
    """Eight queries against 50 000 rows in an index, by metric and dtype."""

    param_names = ("metric", "dtype")
    params = (em.metrics(), axes.DTYPES)

    def setup(self, metric: Any, dtype: str) -> None:
        """Queries, and an index of the corpus."""
        axes.need("Index")
        self.queries, corpus = axes.pair(metric, dtype, 8, _N)
        self.index = em.Index(corpus, metric=metric)

    @axes.titled("search an Index, by type")
    def time_search(self, metric: Any, dtype: str) -> None:
        """The ten best of each query."""
        self.index.search(self.queries)


class IndexChange:
    """500 of 50 000 rows come, go or change."""

    number, repeat, warmup_time = 1, 5, 0.0  # a change is made once per setup

    def setup(self) -> None:
        """An index, and places all over it."""
        axes.need("Index")
        self.index = em.Index(axes.rows(_N))
        self.rows = axes.rows(_PART, seed=1)
        self.some = np.linspace(0, _N - 1, _PART, dtype=np.int64)

    @axes.titled("add 500 rows")
    def time_add(self) -> None:
        """New rows at the end."""
        self.index.add(self.rows)

    @axes.titled("remove 500 rows")
    def time_remove(self) -> None:
        """Rows from everywhere."""
        self.index.remove(self.some)

    @axes.titled("update 500 rows")
    def time_update(self) -> None:
        """Other rows under the same ids."""
        self.index.update(self.some, self.rows)
