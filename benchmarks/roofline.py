"""`python -m benchmarks.roofline`: our share of what the machine can do at all.

One query reads the corpus once and can be no faster than memory; many queries multiply and can be
no faster than the FMA units. Floors and our calls take turns, like contenders in the comparison.
"""

from __future__ import annotations

import argparse
import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from benchmarks import data, machine
from benchmarks.data import FloatArray
from benchmarks.timing import Call, Policy, Timing, interleave

_ABSENT = 7  # a byte that does not occur in the buffer, which holds ones
_HEAD = ("threads", "work", "min ms", "rate", "floor", "share of floor")
_FMA_ROUNDS = 2_000_000  # 15 ms at 100 GMAC/s with 512-bit vectors
_SQUARE = 2048  # a product that every BLAS runs at its best rate


def _memchr(part: FloatArray) -> None:
    """Search a byte that is not there: the C library's loop does nothing but read."""
    find = ctypes.CDLL(None).memchr
    find.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
    find.restype = ctypes.c_void_p
    find(part.ctypes.data, _ABSENT, part.nbytes)


def _maximum(part: FloatArray) -> None:
    part.max()


def _self_dot(part: FloatArray) -> None:
    """BLAS sdot of a buffer with itself: each line is fetched once."""
    np.dot(part, part)


READERS: dict[str, Callable[[FloatArray], None]] = {
    "read with memchr": _memchr,
    "read with NumPy max": _maximum,
    "read with BLAS sdot": _self_dot,
}


def _in_threads(read: Callable[[FloatArray], None], buffer: FloatArray, threads: int) -> Call:
    """Read disjoint parts of the buffer at the same time; all readers release the GIL."""
    parts = np.array_split(buffer, threads)
    pool = ThreadPoolExecutor(threads)
    return lambda: list(pool.map(read, parts))


@dataclass(frozen=True)
class Floor:
    """What the machine can do, in units per nanosecond (GB/s, GMAC/s)."""

    rate: float
    unit: str

    def row(self, threads: int, work: str, timing: Timing, amount: float) -> list[str]:
        """A line of a table: a call that handles `amount` units, beside the floor."""
        rate = amount / timing.min / 1e9
        return [
            str(threads),
            work,
            f"{timing.min * 1e3:.2f}",
            f"{rate:.1f} {self.unit}",
            f"{self.rate:.1f} {self.unit}",
            f"{rate / self.rate:.1%}",
        ]


def bandwidth(n: int, d: int, threads: int, policy: Policy) -> list[list[str]]:
    """One query against raw rows, beside plain readers of as many bytes."""
    import embmath as em

    corpus, query = data.rows("clustered", n, d), data.queries("clustered", 1, d)
    buffer = np.ones(corpus.size, dtype=np.float32)
    calls = {name: _in_threads(read, buffer, threads) for name, read in READERS.items()}
    calls["search nq=1, dot"] = partial(em.search, query, corpus, 10, "dot", threads=threads)
    calls["search nq=1, cosine"] = partial(em.search, query, corpus, 10, "cosine", threads=threads)
    machine.limit_threads(1)  # the readers bring their own threads
    timings = interleave(calls, policy)
    size = corpus.nbytes
    floor = Floor(size / min(timings[name].min for name in READERS) / 1e9, "GB/s")
    return [floor.row(threads, name, timing, size) for name, timing in timings.items()]


def multiplication(n: int, d: int, nq: int, threads: int, policy: Policy) -> list[list[str]]:
    """A matrix of scores and a batch search, beside the peak of the FMA units."""
    import embmath as em

    corpus, queries = data.rows("clustered", n, d), data.queries("clustered", nq, d)
    out = np.empty((nq, n), dtype=np.float32)
    square = data.rows("isotropic", _SQUARE, _SQUARE)
    ours: dict[str, Call] = {
        "similarity dot": partial(em.similarity, queries, corpus, "dot", out=out, threads=threads),
        f"search nq={nq}, dot": partial(em.search, queries, corpus, 10, "dot", threads=threads),
    }
    blas: dict[str, Call] = {
        "NumPy A@B.T": partial(np.matmul, queries, corpus.T, out=out),
        "NumPy square": partial(np.matmul, square, square.T),
    }
    machine.limit_threads(threads)
    loop = compile_fma_loop()
    registers: dict[str, Call] = {} if loop is None else {"FMA loop": _in_all(loop, threads)}
    timings = interleave({**ours, **blas, **registers}, policy)
    work = dict.fromkeys(timings, float(nq) * n * d) | {"NumPy square": float(_SQUARE) ** 3}
    if loop is not None:
        work["FMA loop"] = threads * loop.work
    best = max(work[name] / timings[name].min / 1e9 for name in registers or blas)
    floor = Floor(best, "GMAC/s")
    return [floor.row(threads, name, timing, work[name]) for name, timing in timings.items()]


class FmaLoop:
    """Fused multiply-adds over registers, compiled for this machine."""

    def __init__(self, library: Path) -> None:
        self._function = ctypes.CDLL(str(library)).multiply_adds
        self._function.argtypes, self._function.restype = (ctypes.c_long,), ctypes.c_double
        self.work = float(self._function(_FMA_ROUNDS))

    def __call__(self) -> None:
        self._function(_FMA_ROUNDS)


@cache
def compile_fma_loop() -> FmaLoop | None:
    """The loop of fma_peak.cpp, or None where no compiler is at hand."""
    compiler = shutil.which("c++")
    if compiler is None:
        return None
    library = Path(tempfile.mkdtemp()) / "fma_peak.so"
    source = Path(__file__).with_name("fma_peak.cpp")
    flags = ("-std=c++20", "-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC")
    subprocess.run([compiler, *flags, source, "-o", library], check=True)
    return FmaLoop(library)


def _in_all(loop: FmaLoop, threads: int) -> Call:
    """The loop on several threads at once; ctypes releases the GIL."""
    pool = ThreadPoolExecutor(threads)
    return lambda: [done.result() for done in [pool.submit(loop) for _ in range(threads)]]


def _peak_source() -> str:
    if compile_fma_loop() is None:
        return "NumPy's best matrix product, a stand-in: no C++ compiler to build the FMA loop"
    return "a register-only FMA loop on as many threads"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the corpus rows")
    parser.add_argument("--budget", type=float, default=30.0, help="seconds per table and count")
    parser.add_argument("--threads", type=int, nargs="*", help="default: 1 and all CPUs")
    args = parser.parse_args()
    counts = args.threads or sorted({1, machine.cores()})
    policy = Policy(budget=args.budget)
    n_one, n_many, d = int(600_000 * args.scale), int(100_000 * args.scale), 768

    print(f"Machine: {machine.machine_line()}\nOurs: {machine.embmath_line()}\n")
    disturbance = machine.Disturbance()
    memory = [row for count in counts for row in bandwidth(n_one, d, count, policy)]
    print(f"### Memory: n={n_one}, d={d}; floor: the fastest reader\n")
    print(machine.markdown_table(_HEAD, memory))
    if n_one * d * 4 < 2 * machine.last_level_cache():
        print("The corpus is not twice as large as the last-level cache: no memory floor.")
    fma = [row for count in counts for row in multiplication(n_many, d, 1000, count, policy)]
    print(f"\n### Multiplication: n={n_many}, d={d}; floor: {_peak_source()}\n")
    print(machine.markdown_table(_HEAD, fma))
    print(f"\nOthers used {disturbance.share():.1%} of the machine.")


if __name__ == "__main__":
    main()
