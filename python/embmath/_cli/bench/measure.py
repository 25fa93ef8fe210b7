"""One case: the same data for all, answers compared first, then turns until the time is up."""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from embmath._cli.bench.memory import MemoryMeter
from embmath._cli.bench.packages import limit_threads

_LEAST_ROUNDS, _MOST_ROUNDS = 3, 50

Run = Callable[[], Any]  # what is timed; returns the answer


class Contender(NamedTuple):
    """One way to do it."""

    name: str
    packages: tuple[str, ...]  # that must be installed
    prepare: Callable[[Any], Run]  # what happens once for a corpus, such as building an index

    def load(self, threads: int) -> None:
        """Import what it needs, which is neither timed nor measured."""
        for package in self.packages:
            importlib.import_module(package)
        limit_threads(threads)


class Case(Protocol):
    """What is done, by whom, and how answers are judged; made again from `request` elsewhere."""

    @property
    def threads(self) -> int:
        """For everyone that can be told."""

    @property
    def title(self) -> str:
        """Names it in tables and files."""

    def inputs(self) -> Any:
        """What contenders prepare themselves with; the same every time."""

    def contenders(self) -> Sequence[Contender]:
        """Those that can run here, ours first."""

    def agree(self, inputs: Any, ours: Any, found: Any) -> bool:
        """Whether an answer is as good as ours: ties broken otherwise, rounding allowed for."""

    def request(self) -> dict[str, Any]:
        """The case as JSON."""


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
        """Seconds of the fastest run: what the machine can, less what disturbed it."""
        return min(self.seconds)

    def summary(self, ours: float) -> dict[str, Any]:
        """Figures for a table or a file; `ratio` above 1: ours is faster."""
        return {
            "name": self.name,
            "same_answers": self.same_answers,
            "min_ms": 1e3 * self.best,
            "median_ms": 1e3 * statistics.median(self.seconds),
            "ratio": self.best / ours,
            "prepare_ms": 1e3 * self.prepare_seconds,
            "peak_mib": self.peak_mib,
        }


def run_case(case: Case, seconds: float, meter: MemoryMeter | None) -> list[dict[str, Any]]:
    """Results of all contenders, ours first."""
    results, runs = _prepared(case)
    end = time.perf_counter() + seconds
    for done in range(_MOST_ROUNDS):
        if done >= _LEAST_ROUNDS and time.perf_counter() > end:
            break
        for result, run in zip(results, runs, strict=True):
            start = time.perf_counter()
            run()
            result.seconds.append(time.perf_counter() - start)
    if meter is not None:
        for result in results:
            result.peak_mib = meter.peak(case.request(), result.name)
    return [result.summary(results[0].best) for result in results]


def _prepared(case: Case) -> tuple[list[Result], list[Run]]:
    """All contenders ready to run, their answers compared."""
    inputs = case.inputs()
    results, runs = [], []
    ours = None
    for contender in case.contenders():
        contender.load(case.threads)
        start = time.perf_counter()
        run = contender.prepare(inputs)
        result = Result(contender.name, prepare_seconds=time.perf_counter() - start)
        found = run()
        ours = found if ours is None else ours
        result.same_answers = case.agree(inputs, ours, found)
        results.append(result)
        runs.append(run)
    return results, runs
