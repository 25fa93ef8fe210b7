"""One case from start to end: data, preparation, checked answers, interleaved timing."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

from benchmarks.compare.answers import Answer, MismatchError, check
from benchmarks.compare.cases import Case, Problem, build
from benchmarks.compare.contenders import CONTENDERS, Contender, Prepared
from benchmarks.machine import Disturbance, limit_threads
from benchmarks.timing import Policy, Timing, interleave

OURS = "embmath"


@dataclass
class Outcome:
    """What came of a case. A contender is in `timings` or, with the reason, in `absent`."""

    case: Case
    threads: int
    timings: dict[str, Timing] = field(default_factory=dict)
    prep: dict[str, float] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    pools: list[str] = field(default_factory=list)
    disturbance: float = float("nan")


def lineup(case: Case, peers: str = "") -> list[Contender]:
    """Who takes part in a case: ours first, and the peers whose name matches."""
    fit = (entry for entry in CONTENDERS if entry.task == case.task and entry.fits(case))
    chosen = [entry for entry in fit if entry.name == OURS or re.search(peers, entry.name)]
    return sorted(chosen, key=lambda entry: entry.name != OURS)


def run_case(case: Case, threads: int, policy: Policy, peers: str = "") -> Outcome:
    """Measure a case; its data is gone when this returns."""
    problem = build(case, threads)
    outcome = Outcome(case, threads)
    chosen = lineup(case, peers)
    ready = {entry.name: _prepare(entry, problem, outcome) for entry in chosen if entry.installed}
    outcome.absent = {entry.name: "not installed" for entry in chosen if not entry.installed}
    outcome.pools = limit_threads(threads)
    _check_all(ready, problem, outcome)
    fit = {name: prepared.run for name, prepared in ready.items() if name not in outcome.wrong}
    disturbance = Disturbance()
    outcome.timings = interleave(fit, policy)
    outcome.disturbance = disturbance.share()
    return outcome


def _prepare(entry: Contender, problem: Problem, outcome: Outcome) -> Prepared:
    start = time.perf_counter()
    prepared = entry.prepare(problem)
    outcome.prep[entry.name] = time.perf_counter() - start
    return prepared


def _check_all(ready: dict[str, Prepared], problem: Problem, outcome: Outcome) -> None:
    """Run everyone once: the answers must agree, and everyone is warm for the timing."""
    ours = _answer(ready[OURS])
    assert ours is not None
    for name, prepared in ready.items():
        got = ours if name == OURS else _answer(prepared)
        try:
            if got is not None:
                check(got, ours, problem)
        except MismatchError as difference:
            outcome.wrong[name] = str(difference)


def _answer(prepared: Prepared) -> Answer | None:
    result = prepared.run()
    return prepared.answer(result) if prepared.answer else None
