"""The vicinity backend gives what the basic backend gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("vicinity", reason="needs vicinity")

from vicinity import Vicinity
from vicinity.backends import BasicBackend

from embmath.integrations.vicinity import EmbmathBackend, load

rng = np.random.default_rng(6)
ROWS = rng.standard_normal((60, 12)).astype(np.float32)
QUERIES = rng.standard_normal((5, 12)).astype(np.float32)
ITEMS = [f"item {i}" for i in range(60)]
METRICS = ["cosine", "euclidean"]


def both(metric: str) -> list[Vicinity[str]]:
    kinds: list[Any] = [EmbmathBackend, BasicBackend]
    return [Vicinity(ITEMS, kind.from_vectors(ROWS.copy(), metric=metric)) for kind in kinds]


def assert_same(ours: Vicinity[str], theirs: Vicinity[str], k: int = 10) -> None:
    for found, expected in zip(ours.query(QUERIES, k), theirs.query(QUERIES, k), strict=True):
        assert [item for item, _ in found] == [item for item, _ in expected]
        np.testing.assert_allclose([d for _, d in found], [d for _, d in expected], atol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_answers_of_the_basic_backend(metric: str) -> None:
    ours, theirs = both(metric)
    assert (len(ours), ours.dim, ours.metric) == (60, 12, theirs.metric)
    for k in (1, 10, 60, 100):
        assert_same(ours, theirs, k)
    assert ours.query(QUERIES[0], 3) == ours.query(QUERIES[:1], 3)  # a vector is one row
    for threshold in (0.0, 0.7, 4.0):
        found = ours.query_threshold(QUERIES, threshold, max_k=7)
        expected = theirs.query_threshold(QUERIES, threshold, max_k=7)
        assert [[i for i, _ in f] for f in found] == [[i for i, _ in e] for e in expected]


@pytest.mark.parametrize("metric", METRICS)
def test_changes_and_saving(tmp_path: Path, metric: str) -> None:
    ours, theirs = both(metric)
    new = rng.standard_normal((3, 12)).astype(np.float32)
    for vicinity in (ours, theirs):
        vicinity.delete(["item 3", "item 59", "item 20"])
        vicinity.insert(["a", "b", "c"], new)
        vicinity.delete(["b", "item 0"])
    assert_same(ours, theirs, 100)
    ours.save(tmp_path / "ours")
    theirs.save(tmp_path / "theirs")
    assert type(load(tmp_path / "ours").backend) is EmbmathBackend
    for folder in ("ours", "theirs"):
        assert_same(load(tmp_path / folder), theirs)
        assert_same(Vicinity.load(tmp_path / folder), theirs)
    again = load(tmp_path / "ours")
    again.insert(["d"], new[:1])
    again.save(tmp_path / "ours", overwrite=True)  # over the file that its rows lie in
    assert_same(load(tmp_path / "ours"), again)
    assert len(again) == 59


def test_evaluate_against_the_basic_backend() -> None:
    ours, _ = both("cosine")
    assert ours.evaluate(ROWS, QUERIES, k=5)[1] == 1.0


def test_refusals() -> None:
    ours, _ = both("cosine")
    with pytest.raises(ValueError, match="k should be >= 1"):
        ours.query(QUERIES, 0)
    with pytest.raises(ValueError, match="metric: expected one of 'cosine', 'euclidean'"):
        EmbmathBackend.from_vectors(ROWS, metric="manhattan")
    with pytest.raises(ValueError, match="12 columns"):
        ours.query(QUERIES[:, :5])
