"""Search, top-k, and what surrounds them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np

import embmath as em

from . import axes

_N = 50_000


class Search:
    """Eight queries against 50 000 rows, by metric and dtype."""

    param_names = ("metric", "dtype")
    params = (em.metrics(), axes.DTYPES)

    def setup(self, metric: Any, dtype: str) -> None:
        """Queries and corpus."""
        self.queries, self.corpus = axes.pair(metric, dtype, 8, _N)

    @axes.titled("search, by type")
    def time_search(self, metric: Any, dtype: str) -> None:
        """The ten best of each query."""
        em.search(self.queries, self.corpus, 10, metric)


class Batch:
    """float32 cosine, by batch and k."""

    param_names = ("queries", "k")
    params = (axes.BATCHES, (1, 10, 100))

    def setup(self, nq: int, k: int) -> None:
        """Queries and corpus."""
        self.queries, self.corpus = axes.pair("cosine", "float32", nq, _N)

    @axes.titled("search, by batch")
    def time_search(self, nq: int, k: int) -> None:
        """The k best of each query."""
        em.search(self.queries, self.corpus, k)

    @axes.titled("search, memory")
    def peakmem_search(self, nq: int, k: int) -> None:
        """Resident memory of the process, the corpus (154 MB) included."""
        em.search(self.queries, self.corpus, k)

    @axes.titled("search, time per product", unit="ps/MAC")
    def track_cost(self, nq: int, k: int) -> float:
        """Picoseconds per multiplication, fastest of three runs."""
        return 1e12 * axes.fastest(self.time_search, nq, k) / (nq * _N * axes.DIMS)


class Filters:
    """128 queries under every kind of filter."""

    param_names = ("kind",)
    params = (("none", "mask", "mask per query", "exclude_self", "threshold"),)

    def setup(self, kind: str) -> None:
        """Queries from the corpus, so that excluding oneself means something."""
        self.corpus = axes.rows(_N)
        self.queries = self.corpus[:128].copy()
        keep = np.random.default_rng(0).random((128, _N)) < 0.5
        self.options = {
            "none": {},
            "mask": {"mask": keep[0]},
            "mask per query": {"mask": keep},
            "exclude_self": {"exclude_self": True},
            "threshold": {"threshold": 0.1},
        }[kind]

    @axes.titled("search, filtered")
    def time_search(self, kind: str) -> None:
        """The ten best of each query that the filter lets through."""
        em.search(self.queries, self.corpus, 10, **self.options)


class Others:
    """The functions around search."""

    def setup(self) -> None:
        """Scores, candidates and rows."""
        self.scores = np.random.default_rng(0).standard_normal((32, _N), dtype=np.float32)
        self.queries, self.corpus = axes.pair("cosine", "float32", 32, _N)
        self.candidates = em.search(self.queries, self.corpus, 200).indices

    @axes.titled("top_k")
    def time_top_k(self) -> None:
        """Selection alone."""
        em.top_k(self.scores, 10)

    @axes.titled("rescore")
    def time_rescore(self) -> None:
        """Canonical scores of 200 candidates per query."""
        em.rescore(self.queries, self.corpus, self.candidates, 10)

    @axes.titled("range_search")
    def time_range_search(self) -> None:
        """All rows above a similarity that few reach."""
        em.range_search(self.queries, self.corpus, 0.12)


_CHILD = """
import json, time
import embmath as em
import numpy as np
rng = np.random.default_rng(0)
corpus = rng.standard_normal((20_000, 768), dtype=np.float32)
queries = rng.standard_normal((32, 768), dtype=np.float32)
em.search(queries, corpus)
times = []
for _ in range(7):
    start = time.perf_counter()
    em.search(queries, corpus)
    times.append(time.perf_counter() - start)
print(json.dumps(min(times) * 1e3))
"""


class Isa:
    """32 queries under each instruction set; it is chosen once per process, hence a child."""

    param_names = ("isa",)
    params = (axes.ISAS,)
    timeout = 120

    @axes.titled("search, by instruction set", unit="ms")
    def track_search(self, isa: str) -> float:
        """Milliseconds of the fastest of seven runs."""
        environment = {**os.environ, "EMBMATH_FORCE_ISA": isa}
        command = [sys.executable, "-c", _CHILD]
        return float(json.loads(subprocess.check_output(command, env=environment)))


class Codes:
    """Eight queries, and one, against 50 000 rows kept as codes; decoded rows beside them."""

    param_names = ("precision", "queries")
    params = (("int8", "uint8", "int4", "binary", "float16"), (1, 8, 128))

    def setup(self, precision: Any, nq: int) -> None:
        """Queries, codes and the rows that these were made of."""
        self.queries, self.corpus = axes.pair("cosine", "float32", nq, _N)
        self.codes = em.quantize(self.corpus, precision)
        self.known = self.codes.with_residuals(self.corpus)

    @axes.titled("search codes")
    def time_search(self, precision: Any, nq: int) -> None:
        """By codes alone."""
        em.search(self.queries, self.codes, 10)

    @axes.titled("search codes, rescored")
    def time_rescored(self, precision: Any, nq: int) -> None:
        """The best of the candidates, unproven."""
        em.search(self.queries, self.codes, 10, rescore=self.corpus)

    @axes.titled("search codes, proven")
    def time_proven(self, precision: Any, nq: int) -> None:
        """Exact."""
        em.search(self.queries, self.known, 10, rescore=self.corpus)
