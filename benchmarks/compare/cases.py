"""What is measured. A new case is one line of CASES."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from benchmarks import data

MIN_ROWS = 4096  # below this a scaled case would measure call overhead only
_CHECKS = 8  # queries that show whether an index was built right
_SEARCHES = ("search", "index", "codes", "int8", "hamming")


@dataclass(frozen=True)
class Case:
    """One piece of work, the same for every contender.

    `bars` names the peers we mean to beat and by how much: peer time over our time, at least.
    """

    name: str
    task: str  # "similarity", "search", "index", "index build", "codes", "int8", ...
    n: int
    nq: int = 0
    d: int = 768
    k: int = 10
    metric: str = "dot"
    kind: str = "clustered"
    filter: str = ""  # "", "half", "rare" or "self"
    bits: int = 0  # of a code
    reuse_out: bool = False
    bars: Mapping[str, float] = field(default_factory=dict)

    def scaled(self, scale: float) -> Case:
        """The same case with fewer (or more) corpus rows."""
        return replace(self, n=max(min(self.n, MIN_ROWS), int(self.n * scale)))

    @property
    def is_similarity(self) -> bool:
        """Whether larger is better; peers may take the dot product for the cosine of unit rows."""
        return self.metric in ("dot", "cosine")

    @property
    def describe(self) -> str:
        """The sizes in one line."""
        parts = [f"n={self.n}", f"d={self.d}"]
        parts += [f"nq={self.nq}"] * (self.task in ("similarity", *_SEARCHES))
        parts += [f"k={self.k}"] * (self.task in _SEARCHES)
        parts += [self.metric] * (self.task not in ("hamming", "normalize"))
        parts += [f"{self.kind} rows"]
        parts += [f"filter: {self.filter}"] * bool(self.filter)
        parts += [f"{self.bits}-bit codes"] * bool(self.bits)
        return ", ".join(parts)


@dataclass
class Problem:
    """A case with its data, as the contenders get it."""

    case: Case
    threads: int
    corpus: data.Array
    queries: data.Array
    mask: data.BoolArray | None = None
    codes: Any = None  # of the corpus, if the case has some

    @cached_property
    def truth(self) -> data.Array:
        """The rows that scores belong to: the corpus, or what its codes stand for."""
        return self.corpus if self.codes is None else self.codes.dequantize()


_PRECISIONS = {8: "int8", 4: "int4", 1: "binary"}
_SHARE = {"half": 0.5, "rare": 0.01}


def build(case: Case, threads: int) -> Problem:
    """Make (or load) the data of a case. Raises data.DataMissingError where real data is absent."""
    corpus, queries = _rows(case)
    mask = data.mask(case.n, _SHARE[case.filter]) if case.filter in _SHARE else None
    problem = Problem(case, threads, corpus, queries, mask)
    if case.bits:
        import embmath as em

        precision: Any = _PRECISIONS[case.bits]
        problem.codes = em.quantize(corpus, precision)
    return problem


def _rows(case: Case) -> tuple[data.Array, data.Array]:
    if case.kind == "minilm":
        base, queries = data.minilm()
        return np.ascontiguousarray(base[: case.n]), np.ascontiguousarray(queries[: case.nq])
    if case.task == "hamming":
        return data.codes(case.n, case.d), data.codes(case.nq, case.d, data.QUERIES)
    if case.task == "int8":
        return data.int8_rows(case.n, case.d), data.int8_rows(case.nq, case.d, data.QUERIES)
    corpus = data.rows(case.kind, case.n, case.d)
    if case.filter == "self":
        return corpus, corpus[: case.nq].copy()
    return corpus, data.queries(case.kind, case.nq, case.d)


_MATMUL, _FAISS, _TORCH = "NumPy A@B.T alone", "FAISS flat", "Torch mm + topk"
_TOP_K, _USEARCH, _FLOAT = "NumPy matmul + top-k", "USearch exact", "embmath float32"
_BATCH = {_MATMUL: 2.5, _FAISS: 3.0, _TORCH: 5.0}
_INDEX_BATCH = {_MATMUL: 5.0, _FAISS: 5.0, _TORCH: 6.0}
_INDEX_FEW = dict.fromkeys((_TOP_K, _TORCH, _FAISS, _USEARCH), 6.0)
_PLAIN = {"embmath, unfiltered": 1 / 1.1}
_SAFE = {_FLOAT: 1 / 1.1}
WORST = ("equal", "isotropic", "ascending")
_FILTERS = ("half", "rare", "self")


def _similarity_cases() -> Iterator[Case]:
    for reuse in (False, True):
        name = "similarity, out= given" if reuse else "similarity"
        bars = {_MATMUL: 1.0}
        yield Case(name, "similarity", 100_000, 1000, metric="cosine", reuse_out=reuse, bars=bars)


def _search_cases() -> Iterator[Case]:
    for k in (10, 100):
        for nq in (1, 8, 32, 128, 1000):
            bars = _BATCH if nq == 1000 else {}
            yield Case(f"search nq={nq} k={k}", "search", 100_000, nq, k=k, bars=bars)
    yield Case("search nq=1, 600k rows", "search", 600_000, 1)
    for nq in (1, 128):
        yield Case(f"search euclidean nq={nq}", "search", 100_000, nq, metric="sqeuclidean")
    for nq in (1, 8, 128, 1000):
        yield Case(f"search MiniLM nq={nq}", "search", 40_000, nq, d=384, kind="minilm")
    for kind in WORST:
        for nq in (1, 128):
            name = f"search {kind} rows nq={nq}"
            yield Case(name, "search", 100_000, nq, kind=kind, bars=_SAFE)
    for chosen in _FILTERS:
        for nq in (1, 128):
            name = f"search filter {chosen} nq={nq}"
            yield Case(name, "search", 100_000, nq, filter=chosen, bars=_PLAIN)


def _index_cases() -> Iterator[Case]:
    for nq in (8, 32, 128):
        yield Case(f"index nq={nq} k=10", "index", 100_000, nq, bars=_INDEX_FEW)
    for k in (10, 100):
        yield Case(f"index nq=1000 k={k}", "index", 100_000, 1000, k=k, bars=_INDEX_BATCH)
    yield Case("index nq=1, 600k rows", "index", 600_000, 1, bars={_FAISS: 12.0, _FLOAT: 10.0})
    yield Case("index cosine nq=1000", "index", 100_000, 1000, metric="cosine")
    yield Case("index euclidean nq=128", "index", 100_000, 128, metric="sqeuclidean")
    for nq in (1, 8, 128, 1000):
        yield Case(f"index MiniLM nq={nq}", "index", 40_000, nq, d=384, kind="minilm")
    for kind in WORST:
        for nq in (128, 1000):
            name = f"index {kind} rows nq={nq}"
            yield Case(name, "index", 100_000, nq, kind=kind, bars=_SAFE)
    for chosen in _FILTERS:
        name = f"index filter {chosen} nq=128"
        yield Case(name, "index", 100_000, 128, filter=chosen, bars=_PLAIN)


def _other_cases() -> Iterator[Case]:
    for n, d in ((100_000, 768), (400_000, 384)):
        bars = {"memory copy": 0.5}
        yield Case(f"index build d={d}", "index build", n, _CHECKS, d, bars=bars)
    for bits in (8, 4, 1):
        for nq in (1, 8):
            bars = {"FAISS scalar quantizer": 1.0} if bits > 1 else {}
            yield Case(f"codes {bits} bits nq={nq}", "codes", 100_000, nq, bits=bits, bars=bars)
    for nq in (32, 1000):
        yield Case(f"int8 nq={nq}", "int8", 100_000, nq, bars={"NumKong dots alone": 1.0})
    for nq in (1, 1000):
        bars = {"FAISS IndexBinaryFlat": 1.5}
        yield Case(f"hamming nq={nq}", "hamming", 1_000_000, nq, metric="hamming", bars=bars)
    yield Case("normalize", "normalize", 200_000, reuse_out=True, bars={"memory copy": 0.8})


CASES = (*_similarity_cases(), *_search_cases(), *_index_cases(), *_other_cases())
