"""Where the peers' tests are: in the installed package, or in its source distribution."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from .table import Suite

_DOWNLOAD = "pip download --quiet --retries 1 --no-deps --no-binary :all: --dest"


def folder_of_tests(suite: Suite, cache: Path) -> Path:
    """Where the tests of a source distribution lie; skips where pip finds none."""
    if suite.checkout:
        if suite.checkout not in os.environ:
            pytest.skip(f"{suite.checkout} names no folder of {suite.peer}'s tests")
        return Path(os.environ[suite.checkout])
    version = suite.version or importlib.metadata.version(suite.peer)
    folder = cache / f"{suite.peer}-{version}"
    archives = list(folder.glob("*.tar.gz")) or _downloaded(f"{suite.peer}=={version}", folder)
    with tarfile.open(archives[0]) as archive:
        for member in archive.getmembers():
            # Not the package itself: that is the installed one.
            _, _, member.name = member.name.partition("/")
            if member.name.startswith("tests/"):
                archive.extract(member, folder, filter="data")
    for name, text in suite.missing.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def _downloaded(requirement: str, folder: Path) -> list[Path]:
    command = [sys.executable, "-m", *_DOWNLOAD.split(), str(folder), requirement]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip(f"pip finds no source distribution of {requirement}")
    return list(folder.glob("*.tar.gz"))
