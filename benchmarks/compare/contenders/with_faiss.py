"""FAISS: the flat (exact) indexes."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.compare.cases import Problem
from benchmarks.compare.contenders.registry import (
    FLOAT_SEARCH,
    Prepared,
    contender,
    library,
    matrix_answer,
    pair_answer,
)


@contender("FAISS flat", FLOAT_SEARCH, "faiss", lambda case: case.filter != "self")
def faiss_search(p: Problem) -> Prepared:
    faiss = library("faiss")

    make = faiss.IndexFlatIP if p.case.is_similarity else faiss.IndexFlatL2
    index = make(p.case.d)
    index.add(p.corpus)
    params = None
    if p.mask is not None:
        selector = faiss.IDSelectorBitmap(np.packbits(p.mask, bitorder="little"))
        params = faiss.SearchParameters(sel=selector)
    return Prepared(lambda: index.search(p.queries, p.case.k, params=params), pair_answer)


@contender("FAISS flat add", "index build", "faiss")
def faiss_build(p: Problem) -> Prepared:
    """A copy of the rows."""
    faiss = library("faiss")

    def run() -> Any:
        index = faiss.IndexFlatIP(p.case.d)
        index.add(p.corpus)
        return index

    return Prepared(run, lambda index: pair_answer(index.search(p.queries, p.case.k)))


@contender("FAISS SQ8 train + add", "index build", "faiss")
def faiss_codes(p: Problem) -> Prepared:
    """One byte per element as we have it, but nothing exact: no answer to compare."""
    faiss = library("faiss")

    def run() -> Any:
        index = faiss.IndexScalarQuantizer(
            p.case.d, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        )
        index.train(p.corpus)
        index.add(p.corpus)
        return index

    return Prepared(run, None)


@contender("FAISS scalar quantizer", "codes", "faiss", lambda case: case.bits in (4, 8))
def faiss_scalar(p: Problem) -> Prepared:
    """Codes of its own grid, so no answer to compare."""
    faiss = library("faiss")

    kinds = {8: faiss.ScalarQuantizer.QT_8bit, 4: faiss.ScalarQuantizer.QT_4bit}
    index = faiss.IndexScalarQuantizer(p.case.d, kinds[p.case.bits], faiss.METRIC_INNER_PRODUCT)
    index.train(p.corpus)
    index.add(p.corpus)
    return Prepared(lambda: index.search(p.queries, p.case.k), None)


@contender("FAISS IndexBinaryFlat", "hamming", "faiss")
def faiss_hamming(p: Problem) -> Prepared:
    faiss = library("faiss")

    index = faiss.IndexBinaryFlat(p.case.d)
    index.add(p.corpus)
    return Prepared(lambda: index.search(p.queries, p.case.k), pair_answer)


@contender("FAISS normalize_L2", "normalize", "faiss")
def faiss_normalize(p: Problem) -> Prepared:
    """In place, on a copy of its own: it overwrites the caller's rows."""
    faiss = library("faiss")

    rows = p.corpus.copy()

    return Prepared(lambda: faiss.normalize_L2(rows), lambda _: matrix_answer(rows))
