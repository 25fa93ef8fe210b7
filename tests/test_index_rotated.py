"""em.Index in codes of rotated rows: the answers are those of em.search, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import embmath as em
import reference
from embmath import _core
from index_helpers import CODE_METRICS, Twin, by_id
from reference import Array, RangeResult, TopK
from strategies import DATA, FLOATS, cast, make

KINDS: tuple[Any, ...] = ("prefix", "int4", ("prefix", "int4"), ("int8", "prefix", "int4"))
N, D = 1200, 80  # more than one page of 1008 rows and a tail
NQS = (1, 3, 5, 40, 300)


def decaying(rng: np.random.Generator, n: int, d: int = D, dtype: str = "float32") -> Array:
    """What rotated codes are made for: variances like 1/j around a mean, in mixed columns."""
    mix = np.linalg.qr(np.random.default_rng(d).standard_normal((d, d)))[0]
    return cast((rng.standard_normal((n, d)) / np.sqrt(1 + np.arange(d)) + 0.1) @ mix, dtype)


def begins_with(stats: dict[str, Any], codes: Any) -> bool:
    """The plan starts with one of these codes."""
    kinds = (codes,) if isinstance(codes, str) else codes
    return stats["plan"].split(",")[0] in kinds


def same(index: em.Index, q: Array, x: Array, k: int, **options: Any) -> dict[str, Any]:
    """The statistics of a search that agrees with em.search."""
    stats: dict[str, Any] = {}
    found = index.search(q, k, stats=stats, **options)
    reference.assert_all_same(found, TopK(*em.search(q, x, k, index.metric, **options)))
    return stats


def same_range(index: em.Index, q: Array, x: Array, cut: float, **options: Any) -> None:
    wanted = em.range_search(q, x, cut, index.metric, **options)
    reference.assert_all_same(index.range_search(q, cut, **options), RangeResult(*wanted))


@pytest.mark.parametrize("codes", KINDS)
@pytest.mark.parametrize("metric", CODE_METRICS)
def test_searches(isa: str, metric: str, codes: Any, rng: np.random.Generator) -> None:
    q, x = decaying(rng, 300), decaying(rng, N)
    index = em.Index(x, metric=metric, codes=codes)
    for nq in NQS:
        for k in (1, 3, 10):
            assert begins_with(same(index, q[:nq], x, k), codes)
        same(index, q[:nq], x, 100)
        cut = float(em.search(q[:1], x, 20, metric).values[0, -1])
        same_range(index, q[:nq], x, cut)
        same(index, q[:nq], x, 10, threshold=cut)
    same(index, q[:2], x, N)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("codes", ["prefix", "int4"])
@pytest.mark.parametrize("metric", CODE_METRICS)
def test_dtypes(
    one_isa: str, metric: str, codes: str, dtype: str, rng: np.random.Generator
) -> None:
    q, x = decaying(rng, 40, dtype=dtype), decaying(rng, N, dtype=dtype)
    index = em.Index(x, metric=metric, codes=codes)
    for nq in (1, 5, 40):
        assert begins_with(same(index, q[:nq], x, 5), codes)
    for other in FLOATS:
        same(index, q[:5].astype(cast(q[:1], other).dtype), x, 5)


@pytest.mark.parametrize("codes", ["prefix", "int4"])
@pytest.mark.parametrize("metric", CODE_METRICS)
@pytest.mark.parametrize("d", [1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 129, 300])
def test_widths(metric: str, d: int, codes: str, rng: np.random.Generator) -> None:
    q, x = decaying(rng, 20, d), decaying(rng, N, d)
    index = em.Index(x, metric=metric, codes=codes)
    for isa in _core.available_isas():
        _core.force_isa(isa)
        for nq in (1, 4, 20):
            same(index, q[:nq], x, 3)


@pytest.fixture(autouse=True)
def _any_isa(force_isa: Callable[[str], str]) -> None:
    """Tests may leave any instruction set forced."""


ROTATIONS: dict[str, Callable[[np.random.Generator, Array], em.Rotation]] = {
    "fewer axes": lambda rng, x: em.fit_rotation(x, dims=x.shape[1] // 3),
    "one axis": lambda rng, x: em.fit_rotation(x, dims=1),
    "not centred": lambda rng, x: em.fit_rotation(x, center=False),
    "of unit rows": lambda rng, x: em.fit_rotation(x, normalize=True),
    "of other rows": lambda rng, x: em.fit_rotation(rng.standard_normal((50, x.shape[1])) + 5),
    "of one row": lambda rng, x: em.fit_rotation(x[:1]),
    "of a constant": lambda rng, x: em.fit_rotation(np.ones((9, x.shape[1]))),
    "any axes": lambda rng, x: em.Rotation(
        rng.standard_normal(x.shape[1]),
        np.linalg.qr(rng.standard_normal((x.shape[1], x.shape[1])))[0],
        rng.random(x.shape[1]),
    ),
    "no spread": lambda rng, x: em.Rotation(
        np.zeros(x.shape[1]), np.eye(x.shape[1]), np.zeros(x.shape[1])
    ),
    "far mean": lambda rng, x: em.Rotation(
        np.full(x.shape[1], 1e25), np.eye(x.shape[1]), np.ones(x.shape[1])
    ),
    "hair's breadth of a mean": lambda rng, x: em.Rotation(
        rng.standard_normal(x.shape[1]) * 1e-40, np.eye(x.shape[1]), np.ones(x.shape[1])
    ),
}


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("metric", CODE_METRICS)
def test_any_rotation(metric: str, rotation: str, rng: np.random.Generator) -> None:
    q, x = decaying(rng, 40), decaying(rng, N)
    given = ROTATIONS[rotation](rng, x)
    for codes in ("prefix", "int4"):
        index = em.Index(x, metric=metric, codes=codes, rotation=given)
        for isa in _core.available_isas():
            _core.force_isa(isa)
            for nq in (1, 40):
                same(index, q[:nq], x, 5)


def test_one_outlier_that_moves_the_mean(rng: np.random.Generator) -> None:
    x = decaying(rng, N, dtype="float64")
    x[7] *= 1e30
    for metric in CODE_METRICS:
        for codes in ("prefix", "int4"):
            index = em.Index(x, metric=metric, codes=codes)
            for nq in (1, 40):
                same(index, decaying(rng, nq, dtype="float64"), x, 5)


@pytest.mark.parametrize("codes", KINDS)
@pytest.mark.parametrize("metric", CODE_METRICS)
def test_masks_thresholds_and_threads(
    one_isa: str, metric: str, codes: Any, rng: np.random.Generator
) -> None:
    x = decaying(rng, N)
    q = x[:40] + 0.1 * decaying(rng, 40)
    index = em.Index(x, metric=metric, codes=codes)
    cut = float(np.median(em.search(q, x, 10, metric).values[:, 4]))
    for nq in (1, 4, 40):
        for i, options in enumerate(
            (
                {"mask": rng.random(N) < 0.5},
                {"mask": rng.random((nq, N)) < 0.3},
                {"exclude_self": True},
                {"exclude_self": True, "mask": rng.random(N) < 0.5},
            )
        ):
            same(index, q[:nq], x, 7, threads=i + 1, **options)
            same(index, q[:nq], x, 7, threads=i + 1, threshold=cut, **options)
            same_range(index, q[:nq], x, cut, threads=i + 1, **options)


@pytest.mark.parametrize("codes", KINDS)
@pytest.mark.parametrize("data", DATA)
def test_hard_data(data: str, codes: Any) -> None:
    for i, metric in enumerate(CODE_METRICS):
        for dtype in ("float32", "float64"):
            _core.force_isa(em.isas()[i % len(em.isas())])
            q, x = make(data, 40, 700, 48, dtype)
            q = np.where(np.isnan(q), 0, q).astype(q.dtype)
            # Rows without a finite one among them cannot be fitted, and squares may overflow.
            fitted = em.fit_rotation(np.vstack([decaying(np.random.default_rng(1), 200, 48)]))
            index = em.Index(x, metric=metric, codes=codes, rotation=fitted)
            for nq in (1, 40):
                same(index, q[:nq], x, 3)


@pytest.mark.parametrize("codes", KINDS)
@pytest.mark.parametrize("metric", CODE_METRICS)
def test_changes(one_isa: str, metric: str, codes: Any, rng: np.random.Generator) -> None:
    twin = Twin(metric, codes=codes)
    q = decaying(rng, 5)

    def check() -> None:
        ids, x = twin.held()
        for nq in (1, 5):
            wanted = by_id("search", q[:nq], x, ids, 4, metric)
            reference.assert_all_same(twin.index.search(q[:nq], 4), wanted)

    twin.add(decaying(rng, 450))
    check()
    twin.remove(rng.permutation(450)[:100])
    check()
    # Longer than all rows so far, in a page and in the tail; then shorter again.
    ids = np.array(sorted(twin.rows))[[3, 40, -1, -2]]
    twin.update(ids, decaying(rng, 4) * 1000)
    check()
    twin.add(decaying(rng, 7) * 30)
    twin.add(decaying(rng, 3))
    check()
    twin.update(ids, decaying(rng, 4) * 0.001)
    check()
    twin.add(decaying(rng, 300), rng.permutation(9000)[:300] + 1000)  # ids out of order
    check()
    twin.remove(np.array(sorted(twin.rows))[::2])
    twin.remove(np.array(sorted(twin.rows))[::2])  # moves the rest together
    check()


@pytest.mark.parametrize("metric", CODE_METRICS)
def test_rows_far_from_those_that_were_fitted(metric: str, rng: np.random.Generator) -> None:
    """The rotation stays that of the first rows."""
    for codes in ("prefix", "int4"):
        first, later = decaying(rng, 300), 50 + 10 * rng.standard_normal((900, D))
        x = np.vstack([first, later.astype(np.float32)])
        index = em.Index(first, metric=metric, codes=codes)
        index.add(x[300:])
        for q in (x[:40] * np.float32(1.01), x[-40:] * np.float32(0.99)):
            for nq in (1, 40):
                same(index, q[:nq], x, 3)


@pytest.mark.parametrize("codes", ["prefix", "int4"])
@pytest.mark.parametrize("rows", ["one", "equal", "zeros", "rank one", "two values"])
def test_rows_that_span_nothing(codes: str, rows: str, rng: np.random.Generator) -> None:
    one = decaying(rng, 1)
    x = {
        "one": one,
        "equal": np.tile(one, (500, 1)),
        "zeros": np.zeros((500, D), np.float32),
        "rank one": one * rng.standard_normal((500, 1)).astype(np.float32),
        "two values": one * rng.choice([-1, 1], (500, 1)).astype(np.float32),
    }[rows]
    for metric in CODE_METRICS:
        index = em.Index(x, metric=metric, codes=codes)
        for q in (decaying(rng, 5), x[:1], np.zeros((2, D), np.float32)):
            same(index, q, x, 3)


def test_auto_takes_rotated_codes_for_many_rows(rng: np.random.Generator) -> None:
    n, d = 50_000, 128
    x = decaying(rng, n, d)
    q = x[rng.integers(0, n, 40)] + 0.3 * decaying(rng, 40, d)
    index = em.Index(x)
    assert index.stats["codes"] == ("prefix", "int4")
    for nq, codes in ((1, "int4"), (40, "prefix")):
        for k in (1, 10):
            assert begins_with(same(index, q[:nq], x, k), codes)
    same_range(index, q, x, float(em.search(q[:1], x, 20).values[0, -1]))
    nothing = np.full((n, d), np.nan, np.float32)
    assert em.Index(nothing).stats["codes"] == ("int8",)
    for few in (
        x[: n - 1],
        np.ascontiguousarray(x[:, :127]),
        rng.standard_normal((n, d), np.float32),
    ):
        assert em.Index(few).stats["codes"] == ("int8",)


@settings(max_examples=60)
@given(data=st.data())
def test_any_index(data: st.DataObject) -> None:
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    metric, codes = draw(st.sampled_from(CODE_METRICS)), draw(st.sampled_from(KINDS))
    d, n = draw(st.integers(1, 100)), draw(st.integers(1, 900))
    dtype = draw(st.sampled_from(FLOATS))
    q, x = make(draw(st.sampled_from(tuple(DATA))), 20, n, d, dtype, int(rng.integers(999)))
    q = np.where(np.isnan(q.astype(np.float64)), 0, q).astype(q.dtype)
    sample = decaying(rng, 60, d) * 10.0 ** draw(st.integers(-45, 38))
    rotation = em.fit_rotation(
        sample,
        dims=draw(st.integers(1, d)),
        center=draw(st.booleans()),
        normalize=draw(st.booleans()),
    )
    index = em.Index(x, metric=metric, codes=codes, rotation=rotation)
    _core.force_isa(draw(st.sampled_from(em.isas())))
    nq, k = draw(st.sampled_from([1, 2, 5, 20])), draw(st.sampled_from([1, 2, 9]))
    same(index, q[:nq], x, min(k, n), threads=draw(st.integers(1, 4)))


# --- refused -----------------------------------------------------------------------------------


def test_what_has_no_rotated_codes(rng: np.random.Generator) -> None:
    x = decaying(rng, 50)
    for codes in ("prefix", "int4"):
        with pytest.raises(ValueError, match=rf"^codes: '{codes}' goes with"):
            em.Index(x, metric="manhattan", codes=codes)
        with pytest.raises(ValueError, match=r"^codes: .*floating point rows, got int8"):
            em.Index(x.astype(np.int8), metric="dot", codes=codes)
        with pytest.raises(ValueError, match=r"^rotation: expected 80 columns"):
            em.Index(x, codes=codes, rotation=em.fit_rotation(x[:, :79]))
        with pytest.raises(ValueError, match=r"^codes: .*up to 4096 dimensions"):
            em.Index(
                np.ones((2, 4097), np.float32),
                codes=codes,
                rotation=em.Rotation(np.zeros(4097), np.eye(1, 4097), np.ones(1)),
            )
        with pytest.raises(ValueError, match=r"^x: expected at least one row of finite numbers"):
            em.Index(np.full((9, 40), np.nan, np.float32), codes=codes)


# --- EMBMATH_VERIFY ----------------------------------------------------------------------------


@pytest.fixture
def scale_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[float, float, float], None]]:
    """A search that checks itself, and factors on the parts of the bounds."""
    monkeypatch.setenv("EMBMATH_VERIFY", "1")
    yield _core.scale_bounds
    _core.scale_bounds(1, 1, 1)


def sees_a_fault(index: em.Index, q: Array, k: int = 10) -> bool:
    try:
        index.search(q, k, threads=1)
    except RuntimeError as error:
        return str(error).startswith("EMBMATH_VERIFY: query ")
    return False


class Axes(em.Rotation):
    """The elements as they are."""

    def __init__(self, d: int) -> None:
        super().__init__(np.zeros(d), np.eye(d), np.ones(d))

    def coding_basis(self) -> tuple[Array, Array, Array]:
        return self.mean, self.basis, self.variance


def placed(best: Array, decoy: Array) -> Array:
    """Fifteen decoys on the first page, as many of the best on the last one; all else is far."""
    x = np.random.default_rng(0).normal(
        0, 0.01, (N, len(best))
    )  # runs of equal rows are passed over
    x[:, 0] = -1
    x[:15], x[-50:-35] = decoy, best
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def hidden_in_rows(nq: int) -> tuple[Array, Array]:
    """What is closest to the queries lies beyond the prefix of a row; the decoys' part does not."""
    q, best, decoy = np.zeros((nq, D), np.float32), np.zeros(D), np.zeros(D)
    q[:, 0], q[:, -1] = 0.6, 0.8
    best[-1], decoy[0] = 1, 1
    return q, placed(best, decoy)


def hidden_in_queries(nq: int, d: int) -> tuple[Array, Array]:
    """What is closest to a row lies in what the codes of the queries leave out."""
    q, best, decoy = np.zeros((nq, d), np.float32), np.zeros(d), np.zeros(d)
    q[:, 0], q[:, 1], q[:, 3] = 1, np.linspace(0.45, 0.49, nq) / 127, 1 / 127
    best[1] = 1
    decoy[3], decoy[5] = 3, 7
    return q, placed(best, decoy)


@pytest.mark.parametrize("codes", ["prefix", "int4"])
@pytest.mark.parametrize("metric", CODE_METRICS)
@pytest.mark.parametrize("nq", [1, 40])
def test_the_self_check_sees_what_rows_leave_out(
    isa: str, metric: str, codes: str, nq: int, scale_bounds: Any
) -> None:
    q, x = hidden_in_rows(nq)
    index = em.Index(x, metric=metric, codes=codes, rotation=Axes(D))
    scale_bounds(0, 1, 0)
    assert not sees_a_fault(index, q)
    scale_bounds(1, 0.3, 1)
    assert sees_a_fault(index, q)


@pytest.mark.parametrize("codes", ["prefix", "int4"])
@pytest.mark.parametrize("metric", CODE_METRICS)
def test_the_self_check_sees_what_queries_leave_out(
    isa: str, metric: str, codes: str, scale_bounds: Any, rng: np.random.Generator
) -> None:
    """Of one digit: what two leave out is less than the rounding of the rotation."""
    d = 16 if codes == "int4" else D  # all coordinates coded: lengths beyond have no say
    q, x = hidden_in_queries(40, d)
    index = em.Index(x, metric=metric, codes=codes, rotation=Axes(d))
    scale_bounds(0, 1, 1)
    assert not sees_a_fault(index, q)
    scale_bounds(1, 1, 0)
    assert sees_a_fault(index, q)


@pytest.mark.parametrize("codes", ["prefix", "int4"])
def test_the_self_check_of_a_range(codes: str, scale_bounds: Any) -> None:
    q, x = hidden_in_rows(40)
    index = em.Index(x, codes=codes, rotation=Axes(D))
    cut = float(em.search(q, x, 12).values[0, -1])
    index.range_search(q, cut)
    scale_bounds(1, 0, 1)
    with pytest.raises(RuntimeError, match=r"^EMBMATH_VERIFY: query \d+ differs"):
        index.range_search(q, cut)
