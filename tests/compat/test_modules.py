"""What the compat modules import, and that their examples run."""

from __future__ import annotations

import doctest
import importlib
from collections.abc import Callable
from typing import Any

import pytest

EXAMPLES = {
    "embmath.compat.faiss": (),
    "embmath.compat.scipy": (),
    "embmath.compat.sklearn": ("sklearn",),
}
PEERS = ("faiss", "scipy", "sklearn", "torch")


@pytest.mark.parametrize("module", ["embmath", "embmath.compat.faiss", "embmath.compat.scipy"])
def test_needs_no_peer(module: str, run_python: Callable[..., Any]) -> None:
    refused = "; ".join(f"sys.modules[{peer!r}] = None" for peer in PEERS)
    run_python(f"import sys; {refused}; import {module}")


@pytest.mark.parametrize("module", EXAMPLES)
def test_examples_run(module: str) -> None:
    for peer in EXAMPLES[module]:
        pytest.importorskip(peer, reason=f"needs {peer}")
    package = importlib.import_module(module)
    names = getattr(package, "__all__", ["cdist"])
    tried = 0
    for name in names:
        found = doctest.DocTestFinder(recurse=False).find(getattr(package, name), name, globs={})
        for test in found:
            runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
            result = runner.run(test)
            assert result.failed == 0, name
            tried += result.attempted
    assert tried > 0
