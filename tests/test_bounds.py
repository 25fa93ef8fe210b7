"""The filters' certificates alone, pair by pair, on data made to break them.

For every (query, row) the row's upper bound must not lie below the threshold that its own canonical
score would set, else a row of the answer could be discarded. The bound depends on the score that
the gate was made for, so it must hold whichever that was.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embmath import _core
from reference import Array

METRICS = ("cosine", "dot", "euclidean", "sqeuclidean", "manhattan")
CODE_METRICS = METRICS[:-1]
CODE_STAGES = ("int8", "int8_wide")
STAGES = ("float32", *CODE_STAGES)
DIMS = (1, 2, 15, 16, 17, 100, 768, 2048)
LAST_CODE_DIM = 65536
NQ, N = 6, 40
RANKS = (0, 3, N // 2, N)  # N: no score known


Rows = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def outlier_rows(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    rows = rng.standard_normal(shape)
    rows[np.arange(shape[0]), rng.integers(0, shape[1], shape[0])] *= 1e6
    return rows


def exact_rows(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    rows = rng.integers(-127, 128, shape).astype(float)
    rows[np.arange(shape[0]), rng.integers(0, shape[1], shape[0])] = 127
    return rows * 2.0 ** rng.integers(-9, 10, (shape[0], 1))


def lone_rows(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    rows = rng.uniform(-0.49 / 127, 0.49 / 127, shape)
    rows[np.arange(shape[0]), rng.integers(0, shape[1], shape[0])] = rng.choice([-1, 1], shape[0])
    return rows


def midway_rows(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    rows = (rng.integers(-127, 127, shape) + 0.5) / 127
    rows[:, 0] = 1
    return rows


def opposed_rows(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    base = np.sin(np.arange(shape[1]) + 1.0)
    return rng.choice([-1, 1], (shape[0], 1)) * base + 1e-3 * rng.standard_normal(shape)


# Rows whose float32 sums are as wrong as sums can be, or whose codes fit them badly.
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
    # The codes of all other elements are nearly nothing.
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
    # Codes leave nothing out: rounding alone decides.
    "exact codes": exact_rows,
    "signs": lambda rng, shape: rng.choice([-1.0, 1.0], shape),
    # Codes leave out as much as they can.
    "midway": midway_rows,
    "all but one lost": lone_rows,
    # Every score is close to one, or to one and minus one: the tangent touches far out.
    "common mean": lambda rng, shape: rng.standard_normal(shape) + 10,
    "opposed": opposed_rows,
}
BOUNDED = set(HARD_ROWS) - {"heavy tails", "scales", "mixed scales", "denormals", "zeros"}


def stages_of(metric: str, dtype: str) -> tuple[str, ...]:
    """The certified stages there are: float64 differences are always scored canonically."""
    if metric != "manhattan":
        return STAGES
    return () if dtype == "float64" else ("float32",)


FLOAT_CASES = [
    case for case in product(METRICS, ("float32", "float16", "float64")) if stages_of(*case)
]


def certificate(q: Array, x: Array, metric: str, stage: str, rank: int) -> tuple[Array, Array]:
    return _core.certificate((q, q.dtype.name), (x, x.dtype.name), q.shape[1], metric, stage, rank)


def check(
    queries: Array,
    corpus: Array,
    metric: str,
    stages: tuple[str, ...],
    ranks: tuple[int, ...] = RANKS,
) -> int:
    """Assert the certificate for every pair; how many bounds were finite."""
    finite = 0
    for stage, rank in product(stages, ranks):
        upper, own = certificate(queries, corpus, metric, stage, rank)
        assert not np.isnan(upper).any(), (stage, rank)
        assert (own <= upper).all(), (stage, rank)
        finite += int(np.isfinite(upper).sum())
    return finite


def hard_pairs(
    rng: np.random.Generator, kind: str, dtype: str, d: int, nq: int = NQ, n: int = N
) -> tuple[Array, Array]:
    """Queries of their own, rows of the corpus and the opposite of one."""
    x = HARD_ROWS[kind](rng, (n, d))
    q = np.vstack([HARD_ROWS[kind](rng, (nq - 3, d)), x[:2], -x[2:3]])
    limit = np.finfo(dtype).max / 4
    q, x = (np.clip(a, -limit, limit).astype(dtype) for a in (q, x))
    return q, x


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


# --- tightness ---------------------------------------------------------------------------------


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


def survivors(upper: Array, own: Array, k: int = 10) -> Array:
    """Per query, the rows whose bound reaches the threshold that the k-th best score sets."""
    return (upper >= np.sort(own, axis=1)[:, -k, None]).sum(axis=1)


@pytest.mark.parametrize("metric", CODE_METRICS)
def test_codes_leave_few_survivors(isa: str, metric: str, rng: np.random.Generator) -> None:
    q, x = (rng.standard_normal((n, 768), np.float32) for n in (8, 5000))
    left = {stage: survivors(*certificate(q, x, metric, stage, 9)) for stage in STAGES}
    assert left["int8"].max() < 0.05 * len(x)
    assert (left["float32"] <= left["int8_wide"]).all()
    assert (left["int8_wide"] <= left["int8"]).all()
    assert left["int8_wide"].sum() < 0.8 * left["int8"].sum()


def encode(rows: Array, levels: int) -> tuple[Array, Array, Array]:
    """Codes, least-squares scales and what the codes leave out, in float64."""
    rows = rows.astype(float)
    scaled = rows * (levels / np.abs(rows).max(axis=1, keepdims=True))
    codes = np.rint(scaled.astype(np.float32)).astype(float)
    scales = (rows * codes).sum(axis=1) / (codes * codes).sum(axis=1)
    return codes, scales, rows - scales[:, None] * codes


def norm(rows: Array) -> Array:
    return np.linalg.norm(rows.astype(float), axis=1)


def test_projection_pays_where_rows_share_a_mean(isa: str, rng: np.random.Generator) -> None:
    """Against the plain Cauchy-Schwarz bound |q||e| of a query that is not even rounded."""
    q, x = ((rng.standard_normal((n, 768)) + 3).astype(np.float32) for n in (8, 5000))
    codes, scales, residual = encode(x, 127)
    unit = q / norm(q)[:, None]
    plain = (unit @ (scales[:, None] * codes).T + norm(residual)) / norm(x)
    cosines = unit @ x.T.astype(float) / norm(x)
    projected = survivors(*certificate(q, x, "cosine", "int8_wide", 9))
    assert projected.sum() < 0.75 * survivors(plain, cosines).sum()


@pytest.mark.parametrize("kind", ["normal", "common mean", "midway", "exact codes", "opposed"])
@pytest.mark.parametrize("rank", [0, 5, N])
def test_the_code_bound_is_the_proven_one(
    isa: str, kind: str, rank: int, rng: np.random.Generator
) -> None:
    """Computed once more in float64: above what is proven by no more than the slack."""
    q, x = hard_pairs(rng, kind, "float32", 100)
    upper, _ = certificate(q, x, "cosine", "int8", rank)
    cosines = np.sort((q / norm(q)[:, None]) @ (x.T / norm(x)), axis=1)[:, ::-1]
    s0 = np.clip(cosines[:, rank, None], 0, 0.98) if rank < N else np.zeros((NQ, 1))
    sigma = 1 / np.sqrt(1 - s0 * s0)
    c, a, e = encode(x, 127)
    rho_x = (norm(e) / norm(x - e)).min()

    def above(levels: int) -> Array:
        z, b, r = encode(q, levels)
        rest, rho_q = ((norm(r) / norm(part))[:, None] for part in (q, q - r))
        product = b[:, None] * a * (z @ c.T) / norm(q)[:, None] / norm(x)
        factor = 1 - sigma * s0 * (rho_q + rho_x)
        return upper - (product * factor + sigma * rest + (sigma + rest) * norm(e) / norm(x))

    # Kernels differ in how large a code of a query may be.
    least = [(values.min(), values.max()) for values in map(above, (127, 64))]
    assert any(low > -1e-9 and high < 2e-5 for low, high in least)


# --- every part is needed ----------------------------------------------------------------------


@pytest.fixture
def scale_bounds() -> Iterator[Callable[[float, float, float], None]]:
    """Factors on the parts of the bounds; honest again after the test."""
    yield _core.scale_bounds
    _core.scale_bounds(1, 1, 1)


def holds(queries: Array, corpus: Array, metric: str, stage: str) -> bool:
    upper, own = certificate(queries, corpus, metric, stage, 0)
    return bool((own <= upper).all())


@pytest.mark.parametrize("metric", CODE_METRICS)
@pytest.mark.parametrize("cosine", [0, 0.3, 0.6, 0.9, 0.97])
def test_the_residual_part_is_attained(
    isa: str,
    metric: str,
    cosine: float,
    scale_bounds: Callable[..., None],
    rng: np.random.Generator,
) -> None:
    """A query in the plane of a row and what its codes leave out: all of the bound is needed."""
    x = rng.standard_normal((1, 100))
    _, _, e = encode(x, 127)
    fitted = x - e
    q = cosine * fitted / norm(fitted) + np.sqrt(1 - cosine**2) * e / norm(e)
    assert holds(q, x, metric, "int8_wide")
    scale_bounds(1, 0.9, 1)
    assert not holds(q, x, metric, "int8_wide")


@pytest.mark.parametrize("metric", CODE_METRICS)
@pytest.mark.parametrize("stage", CODE_STAGES)
def test_the_query_part_is_attained(
    isa: str, metric: str, stage: str, scale_bounds: Callable[..., None]
) -> None:
    """A row along what the codes of the query leave out."""
    q, x = np.zeros((2, 1, 64), np.float32)
    q[0, :2] = 1, 0.49 / 127 if stage == "int8" else 0.49 / (127 * 128)
    x[0, 1] = 1
    assert holds(q, x, metric, stage)
    scale_bounds(1, 1, 0.3)
    assert not holds(q, x, metric, stage)


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "sqeuclidean"])
@pytest.mark.parametrize("stage", CODE_STAGES)
def test_the_rounding_part_is_enough_alone_and_needed(
    isa: str, metric: str, stage: str, scale_bounds: Callable[..., None], rng: np.random.Generator
) -> None:
    """Codes that leave nothing out need no other part; without it the certificate is wrong."""
    q = HARD_ROWS["signs"](rng, (20, 99)) * rng.uniform(0.3, 3, (20, 1))
    # Near the queries, so that squared distances are small differences.
    lower = np.where(rng.random((20, 20, 99)) < 0.05, 126 / 127, 1)
    x = (q[:, None] * lower * rng.uniform(0.98, 1.02, (20, 20, 1))).reshape(400, 99)
    scale_bounds(1, 0, 0)
    assert holds(q, x, metric, stage)
    scale_bounds(0, 0, 0)
    assert not holds(q, x, metric, stage)


def test_the_float32_slack_is_needed(
    isa: str, scale_bounds: Callable[..., None], rng: np.random.Generator
) -> None:
    q, x = hard_pairs(rng, "constant", "float32", 768)
    scale_bounds(0, 1, 1)
    assert not holds(q, x, "dot", "float32")


# --- the proof, in exact arithmetic --------------------------------------------------------------


def exact_integers(rows: Array) -> Array:
    """float32 as multiples of 2^-149: Python integers."""
    scaled = [[int(Fraction(float(value)) * 2**149) for value in row] for row in rows]
    return np.array(scaled, object)


class ExactCodes:
    """A row, its codes and its sums as fractions."""

    def __init__(self, row: Array, levels: int) -> None:
        self.row = row
        most = max(map(abs, row))
        self.codes = np.array([round(Fraction(value * levels, most)) for value in row], object)
        self.scale = Fraction(row @ self.codes, self.codes @ self.codes)
        self.sq_norm = Fraction(row @ row)
        self.sq_fitted = self.scale**2 * (self.codes @ self.codes)
        self.sq_left = self.sq_norm - self.sq_fitted


def root(square: Fraction) -> Decimal:
    return (Decimal(square.numerator) / Decimal(square.denominator)).sqrt()


def decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def check_projections(q: ExactCodes, x: ExactCodes) -> None:
    """Both error terms, with the code directions projected out; squares, so that all is exact."""
    both = q.scale * x.scale * (q.codes @ x.codes)  # of the fitted rows
    sq_sine = 1 - both**2 / (q.sq_fitted * x.sq_fitted)
    left_of_query = x.scale * (q.row @ x.codes) - both
    left_of_row = q.scale * (q.codes @ x.row) - both
    left_of_both = q.row @ x.row - both - left_of_query - left_of_row
    assert left_of_query**2 <= q.sq_left * x.sq_fitted * sq_sine
    assert left_of_row**2 <= x.sq_left * q.sq_fitted * sq_sine
    assert left_of_both**2 <= q.sq_left * x.sq_left


def check_inequality(q: ExactCodes, x: ExactCodes) -> None:
    """The affine bound for tangents anywhere and any ratio up to the row's own."""
    exact = decimal(Fraction(q.row @ x.row))
    both = decimal(q.scale * x.scale * (q.codes @ x.codes))
    r, e = root(q.sq_left), root(x.sq_left)
    fitted_q, fitted_x = root(q.sq_fitted), root(x.sq_fitted)
    size = root(q.sq_norm) * root(x.sq_norm)
    for s0 in map(Decimal, ("0", "0.2", "0.5", "0.8", "0.98")):
        sigma = 1 / (1 - s0 * s0).sqrt()
        for share in map(Decimal, ("0", "0.5", "1")):
            factor = 1 - sigma * s0 * (r / fitted_q + share * e / fitted_x)
            if factor < 0:
                continue  # such a gate takes s0 = 0
            bound = both * factor + sigma * r * fitted_x + (sigma * fitted_q + r) * e
            assert exact <= bound + size * Decimal("1e-50")


@pytest.mark.parametrize("kind", HARD_ROWS)
@pytest.mark.parametrize("levels", [64, 127, 127 * 128])
def test_the_inequality_in_exact_arithmetic(
    levels: int, kind: str, rng: np.random.Generator
) -> None:
    with localcontext() as context:
        context.prec = 70
        for d in (1, 2, 3, 7, 30, 100):
            q, x = hard_pairs(rng, kind, "float32", d, 6, 10)
            queries = [ExactCodes(row, levels) for row in exact_integers(q) if any(row)]
            corpus = [ExactCodes(row, 127) for row in exact_integers(x) if any(row)]
            for pair in product(queries, corpus):
                check_projections(*pair)
                check_inequality(*pair)
