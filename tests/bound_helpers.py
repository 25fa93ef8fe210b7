"""Rows that make bounds fail where they can, and the certificate laid open for them."""

from collections.abc import Callable
from itertools import product

import numpy as np

import embmath as em
from embmath import _core
from reference import Array

METRICS = ("cosine", "dot", "euclidean", "sqeuclidean", "manhattan")


CODE_METRICS = METRICS[:-1]


CODE_STAGES = ("int8", "int8_wide")


STAGES = ("float32", *CODE_STAGES)


ROTATED_STAGES = tuple(
    kind + rung + digits
    for kind, rung, digits in product(("prefix", "int4"), ("", "_long"), ("", "_wide"))
)


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


Basis = tuple[Array, Array, Array]  # mean, axes and the spread along each


def fitted(x: Array, metric: str, dims: int | None = None, center: bool = True) -> Basis:
    """What an index would make of these rows."""
    rotation = em.fit_rotation(x, dims=dims, center=center, normalize=metric == "cosine")
    return rotation.coding_basis()


def certificate(
    q: Array, x: Array, metric: str, stage: str, rank: int, basis: Basis | None = None
) -> tuple[Array, Array]:
    pair = (typed(q), typed(x))
    known = None if basis is None else (*basis, None)  # the defect: not known
    return _core.certificate(*pair, q.shape[1], metric, stage, rank, known)


def typed(x: Array) -> tuple[Array, str]:
    name = x.dtype.name
    return (x.view(np.uint16) if name == "bfloat16" else x), name


def check(
    queries: Array,
    corpus: Array,
    metric: str,
    stages: tuple[str, ...],
    ranks: tuple[int, ...] = RANKS,
    basis: Basis | None = None,
) -> int:
    """Assert the certificate for every pair; how many bounds were finite."""
    finite = 0
    for stage, rank in product(stages, ranks):
        upper, own = certificate(queries, corpus, metric, stage, rank, basis)
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
