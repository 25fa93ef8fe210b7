"""What the tests of the command line share; a pytest plugin (see conftest.py)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embmath._cli import main

Run = Callable[..., tuple[int, str, str]]
COMMAND = [sys.executable, "-m", "embmath"]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command line in this process: exit code, stdout, stderr."""

    def call(*argv: object) -> tuple[int, str, str]:
        code = main([str(arg) for arg in argv])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def arrays(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "corpus": rng.standard_normal((60, 24), dtype=np.float32),
        "queries": rng.standard_normal((7, 24), dtype=np.float32),
        "mask": rng.random(60) < 0.5,
    }


@pytest.fixture
def saved(arrays: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with corpus.npy, queries.npy and mask.npy."""
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    monkeypatch.chdir(tmp_path)
    return tmp_path


FILES = ("search", "--corpus", "corpus.npy", "--queries", "queries.npy")


def hits(run: Run, *options: object) -> dict[str, Any]:
    """Search with ``--json``; the document."""
    code, out, err = run(*FILES, "--json", *options)
    assert (code, err) == (0, "")
    document: dict[str, Any] = json.loads(out)
    return document
