"""The peers' own tests, with our functions in the place of theirs."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from compat.peer_suites.runs import run
from compat.peer_suites.table import SUITES


@pytest.mark.parametrize("name", SUITES)
def test_with_our_functions(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    suite = SUITES[name]
    if not is_installed(suite.peer):
        pytest.skip(f"needs {suite.peer}")
    found = run(name, tmp_path, request.config.cache.mkdir("peer-suites"))
    failed = [f"{each.name}: {each.message}" for each in found if each.kind in ("failure", "error")]
    assert not failed, "\n".join(failed)
    passed = [each for each in found if each.kind == "passed" and each.ours]
    assert len(passed) >= suite.passed
    assert sum(each.engine > 0 for each in passed) >= suite.reached


def is_installed(distribution: str) -> bool:
    try:
        return bool(importlib.metadata.version(distribution))
    except importlib.metadata.PackageNotFoundError:
        return False
