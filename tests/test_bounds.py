"""The filter's certificate alone, pair by pair, on data made to break it.

For every (query, row): the row's upper bound must not lie below the threshold that its own
canonical score would set (else a row of the answer could be discarded), and the threshold that its
bound proves must not lie above it (else the bound of one row could discard a better one).
"""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embmath import _core

METRICS = ("cosine", "dot", "euclidean", "sqeuclidean", "manhattan")
DIMS = (1, 2, 15, 16, 17, 100, 768, 2048)


Rows = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def outlier_rows(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    rows = rng.standard_normal(shape)
    rows[np.arange(shape[0]), rng.integers(0, shape[1], shape[0])] *= 1e6
    return rows


# Rows whose float32 sums are as wrong as sums can be.
HARD_ROWS: dict[str, Rows] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    # Differences cancel.
    "near copies": lambda rng, shape: np.pi * (1 + rng.integers(-2, 3, shape) * 2.0**-23),
    # Every rounding error of a sum has the same sign.
    "constant": lambda rng, shape: np.tile(
        (1 + 2.0**-12) * rng.choice([0.1, 1, 3], (shape[0], 1)), shape[1]
    ),
    # Large terms cancel.
    "alternating": lambda rng, shape: (
        (-1) ** np.arange(shape[1]) * (1 + 1e-7 * rng.standard_normal(shape))
    ),
    "one outlier": outlier_rows,
    "heavy tails": lambda rng, shape: rng.standard_cauchy(shape),
    "scales": lambda rng, shape: (
        rng.standard_normal(shape) * 10.0 ** rng.integers(-30, 31, (shape[0], 1))
    ),
    "mixed scales": lambda rng, shape: (
        rng.standard_normal(shape) * 10.0 ** rng.integers(-18, 19, shape)
    ),
    "denormals": lambda rng, shape: rng.standard_normal(shape) * 1e-41,
    "zeros": lambda rng, shape: rng.standard_normal(shape) * rng.integers(0, 2, (shape[0], 1)),
}
BOUNDED = {"normal", "near copies", "constant", "alternating", "one outlier"}


def check(queries: np.ndarray, corpus: np.ndarray, metric: str) -> int:
    """Assert the certificate for every pair; how many bounds were finite."""
    typed = [(x, x.dtype.name) for x in (queries, corpus)]
    upper, own, proven = _core.certificate(*typed, queries.shape[1], metric)
    assert not np.isnan(upper).any()
    assert (own <= upper).all()
    assert (proven <= own).all()
    return int(np.isfinite(upper).sum())


@pytest.mark.parametrize("kind", HARD_ROWS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_bounds_hold(
    isa: str, metric: str, kind: str, dtype: str, rng: np.random.Generator
) -> None:
    if dtype == "float64" and metric == "manhattan":
        pytest.skip("has no certified stage: every row is scored canonically")
    finite = 0
    for d in DIMS:
        q, x = (HARD_ROWS[kind](rng, (n, d)) for n in (6, 40))
        if kind == "near copies":
            q = np.vstack([q[:3], x[:3]])
        limit = np.finfo(dtype).max / 4
        q, x = (np.clip(a, -limit, limit).astype(dtype) for a in (q, x))
        finite += check(q, x, metric)
    if kind in BOUNDED:
        assert finite == len(DIMS) * 6 * 40


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_bounds_hold_for_integers(
    isa: str, metric: str, dtype: str, rng: np.random.Generator
) -> None:
    info = np.iinfo(dtype)
    for d in DIMS:
        check(
            *(rng.integers(info.min, info.max + 1, (n, d)).astype(dtype) for n in (5, 30)), metric
        )
        check(np.full((2, d), info.max, dtype), np.full((3, d), info.min, dtype), metric)


@pytest.mark.parametrize("metric", ["hamming", "jaccard"])
def test_bounds_hold_for_bits(isa: str, metric: str, rng: np.random.Generator) -> None:
    for n_bytes in (1, 3, 4, 63, 64, 65, 1000):
        codes = [rng.integers(0, 256, (n, n_bytes)).astype(np.uint8) for n in (7, 50)]
        codes[1][::5] = 0
        codes[0][0] = 0
        check(*codes, metric)


@given(data=st.data(), metric=st.sampled_from(METRICS), d=st.integers(1, 40))
def test_bounds_hold_for_any_float32(data: st.DataObject, metric: str, d: int) -> None:
    finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
    rows = [data.draw(st.lists(finite, min_size=n * d, max_size=n * d)) for n in (2, 4)]
    q, x = (np.array(row, np.float32).reshape(-1, d) for row in rows)
    check(q, x, metric)


def test_bounds_are_tight_enough_to_filter(rng: np.random.Generator) -> None:
    """Widths of a few d * 2^-24 leave next to nothing to verify among random rows."""
    d = 768
    q, x = (rng.standard_normal((n, d), np.float32) for n in (4, 500))
    upper, own, _ = _core.certificate((q, "float32"), (x, "float32"), d, "cosine")
    norms = np.linalg.norm(q.astype(float), axis=1, keepdims=True)
    # In units of the packed query, at most a power of two from the query itself.
    assert ((upper - own) / norms).max() < 4 * d * 2.0**-24


def test_the_slack_covers_a_real_loss() -> None:
    """Equal terms round the same way: a float32 chain loses part of what the bound allows."""
    d = 2048
    q = x = np.full((1, d), 1 + 2.0**-12, np.float32) * np.float32(1 / 3)
    upper, own, _ = _core.certificate((q, "float32"), (x, "float32"), d, "dot")
    exact = float((q.astype(float) * x.astype(float)).sum())
    chain = np.float32(0)
    for a, b in zip(q[0], x[0], strict=True):
        chain = np.float32(float(chain) + float(a) * float(b))
    lost = abs(float(chain) - exact)
    slack = float(upper[0, 0] - own[0, 0])
    assert 0 < lost < slack
