"""The axes all benchmarks share, and the inputs along them.

What exists is asked of embmath, so a new metric, dtype or instruction set is measured from the
commit that adds it; a commit that lacks one has no value there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

import embmath as em

Benchmark = TypeVar("Benchmark", bound=Callable[..., object])
Array = npt.NDArray[Any]

BIT_METRICS = tuple(name for name in em.metrics() if name in {"hamming", "jaccard"})
SIMILARITIES = tuple(name for name in em.metrics() if name not in BIT_METRICS)
DISTANCES = tuple(name for name in em.metrics() if name != "dot")
DTYPES = em.dtypes()
ISAS = em.isas()
THREADS = (1, 2)
BATCHES = (1, 8, 32, 128, 1000)
DIMS = 768


def rows(n: int, dtype: str = "float32", d: int = DIMS, seed: int = 0) -> Array:
    """Random rows: unit length for floats, the full range for integers."""
    rng = np.random.default_rng([seed, n, d])
    if dtype in {"int8", "uint8"}:
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, (n, d), dtype, endpoint=True)
    x = rng.standard_normal((n, d), dtype=np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x.astype(float_dtype(dtype))


def float_dtype(name: str) -> np.dtype[Any]:
    """NumPy's dtype of that name; bfloat16 is ml_dtypes', and skipped where that is missing."""
    if name != "bfloat16":
        return np.dtype(name)
    try:
        from ml_dtypes import bfloat16
    except ImportError as reason:
        raise NotImplementedError("bfloat16 needs ml_dtypes") from reason
    dtype: np.dtype[Any] = np.dtype(bfloat16)
    return dtype


def codes(n: int, seed: int = 0) -> Array:
    """Random packed bits, DIMS of them per row."""
    return np.random.default_rng([seed, n]).integers(0, 256, (n, DIMS // 8), np.uint8)


def pair(metric: str, dtype: str, m: int, n: int) -> tuple[Array, Array]:
    """Inputs for a metric: packed bits where it takes no others (asv skips all other dtypes)."""
    if metric in BIT_METRICS:
        if dtype != "uint8":
            raise NotImplementedError(f"{metric} takes packed bits only")
        return codes(m, seed=1), codes(n)
    return rows(m, dtype, seed=1), rows(n, dtype)


def titled(title: str, unit: str | None = None) -> Callable[[Benchmark], Benchmark]:
    """Have asv's pages call a benchmark so, and its numbers; without a unit seconds or bytes.

    To asv less is better, whatever the unit: rates would be regressions when they rise.
    """

    def change(benchmark: Benchmark) -> Benchmark:
        benchmark.pretty_name = title  # type: ignore[attr-defined]
        if unit is not None:
            benchmark.unit = unit  # type: ignore[attr-defined]
        return benchmark

    return change


def need(name: str) -> None:
    """Skip a benchmark of what this commit does not have."""
    if not hasattr(em, name):
        raise NotImplementedError(f"no embmath.{name}")


def fastest(call: Callable[..., object], *args: object) -> float:
    """Seconds of the fastest of three runs."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        call(*args)
        times.append(time.perf_counter() - start)
    return min(times)
