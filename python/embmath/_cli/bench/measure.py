"""One case: the same data for all, answers compared first, then turns until the time is up."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

import embmath as em
from embmath._cli.bench.contenders import CONTENDERS, OURS, Contender, Indices, Rows, Search

_CLUSTERS = 256
_MOST_ROUNDS = 50


@dataclass(frozen=True)
class Case:
    """What is searched."""

    queries: int
    rows: int
    dims: int
    dtype: str
    k: int
    threads: int

    def data(self) -> tuple[Rows, Rows]:
        """Rows of length 1 around centres; variances fall like 1/j, in random directions."""
        rng = np.random.default_rng([self.dims, self.rows])
        spectrum = (1.0 + np.arange(self.dims)) ** -0.5
        turn = np.linalg.qr(rng.standard_normal((self.dims, self.dims)))[0]
        turn = (spectrum[:, None] * turn).astype(np.float32)
        centres = rng.standard_normal((_CLUSTERS, self.dims), dtype=np.float32)
        total = self.rows + self.queries
        found = rng.standard_normal((total, self.dims), dtype=np.float32)
        found *= np.float32(0.7)
        found += centres[rng.integers(_CLUSTERS, size=total)]
        found = np.asarray(em.normalize(found @ turn)).astype(self.dtype)
        return found[self.rows :], found[: self.rows]


@dataclass
class Result:
    """How one contender did."""

    name: str
    same_answers: bool = False
    prepare_seconds: float = 0.0
    seconds: list[float] = field(default_factory=list)
    peak_mib: float | None = None

    @property
    def best(self) -> float:
        """Seconds of the fastest search: what the machine can, less what disturbed it."""
        return min(self.seconds)

    def summary(self, ours: float) -> dict[str, Any]:
        """Figures for a table or a file; `ratio` above 1: embmath.Index is faster."""
        return {
            "name": self.name,
            "same_answers": self.same_answers,
            "min_ms": 1e3 * self.best,
            "median_ms": 1e3 * statistics.median(self.seconds),
            "ratio": self.best / ours,
            "prepare_ms": 1e3 * self.prepare_seconds,
            "peak_mib": self.peak_mib,
        }


def run_case(
    case: Case, contenders: Sequence[Contender], seconds: float, has_memory: bool
) -> list[dict[str, Any]]:
    """Results of all contenders, ours first."""
    queries, corpus = case.data()
    searches: list[tuple[Result, Search]] = []
    wanted = np.asarray(em.search(queries, corpus, case.k, "dot").values)
    for contender in contenders:
        start = time.perf_counter()
        search = contender.prepare(corpus, case.k, case.threads)
        result = Result(contender.name, prepare_seconds=time.perf_counter() - start)
        result.same_answers = _agree(queries, corpus, search(queries), wanted)
        searches.append((result, search))
    end = time.perf_counter() + seconds
    for _ in range(_MOST_ROUNDS):
        for result, search in searches:
            start = time.perf_counter()
            search(queries)
            result.seconds.append(time.perf_counter() - start)
        if time.perf_counter() > end and len(searches[0][0].seconds) >= 3:
            break
    results = [result for result, _ in searches]
    if has_memory:
        for result in results:
            result.peak_mib = peak_memory(case, result.name)
    ours = next(result.best for result in results if result.name == OURS.name)
    return [result.summary(ours) for result in results]


def _agree(queries: Rows, corpus: Rows, found: Indices, wanted: Rows) -> bool:
    """Whether rows as good as ours were found: ties may be broken otherwise, within rounding."""
    scores = np.asarray(
        em.rescore(queries, corpus, found.astype(np.int64), found.shape[1], "dot").values
    )
    if scores.shape != wanted.shape:
        return False
    # What a float32 or float16 dot product of that many terms may be wrong by.
    unit = 2.0**-11 if queries.dtype == np.float16 else 2.0**-24
    return bool(np.all(np.abs(scores - wanted) <= (queries.shape[1] + 16) * unit))


def peak_memory(case: Case, name: str) -> float | None:
    """MiB that preparing and searching take beyond the data, in a process of its own."""
    request = json.dumps({"case": asdict(case), "name": name})
    command = [sys.executable, "-m", "embmath._cli.bench.memory", request]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return float(done.stdout) if done.returncode == 0 else None


def contender(name: str) -> Contender:
    """By its name."""
    return next(each for each in CONTENDERS if each.name == name)
