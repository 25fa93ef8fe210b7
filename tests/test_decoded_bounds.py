"""Codes searched as what they decode to: the certificate, and the answer bit for bit."""

from __future__ import annotations

import dataclasses
import mmap
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import embmath as em
import reference
from embmath import _code_rows, _core
from reference import Array
from strategies import normal

METRICS = ("cosine", "dot", "euclidean", "sqeuclidean")
STAGES = ("decoded", "decoded_wide")
SIGNS = ("offset", "none", "twos_complement")
DIMS = (1, 2, 15, 16, 17, 64, 65, 100, 128, 130, 768, 2050)
RANKS = (0, 7, 30)
NQ, N = 5, 30

Codes = Callable[[np.random.Generator, int, int], em.Codes]


# --- codes that are hard to judge -----------------------------------------------------------------


def _data(rng: np.random.Generator, n: int, d: int, most: int) -> Array:
    """Codes from 0: anything, but also only the ends, the middle, or all but one alike."""
    x = rng.integers(0, most + 1, (n, d))
    x[: n // 5] = rng.choice([0, most], (n // 5, d))
    x[n // 5 : n // 4] = (most + 1) // 2
    x[n // 4 : n // 3] = most
    x[n // 3 : n // 2, 1:] = (most + 1) // 2
    x[-3:] = x[0]
    return x


def _scales(rng: np.random.Generator, n: int) -> Array:
    """Steps of both signs, some of them nothing, some beyond what a bound can say."""
    steps = rng.standard_normal(n) * 10.0 ** rng.integers(-3, 4, n)
    hard = [0.0, 1e-30, 1e-41, 1e30, -1e-9]
    steps[rng.permutation(n)[: len(hard)]] = hard[:n]
    return steps.astype(np.float32)


def _minima(rng: np.random.Generator, steps: Array) -> Array:
    """Far from 0, at 0, or such that rows nearly vanish."""
    size = np.abs(steps.astype(float))
    kinds = [
        0 * size,
        -127.5 * steps,
        -128 * steps,
        1e4 * size,
        -1e7 * size,
        rng.normal(size=size.size),
    ]
    chosen = np.array(kinds)[rng.integers(0, len(kinds), steps.size), np.arange(steps.size)]
    return np.clip(chosen, -1e37, 1e37).astype(np.float32)


def _hard(scope: str, precision: str, rounding: str) -> Codes:
    def make(rng: np.random.Generator, n: int, d: int) -> em.Codes:
        steps = _scales(rng, {"row": n, "dim": d, "global": 1}[scope])
        if scope == "global":
            steps[:] = rng.choice([0.03, -1e3, 1e-9])
        options: dict[str, Any] = {"step": steps, "scope": scope, "rounding": rounding}
        if precision == "around 0":
            data = (_data(rng, n, d, 255) - 128).astype(np.int8)
            return em.Codes.from_data(data, "int8", **options)
        options["minimum"] = _minima(rng, steps)
        if precision == "int4":
            packed = em.pack_int4(_data(rng, n, d, 15).astype(np.uint8))
            return em.Codes.from_data(packed, "int4", dim=d, **options)
        data = _data(rng, n, d, 255)
        stored = (data - 128).astype(np.int8) if precision == "int8" else data.astype(np.uint8)
        return em.Codes.from_data(stored, precision, **options)

    return make


def _quantized(precision: str, **options: Any) -> Codes:
    def make(rng: np.random.Generator, n: int, d: int) -> em.Codes:
        x = normal(rng, n, d)
        if not options:  # a grid of its own for each row
            x = x * 10.0 ** rng.integers(-2, 3, (n, 1))
        x[-3:] = x[0]
        return em.quantize(x.astype(np.float32), precision, **options)

    return make


HARD: dict[str, Codes] = {
    f"{precision} {scope} {rounding}": _hard(scope, precision, rounding)
    for precision, scope, rounding in product(
        ("around 0", "int8", "uint8", "int4"), ("row", "dim", "global"), ("nearest", "floor")
    )
}
GOOD: dict[str, Codes] = {
    "int8": _quantized("int8"),
    "uint8": _quantized("uint8"),
    "int4": _quantized("int4"),
    "int8 dim": _quantized("int8", scope="dim"),
    "uint8 global": _quantized("uint8", ranges=[-2, 1.5], rounding="ratio"),
    "int4 dim": _quantized("int4", scope="dim", rounding="nearest"),
    "binary": _quantized("binary"),
    "ubinary": _quantized("ubinary"),
    "binary twos_complement": _quantized("binary", signedness="twos_complement"),
}
ALL = HARD | GOOD


def queries_for(rng: np.random.Generator, codes: em.Codes, nq: int = NQ) -> Array:
    """Queries of their own, rows and the opposite of one; finite."""
    x = codes.dequantize()
    own = normal(rng, nq, codes.dim)
    own[0, rng.integers(0, codes.dim)] *= 1e5
    own[1] = x[rng.integers(0, len(x))]
    own[2] = -x[-1]
    return np.nan_to_num(own, nan=0, posinf=1e30, neginf=-1e30)


def certificate(
    q: Array, codes: em.Codes, metric: str, stage: str, rank: int
) -> tuple[Array, Array]:
    rows = _code_rows.read("corpus", codes, metric)
    return _core.certificate((q, q.dtype.name), rows.typed, q.shape[1], metric, stage, rank, None)


def check(q: Array, codes: em.Codes, metric: str) -> int:
    """Assert the certificate for every pair; how many bounds were finite."""
    finite = 0
    for stage, rank in product(STAGES, RANKS):
        upper, own = certificate(q, codes, metric, stage, rank)
        assert not np.isnan(upper).any(), (stage, rank)
        assert (own <= upper).all(), (stage, rank)
        finite += int(np.isfinite(upper).sum())
    return finite


@pytest.fixture
def bounds(isa: str) -> None:
    if not _core.multiplies_bytes():
        pytest.skip("decodes rows")


# --- the certificate ------------------------------------------------------------------------------


@pytest.mark.usefixtures("bounds")
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("metric", METRICS)
def test_bounds_hold(kind: str, metric: str, rng: np.random.Generator) -> None:
    for d in DIMS:
        codes = ALL[kind](rng, N, d)
        finite = check(queries_for(rng, codes), codes, metric)
        assert finite > 0 or kind in HARD


@pytest.mark.usefixtures("bounds")
@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_bounds_hold_for_other_queries(
    kind: str, metric: str, dtype: str, rng: np.random.Generator
) -> None:
    for d in (7, 100):
        codes = GOOD[kind](rng, N, d)
        check(normal(rng, NQ, d).astype(dtype), codes, metric)
        check(normal(rng, NQ, d - 3).astype(dtype), codes, metric)  # leading dimensions


@pytest.mark.usefixtures("bounds")
@pytest.mark.parametrize("kind", ["int8", "uint8", "int4", "binary"])
def test_bounds_hold_for_long_rows(kind: str, rng: np.random.Generator) -> None:
    for metric in METRICS:
        codes = GOOD[kind](rng, 16, 65536)
        assert check(normal(rng, 2, 65536), codes, metric) == 2 * 16 * len(STAGES) * len(RANKS)


@pytest.mark.usefixtures("bounds")
@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("metric", METRICS)
def test_little_survives(kind: str, metric: str, rng: np.random.Generator) -> None:
    """With two digits hardly more than what is wanted; one digit costs a few times as many."""
    codes, q = GOOD[kind](rng, 3000, 512), normal(rng, 4, 512)
    for stage, most in (("decoded_wide", 60), ("decoded", 200)):
        upper, own = certificate(q, codes, metric, stage, 9)
        left = (upper >= np.sort(own, axis=1)[:, -10, None]).sum(axis=1)
        assert left.max() <= most, stage


@pytest.fixture
def scale_bounds() -> Iterator[Callable[[float, float, float], None]]:
    """Factors on the parts of the bounds; honest again after the test."""
    yield _core.scale_bounds
    _core.scale_bounds(1, 1, 1)


def holds(q: Array, codes: em.Codes, metric: str, stage: str) -> bool:
    upper, own = certificate(q, codes, metric, stage, 0)
    return bool((own <= upper).all())


@pytest.mark.usefixtures("bounds")
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("stage", STAGES)
def test_the_query_part_is_attained(
    metric: str, stage: str, scale_bounds: Callable[..., None]
) -> None:
    """A row along what the codes of the query leave out."""
    q = np.zeros((1, 64), np.float32)
    q[0, :2] = 1, 0.49 / 127 if stage == "decoded" else 0.49 / (127 * 128)
    data = np.zeros((1, 64), np.int8)
    data[0, 1] = 100
    codes = em.Codes.from_data(data, "int8", step=0.01)
    scale_bounds(0.1, 1, 1)  # else rounding has room for it
    assert holds(q, codes, metric, stage)
    # Products with two digits take a row's length from its step: ten times this one.
    scale_bounds(0.1, 1, 0.03 if (metric, stage) == ("dot", "decoded_wide") else 0.3)
    assert not holds(q, codes, metric, stage)


@pytest.mark.usefixtures("bounds")
@pytest.mark.parametrize("metric", ["dot", "euclidean", "sqeuclidean"])
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_the_largest_codes_are_needed(
    metric: str, precision: str, scale_bounds: Callable[..., None]
) -> None:
    """Their numbers lie half a step below where all others would have them."""
    options: dict[str, Any] = {"minimum": -1.0, "step": 0.01, "rounding": "floor"}
    if precision == "int8":
        data = np.full((1, 40), -100, np.int8)
        data[0, ::7] = 127
        codes = em.Codes.from_data(data, "int8", **options)
    else:
        data = np.full((1, 40), 3, np.uint8)
        data[0, ::7] = 15
        codes = em.Codes.from_data(em.pack_int4(data), "int4", **options)
    q = np.where(data == data.max(), -10, 0).astype(np.float32)
    assert holds(q, codes, metric, "decoded_wide")
    scale_bounds(1, 0.6, 1)
    assert not holds(q, codes, metric, "decoded_wide")


@pytest.mark.usefixtures("bounds")
@pytest.mark.parametrize("metric", ["cosine", "euclidean", "sqeuclidean"])
@pytest.mark.parametrize("stage", STAGES)
def test_the_rounding_part_is_enough_alone_and_needed(
    metric: str, stage: str, scale_bounds: Callable[..., None], rng: np.random.Generator
) -> None:
    """Queries and codes that leave nothing out."""
    q = rng.choice([-1.0, 1.0], (20, 99)) * rng.uniform(0.3, 3, (20, 1))
    lower = np.where(rng.random((20, 100, 99)) < 0.05, 126, 127)
    data = (np.sign(q)[:, None] * lower).reshape(2000, 99)
    steps = np.abs(q[:, :1]).repeat(100) / 127 * rng.uniform(0.98, 1.02, 2000)
    codes = em.Codes.from_data(data.astype(np.int8), "int8", step=steps, scope="row")
    scale_bounds(1, 0, 0)
    assert holds(q, codes, metric, stage)
    if metric == "cosine":  # distances round their lengths up and down as well
        scale_bounds(0, 0, 0)
        assert not holds(q, codes, metric, stage)


# --- the answer -----------------------------------------------------------------------------------


def plan_of(q: Array, codes: em.Codes, *args: Any, **options: Any) -> str:
    """The plan of a search whose answer is that of the decoded rows."""
    stats: dict[str, Any] = {}
    found = em.search(q, codes, *args, stats=stats, **options)
    reference.assert_all_same(found, em.search(q, codes.dequantize(), *args, **options))
    return str(stats["plan"])


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("metric", METRICS)
def test_the_answer(isa: str, kind: str, metric: str, rng: np.random.Generator) -> None:
    for n, d, threads in ((1000, 70, 2), (700, 131, 1)):
        codes = ALL[kind](rng, n, d)
        for nq in (3, 9, 70):
            plan = plan_of(queries_for(rng, codes, nq), codes, 5, metric, threads=threads)
            assert plan.startswith("codes") == (_core.multiplies_bytes() and nq <= 64)


@pytest.mark.parametrize("kind", ALL)
def test_options(kind: str, rng: np.random.Generator) -> None:
    codes = ALL[kind](rng, 900, 70)
    x = codes.dequantize()
    mask = rng.random((900, 900)) < 0.5
    for nq, metric in product((1, 6), METRICS):
        q = queries_for(rng, codes, 6)[:nq]
        for options in (
            {"mask": mask[0]},
            {"mask": mask[:nq]},
            {"exclude_self": True},
            {"threshold": float(np.nan_to_num(em.search(q, x, 5, metric).values[0, 3]))},
            {"dims": 33},
            {"dims": 1},
        ):
            plan_of(q, codes, 5, metric, **options)
        limit = float(np.nan_to_num(em.search(q, x, 9, metric).values[0, -1]))
        reference.assert_all_same(
            em.range_search(q, codes, limit, metric), em.range_search(q, x, limit, metric)
        )


@pytest.mark.parametrize("kind", ["int8", "int4", "binary"])
def test_ties_go_to_the_lowest_row(kind: str, rng: np.random.Generator) -> None:
    codes = GOOD[kind](rng, 50, 40)[np.arange(1000) % 50]
    assert plan_of(normal(rng, 3, 40), codes, 10).startswith("codes")
    same = codes[np.zeros(1000, np.intp)]
    assert plan_of(normal(rng, 3, 40), same, 10).startswith("codes")


def test_different_rows_with_equal_sums(rng: np.random.Generator) -> None:
    """Rows are told apart by their sums; where these tie, by their bytes."""
    q = np.ones((2, 40), np.float32)
    for kind in ("int8 dim", "int4 dim", "binary"):
        few = GOOD[kind](rng, 8, 40)[np.sort(rng.integers(0, 8, 1000))]
        many = em.quantize(rng.choice([-1, 1], (1500, 40)).astype(np.float32), kind.split()[0])
        for codes, metric in product((few, many), METRICS):
            assert plan_of(q, codes, 7, metric).startswith("codes")
            assert plan_of(q, codes, 7, metric, exclude_self=True).startswith("codes")


@given(st.data())
def test_signs_take_as_many_digits_as_the_query_needs(data: st.DataObject) -> None:
    """One for numbers of a size, two where one of them dwarfs the others."""
    d, n = data.draw(st.integers(1, 300)), data.draw(st.integers(200, 600))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    q = normal(rng, data.draw(st.integers(1, 4)), d)
    peak = q[rng.integers(0, len(q))]
    peak[rng.integers(0, d)] *= data.draw(st.sampled_from([0, 1, 4, 20, 1e3, 1e30]))
    codes = em.quantize(normal(rng, n, d), "binary", signedness=data.draw(st.sampled_from(SIGNS)))
    metric, k = data.draw(st.sampled_from(METRICS)), data.draw(st.integers(1, 2))
    reference.assert_all_same(
        em.search(q, codes, k, metric), reference.search(q, codes.dequantize(), k, metric)
    )


def test_split_nibbles_and_strided_rows(rng: np.random.Generator) -> None:
    x = normal(rng, 2000, 50)
    for options in ({}, {"scope": "dim"}):
        codes = em.quantize(x, "int4", layout="split", **options)
        for part, dims in product((codes, codes[::2], codes[::-1]), (50, 49, 25, 24, 3)):
            assert plan_of(normal(rng, 3, 50), part, 5, dims=dims).startswith("codes")


def test_what_is_decoded_as_before(rng: np.random.Generator) -> None:
    """Codes that decoding clamps one by one, and columns that lie apart."""
    x, q = normal(rng, 1000, 30), normal(rng, 2, 30)
    for codes in (
        em.quantize(x, "uint8", bits=7),
        em.quantize(x, "int8", scope="dim", rounding="truncate"),
        em.quantize(x, "float16"),
        em.Codes.from_data(np.asfortranarray(em.quantize(x, "int8").data), "int8", step=0.1),
    ):
        assert plan_of(q, codes, 5) == "canonical"
    assert plan_of(q, em.quantize(x, "int8"), 5, "manhattan") == "canonical"


@pytest.mark.parametrize("scope", ["row", "dim", "global"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 3e38, -1e-45])
def test_grids_that_nobody_should_make(scope: str, value: float, rng: np.random.Generator) -> None:
    """Rows that decode to NaN or infinity, or queries with which no step can be multiplied."""
    for name, precision in product(("step", "minimum"), ("int8", "uint8", "int4")):
        made = em.quantize(normal(rng, 600, 24), precision, scope=scope)
        if getattr(made, name) is None:
            continue
        grid = np.array(getattr(made, name))
        grid.reshape(-1)[:: max(grid.size // 4, 1)] = value
        codes = dataclasses.replace(made, **{name: grid})
        with np.errstate(all="ignore"):
            for metric in METRICS:
                plan_of(normal(rng, 2, 24), codes, 5, metric)
                plan_of(normal(rng, 9, 24), codes, 6, metric)


def test_a_row_ends_where_its_memory_does(rng: np.random.Generator) -> None:
    """Codes at the end of a page that nobody may read beyond."""
    for kind, d in product(("int8", "int4", "binary"), (64, 70, 100)):
        made = GOOD[kind](rng, 500, d)
        data = np.ascontiguousarray(made.data)
        size = -(-data.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
        page = np.frombuffer(mmap.mmap(-1, size), np.uint8)[size - data.nbytes :]
        page[:] = data.reshape(-1).view(np.uint8)
        there = dataclasses.replace(made, data=page.view(data.dtype).reshape(data.shape))
        assert plan_of(normal(rng, 2, d), there, 5).startswith("codes")


@given(st.data())
def test_any_codes(data: st.DataObject) -> None:
    d, n = data.draw(st.integers(1, 150)), data.draw(st.integers(100, 400))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    codes = ALL[data.draw(st.sampled_from(list(ALL)))](rng, n, d)
    q = queries_for(rng, codes, 3)
    metric, k = data.draw(st.sampled_from(METRICS)), data.draw(st.integers(1, n // 100))
    dims = data.draw(st.integers(1, d))
    found = em.search(q, codes, k, metric, dims=dims)
    expected = reference.search(q, codes.dequantize(), k, metric, dims=dims)
    reference.assert_all_same(found, expected)


# --- what it reports ------------------------------------------------------------------------------


def test_stats(rng: np.random.Generator) -> None:
    if not _core.multiplies_bytes():
        pytest.skip("decodes rows")
    n, d = 20000, 256
    codes, stats = em.quantize(normal(rng, n, d), "int8"), {}
    for nq in (1, 7):
        em.search(normal(rng, nq, d), codes, 10, stats=stats)
        stage = stats["stages"]["codes"]
        assert set(stats["stages"]) == {"codes"}
        assert stage["pairs"] == nq * n
        assert stage["bytes"] == n * d
        assert stats["verified"] < 0.02 * nq * n


def test_the_self_check(
    monkeypatch: pytest.MonkeyPatch,
    scale_bounds: Callable[..., None],
    rng: np.random.Generator,
) -> None:
    """What is best lies wholly in what a digit leaves out of the query."""
    if not _core.multiplies_bytes():
        pytest.skip("decodes rows")
    monkeypatch.setenv("EMBMATH_VERIFY", "1")
    q, data = np.zeros((9, 64), np.float32), np.zeros((2000, 64), np.int8)
    q[:, 0], q[:, 1] = 1, 0.49 / 127
    data[:, 0] = -100
    best, decoys = np.split(rng.permutation(2000)[:60], [15])
    data[best], data[decoys] = 0, 0
    data[best, 1] = 100
    data[decoys, 2:27] = 20
    data[decoys, 0] = 0
    data[decoys[:20], 0] = 0
    data[decoys, 1] = 40
    codes = em.Codes.from_data(data, "int8", step=0.01)
    em.search(q, codes, 10)
    scale_bounds(1, 1, 0)
    with pytest.raises(RuntimeError, match="EMBMATH_VERIFY: query "):
        em.search(q, codes, 10)
