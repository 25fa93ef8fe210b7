"""The certificate of rotated codes: true for every pair, rotation and prefix, needed and tight."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import embmath as em
from bound_helpers import (
    CODE_METRICS,
    HARD_ROWS,
    NQ,
    RANKS,
    ROTATED_STAGES,
    Basis,
    N,
    certificate,
    check,
    fitted,
    hard_pairs,
)
from embmath import _core
from reference import Array
from strategies import cast

DIMS = (1, 2, 3, 15, 16, 17, 33, 70, 130)
SOME_DIMS = (3, 17, 70)


def axes(rng: np.random.Generator, d: int) -> Array:
    return np.linalg.qr(rng.standard_normal((d, d)))[0].astype(np.float32)


def of_length(rng: np.random.Generator, d: int, length: float) -> Array:
    mean = rng.standard_normal(d)
    return mean * (length / np.linalg.norm(mean))


# Rotations that fit the rows, or have nothing to do with them.
BASES: dict[str, Callable[[np.random.Generator, Array, str], Basis]] = {
    "fitted": lambda rng, x, metric: fitted(x, metric),
    "not centred": lambda rng, x, metric: fitted(x, metric, center=False),
    "fewer axes": lambda rng, x, metric: fitted(x, metric, (x.shape[1] + 1) // 2),
    "one axis": lambda rng, x, metric: fitted(x, metric, 1),
    "one row": lambda rng, x, metric: fitted(x[:1], metric),
    "three rows": lambda rng, x, metric: fitted(x[:3], metric),
    "other rows": lambda rng, x, metric: fitted(rng.standard_normal(x.shape) + 3, metric),
    "steep": lambda rng, x, metric: (
        of_length(rng, x.shape[1], 1),
        axes(rng, x.shape[1]),
        10.0 ** -np.arange(x.shape[1]),
    ),
    "backwards": lambda rng, x, metric: (
        np.zeros(x.shape[1]),
        axes(rng, x.shape[1]),
        1 + np.arange(x.shape[1]) ** 2.0,
    ),
    "without spread": lambda rng, x, metric: (
        np.zeros(x.shape[1]),
        np.eye(x.shape[1], dtype=np.float32),
        np.zeros(x.shape[1]),
    ),
    # As far from orthonormal as is let pass.
    "skewed": lambda rng, x, metric: (
        of_length(rng, x.shape[1], 0.5),
        axes(rng, x.shape[1]) * np.float32(1 + 4e-4 / np.sqrt(x.shape[1])),
        np.ones(x.shape[1]),
    ),
}


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("metric", CODE_METRICS)
def test_bounds_hold(one_isa: str, metric: str, basis: str, rng: np.random.Generator) -> None:
    for i, kind in enumerate(HARD_ROWS):
        q, x = hard_pairs(rng, kind, "float32", SOME_DIMS[i % 3])
        check(q, x, metric, ROTATED_STAGES, (0, N), BASES[basis](rng, x, metric))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("metric", CODE_METRICS)
def test_bounds_hold_for_every_width(
    isa: str, metric: str, dtype: str, rng: np.random.Generator
) -> None:
    for d in DIMS:
        q, x = rng.standard_normal((NQ, d)) + 0.3, rng.standard_normal((N, d)) + 0.3
        q, x = cast(q, dtype), cast(x, dtype)
        basis = fitted(x, metric)
        finite = check(q, x, metric, ROTATED_STAGES, RANKS, basis)
        if d > 3:
            assert finite == NQ * N * len(ROTATED_STAGES) * len(RANKS)
        check(q, x, metric, ROTATED_STAGES, (0,), fitted(x, metric, max(1, d - 1)))


@pytest.mark.parametrize("metric", CODE_METRICS)
def test_bounds_hold_in_every_group_of_queries(
    isa: str, metric: str, rng: np.random.Generator
) -> None:
    for nq, n in ((15, 17), (17, 15), (70, 100), (100, 200)):
        q, x = hard_pairs(rng, "normal", "float32", 70, nq, n)
        check(q, x, metric, ROTATED_STAGES, (0, 9, n), fitted(x, metric))


# Lengths of a mean up to those of which float32 holds neither square nor inverse.
@pytest.mark.parametrize(
    "length",
    [0, 1e-300, 1e-160, 1e-45, 1e-39, 1e-30, 1e-15, 1e-8, 1e8, 1e15, 1e16, 1e20, 1e25, 1e40, 1e150],
)
@pytest.mark.parametrize("metric", CODE_METRICS)
def test_means_of_any_length(
    one_isa: str, metric: str, length: float, rng: np.random.Generator
) -> None:
    for d, size in zip(SOME_DIMS, (1e-14, 1, 1e14), strict=True):
        q, x = rng.standard_normal((5, d)), rng.standard_normal((20, d)) * size
        basis = (of_length(rng, d, length), axes(rng, d), np.ones(d))
        x[0] = 0
        x[1:4] = basis[0] * (1 + np.arange(3)[:, None] * 2.0**-50)
        check(q, x, metric, ROTATED_STAGES, (0, 20), basis)


@pytest.mark.parametrize("exponents", [(-60, -40), (40, 60), (-60, 60), (-450, 450)])
@pytest.mark.parametrize("metric", CODE_METRICS)
def test_norms_around_the_limits(
    one_isa: str, metric: str, exponents: tuple[int, int], rng: np.random.Generator
) -> None:
    for d in SOME_DIMS:
        q, x = (
            rng.standard_normal((n, d)) * 2.0 ** rng.integers(*exponents, (n, 1)) for n in (NQ, N)
        )
        check(q, x, metric, ROTATED_STAGES, (0, N), fitted(rng.standard_normal((99, d)), metric))
        if exponents[1] < 100:
            check(q, x, metric, ROTATED_STAGES, (0, N), fitted(x, metric))


@pytest.mark.parametrize("metric", CODE_METRICS)
@pytest.mark.parametrize("distance", [0, 1e-300, 1e-40, 1e-16, 1e-12, 1e-8, 1e-6, 1e-3])
def test_rows_and_queries_at_the_mean(
    one_isa: str, metric: str, distance: float, rng: np.random.Generator
) -> None:
    """What is left of them without it cancels."""
    for d in SOME_DIMS:
        mean = of_length(rng, d, 1)
        q, x = (mean + distance * rng.standard_normal((n, d)) for n in (NQ, N))
        q[0], x[:3] = rng.standard_normal(d), mean * [[1], [3], [-1]]
        for dtype in ("float32", "float64"):
            for basis in (fitted(x, metric), (mean, axes(rng, d), np.ones(d))):
                pair = (q.astype(dtype), x.astype(dtype))
                check(*pair, metric, ROTATED_STAGES, (0, 5, N), basis)


@pytest.mark.parametrize("metric", CODE_METRICS)
def test_rows_along_the_narrowest_axes(one_isa: str, metric: str, rng: np.random.Generator) -> None:
    """Codes of four bits have steps there that are a thousand times too small."""
    for d in (17, 70, 200):
        spread = 10.0 ** -np.linspace(0, 6, d)
        basis = (np.zeros(d), axes(rng, d), spread)
        q, x = (rng.standard_normal((n, d)) / spread @ basis[1] for n in (NQ, N))
        check(q, x, metric, ROTATED_STAGES, (0, 5, N), basis)
        flat = rng.standard_normal((NQ, d)) @ basis[1]
        check(flat, x, metric, ROTATED_STAGES, (0, 5, N), basis)
        check(q, flat, metric, ROTATED_STAGES, (0, 5, N), basis)


@pytest.mark.parametrize("kind", ["normal", "constant", "signs", "all but one lost"])
def test_the_longest_rows(isa: str, kind: str, rng: np.random.Generator) -> None:
    d, p = 4096, 128
    some = (np.zeros(d), np.eye(p, d, dtype=np.float32), np.ones(p))
    q, x = hard_pairs(rng, kind, "float32", d, 4, 17)
    assert check(q, x, "dot", ROTATED_STAGES, (0,), some) == 4 * 17 * len(ROTATED_STAGES)


@pytest.mark.slow
def test_the_longest_sums(rng: np.random.Generator) -> None:
    """Every code is the largest, in every place that there is."""
    d = 4096
    identity = (np.zeros(d), np.eye(d, dtype=np.float32), np.ones(d))
    q, x = hard_pairs(rng, "signs", "float32", d, 4, 17)
    stages = ("prefix_long", "prefix_long_wide", "int4_long_wide")
    assert check(q, x, "cosine", stages, (0,), identity) == 4 * 17 * 3


@pytest.mark.parametrize("metric", CODE_METRICS)
def test_rows_that_are_not_finite(isa: str, metric: str, rng: np.random.Generator) -> None:
    q, x = (rng.standard_normal((n, 70)).astype(np.float32) for n in (3, 20))
    basis = fitted(x, metric)
    x[4, 5], x[7, 0] = np.nan, np.inf
    for stage in ROTATED_STAGES:
        upper, own = certificate(q, x, metric, stage, 2, basis)
        holds_nan = np.arange(20) == 4
        assert (np.isnan(upper) == holds_nan).all()
        assert (own <= upper)[:, ~holds_nan].all()
        assert (upper[:, 7] == np.inf).all()


finite_floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(data=st.data(), metric=st.sampled_from(CODE_METRICS), d=st.integers(1, 40))
def test_bounds_hold_for_any_float32(data: st.DataObject, metric: str, d: int) -> None:
    def rows(n: int) -> Array:
        flat = data.draw(st.lists(finite_floats, min_size=n * d, max_size=n * d))
        return np.array(flat, np.float32).reshape(n, d)

    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    q, x = rows(2), rows(4)
    kind = data.draw(st.sampled_from(tuple(BASES)))
    basis = BASES[kind](rng, x, metric)
    if data.draw(st.booleans()):
        basis = (rows(1)[0].astype(np.float64), *basis[1:])
    check(q, x, metric, ROTATED_STAGES, (0, 2, 4), basis)


# --- exact arithmetic --------------------------------------------------------------------------


def exactly(rows: Array) -> Array:
    return np.array([[Decimal(float(value)) for value in row] for row in np.atleast_2d(rows)])


def length(row: Array) -> Decimal:
    return (row @ row).sqrt()


def in_units(q: Array, x: Array, mean: Array, metric: str) -> Decimal:
    """What the upper bound bounds."""
    if metric == "cosine":
        return q @ x / length(q) / length(x)
    if metric == "dot":
        return q @ x / length(q)
    return (length(q - mean) ** 2 - length(q - x) ** 2) / (2 * length(q - mean))


@pytest.mark.parametrize("kind", sorted(set(HARD_ROWS) - {"zeros", "denormals"}))
@pytest.mark.parametrize("metric", CODE_METRICS)
def test_bounds_are_above_the_exact_score(
    one_isa: str, metric: str, kind: str, rng: np.random.Generator
) -> None:
    with localcontext() as context:
        context.prec = 70
        for d in (2, 17, 40):
            q, x = hard_pairs(rng, kind, "float32", d, 5, 10)
            basis = fitted(np.vstack([x, rng.standard_normal((20, d))]), metric)
            mean, queries, rows = exactly(basis[0])[0], exactly(q), exactly(x)
            exact = [[in_units(a, b, mean, metric) for b in rows] for a in queries]
            for stage in ROTATED_STAGES:
                upper, _ = certificate(q, x, metric, stage, 3, basis)
                for (i, j), bound in np.ndenumerate(upper):
                    # The unit of a distance is |q - m| up to its own rounding.
                    slack = abs(exact[i][j]) * Decimal("1e-12")
                    assert np.isinf(bound) or Decimal(float(bound)) >= exact[i][j] - slack


@pytest.mark.parametrize("kind", ["normal", "common mean", "one outlier", "opposed", "midway"])
def test_the_inequality_in_exact_arithmetic(kind: str, rng: np.random.Generator) -> None:
    """With codes, weights and tilts of any kind, and axes that are not quite orthonormal."""
    with localcontext() as context:
        context.prec = 70
        for d, p in ((1, 1), (3, 2), (7, 7), (20, 11)):
            q, x = hard_pairs(rng, kind, "float32", d, 4, 4)
            v = exactly(axes(rng, d)[:p] * np.float32(1 + 1e-4))
            gram = v @ v.T - np.diag([Decimal(1)] * p)
            eps = (gram * gram).sum().sqrt()
            mean = exactly(x.mean(axis=0))[0]
            for query, row in product(exactly(q), exactly(x)):
                tilt = Decimal(float(rng.normal()))
                check_inequality(query - tilt * mean, row - mean, v, eps, rng)
                rest = (query - tilt * mean) @ (row - mean) + tilt * (mean @ (row - mean))
                assert abs(rest + query @ mean - query @ row) < Decimal("1e-40")


def check_inequality(q: Array, x: Array, v: Array, eps: Decimal, rng: np.random.Generator) -> None:
    z, y = v @ q, v @ x
    weights, step = (exactly(rng.lognormal(0, 1, len(v)))[0] for _ in range(2))
    scale = Decimal(float(rng.lognormal()))
    for n in range(1, len(v) + 1):
        codes = exactly(np.rint(rng.normal(0, 3, n)))[0]
        coded = scale * step[:n] * codes
        unit = Decimal(float(rng.lognormal()))
        integers = np.array([(each / unit).to_integral_value() for each in z[:n] * step[:n]])
        left = z[:n] * step[:n] - unit * integers
        beyond_x = (x @ x - y[:n] @ y[:n] / (1 + eps)).max(Decimal(0))
        beyond_q = (q @ q - z[:n] @ z[:n] / (1 + eps)).max(Decimal(0))
        error, weighted = weights[:n] * (y[:n] - coded), z[:n] / weights[:n]
        radius = ((error @ error + beyond_x) * (weighted @ weighted + beyond_q)).sqrt()
        bound = unit * scale * (integers @ codes) + radius
        bound += length(left) * scale * length(codes) + eps * length(q) * length(x)
        assert q @ x <= bound + Decimal("1e-40") * (1 + abs(bound))


# --- needed, and tight -------------------------------------------------------------------------


def decaying(rng: np.random.Generator, n: int, d: int) -> Array:
    return (rng.standard_normal((n, d)) / np.sqrt(1 + np.arange(d)) + 0.1).astype(np.float32)


# Median over pairs of what a bound on a cosine is too large by, a fifth above what was measured;
# codes of queries are shorter on CPUs that multiply bytes with saturation.
SLACK = {
    "prefix": 0.1,
    "prefix_wide": 0.09,
    "prefix_long": 0.035,
    "prefix_long_wide": 0.01,
    "int4": 0.24,
    "int4_wide": 0.23,
    "int4_long": 0.16,
    "int4_long_wide": 0.15,
}
# Share of the rows whose bound reaches the tenth best score.
LEFT = {"prefix": 0.08, "prefix_long": 0.02, "int4": 0.45, "int4_long": 0.16}


@pytest.mark.parametrize("metric", CODE_METRICS)
def test_bounds_are_tight_enough_to_filter(isa: str, metric: str, rng: np.random.Generator) -> None:
    q, x = decaying(rng, 20, 256), decaying(rng, 3000, 256)
    basis = fitted(x, metric)
    for stage in ROTATED_STAGES:
        upper, own = certificate(q, x, metric, stage, 9, basis)
        left = (upper >= np.sort(own, axis=1)[:, -10, None]).mean()
        assert left < LEFT[stage.removesuffix("_wide")], stage
        if metric == "cosine":
            assert np.median(upper - own) < SLACK[stage], stage


@pytest.mark.parametrize("scale", [2.0**-40, 2.0**-20, 2.0**20, 2.0**40])
def test_bounds_of_dot_products_scale_with_rows(
    one_isa: str, scale: float, rng: np.random.Generator
) -> None:
    """Short rows are told apart as well as long ones."""
    q, x = decaying(rng, 5, 64), decaying(rng, 400, 64)

    def kept(rows: Array, stage: str) -> Array:
        upper, own = certificate(q, rows, "dot", stage, 9, fitted(rows, "dot"))
        return (upper >= np.sort(own, axis=1)[:, -10, None]).sum()

    for stage in ROTATED_STAGES:
        assert kept(x * np.float32(scale), stage) <= kept(x, stage) + 5


@pytest.fixture
def scale_bounds() -> Iterator[Callable[[float, float, float], None]]:
    """Factors on the parts of the bounds; honest again after the test."""
    yield _core.scale_bounds
    _core.scale_bounds(1, 1, 1)


def holds(q: Array, x: Array, metric: str, stage: str, basis: Basis) -> bool:
    upper, own = certificate(q, x, metric, stage, 0, basis)
    return bool((own <= upper).all())


@pytest.mark.parametrize("metric", CODE_METRICS)
@pytest.mark.parametrize("stage", ROTATED_STAGES)
def test_the_residual_part_is_attained(
    isa: str, metric: str, stage: str, scale_bounds: Callable[..., None]
) -> None:
    """A query along what the codes of a row leave out: at the end, or beyond the prefix."""
    d = 200
    basis = (np.zeros(d), np.eye(d, dtype=np.float32), np.ones(d))
    q, x = np.zeros((2, 1, d), np.float32)
    x[0, 0] = 1
    at = 1 if "long" in stage else d - 1
    q[0, [5, at]] = 1
    x[0, at] = 0.49 / 127 if "prefix" in stage else 0.01
    assert holds(q, x, metric, stage, basis)
    scale_bounds(1, 0, 1)
    assert not holds(q, x, metric, stage, basis)


@pytest.mark.parametrize("metric", CODE_METRICS)
@pytest.mark.parametrize(
    ("stage", "d"), [("prefix", 16), ("prefix_long", 200), ("int4", 16), ("int4_long", 16)]
)
def test_the_query_part_is_attained(
    isa: str, metric: str, stage: str, d: int, scale_bounds: Callable[..., None]
) -> None:
    """A row along what the codes of the query leave out.

    Two digits leave out less than the rounding of the rotation; and what is known of lengths beyond
    a prefix, at most the square root of that, hides what one digit leaves out.
    """
    basis = (np.zeros(d), np.eye(d, dtype=np.float32), np.ones(d))
    q, x = np.zeros((2, 1, d), np.float32)
    q[0, :2] = 1, 0.49 / 127
    x[0, 1] = 1
    assert holds(q, x, metric, stage, basis)
    scale_bounds(1, 0, 0)
    assert not holds(q, x, metric, stage, basis)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean"])
@pytest.mark.parametrize("stage", [stage for stage in ROTATED_STAGES if "long" in stage])
def test_the_rounding_part_is_enough_alone_and_needed(
    isa: str, metric: str, stage: str, scale_bounds: Callable[..., None], rng: np.random.Generator
) -> None:
    """Codes that leave nothing out, along axes that round nothing, need no other part."""
    d = 63
    q = HARD_ROWS["signs"](rng, (20, d)) * rng.uniform(0.3, 3, (20, 1))
    x = (q[:, None] * rng.uniform(0.98, 1.02, (20, 20, 1))).reshape(400, d)
    basis = (np.zeros(d), np.eye(d, dtype=np.float32), np.ones(d))
    if stage.startswith("int4"):  # which codes three quarters of the axes at most
        q[:, 32:] = x[:, 32:] = 0
    scale_bounds(1, 0, 0)
    assert holds(q, x, metric, stage, basis)
    scale_bounds(0, 0, 0)
    assert not holds(q, x, metric, stage, basis)


@pytest.mark.parametrize("stage", ROTATED_STAGES)
def test_where_there_is_no_such_stage(stage: str) -> None:
    x = np.ones((2, 9), np.float32)
    basis = fitted(x, "dot")
    for rows, metric in (
        (x, "manhattan"),
        (x.astype(np.int8), "dot"),
        (x.astype(np.uint8), "hamming"),
    ):
        with pytest.raises(ValueError, match="no such certified stage"):
            certificate(rows, rows, metric, stage, 0, basis)
    with pytest.raises(ValueError, match=r"^rotation: needed"):
        certificate(x, x, "dot", stage, 0)
    with pytest.raises(ValueError, match=r"^rotation: expected 9 columns"):
        certificate(x, x, "dot", stage, 0, fitted(x[:, :8], "dot"))


@pytest.mark.parametrize(
    ("part", "value"),
    [(0, np.inf), (0, np.nan), (1, np.nan), (1, 2.0), (2, np.nan), (2, np.inf), (2, -1.0)],
)
def test_what_is_no_rotation(part: int, value: float) -> None:
    x = np.eye(9, dtype=np.float32)
    basis = [array.copy() for array in fitted(x, "dot")]
    basis[part].flat[0] = value
    with pytest.raises(ValueError, match=r"^rotation: "):
        certificate(x, x, "dot", "prefix", 0, tuple(basis))
    with pytest.raises(ValueError, match=r"^rotation: "):
        em.Index(x, metric="dot", codes="prefix", rotation=em.Rotation(*basis))
