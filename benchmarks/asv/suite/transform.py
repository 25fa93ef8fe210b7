"""Transforms, which should run at the speed of memory; and the cost of importing."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

import embmath as em

from . import axes

_N = 50_000
_FLOATS = tuple(name for name in axes.DTYPES if "float" in name)


class Normalize:
    """Rows scaled to length 1, by dtype."""

    param_names = ("dtype",)
    params = (_FLOATS,)

    def setup(self, dtype: str) -> None:
        """Rows, and a place for the result."""
        self.x = axes.rows(_N, dtype)
        self.out = np.empty_like(self.x)

    @axes.titled("normalize")
    def time_normalize(self, dtype: str) -> None:
        """Into an array that is already there."""
        em.normalize(self.x, out=self.out)

    @axes.titled("normalize, memory")
    def peakmem_normalize(self, dtype: str) -> None:
        """Resident memory, input and result included."""
        em.normalize(self.x, out=self.out)

    @axes.titled("normalize, time per byte", unit="ps/byte")
    def track_cost(self, dtype: str) -> float:
        """Picoseconds per byte read or written, fastest of three runs."""
        return 1e12 * axes.fastest(self.time_normalize, dtype) / (2 * self.x.nbytes)


class Bits:
    """Packing and unpacking of sign bits."""

    def setup(self) -> None:
        """Rows and their codes."""
        self.x = axes.rows(_N)
        self.codes = em.pack_bits(self.x)

    @axes.titled("pack_bits")
    def time_pack_bits(self) -> None:
        """One bit per dimension."""
        em.pack_bits(self.x)

    @axes.titled("unpack_bits")
    def time_unpack_bits(self) -> None:
        """One byte per bit."""
        em.unpack_bits(self.codes, axes.DIMS)


class Truncate:
    """Matryoshka prefixes."""

    param_names = ("dims",)
    params = ((64, 256, 512),)

    def setup(self, dims: int) -> None:
        """Full rows."""
        self.x = axes.rows(_N)

    @axes.titled("truncate")
    def time_truncate(self, dims: int) -> None:
        """Prefix, scaled to length 1 again."""
        em.truncate(self.x, dims)


_CHILD = """
import time
import numpy
start = time.perf_counter()
import embmath
print(time.perf_counter() - start)
"""


class Import:
    """Time of `import embmath` once NumPy is there."""

    @axes.titled("import embmath", unit="ms")
    def track_import(self) -> float:
        """Milliseconds, fastest of five fresh processes."""
        command = [sys.executable, "-c", _CHILD]
        return min(float(subprocess.check_output(command)) for _ in range(5)) * 1e3
