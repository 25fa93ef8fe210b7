"""turbovec: rotated codes of 2 or 4 bits with scores of their own, nothing exact."""

from __future__ import annotations

import os

from benchmarks.compare.cases import Problem
from benchmarks.compare.contenders.registry import Prepared, contender, library


def _turbovec(p: Problem, bits: int) -> Prepared:
    os.environ.setdefault("RAYON_NUM_THREADS", str(p.threads))  # read once, by the first search
    index = library("turbovec").TurboQuantIndex(p.case.d, bits)
    index.add(p.corpus)
    index.prepare()
    return Prepared(lambda: index.search(p.queries, p.case.k), None)


@contender("turbovec 4 bits", "codes", "turbovec", lambda case: case.bits == 4)
def turbovec_four(p: Problem) -> Prepared:
    return _turbovec(p, 4)


@contender("turbovec 2 bits", "codes", "turbovec", lambda case: case.bits == 1)
def turbovec_two(p: Problem) -> Prepared:
    """Twice our bytes: it has no single bit."""
    return _turbovec(p, 2)
