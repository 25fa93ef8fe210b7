"""What is measured. A new case is one line of CASES."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks import data

MIN_ROWS = 4096  # below this a scaled case would measure call overhead only


@dataclass(frozen=True)
class Case:
    """One piece of work, the same for every contender.

    `bars` names the peers we mean to beat and by how much: peer time over our time, at least.
    """

    name: str
    task: str  # "similarity", "search", "hamming" or "normalize"
    n: int
    nq: int = 0
    d: int = 768
    k: int = 10
    metric: str = "dot"
    kind: str = "clustered"
    filter: str = ""  # "", "half", "rare" or "self"
    reuse_out: bool = False
    bars: Mapping[str, float] = field(default_factory=dict)

    def scaled(self, scale: float) -> Case:
        """The same case with fewer (or more) corpus rows."""
        return replace(self, n=max(min(self.n, MIN_ROWS), int(self.n * scale)))

    @property
    def describe(self) -> str:
        """The sizes in one line."""
        parts = [f"n={self.n}", f"d={self.d}"]
        if self.nq:
            parts.append(f"nq={self.nq}")
        if self.task in ("search", "hamming"):
            parts.append(f"k={self.k}")
        parts += [self.metric] * (self.task in ("search", "similarity"))
        parts += [f"{self.kind} rows"]
        parts += [f"filter: {self.filter}"] * bool(self.filter)
        return ", ".join(parts)


@dataclass
class Problem:
    """A case with its data, as the contenders get it."""

    case: Case
    threads: int
    corpus: data.Array
    queries: data.Array
    mask: data.BoolArray | None = None


_SHARE = {"half": 0.5, "rare": 0.01}


def build(case: Case, threads: int) -> Problem:
    """Make (or load) the data of a case. Raises data.DataMissingError where real data is absent."""
    corpus, queries = _rows(case)
    mask = data.mask(case.n, _SHARE[case.filter]) if case.filter in _SHARE else None
    return Problem(case, threads, corpus, queries, mask)


def _rows(case: Case) -> tuple[data.Array, data.Array]:
    if case.kind == "minilm":
        base, queries = data.minilm()
        return np.ascontiguousarray(base[: case.n]), np.ascontiguousarray(queries[: case.nq])
    if case.task == "hamming":
        return data.codes(case.n, case.d), data.codes(case.nq, case.d, data.QUERIES)
    corpus = data.rows(case.kind, case.n, case.d)
    if case.filter == "self":
        return corpus, corpus[: case.nq].copy()
    return corpus, data.queries(case.kind, case.nq, case.d)


_MATMUL, _FAISS, _TORCH = "NumPy A@B.T alone", "FAISS flat", "Torch mm + topk"
_BATCH = {_MATMUL: 2.5, _FAISS: 3.0, _TORCH: 5.0}
_PLAIN = {"embmath, unfiltered": 1 / 1.1}
_SAFE = {"embmath, clustered rows": 1 / 1.1}


def _cases() -> Iterator[Case]:
    for reuse in (False, True):
        name = "similarity, out= given" if reuse else "similarity"
        bars = {_MATMUL: 1.0}
        yield Case(name, "similarity", 100_000, 1000, metric="cosine", reuse_out=reuse, bars=bars)
    for k in (10, 100):
        for nq in (1, 8, 32, 128, 1000):
            bars = _BATCH if nq == 1000 else {}
            yield Case(f"search nq={nq} k={k}", "search", 100_000, nq, k=k, bars=bars)
    yield Case("search nq=1, 600k rows", "search", 600_000, 1)
    for nq in (1, 128):
        yield Case(f"search euclidean nq={nq}", "search", 100_000, nq, metric="sqeuclidean")
    for nq in (1, 8, 128, 1000):
        yield Case(f"search MiniLM nq={nq}", "search", 40_000, nq, d=384, kind="minilm")
    for kind in ("equal", "isotropic", "ascending"):
        for nq in (1, 128):
            name = f"search {kind} rows nq={nq}"
            yield Case(name, "search", 100_000, nq, kind=kind, bars=_SAFE)
    for chosen in ("half", "rare", "self"):
        for nq in (1, 128):
            name = f"search filter {chosen} nq={nq}"
            yield Case(name, "search", 100_000, nq, filter=chosen, bars=_PLAIN)
    for nq in (1, 1000):
        bars = {"FAISS IndexBinaryFlat": 1.5}
        yield Case(f"hamming nq={nq}", "hamming", 1_000_000, nq, metric="hamming", bars=bars)
    yield Case("normalize", "normalize", 200_000, reuse_out=True, bars={"memory copy": 0.8})


CASES = tuple(_cases())
