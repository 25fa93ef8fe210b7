"""scikit-learn: brute-force neighbours and its pairwise helpers."""

from __future__ import annotations

from benchmarks.compare.answers import Answer
from benchmarks.compare.cases import Problem
from benchmarks.compare.contenders.registry import (
    FLOAT_SEARCH,
    Prepared,
    contender,
    library,
    matrix_answer,
    unfiltered,
)
from benchmarks.data import Array


@contender("sklearn NearestNeighbors", FLOAT_SEARCH, "sklearn", unfiltered)
def sklearn_search(p: Problem) -> Prepared:
    dot = p.case.is_similarity  # of unit rows, which is the cosine
    model = (
        library("sklearn.neighbors")
        .NearestNeighbors(
            n_neighbors=min(p.case.k, p.case.n),
            algorithm="brute",
            metric="cosine" if dot else "euclidean",
        )
        .fit(p.corpus)
    )

    def answer(found: tuple[Array, Array]) -> Answer:
        return Answer(1.0 - found[0] if dot else found[0] ** 2, found[1])

    return Prepared(lambda: model.kneighbors(p.queries), answer)


@contender("sklearn cosine_similarity", "similarity", "sklearn")
def sklearn_similarity(p: Problem) -> Prepared:
    cosine_similarity = library("sklearn.metrics.pairwise").cosine_similarity

    return Prepared(lambda: cosine_similarity(p.queries, p.corpus), matrix_answer)


@contender("sklearn normalize", "normalize", "sklearn")
def sklearn_normalize(p: Problem) -> Prepared:
    normalize = library("sklearn.preprocessing").normalize

    return Prepared(lambda: normalize(p.corpus), matrix_answer)
