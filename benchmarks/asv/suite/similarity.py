"""Matrices of scores, and scores of pairs."""

from __future__ import annotations

from typing import Any

import numpy as np

import embmath as em

from . import axes


class Similarity:
    """100 x 10 000 scores into an array that is already there."""

    param_names = ("metric", "dtype")
    params = (axes.SIMILARITIES, axes.DTYPES)

    def setup(self, metric: Any, dtype: str) -> None:
        """Inputs, and a result of the right dtype."""
        self.a, self.b = axes.pair(metric, dtype, 100, 10_000)
        self.out = em.similarity(self.a, self.b, metric)

    @axes.titled("similarity")
    def time_similarity(self, metric: Any, dtype: str) -> None:
        """All scores."""
        em.similarity(self.a, self.b, metric, out=self.out)


class Distance:
    """100 x 10 000 distances."""

    param_names = ("metric", "dtype")
    params = (axes.DISTANCES, axes.DTYPES)

    def setup(self, metric: Any, dtype: str) -> None:
        """Inputs, and a result of the right dtype."""
        self.a, self.b = axes.pair(metric, dtype, 100, 10_000)
        self.out = em.distance(self.a, self.b, metric)

    @axes.titled("distance")
    def time_distance(self, metric: Any, dtype: str) -> None:
        """All distances."""
        em.distance(self.a, self.b, metric, out=self.out)


class Pairwise:
    """10 000 pairs: row i with row i, in canonical arithmetic."""

    param_names = ("metric", "dtype")
    params = (axes.SIMILARITIES, axes.DTYPES)

    def setup(self, metric: Any, dtype: str) -> None:
        """Two arrays of equal shape."""
        self.a, self.b = axes.pair(metric, dtype, 10_000, 10_000)

    @axes.titled("similarity_pairwise")
    def time_similarity_pairwise(self, metric: Any, dtype: str) -> None:
        """One score per pair."""
        em.similarity_pairwise(self.a, self.b, metric)


class Threads:
    """The large matrix of the main comparison, by number of threads."""

    param_names = ("threads",)
    params = (axes.THREADS,)

    def setup(self, threads: int) -> None:
        """1000 x 20 000 rows of 768 dimensions."""
        self.a, self.b = axes.pair("cosine", "float32", 1000, 20_000)
        self.out = np.empty((1000, 20_000), dtype=np.float32)

    @axes.titled("similarity, by threads")
    def time_cosine(self, threads: int) -> None:
        """Normalisation included."""
        em.similarity(self.a, self.b, "cosine", out=self.out, threads=threads)


class Call:
    """What a call costs when there is nearly nothing to compute."""

    def setup(self) -> None:
        """Two short rows."""
        self.a, self.b = axes.rows(1, d=16), axes.rows(1, d=16, seed=1)

    @axes.titled("similarity of one pair")
    def time_similarity(self) -> None:
        """One score."""
        em.similarity(self.a, self.b, "dot")
