"""Range searches by the CUDA kernels: the oracle's hits, every one of them and once."""

from __future__ import annotations

import math

import numpy as np
import pytest

import reference
from cuda_devices import EXACT, MATCH, METRICS, TILES, Array, Hits, Kernels, narrow

PLANS = (EXACT, MATCH)


def check(
    kernels: Kernels, q: Array, x: Array, threshold: float, metric: str, plan: int, **options
) -> Hits:
    asked = {"mask": options["mask"]} if "mask" in options else {}
    asking = q if x.dtype.itemsize == 1 else np.float32(q)
    wanted = reference.range_search(
        asking, x, threshold, metric, exclude_self="self_row" in options, nan="rank_last", **asked
    )
    found = kernels.range_search(
        q, x, threshold, metric, 2 * q.shape[0] * len(x) + 1, plan=plan, **options
    )
    assert (len(found.queries) > 0) == (len(wanted.indices) > 0)
    queries = np.repeat(np.arange(len(q)), np.diff(wanted.offsets))
    order = np.lexsort((wanted.indices, queries))
    np.testing.assert_array_equal(found.queries, queries[order])
    np.testing.assert_array_equal(found.indices, wanted.indices[order])
    assert found.values.dtype == wanted.values.dtype
    np.testing.assert_array_equal(found.values.view(np.int32), wanted.values[order].view(np.int32))
    return found


def thresholds(q: Array, x: Array, metric: str) -> list[float]:
    """Scores themselves, next to them, and beyond all."""
    scores = reference.search(q, x, min(40, len(x)), metric, nan="rank_last").values
    some = [float(scores[i, j]) for i, j in ((0, 0), (0, -1), (len(q) - 1, len(scores[0]) // 2))]
    near = [
        float(np.nextafter(np.float32(t), np.float32(s))) for t in some[1:] for s in (-9e9, 9e9)
    ]
    return [t for t in [*some, *near, 0.0, -0.5] if not math.isnan(t)]


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_floats(kernels, rng, plan, metric, dtype):
    x = narrow(rng.standard_normal((500, 40)) * rng.uniform(0.2, 3, (500, 1)), dtype)
    q = narrow(rng.standard_normal((20, 40)), dtype).astype(np.float32)
    for threshold in thresholds(q, x, metric):
        check(kernels, q, x, threshold, metric, plan)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize(
    ("dtype", "metric"),
    [("int8", "dot"), ("int8", "euclidean"), ("uint8", "cosine"), ("uint8", "hamming")],
)
def test_bytes_and_bits(kernels, rng, plan, dtype, metric):
    q, x = (rng.integers(0, 128, (n, 32)).astype(dtype) for n in (5, 600))
    x[40:60] = q[1]
    for threshold in thresholds(q, x, metric):
        check(kernels, q, x, threshold, metric, plan)


@pytest.mark.parametrize("plan", PLANS)
def test_masks_and_own_rows(kernels, rng, plan):
    x = np.float32(rng.standard_normal((300, 20)))
    check(kernels, x[:6], x, 0.3, "cosine", plan, self_row=0)
    for shape in ((300,), (6, 300)):
        mask = rng.random(shape) < 0.3
        check(kernels, x[:6], x, 0.3, "cosine", plan, mask=mask)
        check(kernels, x[:6], x, 6.0, "euclidean", plan, mask=mask, self_row=0)


@pytest.mark.parametrize("metric", METRICS)
def test_rows_that_no_bound_helps(kernels, rng, metric):
    x = np.float32(rng.standard_normal((400, 40)))
    x[3] = np.nan
    x[7] = 0
    x[40:60] *= np.float32(1e-30)
    q = np.float32(rng.standard_normal((5, 40)))
    q[1] = 0
    q[2] = np.nan
    for is_huge in (False, True):
        if is_huge:
            x[300, 7] = np.inf  # known only after the first rows have been compared
        for threshold in (-0.1, 0.0, 0.2, 8.0):
            check(kernels, q, x, threshold, metric, MATCH)


def test_more_hits_than_there_is_room_for_are_counted(kernels, rng):
    q, x = np.float32(rng.standard_normal((3, 8))), np.float32(rng.standard_normal((200, 8)))
    for plan in PLANS:
        found = kernels.range_search(q, x, -2.0, "cosine", 50, plan=plan)
        assert found.count == 600
        assert len(found.queries) == 50
        assert kernels.range_search(q, x, -2.0, "cosine", 0, plan=plan).count == 600


@pytest.mark.parametrize("n_queries", [17, 70])
def test_a_plane_is_made_once(kernels, rng, n_queries):
    x = np.float32(rng.standard_normal((500, 70)))
    q = np.float32(rng.standard_normal((n_queries, 70)))
    check(kernels, q, x, 0.2, "cosine", MATCH, plane=kernels.plane(x, "cosine"))


def test_refusals(kernels, rng):
    q, x = np.float32(rng.standard_normal((2, 8))), np.float32(rng.standard_normal((9, 8)))
    with pytest.raises(ValueError, match="plan"):
        kernels.range_search(q, x, 0.0, "cosine", 9, plan=TILES)
    with pytest.raises(ValueError, match="threshold"):
        kernels.range_search(q, x, np.nan, "cosine", 9)
