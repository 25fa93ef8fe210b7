"""Inputs worth testing: shapes around the lane count, every dtype, memory layout and hard data."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from hypothesis import strategies as st

from reference import BIT_METRICS, FLOAT_METRICS, Array

# Around one, two and sixteen groups of lanes: an empty row, one lane, one short, full, one over.
DIMS = (0, 1, 2, 15, 16, 17, 31, 32, 33, 255, 256, 257)
# Around blocks of sixteen corpus rows, alone and with neighbours.
ROWS = (0, 1, 2, 15, 16, 17, 31, 32, 33, 63, 65, 130)

DTYPES: dict[str, np.dtype[Any]] = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "int8": np.dtype(np.int8),
    "uint8": np.dtype(np.uint8),
}
FLOATS = ("float16", "bfloat16", "float32", "float64")
INTS = ("int8", "uint8")


def metrics_of(dtype: str) -> tuple[str, ...]:
    """The metrics that rows of this dtype can be compared by."""
    return FLOAT_METRICS + BIT_METRICS if dtype == "uint8" else FLOAT_METRICS


def cast(x: Array, dtype: str) -> Array:
    """Real numbers around one as ``dtype``; integers spread over their whole range."""
    if dtype in INTS:
        info = np.iinfo(DTYPES[dtype])
        return np.clip(np.rint(x * 50 + (info.max + info.min + 1) / 2), info.min, info.max).astype(
            DTYPES[dtype]
        )
    with np.errstate(all="ignore"):
        return x.astype(DTYPES[dtype])


def normal(rng: np.random.Generator, n: int, d: int, dtype: str = "float32") -> Array:
    """Standard normal rows."""
    return cast(rng.standard_normal((n, d)), dtype)


# --- memory layouts: the same values, stored otherwise ------------------------------------------


def _inside(x: Array, shape: tuple[int, int], where: tuple[slice, slice]) -> Array:
    # The gaps hold a value that shows when it is read by mistake.
    wide = np.full(shape, 113, x.dtype)
    wide[where] = x
    return wide[where]


def _misaligned(x: Array) -> Array:
    out: Array = np.ndarray(x.shape, x.dtype, bytearray(x.nbytes + 1), offset=1)
    out[...] = x
    return out


def _read_only(x: Array) -> Array:
    out = x.copy()
    out.flags.writeable = False
    return out


def _memmap(x: Array) -> Array:
    if x.size == 0:
        return x
    with tempfile.TemporaryFile() as file:
        file.write(b"header!" + x.tobytes())
        file.flush()
        return np.memmap(file, x.dtype, "r", offset=7, shape=x.shape)


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "c": np.ascontiguousarray,
    "fortran": np.asfortranarray,
    "padded_rows": lambda x: _inside(x, (len(x), x.shape[1] + 3), np.s_[:, : x.shape[1]]),
    "every_second_row": lambda x: _inside(x, (2 * len(x), x.shape[1]), np.s_[::2, :]),
    "every_second_column": lambda x: _inside(x, (len(x), 2 * x.shape[1]), np.s_[:, ::2]),
    "negative_rows": lambda x: x[::-1].copy()[::-1],
    "negative_columns": lambda x: x[:, ::-1].copy()[:, ::-1],
    "negative_both": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "misaligned": _misaligned,
    "read_only": _read_only,
    "memmap": _memmap,
}


# --- hard data: (queries, corpus) as real numbers, cast by the caller -------------------------

Maker = Callable[[np.random.Generator, int, int, int], tuple[Array, Array]]


def _normal(rng: np.random.Generator, nq: int, n: int, d: int) -> tuple[Array, Array]:
    return rng.standard_normal((nq, d)), rng.standard_normal((n, d))


def _near_ties(rng: np.random.Generator, nq: int, n: int, d: int) -> tuple[Array, Array]:
    """One row, each time with a single value moved by one float32 ulp."""
    base = rng.standard_normal(d).astype(np.float32)
    x = np.tile(base, (n, 1))
    if d:
        row, column = np.arange(n), rng.integers(0, d, n)
        x[row, column] = np.nextafter(x[row, column], rng.choice(np.float32([-np.inf, np.inf]), n))
    return np.tile(base, (nq, 1)) + rng.standard_normal((nq, 1)) * (np.arange(nq) > 0)[:, None], x


def _all_equal(rng: np.random.Generator, nq: int, n: int, d: int) -> tuple[Array, Array]:
    return rng.standard_normal((nq, d)), np.tile(rng.standard_normal(d), (n, 1))


def _duplicates(rng: np.random.Generator, nq: int, n: int, d: int) -> tuple[Array, Array]:
    return rng.standard_normal((nq, d)), rng.standard_normal((5, d))[rng.integers(0, 5, n)]


def _ascending(rng: np.random.Generator, nq: int, n: int, d: int) -> tuple[Array, Array]:
    """Every row beats all rows before it, for every metric and query: no threshold ever holds."""
    q = np.abs(rng.standard_normal(d))
    away = np.roll(q, 1) * np.linspace(1, 0, n)[:, None]
    return np.tile(q, (nq, 1)), q * np.linspace(0.5, 1, n)[:, None] - away


def _descending(rng: np.random.Generator, nq: int, n: int, d: int) -> tuple[Array, Array]:
    q, x = _ascending(rng, nq, n, d)
    return q, x[::-1]


def _mixed_scales(rng: np.random.Generator, nq: int, n: int, d: int) -> tuple[Array, Array]:
    def scales(count: int) -> Array:
        return 10.0 ** rng.uniform(-30, 30, (count, 1))

    q, x = _normal(rng, nq, n, d)
    return q * scales(nq), x * scales(n)


def _cauchy(rng: np.random.Generator, nq: int, n: int, d: int) -> tuple[Array, Array]:
    return rng.standard_cauchy((nq, d)), rng.standard_cauchy((n, d))


def _denormal(rng: np.random.Generator, nq: int, n: int, d: int) -> tuple[Array, Array]:
    """Multiples of the smallest float32; some queries large enough to tell them apart."""
    x = rng.integers(-9, 10, (n, d)) * 2.0**-149
    return rng.standard_normal((nq, d)) * 10.0 ** rng.uniform(-40, 30, (nq, 1)), x


def _huge(rng: np.random.Generator, nq: int, n: int, d: int) -> tuple[Array, Array]:
    """Sums that overflow float32 on the way, or at the end: infinite scores tie."""
    q, x = _normal(rng, nq, n, d)
    return q * 10.0 ** rng.uniform(-2, 30, (nq, 1)), np.clip(x, -3, 3) * 1e38


def _underflow(rng: np.random.Generator, nq: int, n: int, d: int) -> tuple[Array, Array]:
    """Scores around the smallest float32: rounding makes ties, and zeros of both signs."""
    q, x = _normal(rng, nq, n, d)
    return q * 2.0 ** -rng.integers(70, 81, (nq, 1)), x * 2.0**-74


def _extreme(rng: np.random.Generator, nq: int, n: int, d: int) -> tuple[Array, Array]:
    """Norms that leave the range of float64 on both sides; infinities and zeros as float32."""
    q, x = _normal(rng, nq, n, d)
    return q * 10.0 ** rng.choice([-200, 0, 200], (nq, 1)), x * 10.0 ** rng.uniform(
        -200, 200, (n, 1)
    )


def _cancelling(rng: np.random.Generator, nq: int, n: int, d: int) -> tuple[Array, Array]:
    """Large terms that cancel: a float32 sum keeps nothing of the part that decides."""
    q, x = np.ones((nq, d)), rng.standard_normal((n, d))
    half = d // 2
    x[:, :half] += 1e8
    x[:, half : 2 * half] -= 1e8
    return q, x


def _signs(rng: np.random.Generator, nq: int, n: int, d: int) -> tuple[Array, Array]:
    return rng.choice([-1.0, 1.0], (nq, d)), rng.choice([-1.0, 1.0], (n, d))


def _sparse(rng: np.random.Generator, nq: int, n: int, d: int) -> tuple[Array, Array]:
    """Mostly zeros, zero rows on both sides."""
    q, x = _normal(rng, nq, n, d)
    return q * (rng.random((nq, d)) < 0.2), x * (rng.random((n, d)) < 0.1)


def _specials(rng: np.random.Generator, nq: int, n: int, d: int) -> tuple[Array, Array]:
    """NaN, infinities, signed zeros and extremes sprinkled over the corpus."""
    q, x = _normal(rng, nq, n, d)
    values = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30, 1e-30, 2.0**-149])
    x[rng.random(n) < 0.1] = 0.0
    hit = rng.random((n, d)) < 0.02
    x[hit] = rng.choice(values, int(hit.sum()))
    return q, x


DATA: dict[str, Maker] = {
    "normal": _normal,
    "near_ties": _near_ties,
    "all_equal": _all_equal,
    "duplicates": _duplicates,
    "ascending": _ascending,
    "descending": _descending,
    "mixed_scales": _mixed_scales,
    "cauchy": _cauchy,
    "denormal": _denormal,
    "huge": _huge,
    "underflow": _underflow,
    "extreme": _extreme,
    "cancelling": _cancelling,
    "signs": _signs,
    "sparse": _sparse,
    "specials": _specials,
}


def make(data: str, nq: int, n: int, d: int, dtype: str = "float32", seed: int = 0) -> Any:
    """Queries and corpus of a named kind of data."""
    rng = np.random.default_rng(seed)
    queries, corpus = DATA[data](rng, nq, n, d)
    return cast(queries, dtype), cast(corpus, dtype)


# --- hypothesis --------------------------------------------------------------------------------


class Problem(NamedTuple):
    """Two matrices that may be compared by the metric."""

    queries: Array
    corpus: Array
    metric: str

    def __repr__(self) -> str:
        q, x = self.queries, self.corpus
        return f"<{self.metric} {x.dtype} {q.shape} x {x.shape}, strides {q.strides} {x.strides}>"


@st.composite
def problems(draw: st.DrawFn, data: tuple[str, ...] = tuple(DATA)) -> Problem:
    """Any shape, dtype, metric, kind of data and memory layout."""
    dtype = draw(st.sampled_from(tuple(DTYPES)))
    metric = draw(st.sampled_from(metrics_of(dtype)))
    nq, n = draw(st.integers(0, 7)), draw(st.sampled_from(ROWS))
    d = draw(st.sampled_from(DIMS))
    # Integers have no specials to cast: NaN has no meaning there.
    kinds = tuple(k for k in data if k != "specials") if dtype in INTS else data
    queries, corpus = make(
        draw(st.sampled_from(kinds)), nq, n, d, dtype, draw(st.integers(0, 2**16))
    )
    # Narrow floats overflow to infinity and subtract to NaN; a NaN query is a test of its own.
    if dtype in FLOATS:
        queries = np.where(np.isnan(queries), 0, queries).astype(DTYPES[dtype])
    layouts = st.sampled_from(tuple(LAYOUTS))
    return Problem(LAYOUTS[draw(layouts)](queries), LAYOUTS[draw(layouts)](corpus), metric)
