"""What the compat modules import, and that their examples run."""

from __future__ import annotations

import doctest
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
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


IMPORT = re.compile(
    r"^\+?from (embmath\.(?:compat|integrations)\S*) import (\w+(?:, \w+)*)", re.MULTILINE
)


@pytest.mark.filterwarnings("ignore")  # of the peers' own making
@pytest.mark.parametrize("page", ["README.md", "docs/dropin.md"])
def test_what_pages_import_is_there(page: str) -> None:
    found = IMPORT.findall((ROOT / page).read_text())
    assert len(found) >= 8
    for module, names in found:
        try:
            imported = importlib.import_module(module)
        except ImportError as error:
            if str(error.name).startswith("embmath"):
                raise
            continue  # its library is not installed
        for name in names.split(", "):
            assert hasattr(imported, name) or importlib.import_module(f"{module}.{name}")
