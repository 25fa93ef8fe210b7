"""Searches by the CUDA kernels, run on the host: the oracle's results, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

import reference
from cuda_devices import EXACT, MATCH, METRICS, TILES, Array, Found, Kernels, narrow, product

PLANS = (EXACT, MATCH, TILES)


def check(kernels: Kernels, q: Array, x: Array, k: int, metric: str, plan: int, **options) -> Found:
    """What the kernels find is what the oracle finds."""
    asked = {name: options[name] for name in ("mask", "threshold") if name in options}
    wanted = reference.search(
        q if x.dtype.itemsize == 1 else np.float32(q),
        x,
        k,
        metric,
        exclude_self="self_row" in options,
        pad=True,
        **asked,
    )
    multiply = options.pop("multiply", product)
    found = kernels.search(q, x, k, metric, plan=plan, multiply=multiply, **options)
    np.testing.assert_array_equal(found.indices, wanted.indices)
    assert found.values.dtype == wanted.values.dtype
    real = wanted.values == wanted.values
    assert np.isnan(found.values[~real]).all()
    np.testing.assert_array_equal(
        found.values[real].view(np.int32), wanted.values[real].view(np.int32)
    )
    return found


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_every_plan_metric_and_dtype(kernels, rng, plan, metric, dtype):
    q = narrow(rng.standard_normal((5, 72)), dtype)
    x = narrow(rng.standard_normal((700, 72)) * rng.uniform(0.2, 3, (700, 1)), dtype)
    found = check(kernels, q.astype(np.float32), x, 10, metric, plan)
    assert (found.scanned > 0) == (plan == EXACT)
    if plan != EXACT:
        assert found.rescored < 700, "the filter discards"


def byte_rows(rng, n: int, n_cols: int, dtype: str) -> Array:
    return rng.integers(-128 if dtype == "int8" else 0, 128, (n, n_cols)).astype(dtype)


BYTE_METRICS = [(dtype, metric) for dtype in ("int8", "uint8") for metric in METRICS]


@pytest.mark.parametrize("plan", [EXACT, MATCH])
@pytest.mark.parametrize(("dtype", "metric"), [*BYTE_METRICS, ("uint8", "hamming")])
@pytest.mark.parametrize("n_cols", [1, 16, 33, 128, 272])
def test_bytes_and_bits(kernels, rng, plan, dtype, metric, n_cols):
    """Codes as they are, where they start on sixteen bytes, and copied where they do not."""
    q, x = byte_rows(rng, 5, n_cols, dtype), byte_rows(rng, 700, n_cols, dtype)
    x[17], x[300:310] = 0, x[2]
    q[1] = 0
    check(kernels, q, x, 10, metric, plan)
    check(kernels, q, x, 4, metric, plan, mask=rng.random((5, 700)) < 0.1)
    check(kernels, x[:3], x, 4, metric, plan, self_row=0)
    threshold = float(reference.search(q, x, 6, metric).values[0, 3])
    check(kernels, q, x, 8, metric, plan, threshold=threshold)
    check(kernels, q[:, :n_cols], x[:3], 6, metric, plan)


@pytest.mark.parametrize("n_queries", [3, 40, 130])
def test_bytes_and_bits_in_every_tile(kernels, rng, n_queries):
    for dtype, metric in (("int8", "dot"), ("uint8", "cosine"), ("uint8", "hamming")):
        q, x = byte_rows(rng, n_queries, 96, dtype), byte_rows(rng, 400, 96, dtype)
        check(kernels, q, x, 7, metric, MATCH, plane=kernels.plane(x, metric))


def test_ties_of_bits_need_no_scan(kernels, rng):
    """Hamming distances are exact as they are counted: a thousand ties are no obstacle."""
    x = np.repeat(byte_rows(rng, 2, 32, "uint8"), 1500, axis=0)
    found = check(kernels, x[:2], x, 5, "hamming", MATCH)
    assert found.scanned == 0


def test_the_largest_sums_of_bytes(kernels):
    q = np.full((1, 33025), 255, np.uint8)
    x = np.full((3, 33025), 255, np.uint8)
    x[1, 0] = 254
    for metric in METRICS:
        check(kernels, q, x, 3, metric, MATCH)
    wide = np.zeros((1, 33026), np.uint8)
    with pytest.raises(ValueError, match="33025"):
        kernels.search(wide, wide, 1, "dot")


def test_float16_rows_are_codes_as_they_lie(kernels, rng):
    x = (rng.standard_normal((300, 24)) * 10.0 ** rng.uniform(-7, 4, (300, 1))).astype(np.float16)
    x[3, 5], x[9] = np.inf, np.nan
    rows = kernels.rows(kernels.device.put(x), x.dtype)
    assert kernels.module.plane_bytes(rows, METRICS["dot"]) < x.nbytes
    for metric in METRICS:
        check(kernels, x[20:24].astype(np.float32), x, 8, metric, MATCH)
        check(kernels, x[20:24].astype(np.float32), x[10:], 8, metric, MATCH)


# Around the edges of tiles (16, 64, 128 queries; 128 rows; 64 columns) and of lanes (16).
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize(
    ("n_queries", "n_rows", "n_cols", "k"),
    [
        *[(1, 1, 1, 1), (1, 127, 16, 3), (16, 128, 64, 128), (17, 129, 65, 5), (63, 255, 33, 7)],
        *[(64, 256, 128, 1), (65, 257, 63, 20), (129, 385, 17, 4), (2, 3000, 15, 600)],
        (1, 5, 3, 9),
    ],
)
def test_shapes_at_the_edges_of_tiles(kernels, rng, plan, n_queries, n_rows, n_cols, k):
    q, x = rng.standard_normal((n_queries, n_cols)), rng.standard_normal((n_rows, n_cols))
    check(kernels, np.float32(q), np.float32(x), k, "cosine", plan)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("metric", METRICS)
def test_rows_that_no_bound_helps(kernels, rng, plan, metric):
    """NaN, infinities, zeros, tiny and huge rows, and ties with each of them."""
    x = np.float32(rng.standard_normal((400, 40)))
    x[3] = np.nan
    x[5, 7] = np.inf
    x[7] = 0
    x[[20, 30]] = x[10]
    x[40:60] *= np.float32(1e-30)
    x[60:80] *= np.float32(1e18)
    x[90] = -0.0
    x[100, 3] = np.nan
    q = np.float32(rng.standard_normal((6, 40)))
    q[1] = 0
    q[2] *= np.float32(1e-25)
    q[3] = x[10]
    q[4] *= np.float32(1e15)
    check(kernels, q, x, 12, metric, plan)
    check(kernels, q, x[:90][::-1], 90, metric, plan)


@pytest.mark.parametrize("plan", [MATCH, TILES])
@pytest.mark.parametrize("metric", METRICS)
def test_rows_of_many_sizes_stay_bounded(kernels, rng, plan, metric):
    """Norms over two orders of magnitude: discarded by bounds, not by scans."""
    x = np.float32(rng.standard_normal((600, 24)) * 10 ** rng.uniform(-1, 1, (600, 1)))
    found = check(kernels, np.float32(rng.standard_normal((3, 24))), x, 5, metric, plan)
    assert found.scanned == 0


@pytest.mark.parametrize("plan", [MATCH, TILES])
@pytest.mark.parametrize("order", [1, -1])
def test_a_corpus_sorted_by_score(kernels, rng, plan, order):
    """Ever better rows fill every list again and again."""
    q = np.float32(rng.standard_normal((1, 32)))
    x = np.float32(q + np.linspace(3, 0, 4000)[::order, None] * rng.standard_normal((4000, 32)))
    found = check(kernels, q, x, 3, "cosine", plan)
    assert found.scanned == 0


@pytest.mark.parametrize("n_rows", [1023, 1024, 1153, 1600, 2700])
def test_every_tile_is_seen_once_seeds_first(kernels, rng, n_rows):
    """A tile left out would lose a query's own row, one seen twice would return it twice."""
    x = np.float32(rng.standard_normal((n_rows, 8)))
    own = np.arange(0, n_rows, 61)
    for plane in (None, kernels.plane(x, "cosine")):
        found = check(kernels, x[own], x, 2, "cosine", MATCH, plane=plane)
        np.testing.assert_array_equal(found.indices[:, 0], own)


@pytest.mark.parametrize("plan", [MATCH, TILES])
def test_more_near_ties_than_a_list_holds(kernels, rng, plan):
    """Rows closer to each other than bounds can tell are scored canonically, all of them."""
    base = rng.standard_normal(48)
    x = np.float32(base + 1e-6 * rng.standard_normal((3000, 48)))
    q = np.float32([base, rng.standard_normal(48)])
    found = check(kernels, q, x, 4, "cosine", plan)
    assert found.scanned > 0
    check(kernels, q, np.broadcast_to(x[:1], (3000, 48)), 4, "sqeuclidean", plan)


@pytest.mark.parametrize("plan", PLANS)
def test_masks_and_own_rows(kernels, rng, plan):
    x = np.float32(rng.standard_normal((300, 20)))
    check(kernels, x[:6], x, 4, "cosine", plan, self_row=0)
    for shape in ((300,), (6, 300)):
        mask = rng.random(shape) < 0.2
        check(kernels, x[:6], x, 9, "dot", plan, mask=mask)
        check(kernels, x[:6], x, 300, "euclidean", plan, mask=mask, self_row=0)
    check(kernels, x[:6], x, 2, "cosine", plan, mask=np.zeros(300, np.bool_))


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("metric", METRICS)
def test_thresholds_are_compared_with_the_canonical_score(kernels, rng, plan, metric):
    q, x = np.float32(rng.standard_normal((3, 12))), np.float32(rng.standard_normal((200, 12)))
    scores = reference.search(q, x, 8, metric).values
    for threshold in (float(scores[1, 4]), np.nextafter(float(scores[1, 4]), np.inf), 0.0):
        check(kernels, q, x, 20, metric, plan, threshold=threshold)


@pytest.mark.parametrize("plan", [EXACT, MATCH])
def test_the_largest_k(kernels, rng, plan):
    q, x = np.float32(rng.standard_normal((1, 2))), np.float32(rng.standard_normal((17000, 2)))
    check(kernels, q, x, 16384, "dot", plan)


@pytest.mark.parametrize("metric", METRICS)
def test_a_plane_is_made_once(kernels, rng, metric):
    x = np.float32(rng.standard_normal((500, 70)))
    plane = kernels.plane(x, metric)
    for n_queries in (1, 30):
        q = np.float32(rng.standard_normal((n_queries, 70)))
        check(kernels, q, x, 6, metric, MATCH, plane=plane)


def test_tiles_of_any_size(kernels, rng):
    q, x = np.float32(rng.standard_normal((3, 30))), np.float32(rng.standard_normal((900, 30)))
    for tile_rows in (1, 250, 512):
        n = 40 if tile_rows == 1 else 900
        check(kernels, q, x[:n], 5, "euclidean", TILES, tile_rows=tile_rows)


@pytest.mark.parametrize("seed", ["2", "3", "4"])
def test_threads_in_another_order(kernels, rng, seed, monkeypatch):
    """A missing barrier would show as a result that depends on who comes first."""
    monkeypatch.setenv("EMBMATH_EMULATOR_SEED", seed)
    q, x = np.float32(rng.standard_normal((20, 40))), np.float32(rng.standard_normal((1500, 40)))
    for plan in PLANS:
        check(kernels, q, x, 7, "dot", plan)


def test_refusals(kernels, rng):
    q, x = np.float32(rng.standard_normal((2, 8))), np.float32(rng.standard_normal((9, 8)))
    with pytest.raises(ValueError, match="k from 1 to most_results"):
        kernels.search(q, x, 0)
    with pytest.raises(ValueError, match="k from 1 to most_results"):
        kernels.search(q, x, 16385)
    with pytest.raises(ValueError, match="columns"):
        kernels.search(q[:, :7], x, 1)
    for plan in (-1, 4):
        with pytest.raises(ValueError, match="plan"):
            kernels.search(q, x, 1, plan=plan)
    with pytest.raises(ValueError, match="plan"):
        kernels.search(q, x, 1, plan=TILES, multiply=product, plane=kernels.plane(x, "cosine"))
    with pytest.raises(ValueError, match="dtype"):
        kernels.search(q, x, 1, "hamming")
    with pytest.raises(ValueError, match="workspace"):
        kernels.search(q, x, 1, spare=1)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_normalize(kernels, rng, dtype):
    x = narrow(rng.standard_normal((37, 45)) * 10 ** rng.uniform(-3, 3, (37, 1)), dtype)
    x[4], x[5, 2] = 0, np.inf
    found = kernels.normalize(x)
    wanted = reference.normalize(x).astype(np.float64)
    np.testing.assert_allclose(
        found.astype(np.float64), wanted, rtol=2.0**-23 if dtype == "float32" else 2.0**-7
    )
