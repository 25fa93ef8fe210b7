"""Every function under every instruction set, on lengths around the vector widths."""

from __future__ import annotations

import numpy as np
import pytest

from reference import BIT_METRICS, FLOAT_METRICS
from strategies import DIMS, DTYPES, FLOATS, INTS, ROWS, cast, make, normal

pytestmark = pytest.mark.usefixtures("isa")

SIMILARITIES = FLOAT_METRICS
DISTANCES = tuple(m for m in FLOAT_METRICS if m != "dot")
# Bytes of packed rows around 4, 8, 16, 32 and 64 byte steps.
BYTES = (1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 127, 128, 129)


@pytest.mark.parametrize("d", DIMS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", FLOAT_METRICS)
class TestDimensions:
    """Tails of the dimension: nothing, one lane, one short of a vector, a vector, one more."""

    def test_matrices(self, agree, rng, d, dtype, metric):
        q, x = normal(rng, 5, d, dtype), normal(rng, 37, d, dtype)
        agree("similarity", q, x, metric)
        if metric in DISTANCES:
            agree("distance", q, x, metric)

    def test_pairwise(self, agree, rng, d, dtype, metric):
        q, x = normal(rng, 19, d, dtype), normal(rng, 19, d, dtype)
        agree("similarity_pairwise", q, x, metric)
        if metric in DISTANCES:
            agree("distance_pairwise", q, x, metric)

    def test_search(self, agree, rng, d, dtype, metric):
        q, x = normal(rng, 5, d, dtype), normal(rng, 150, d, dtype)
        agree("search", q, x, 7, metric)
        agree("rescore", q, x, rng.integers(-1, 150, (5, 20)), 7, metric)

    def test_range_search(self, agree, rng, d, dtype, metric):
        q, x = normal(rng, 5, d, dtype), normal(rng, 90, d, dtype)
        threshold = agree("search", q, x, 9, metric).values[0, -1]
        agree("range_search", q, x, float(threshold), metric)


@pytest.mark.parametrize("n", ROWS)
@pytest.mark.parametrize("metric", FLOAT_METRICS)
class TestRows:
    """Tails of the corpus and of the batch: blocks of rows and tiles of queries cut short."""

    @pytest.mark.parametrize("dtype", ["float32", "int8"])
    def test_search_and_matrices(self, agree, rng, n, dtype, metric):
        x = normal(rng, n, 20, dtype)
        for nq in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 25):
            q = normal(rng, nq, 20, dtype)
            agree("search", q, x, 3, metric)
            agree("similarity", q, x, metric)


@pytest.mark.parametrize("metric", BIT_METRICS)
class TestBits:
    @pytest.mark.parametrize("n_bytes", BYTES)
    @pytest.mark.parametrize("nq", [5, 13])  # scanned, and packed into panels
    def test_bytes(self, agree, rng, n_bytes, metric, nq):
        q, x = (rng.integers(0, 256, (n, n_bytes), dtype=np.uint8) for n in (nq, 37))
        x[3], q[2] = 0, 0
        agree("distance", q, x, metric)
        agree("distance_pairwise", q, x[:nq], metric)
        agree("search", q, x, 7, metric)
        agree("range_search", q, x, 0.6 if metric == "jaccard" else 4.0 * n_bytes, metric)
        agree("rescore", q, x, rng.integers(-1, 37, (nq, 9)), 7, metric)

    @pytest.mark.parametrize("n", ROWS)
    def test_rows(self, agree, rng, n, metric):
        for nq in (0, 1, 3, 8, 9):
            q, x = (rng.integers(0, 256, (rows, 12), dtype=np.uint8) for rows in (nq, n))
            agree("distance", q, x, metric)
            agree("search", q, x, 5, metric)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", ROWS[1:])
def test_top_k(agree, rng, size, dtype):
    x = cast(rng.integers(-4, 5, (6, size)) / 2, dtype)
    for k in (1, 2, 5, size, size + 1):
        for mode in ("largest", "smallest"):
            agree("top_k", x, k, mode=mode)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("d", DIMS)
def test_normalize_and_truncate(agree_closely, rng, d, dtype):
    x = normal(rng, 7, d, dtype)
    agree_closely("normalize", x)
    for dims in {1, d // 2, d} - {0}:
        if dims <= d:
            agree_closely("truncate", x, dims)
            agree_closely("truncate", x, dims, normalize=False)


@pytest.mark.parametrize("dtype", [*FLOATS, *INTS])
@pytest.mark.parametrize("d", [1, 7, 8, 9, 15, 16, 17, 63, 64, 65, 127, 128, 129, 400])
def test_pack_and_unpack_bits(agree, rng, d, dtype):
    x = normal(rng, 5, d, dtype)
    codes = agree("pack_bits", x)
    agree("pack_bits", x, threshold=0.5)
    agree("unpack_bits", codes, d)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_integer_sums_never_wrap(agree, dtype):
    """The extremes of the dtype for as many dimensions as 32 bits can hold, and one more."""
    info = np.iinfo(dtype)
    for d in (33025, 33026):
        low, high = (np.full((1, d), v, dtype) for v in (info.min, info.max))
        both = np.concatenate([low, high])
        for metric in FLOAT_METRICS:
            agree("similarity", both, both, metric)
            agree("similarity_pairwise", both, both[::-1], metric)
            agree("search", both, both, 2, metric)


@pytest.mark.parametrize("metric", FLOAT_METRICS)
@pytest.mark.parametrize("d", [511, 2048, 5000])
def test_long_rows(agree, metric, d):
    q, x = make("normal", 3, 70, d)
    agree("search", q, x, 5, metric)
    agree("similarity", q, x, metric)
