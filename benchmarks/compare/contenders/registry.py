"""What a contender is, and what several of them share.

A contender is one decorated function. It gets the problem, does once what its library does once
(build an index, pack the corpus; timed apart as "prep"), and returns what is timed. Turning the
library's result into an Answer happens outside the timer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.compare.answers import Answer
from benchmarks.compare.cases import Case, Problem
from benchmarks.data import Array


@dataclass(frozen=True)
class Prepared:
    """What is timed, and how its result reads; no answer where it solves another problem."""

    run: Callable[[], Any]
    answer: Callable[[Any], Answer] | None


@dataclass(frozen=True)
class Contender:
    """A library's way to do a task."""

    name: str
    task: str
    module: str
    fits: Callable[[Case], bool]
    prepare: Callable[[Problem], Prepared]

    @property
    def installed(self) -> bool:
        """Whether its library can be imported."""
        return find_spec(self.module) is not None


CONTENDERS: list[Contender] = []
Prepare = Callable[[Problem], Prepared]
FLOAT_SEARCH = ("search", "index")  # tasks that are the same work for all but us


def always(_: Case) -> bool:
    """Fits every case of its task."""
    return True


def contender(
    name: str, tasks: str | tuple[str, ...], module: str, fits: Callable[[Case], bool] = always
) -> Callable[[Prepare], Prepare]:
    """Enter a function as a contender for one or more tasks, for the cases that it fits."""

    def enter(prepare: Prepare) -> Prepare:
        entered = (tasks,) if isinstance(tasks, str) else tasks
        CONTENDERS.extend(Contender(name, task, module, fits, prepare) for task in entered)
        return prepare

    return enter


def library(name: str) -> Any:
    """Import a peer, untyped: some have no stubs, some have stubs that refuse their own docs."""
    return import_module(name)


def plain_dot(case: Case) -> bool:
    """Search by dot product, no filter."""
    return case.is_similarity and not case.filter


def unfiltered(case: Case) -> bool:
    """Search without a filter."""
    return not case.filter


def matrix_answer(matrix: Any) -> Answer:
    """A matrix as it is."""
    return Answer(np.asarray(matrix))


def pair_answer(pair: Any) -> Answer:
    """(values, indices) as they are."""
    return Answer(np.asarray(pair[0]), np.asarray(pair[1]))


def numpy_top_k(scores: Array, k: int, largest: bool) -> tuple[Array, Array]:
    """Partition, then sort what is left: the way NumPy users write it."""
    n = scores.shape[1]
    k = min(k, n)
    if largest:
        part = np.argpartition(scores, n - k, axis=1)[:, n - k :]
    else:
        part = np.argpartition(scores, k - 1, axis=1)[:, :k]
    values = np.take_along_axis(scores, part, axis=1)
    order = np.argsort(-values if largest else values, axis=1)
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(part, order, axis=1)


def allowed(p: Problem) -> Array:
    """Filter as a matrix that broadcasts over the scores."""
    if p.case.filter == "self":
        return ~np.eye(p.case.nq, p.case.n, dtype=bool)
    assert p.mask is not None
    return p.mask[None, :]
