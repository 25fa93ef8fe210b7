"""EMBMATH_VERIFY: a search compares itself with a plain scan, and sees every part of a bound that
was made too small on data where that very part decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import embmath as em
import reference
from embmath import _core
from reference import FLOAT_METRICS, Array
from strategies import DATA, INTS, make

CODE_METRICS = FLOAT_METRICS[:-1]
NQ, N, D = 32, 2000, 64  # enough for the int8 plan

Scale = Callable[[float, float, float], None]


@pytest.fixture(autouse=True)
def verify(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBMATH_VERIFY", "1")


@pytest.fixture
def scale_bounds() -> Iterator[Scale]:
    """Factors on the parts of the bounds; honest again after the test."""
    yield _core.scale_bounds
    _core.scale_bounds(1, 1, 1)


def search(q: Array, x: Array, metric: str, **options: object) -> reference.TopK:
    """One-shot; where codes made on the fly do not pay, with those of an index."""
    if _core.multiplies_bytes() or metric not in CODE_METRICS or len(q) < NQ:
        return em.search(q, x, 10, metric, **options)
    return em.Index(x, metric=metric, codes="int8").search(q, 10, **options)


def plan_of(q: Array, x: Array, metric: str, **options: object) -> str:
    """The plan of a search that found no fault with itself."""
    stats: dict[str, str] = {}
    search(q, x, metric, stats=stats, **options)
    return stats["plan"]


def sees_a_fault(q: Array, x: Array, metric: str) -> bool:
    try:
        search(q, x, metric)
    except RuntimeError as error:
        return str(error).startswith("EMBMATH_VERIFY: query ")
    return False


# --- honest bounds -----------------------------------------------------------------------------


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "int8", "uint8"])
def test_nothing_to_see_in_honest_bounds(isa: str, dtype: str, data: str) -> None:
    if dtype in INTS and data == "specials":
        data = "sparse"  # NaN has no meaning there
    q, x = make(data, NQ, N, D, dtype)
    q = np.where(np.isnan(q.astype(float)), 0, q).astype(q.dtype)  # of overflow to infinity
    for metric in FLOAT_METRICS:
        plan = plan_of(q, x, metric)
        assert plan.startswith("int8") == (metric in CODE_METRICS)


@pytest.mark.parametrize("data", ["normal", "duplicates", "near_ties", "cauchy", "cancelling"])
@pytest.mark.parametrize("metric", CODE_METRICS)
def test_masks_and_thresholds(metric: str, data: str, rng: np.random.Generator) -> None:
    q, x = make(data, NQ, N, 100)
    limit = float(np.median(em.search(q, x, 10, metric).values[:, 4]))
    for options in (
        {"mask": rng.random(N) < 0.5},
        {"mask": rng.random((NQ, N)) < 0.3, "threads": 2},
        {"exclude_self": True},
        {"threshold": limit},
        {"mask": rng.random(N) < 0.5, "exclude_self": True, "threshold": limit},
    ):
        assert plan_of(q, x, metric, **options).startswith("int8")
    em.range_search(q, x, limit, metric)
    em.range_search(q, x, limit, metric, mask=rng.random((NQ, N)) < 0.3, exclude_self=True)


def test_the_answer_is_that_of_an_unchecked_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    q, x = make("normal", NQ, N, D)
    checked, hits = em.search(q, x), em.range_search(q, x, 0.3)
    monkeypatch.delenv("EMBMATH_VERIFY")
    reference.assert_all_same(checked, reference.TopK(*em.search(q, x)))
    reference.assert_all_same(hits, reference.RangeResult(*em.range_search(q, x, 0.3)))


# --- each part too small -----------------------------------------------------------------------


def place(x: Array, rng: np.random.Generator, kinds: tuple[Array, Array]) -> None:
    """Fifteen rows of each kind, anywhere in the corpus."""
    rows = rng.permutation(len(x))
    for i, kind in enumerate(kinds):
        x[rows[15 * i : 15 * i + 15]] = kind


def unit(x: Array) -> Array:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def hidden_in_rows(rng: np.random.Generator) -> tuple[Array, Array]:
    """What is closest to the query lies wholly in what the codes of a row leave out.

    The decoys, which codes show as they are, score three quarters of that: found first, they
    discard the best rows as soon as the residual counts for less than it should.
    """
    q, x, best, decoy = (np.zeros((n, D)) for n in (NQ, N, 15, 15))
    q[:, 1] = 1
    x[:, 0], x[:, 1] = 1, -1
    best[:, 0], best[:, 1] = 1, np.linspace(0.45, 0.49, 15) / 127
    decoy[:, :9], decoy[:, 1] = 1, 1 / 127
    place(x, rng, (best, decoy))
    return unit(q), unit(x)


def hidden_in_queries(rng: np.random.Generator) -> tuple[Array, Array]:
    """The same with what the codes of the queries leave out; codes show every row as it is."""
    q, x, best, decoy = (np.zeros((n, D)) for n in (NQ, N, 15, 15))
    q[:, 0], q[:, 1] = 1, np.linspace(0.45, 0.49, NQ) / 127
    x[:, 0] = -1
    best[:, 1] = 1
    decoy[:, 2:11], decoy[:, 0] = 1, 1 / 127
    place(x, rng, (best, decoy))
    return unit(q), unit(x)


def exact_rows(rng: np.random.Generator, metric: str) -> tuple[Array, Array]:
    """A query and rows of which codes leave nothing out; scores differ by less than 2^-24."""
    d = int(rng.integers(300, 500))  # which decides how the query's norm is rounded
    signs = rng.choice([-1.0, 1.0], d)
    if metric == "cosine":
        moves = rng.integers(-1, 2, (6000, d)) * (rng.random(d) < 0.05)
        codes = rng.integers(90, 125, d) + moves
        codes[:, 0] = 127
        middle = np.argsort(codes.sum(axis=1) / np.linalg.norm(codes, axis=1))[2700:3300]
        return signs[None], signs * codes[middle]
    lowered = np.where(rng.random((1000, d)) < 0.002, 126 / 127, 1)
    lowered[:, 0] = 1
    signs *= rng.uniform(0.5, 2)
    return signs[None], signs * lowered * rng.uniform(0.9999, 1.0001, (1000, 1))


def misjudged(rng: np.random.Generator, metric: str) -> tuple[Array, Array]:
    """A row of the answer among worse ones whose threshold, by wrong bounds, it does not reach."""
    for _ in range(100):
        q, pool = exact_rows(rng, metric)
        pair = ((q, "float64"), (pool, "float64"))
        upper, own = (part[0] for part in _core.certificate(*pair, q.shape[1], metric, "int8", 0))
        order = em.search(q, pool, len(pool), metric).indices[0]
        for i, lost in enumerate(order):
            worse = order[i + 1 :]
            decoys = worse[(own[worse] > upper[lost]) & (upper[worse] >= own[worse])]
            if len(decoys) >= 40:
                x = np.tile(-pool[0], (N, 1))
                x[rng.permutation(N)[: len(decoys) + 1]] = pool[[lost, *decoys]]
                return np.tile(q, (NQ, 1)), x
    raise AssertionError("no bound is wrong enough")


def near_ties(rng: np.random.Generator, nq: int, d: int, metric: str) -> tuple[Array, Array]:
    """Rows in all directions whose scores are the same but for the rounding of their elements."""
    q, w = rng.standard_normal(d), rng.standard_normal((N, d))
    if metric == "manhattan":
        x = q + rng.permuted(np.tile(w[0], (N, 1)), axis=1)
    else:
        q /= np.linalg.norm(q)
        w -= (w @ q)[:, None] * q
        w /= np.linalg.norm(w, axis=1, keepdims=True)
        # Far below the norms: a score's own rounding must not cover that of the sums.
        x = 0.001 * q + w if metric in ("cosine", "dot") else q + 0.01 * w
    return np.tile(q, (nq, 1)).astype(np.float32), x.astype(np.float32)


@pytest.mark.parametrize("metric", CODE_METRICS)
@pytest.mark.parametrize("factor", [0, 0.5])
def test_the_residual_of_rows(
    isa: str, metric: str, factor: float, scale_bounds: Scale, rng: np.random.Generator
) -> None:
    q, x = hidden_in_rows(rng)
    assert plan_of(q, x, metric).startswith("int8")
    scale_bounds(0, 1, factor)  # no other part hides the fault, or shows one of its own
    assert not sees_a_fault(q, x, metric)
    scale_bounds(1, factor, 1)
    assert sees_a_fault(q, x, metric)


@pytest.mark.parametrize("metric", CODE_METRICS)
@pytest.mark.parametrize("factor", [0, 0.5])
def test_the_residual_of_queries(
    isa: str, metric: str, factor: float, scale_bounds: Scale, rng: np.random.Generator
) -> None:
    q, x = hidden_in_queries(rng)
    assert plan_of(q, x, metric).startswith("int8")
    scale_bounds(0, factor, 1)
    assert not sees_a_fault(q, x, metric)
    scale_bounds(1, 1, factor)
    assert sees_a_fault(q, x, metric)


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "sqeuclidean"])
def test_the_rounding_of_codes(
    isa: str, metric: str, scale_bounds: Scale, rng: np.random.Generator
) -> None:
    scale_bounds(0, 0, 0)
    q, x = misjudged(rng, metric)
    assert sees_a_fault(q, x, metric)
    scale_bounds(1, 0, 0)
    assert plan_of(q, x, metric).startswith("int8")


@pytest.mark.parametrize("metric", FLOAT_METRICS)
@pytest.mark.parametrize(("nq", "d"), [(8, 300), (30, 50)])
def test_the_rounding_of_float32(
    isa: str, metric: str, nq: int, d: int, scale_bounds: Scale, rng: np.random.Generator
) -> None:
    q, x = near_ties(rng, nq, d, metric)
    assert plan_of(q, x, metric) == "float32"
    scale_bounds(1, 0, 0)
    assert not sees_a_fault(q, x, metric)
    scale_bounds(0, 1, 1)
    assert sees_a_fault(q, x, metric)


@pytest.mark.parametrize("metric", CODE_METRICS)
def test_codes_alone_prove_nothing(
    isa: str, metric: str, scale_bounds: Scale, rng: np.random.Generator
) -> None:
    """Clusters whose rows share their codes but for a few elements."""
    centres = rng.standard_normal((4, 300))
    x = np.repeat(centres, N // 4, axis=0) + 0.003 * rng.standard_normal((N, 300))
    q = np.repeat(centres, NQ // 4, axis=0) + 0.1 * rng.standard_normal((NQ, 300))
    assert plan_of(q, x, metric).startswith("int8")
    scale_bounds(1, 0, 1)
    assert sees_a_fault(q, x, metric)


@pytest.mark.parametrize("metric", CODE_METRICS)
def test_range_search_sees_it_too(
    metric: str, scale_bounds: Scale, rng: np.random.Generator
) -> None:
    q, x = hidden_in_rows(rng)
    limit = float(em.search(q, x, 12, metric).values[0, -1])
    em.range_search(q, x, limit, metric)
    scale_bounds(1, 0.5, 1)
    with pytest.raises(RuntimeError, match=r"^EMBMATH_VERIFY: query \d+ differs"):
        em.range_search(q, x, limit, metric)


@pytest.mark.parametrize("value", [None, "", "0"])
def test_only_where_asked_for(
    value: str | None,
    scale_bounds: Scale,
    monkeypatch: pytest.MonkeyPatch,
    rng: np.random.Generator,
) -> None:
    q, x = hidden_in_rows(rng)
    expected = em.search(q, x)
    scale_bounds(1, 0.5, 1)
    if value is None:
        monkeypatch.delenv("EMBMATH_VERIFY")
    else:
        monkeypatch.setenv("EMBMATH_VERIFY", value)
    assert (em.search(q, x).indices != expected.indices).any()
