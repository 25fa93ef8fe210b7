"""Codecs, which should run at the speed of memory."""

from __future__ import annotations

import numpy as np

import embmath as em

from . import axes

_N = 50_000
_PRECISIONS = ("int8", "uint8", "int4", "binary", "float16", "bfloat16")
_SCOPES = ("row", "dim")


def _options(precision: str, scope: str, x: axes.Array) -> dict[str, object]:
    """Precomputed ranges for the scope that takes some; precisions without a grid have no scope."""
    if precision not in {"int8", "uint8", "int4"}:
        if scope != "row":
            raise NotImplementedError(f"{precision} has no ranges")  # asv leaves it out
        return {}
    return {"ranges": em.fit_ranges(x)} if scope == "dim" else {}


class Quantize:
    """float32 rows into codes, by precision and scope."""

    param_names = ("precision", "scope", "threads")
    params = (_PRECISIONS, _SCOPES, axes.THREADS)

    def setup(self, precision: str, scope: str, threads: int) -> None:
        """Rows, and ranges where they are given."""
        axes.need("quantize")
        self.x = axes.rows(_N)
        self.options = _options(precision, scope, self.x)

    @axes.titled("quantize")
    def time_quantize(self, precision: str, scope: str, threads: int) -> None:
        """Codes in new memory, as a user gets them."""
        em.quantize(self.x, precision, threads=threads, **self.options)

    @axes.titled("quantize, memory")
    def peakmem_quantize(self, precision: str, scope: str, threads: int) -> None:
        """Resident memory, input and codes included."""
        em.quantize(self.x, precision, threads=threads, **self.options)

    @axes.titled("quantize, time per byte", unit="ps/byte")
    def track_cost(self, precision: str, scope: str, threads: int) -> float:
        """Picoseconds per byte read or written, fastest of three runs."""
        codes = em.quantize(self.x, precision, **self.options)
        seconds = axes.fastest(self.time_quantize, precision, scope, threads)
        return 1e12 * seconds / (self.x.nbytes + codes.nbytes)


class Dequantize:
    """Codes back into float32, by precision and scope."""

    param_names = ("precision", "scope", "threads")
    params = (_PRECISIONS, _SCOPES, axes.THREADS)

    def setup(self, precision: str, scope: str, threads: int) -> None:
        """Codes, and a place for the numbers."""
        axes.need("quantize")
        x = axes.rows(_N)
        self.codes = em.quantize(x, precision, **_options(precision, scope, x))
        self.out = np.empty_like(x)

    @axes.titled("dequantize")
    def time_dequantize(self, precision: str, scope: str, threads: int) -> None:
        """Into an array that is already there."""
        self.codes.dequantize(out=self.out, threads=threads)

    @axes.titled("dequantize, time per byte", unit="ps/byte")
    def track_cost(self, precision: str, scope: str, threads: int) -> float:
        """Picoseconds per byte read or written, fastest of three runs."""
        seconds = axes.fastest(self.time_dequantize, precision, scope, threads)
        return 1e12 * seconds / (self.codes.nbytes + self.out.nbytes)


class FitRanges:
    """Ranges per dimension: of all rows, and of their central 99 %."""

    param_names = ("quantile",)
    params = ((None, 0.99),)

    def setup(self, quantile: float | None) -> None:
        """Rows."""
        axes.need("fit_ranges")
        self.x = axes.rows(_N)

    @axes.titled("fit_ranges")
    def time_fit_ranges(self, quantile: float | None) -> None:
        """Minimum and maximum, or quantiles."""
        em.fit_ranges(self.x, quantile=quantile)
