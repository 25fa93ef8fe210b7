"""A plugin of pytest, run beside a peer's tests: the peer's names mean ours.

Every test takes two numbers into its report: how often it called one of ours, and how often that
came to the engine, so that a suite cannot pass without either.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

import embmath as em

from .table import SUITES, Suite

CALLS: Counter[str] = Counter()  # of the test that runs
INSIDE = threading.local()  # the functions of ours that this thread is in


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--suite", help="a name of the table")


def pytest_configure(config: pytest.Config) -> None:
    suite = SUITES[config.getoption("--suite")]
    count_engine()
    stand_in(suite)
    config.pluginmanager.register(Differences(suite))


def stand_in(suite: Suite) -> None:
    ours = importlib.import_module(suite.ours)
    if not suite.names:
        borrow(suite, ours)
        for name in ours.__all__:
            setattr(ours, name, counted(getattr(ours, name), "ours"))
        sys.modules[suite.theirs] = ours
        return
    theirs = importlib.import_module(suite.theirs)
    replaced = {}
    for name, own in suite.names.items():
        original = getattr(theirs, name)
        replaced[id(original)] = counted(getattr(ours, own), "ours", instead_of=original)
    for place in places(suite.theirs.split(".")[0]):
        for name, value in list(place.items()):
            if id(value) in replaced:
                place[name] = replaced[id(value)]


def borrow(suite: Suite, ours: ModuleType) -> None:
    """Names of the peer's that its tests need as tools; submodules stay loaded besides."""
    for name in suite.borrowed:
        if "." in name:
            importlib.import_module(f"{suite.theirs}.{name}")
        first = name.partition(".")[0]
        setattr(ours, first, getattr(importlib.import_module(suite.theirs), first))


def places(root: str) -> Iterator[dict[Any, Any]]:
    """Where a loaded package has its functions by name, tables of them included."""
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and name.split(".")[0] == root:
            yield vars(module)
            yield from [each for each in vars(module).values() if type(each) is dict]


def count_engine() -> None:
    for name in em.__all__:
        if inspect.isfunction(getattr(em, name)):
            setattr(em, name, counted(getattr(em, name), "engine"))
    counted(em.Index, "engine")


def counted(thing: Any, key: str, instead_of: Any = None) -> Any:
    """A function that counts its calls, or a class whose methods count theirs."""
    if inspect.isfunction(thing):
        return counted_function(thing, key, instead_of)
    if inspect.isclass(thing):
        for owner in thing.__mro__:
            if owner.__module__.startswith("embmath"):
                count_methods(owner, key)
    return thing


def count_methods(owner: type, key: str) -> None:
    for name, method in list(vars(owner).items()):
        is_public = not name.startswith("_") or name == "__init__"
        if inspect.isfunction(method) and is_public and not hasattr(method, "__wrapped__"):
            setattr(owner, name, counted_function(method, key, None))


def counted_function(
    function: Callable[..., Any], key: str, instead_of: Callable[..., Any] | None
) -> Callable[..., Any]:
    """A function that counts its calls.

    What ours hands back to the peer under the same name is the peer's: `instead_of`.
    """

    @functools.wraps(function)
    def counting(*args: Any, **kwargs: Any) -> Any:
        inside = vars(INSIDE).setdefault("functions", set())
        if instead_of is not None and function in inside:
            return instead_of(*args, **kwargs)
        CALLS[key] += 1
        is_outermost = function not in inside
        inside.add(function)
        try:
            return function(*args, **kwargs)
        finally:
            if is_outermost:
                inside.discard(function)

    return counting


class Differences:
    """Tests of what differs by intention must fail; tests that are left out do not run."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        unused = set(self.suite.differs) | set(self.suite.left_out)
        left_out = []
        for item in items:
            name = item.nodeid.partition("::")[2]
            for pattern, reason in self.suite.differs.items():
                if re.fullmatch(pattern, name):
                    item.add_marker(pytest.mark.xfail(strict=True, reason=reason))
                    unused.discard(pattern)
            matching = [each for each in self.suite.left_out if re.fullmatch(each, name)]
            unused.difference_update(matching)
            left_out += [item] * bool(matching)
        if unused:
            raise pytest.UsageError(f"no test is named {sorted(unused)}")
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        CALLS.clear()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        try:
            return (yield)
        finally:
            item.user_properties.extend((key, CALLS[key]) for key in ("ours", "engine"))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Iterator[None]:
        report = yield
        error = "" if call.excinfo is None else str(call.excinfo.value)
        if report.failed and self.suite.absent and re.match(self.suite.absent, error):
            report.outcome, report.longrepr = "skipped", (str(item.path), 0, f"not here: {error}")
        return report
