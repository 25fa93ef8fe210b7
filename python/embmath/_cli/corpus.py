"""The demo's texts: the docstrings of Python's standard library, read from its source files."""

from __future__ import annotations

import ast
import contextlib
import gc
import itertools
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from embmath._cli.errors import CliError

# Applications that ship with Python: their docstrings are not about using a library.
_SKIPPED_MODULES = {"idlelib", "turtledemo"}
_SKIPPED_FOLDERS = {"__pycache__", "site-packages", "test", "tests", "idle_test"}

_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


MIN_TEXTS = 100  # fewer have no 256 dimensions worth finding


@dataclass(frozen=True)
class Doc:
    """A docstring: the dotted name of what it documents, and the text."""

    name: str
    text: str

    @property
    def first_line(self) -> str:
        """The docstring's first line that says something."""
        return next((line.strip() for line in self.text.splitlines() if line.strip()), "")


def collect(
    limit: int | None = None,
    progress: Callable[[float], object] | None = None,
    root: Path | None = None,
) -> list[Doc]:
    """
    Return the distinct docstrings of the standard library's public names.

    Nothing is imported or executed. The order is that of the module names.

    Parameters
    ----------
    limit : int, optional
        Stop after so many texts, at least `MIN_TEXTS`.
    progress : callable, optional
        Called with the share of the files that are done.
    root : Path, optional
        Folder of the standard library.

    Raises
    ------
    CliError
        If the library has no source files here, as in some frozen or minimal installations.
    """
    root = Path(sysconfig.get_path("stdlib")) if root is None else root
    sources = list(_sources(root))
    seen: dict[str, Doc] = {}
    with _quiet_parsing():
        for done, (module, path) in enumerate(sources, start=1):
            for doc in _docs_of_file(module, path):
                seen.setdefault(doc.text, doc)
            if progress is not None:
                progress(done / len(sources))
            if limit is not None and len(seen) >= limit:
                break
    if len(seen) < MIN_TEXTS:
        raise CliError(
            f"the demo reads the docstrings of the standard library's .py files, found {len(seen)} "
            f"in {root}: this Python was installed without sources"
        )
    return list(itertools.islice(seen.values(), limit))


def _sources(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield (module name, file) for every source file of the library, in a fixed order."""
    for name in sorted(sys.stdlib_module_names - _SKIPPED_MODULES):
        if (root / f"{name}.py").is_file():
            yield name, root / f"{name}.py"
        for path in sorted((root / name).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            if _SKIPPED_FOLDERS.isdisjoint(parts):
                yield ".".join(parts).removesuffix(".__init__"), path


@contextlib.contextmanager
def _quiet_parsing() -> Iterator[None]:
    """Hold back warnings about old sources, and the collector: trees have no cycles to find."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if collecting:
            gc.enable()


def _docs_of_file(module: str, path: Path) -> Iterator[Doc]:
    # A library may carry files for other versions or with deliberate errors: they have no texts.
    with contextlib.suppress(OSError, SyntaxError, ValueError, RecursionError):
        yield from _docs_of_node(ast.parse(path.read_bytes()), module)


def _docs_of_node(node: _Documented, name: str) -> Iterator[Doc]:
    text = ast.get_docstring(node)
    if text and text.strip():
        yield Doc(name, text)
    for child in node.body:
        if not isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if not child.name.startswith("_"):  # private, or one of the many __eq__ and __repr__
            yield from _docs_of_node(child, f"{name}.{child.name}")
