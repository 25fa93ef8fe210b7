"""The sentence-transformers that compat.sentence_transformers is compared with."""

from __future__ import annotations

import warnings
from typing import Any

import pytest


def util(module: str = "util") -> Any:
    """One of its modules; without the library the test is skipped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries being imported
        return pytest.importorskip(
            f"sentence_transformers.{module}",
            reason="needs sentence-transformers",
            exc_type=ImportError,
        )


def ids(results: list[list[dict[str, Any]]]) -> list[list[int]]:
    """Which rows were found."""
    return [[hit["corpus_id"] for hit in hits] for hits in results]


def scores(results: list[list[dict[str, Any]]]) -> list[list[float]]:
    """How good they are."""
    return [[hit["score"] for hit in hits] for hits in results]
