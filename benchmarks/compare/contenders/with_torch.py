"""Torch on the CPU: mm, then topk."""

from __future__ import annotations

from typing import Any

from benchmarks.compare.answers import Answer
from benchmarks.compare.cases import Problem
from benchmarks.compare.contenders.registry import (
    FLOAT_SEARCH,
    Prepared,
    allowed,
    contender,
    library,
    matrix_answer,
    pair_answer,
)


@contender("Torch mm + topk", FLOAT_SEARCH, "torch")
def torch_search(p: Problem) -> Prepared:
    torch = library("torch")

    largest = p.case.is_similarity
    q, x = torch.from_numpy(p.queries), torch.from_numpy(p.corpus)
    hidden = torch.from_numpy(~allowed(p)) if p.case.filter else None
    k = min(p.case.k, p.case.n)

    def run() -> Any:
        scores = torch.mm(q, x.T) if largest else torch.cdist(q, x)
        if hidden is not None:
            scores.masked_fill_(hidden, -torch.inf)
        return torch.topk(scores, k, largest=largest)

    def answer(result: Any) -> Answer:
        values = result.values if largest else result.values.square()
        return Answer(values.numpy(), result.indices.numpy())

    return Prepared(run, answer)


@contender("Torch _int_mm + topk", "int8", "torch")
def torch_int8(p: Problem) -> Prepared:
    torch = library("torch")

    q, x = torch.from_numpy(p.queries), torch.from_numpy(p.corpus)
    k = min(p.case.k, p.case.n)
    return Prepared(lambda: torch.topk(torch._int_mm(q, x.T), k), pair_answer)


@contender("Torch mm", "similarity", "torch")
def torch_similarity(p: Problem) -> Prepared:
    torch = library("torch")

    q, x = torch.from_numpy(p.queries), torch.from_numpy(p.corpus)
    out = torch.empty((p.case.nq, p.case.n)) if p.case.reuse_out else None
    return Prepared(lambda: torch.mm(q, x.T, out=out), matrix_answer)


@contender("Torch normalize", "normalize", "torch")
def torch_normalize(p: Problem) -> Prepared:
    torch = library("torch")

    x, out = torch.from_numpy(p.corpus), torch.empty(p.corpus.shape)
    return Prepared(lambda: torch.nn.functional.normalize(x, out=out), matrix_answer)
