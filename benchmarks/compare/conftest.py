"""Options, the fixture that runs a case, and the table at the end."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks import machine
from benchmarks.compare.cases import CASES, Case
from benchmarks.compare.report import report
from benchmarks.compare.runner import Outcome, lineup, run_case
from benchmarks.data import DataMissingError
from benchmarks.timing import Policy

_OUTCOMES = pytest.StashKey[dict[str, Outcome]]()
_START = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Sizes and selection."""
    group = parser.getgroup("comparison with peers")
    scale = float(os.environ.get("EMBMATH_BENCH_SCALE", "1"))
    policy = Policy()
    group.addoption("--scale", type=float, default=scale, help="factor on the corpus rows")
    group.addoption("--threads", type=int, default=machine.cores(), help="for every contender")
    group.addoption("--cases", default="", help="only cases whose name matches this")
    group.addoption("--peers", default="", help="only peers whose name matches this")
    group.addoption("--budget", type=float, default=policy.budget, help="seconds per case")
    group.addoption("--rounds", type=int, default=policy.min_rounds, help="at least so many")


def pytest_configure(config: pytest.Config) -> None:
    """Start the list of outcomes, and note how busy the machine is before we add to it."""
    config.stash[_OUTCOMES] = {}
    config.stash[_START] = f"{os.getloadavg()[0]:.2f}"


def _chosen(config: pytest.Config) -> Iterator[tuple[Case, str]]:
    option = config.getoption
    for case in CASES:
        if re.search(option("cases"), case.name):
            scaled = case.scaled(option("scale"))
            for entry in lineup(scaled, option("peers")):
                yield scaled, entry.name


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per case and contender."""
    if "contender" in metafunc.fixturenames:
        pairs = list(_chosen(metafunc.config))
        ids = [f"{case.name}-{name}" for case, name in pairs]
        metafunc.parametrize(("case", "contender"), pairs, ids=ids)


@pytest.fixture
def outcome(request: pytest.FixtureRequest, case: Case) -> Outcome:
    """What came of the case: it runs once, for the first of its contenders' tests."""
    option, done = request.config.getoption, request.config.stash[_OUTCOMES]
    if case.name not in done:
        least = max(1, option("rounds"))
        policy = Policy(budget=option("budget"), min_rounds=least, max_rounds=max(least, 30))
        try:
            done[case.name] = run_case(case, option("threads"), policy, option("peers"))
        except DataMissingError as reason:
            pytest.skip(str(reason))
    return done[case.name]


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: Any) -> None:
    """What the JSON file says about the machine beyond the plugin's own facts."""
    machine_info["embmath_line"] = machine.machine_line()
    machine_info["versions"] = machine.versions()
    machine_info["load_at_start"] = config.stash[_START]


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the ratios."""
    outcomes = list(config.stash[_OUTCOMES].values())
    if outcomes:
        terminalreporter.write_line("")
        terminalreporter.write_line(report(outcomes, config.stash[_START]))
