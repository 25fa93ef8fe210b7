"""The int8 certificate: tight, needed in every part, and true in exact arithmetic."""

from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from bound_helpers import (
    CODE_METRICS,
    CODE_STAGES,
    HARD_ROWS,
    NQ,
    STAGES,
    N,
    certificate,
    hard_pairs,
)
from embmath import _core
from reference import Array


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
