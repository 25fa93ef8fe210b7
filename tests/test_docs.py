"""Every public function's example runs, and every public name is documented."""

import doctest
import re
from pathlib import Path

import numpy as np
import pytest

import embmath as em


@pytest.mark.parametrize("name", [n for n in em.__all__ if callable(getattr(em, n))])
def test_example_runs(name: str) -> None:
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    tests = doctest.DocTestFinder(recurse=False).find(
        getattr(em, name), name, globs={"em": em, "np": np}
    )
    for test in tests:
        runner.run(test)
    assert runner.failures == 0
    assert runner.tries > 0 or isinstance(getattr(em, name), type), f"{name} has no example"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Torch's own making
def test_torch_page_runs() -> None:
    pytest.importorskip("torch", reason="needs Torch")
    page = Path(__file__).parent.parent / "docs" / "torch.md"
    results = doctest.testfile(str(page), module_relative=False)
    assert results.failed == 0
    assert results.attempted > 10


def test_versions_agree() -> None:
    project = (Path(__file__).parent.parent / "pyproject.toml").read_text()
    found = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    assert found is not None
    assert found[1] == em.__version__
