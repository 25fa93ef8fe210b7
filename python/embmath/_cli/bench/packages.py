"""What is installed here, and how many threads it takes."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable

import embmath as em


def are_installed(names: Iterable[str]) -> bool:
    """Whether all these packages can be imported; none is."""
    return all(map(_is_installed, names))


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:  # a stand-in in sys.modules
        return False


def version(package: str) -> str:
    """The version of the distribution that brings a package; empty where nobody knows."""
    found = importlib.metadata.packages_distributions().get(package, [])
    return importlib.metadata.version(found[0]) if found else ""


def limit_threads(threads: int) -> None:
    """As many for everyone that is imported and can be told."""
    em.set_num_threads(threads)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)
    if (faiss := sys.modules.get("faiss")) is not None:
        faiss.omp_set_num_threads(threads)
    if importlib.util.find_spec("threadpoolctl") is not None:  # BLAS and OpenMP of the others
        importlib.import_module("threadpoolctl").threadpool_limits(threads)
