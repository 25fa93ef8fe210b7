"""The filters' certificates alone, pair by pair, on data made to break them.

For every (query, row) the row's upper bound must not lie below the threshold that its own canonical
score would set, else a row of the answer could be discarded. The bound depends on the score that
the gate was made for, so it must hold whichever that was.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bound_helpers import (
    BOUNDED,
    CODE_METRICS,
    CODE_STAGES,
    DIMS,
    FLOAT_CASES,
    HARD_ROWS,
    LAST_CODE_DIM,
    METRICS,
    NQ,
    RANKS,
    STAGES,
    N,
    certificate,
    check,
    hard_pairs,
    stages_of,
)


@pytest.mark.parametrize("kind", HARD_ROWS)
@pytest.mark.parametrize(("metric", "dtype"), FLOAT_CASES)
def test_bounds_hold(
    isa: str, metric: str, kind: str, dtype: str, rng: np.random.Generator
) -> None:
    stages = stages_of(metric, dtype)
    finite = sum(check(*hard_pairs(rng, kind, dtype, d), metric, stages) for d in DIMS)
    if kind in BOUNDED:
        assert finite == len(DIMS) * NQ * N * len(stages) * len(RANKS)


@pytest.mark.parametrize("metric", METRICS)
def test_bounds_hold_in_every_group_of_queries(
    isa: str, metric: str, rng: np.random.Generator
) -> None:
    for nq, n in ((15, 17), (17, 15), (70, 100)):
        q, x = hard_pairs(rng, "normal", "float32", 70, nq, n)
        check(q, x, metric, stages_of(metric, "float32"), (0, 9, n))


@pytest.mark.parametrize("kind", ["normal", "constant", "midway", "all but one lost", "signs"])
@pytest.mark.parametrize("d", [16384, LAST_CODE_DIM])
def test_bounds_hold_for_long_rows(isa: str, d: int, kind: str, rng: np.random.Generator) -> None:
    q, x = hard_pairs(rng, kind, "float32", d, 5, 16)
    for metric in CODE_METRICS:
        assert check(q, x, metric, STAGES, (0, 16)) == 5 * 16 * len(STAGES) * 2


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_bounds_hold_for_integers(
    isa: str, metric: str, dtype: str, rng: np.random.Generator
) -> None:
    info = np.iinfo(dtype)
    stages = stages_of(metric, dtype)
    for d in DIMS:
        q, x = (rng.integers(info.min, info.max + 1, (n, d)).astype(dtype) for n in (5, 30))
        check(q, x, metric, stages)
        check(q // 100, x // 100, metric, stages)
        check(np.full((2, d), info.max, dtype), np.full((3, d), info.min, dtype), metric, stages)


@pytest.mark.parametrize("d", [33024, LAST_CODE_DIM])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_code_sums_of_the_longest_rows_do_not_overflow(isa: str, d: int, dtype: str) -> None:
    """The largest codes in every place, of equal and of opposite sign."""
    info = np.iinfo(dtype)
    ends = np.repeat(np.array([[info.min], [info.max]], dtype), d, axis=1)
    for metric in CODE_METRICS:
        check(ends, ends, metric, CODE_STAGES, (0, 1, 2))


@pytest.mark.parametrize("metric", ["hamming", "jaccard"])
def test_bounds_hold_for_bits(isa: str, metric: str, rng: np.random.Generator) -> None:
    for n_bytes in (1, 3, 4, 63, 64, 65, 1000):
        codes = [rng.integers(0, 256, (n, n_bytes)).astype(np.uint8) for n in (7, 50)]
        codes[1][::5] = 0
        codes[0][0] = 0
        check(*codes, metric, ("float32",))


@given(data=st.data(), metric=st.sampled_from(METRICS), d=st.integers(1, 40))
def test_bounds_hold_for_any_float32(data: st.DataObject, metric: str, d: int) -> None:
    finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
    rows = [data.draw(st.lists(finite, min_size=n * d, max_size=n * d)) for n in (2, 4)]
    q, x = (np.array(row, np.float32).reshape(-1, d) for row in rows)
    check(q, x, metric, stages_of(metric, "float32"), (0, 2, 4))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("metric", CODE_METRICS)
def test_rows_that_hold_nan_have_no_bound(
    isa: str, metric: str, stage: str, rng: np.random.Generator
) -> None:
    q, x = (rng.standard_normal((n, 70)).astype(np.float32) for n in (3, 20))
    x[4, 5] = np.nan
    x[7, 0] = np.inf
    upper, own = certificate(q, x, metric, stage, 2)
    holds_nan = np.arange(20) == 4
    assert (np.isnan(upper) == holds_nan).all()
    assert (np.isnan(own) == holds_nan).all()
    assert (own <= upper)[:, ~holds_nan].all()


@pytest.mark.parametrize("stage", CODE_STAGES)
def test_where_there_is_no_code_stage(stage: str) -> None:
    rows, bits = np.ones((2, 9), np.float32), np.ones((2, 9), np.uint8)
    long_rows = np.ones((1, LAST_CODE_DIM + 1), np.float32)
    for x, metric in (
        (rows, "manhattan"),
        (bits, "hamming"),
        (bits, "jaccard"),
        (long_rows, "dot"),
    ):
        with pytest.raises(ValueError, match="no such certified stage"):
            certificate(x, x, metric, stage, 0)
    with pytest.raises(ValueError, match="no such certified stage"):
        certificate(rows.astype(float), rows.astype(float), "manhattan", "float32", 0)


def test_bounds_are_tight_enough_to_filter(rng: np.random.Generator) -> None:
    """Widths of a few d * 2^-24 leave next to nothing to verify among random rows."""
    d = 768
    q, x = (rng.standard_normal((n, d), np.float32) for n in (4, 500))
    upper, own = certificate(q, x, "cosine", "float32", 10)
    norms = np.linalg.norm(q.astype(float), axis=1, keepdims=True)
    # In units of the packed query, at most a power of two from the query itself.
    assert ((upper - own) / norms).max() < 4 * d * 2.0**-24


def test_the_slack_covers_a_real_loss() -> None:
    """Equal terms round the same way: a float32 chain loses part of what the bound allows."""
    d = 2048
    q = x = np.full((1, d), 1 + 2.0**-12, np.float32) * np.float32(1 / 3)
    upper, own = certificate(q, x, "dot", "float32", 0)
    exact = float((q.astype(float) * x.astype(float)).sum())
    chain = np.float32(0)
    for a, b in zip(q[0], x[0], strict=True):
        chain = np.float32(float(chain) + float(a) * float(b))
    lost = abs(float(chain) - exact)
    slack = float(upper[0, 0] - own[0, 0])
    assert 0 < lost < slack
