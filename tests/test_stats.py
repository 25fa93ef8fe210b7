"""What search reports about its own work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import embmath as em
import reference
from embmath import _core
from reference import BIT_METRICS, FLOAT_METRICS, Array
from strategies import DATA, make

KEYS = {"plan", "stages", "verified", "verify_seconds", "seconds"}
STAGE_KEYS = {"pairs", "refined", "survivors", "bytes", "pack_seconds", "tile_seconds"}


def report(q: Array, x: Array, *args: Any, **options: Any) -> dict[str, Any]:
    stats: dict[str, Any] = {}
    em.search(q, x, *args, stats=stats, **options)
    assert set(stats) == KEYS
    for name, stage in stats["stages"].items():
        assert name in ("int8", "prefix", "int4", "float32", "canonical")
        assert set(stage) == STAGE_KEYS
        assert min(stage.values()) >= 0
        assert stage["pairs"] > 0
        assert stage["survivors"] <= stage["pairs"]
    assert min(stats["verify_seconds"], stats["seconds"]) >= 0
    return stats


def pairs(stats: dict[str, Any]) -> int:
    return sum(stage["pairs"] for stage in stats["stages"].values())


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("metric", FLOAT_METRICS)
def test_every_pair_is_seen_once(metric: str, data: str) -> None:
    """By one stage or by another, where queries hand over to a wider one."""
    for nq, n, d in ((70, 3000, 100), (20, 500, 30), (2, 300, 70)):
        q, x = make(data, nq, n, d)
        assert pairs(report(q, x, 5, metric, threads=1)) == nq * n
        assert pairs(report(q, x, 5, metric, threads=2)) == nq * n


def test_rows_and_queries_that_need_no_bound(rng: np.random.Generator) -> None:
    q, x = make("normal", 40, 2000, 64)
    mask = rng.random(2000) < 0.4
    assert pairs(report(q, x, mask=mask)) == 40 * mask.sum()
    q[3, 4] = np.nan
    assert pairs(report(q, x, nan="rank_last")) == 39 * 2000


@pytest.mark.parametrize(
    ("nq", "n", "d", "k", "plan"),
    [
        (32, 1000, 64, 10, "int8, float32"),
        (31, 1000, 64, 10, "float32"),
        (32, 1000, 63, 10, "float32"),
        (32, 999, 64, 10, "float32"),
        (32, 100, 64, 1, "int8, float32"),
        (32, 99, 64, 1, "float32"),
        (3, 5000, 768, 10, "float32"),
        (2, 5000, 768, 10, "canonical"),
        (1, 5000, 768, 10, "canonical"),
        (20, 100, 64, 25, "canonical"),
        (20, 100, 64, 24, "float32"),
    ],
)
def test_plan(nq: int, n: int, d: int, k: int, plan: str) -> None:
    for metric in ("cosine", "dot", "euclidean", "sqeuclidean"):
        stats = report(*make("normal", nq, n, d), k, metric)
        assert stats["plan"] == plan
        assert set(stats["stages"]) <= set(plan.split(", "))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int8", "uint8"])
def test_plan_of_other_dtypes(dtype: str) -> None:
    q, x = make("normal", 32, 2000, 64, dtype)
    assert report(q, x)["plan"] == "int8, float32"
    manhattan = "canonical" if dtype == "float64" else "float32"
    assert report(q, x, metric="manhattan")["plan"] == manhattan
    for metric in BIT_METRICS if dtype == "uint8" else ():
        assert report(q, x, metric=metric)["plan"] == "float32"


def test_codes_save_work(isa: str) -> None:
    """A quarter of the bytes, and little left to verify, of what is easy to tell apart."""
    nq, n, d, k = 64, 8000, 256, 10
    q, x = make("normal", nq, n, d)
    stats = report(q, x, k, threads=1)
    if not _core.multiplies_bytes():
        assert stats["plan"] == "float32"
        return
    codes = stats["stages"]["int8"]
    assert set(stats["stages"]) == {"int8"}
    assert nq * k <= stats["verified"] < 0.02 * nq * n
    assert codes["survivors"] < 0.2 * nq * n
    assert codes["bytes"] >= n * d
    assert codes["pack_seconds"] > 0
    assert codes["tile_seconds"] > 0
    assert 0 < stats["verify_seconds"] <= stats["seconds"]
    floats = report(q[:8], x, k, threads=1)["stages"]["float32"]
    assert floats["bytes"] >= 4 * n * d


def test_queries_that_codes_do_not_serve_hand_over() -> None:
    """Better rows first, closer together than codes can tell: most would be verified in vain."""
    q, x = make("descending", 40, 10000, 100)
    stats = report(q, x, 5, threads=1)["stages"]
    assert stats["float32"]["pairs"] > stats["int8"]["pairs"] > 0


def test_a_canonical_scan_has_nothing_to_verify() -> None:
    stats = report(*make("normal", 1, 500, 30))
    assert stats["verified"] == 0
    assert stats["stages"]["canonical"]["pairs"] == 500


@pytest.mark.parametrize("data", ["normal", "near_ties", "duplicates", "specials"])
@pytest.mark.parametrize("metric", FLOAT_METRICS)
def test_the_answer_does_not_depend_on_it(metric: str, data: str) -> None:
    q, x = make(data, 40, 2000, 70)
    for n in (2000, 200):
        plain = em.search(q, x[:n], 10, metric)
        reported = em.search(q, x[:n], 10, metric, stats={})
        reference.assert_all_same(reported, reference.TopK(*plain))


def test_a_dict_is_updated() -> None:
    q, x = make("normal", 40, 2000, 64)
    stats = {"mine": 1, "plan": "old"}
    em.search(q, x, stats=stats)
    assert stats.keys() == KEYS | {"mine"}
    assert (stats["mine"], stats["plan"]) == (1, "int8, float32")
    em.search(q[:1], x, stats=stats)
    assert stats["plan"] == "canonical"
    assert set(stats["stages"]) == {"canonical"}


@pytest.mark.parametrize(("nq", "n"), [(0, 5), (5, 0), (0, 0)])
def test_nothing_to_do(nq: int, n: int) -> None:
    stats = report(np.ones((nq, 4), np.float32), np.ones((n, 4), np.float32))
    assert pairs(stats) == 0
    assert stats["verified"] == 0


def test_the_self_check_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    q, x = make("normal", 40, 2000, 64)
    monkeypatch.setenv("EMBMATH_VERIFY", "1")
    stats = report(q, x)
    assert stats["plan"] == "int8, float32"
    assert pairs(stats) == 40 * 2000


@pytest.mark.parametrize("stats", [True, [], "plan", 3])
def test_it_takes_a_dict(stats: Any) -> None:
    q = np.ones((2, 4), np.float32)
    message = f"stats: expected a dict to fill in, got {type(stats).__name__}"
    with pytest.raises(TypeError, match=message):
        em.search(q, q, stats=stats)
