"""A peer's tests, run by a pytest of their own, and what came of each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import embmath as em

from .sources import folder_of_tests
from .table import SUITES

# The plugin, and the embmath that is tested here, wherever it came from.
PATHS = [str(Path(__file__).parents[2]), str(Path(em.__file__).parents[1])]
OPTIONS = ("-p", "compat.peer_suites.stand_in", "-p", "no:cacheprovider", "--tb=short", "-q")


class Outcome(NamedTuple):
    """What came of one test."""

    name: str
    kind: str  # "passed", "skip", "xfail", "failure" or "error"
    message: str
    ours: int  # calls of our functions
    engine: int  # calls of the engine


def run(name: str, work: Path, cache: Path) -> list[Outcome]:
    """Run a suite of the table."""
    suite = SUITES[name]
    where = work if suite.is_installed else folder_of_tests(suite, cache)
    report, settings = work / "report.xml", work / "pytest.ini"
    settings.write_text("[pytest]\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", *OPTIONS, "--suite", name, *suite.options]
    command += ["-c", str(settings), "--junit-xml", str(report)]
    command += [*(["--pyargs"] * suite.is_installed), *suite.tests]
    paths = [*PATHS, os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        command,
        cwd=where,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **suite.environment},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stdout[-3000:] + done.stderr[-3000:]
    return list(outcomes(report))


def outcomes(report: Path) -> Iterator[Outcome]:
    for case in ElementTree.parse(report).iter("testcase"):
        calls = {each.get("name"): int(each.get("value", 0)) for each in case.iter("property")}
        kind = message = ""
        for each in case:
            if each.tag in ("failure", "error", "skipped"):
                kind = each.get("type", "").removeprefix("pytest.") or each.tag
                message = each.get("message", "")
        name = f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"
        yield Outcome(name, kind or "passed", message, calls.get("ours", 0), calls.get("engine", 0))
