"""`python -m benchmarks.roofline`: our share of what the machine can do at all.

One query reads the corpus, or its codes, once and can be no faster than memory; many queries
multiply and can be no faster than the FMA units, or than those that multiply the bytes of codes.
Floors and our calls take turns, like contenders in the comparison.
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
_VECTOR_ROUNDS = 2_000_000  # ten milliseconds, of 512-bit vectors as of tiles
_TILE_ROUNDS = 250_000
_CODE_READER = "Index nq=1, dot (codes)"
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
    """What the machine can do, in units per nanosecond (GB/s, GMAC/s); 0 where unknown."""

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
            f"{self.rate:.1f} {self.unit}" if self.rate else "unknown",
            f"{rate / self.rate:.1%}" if self.rate else "",
        ]


def bandwidth(n: int, d: int, threads: int, policy: Policy) -> list[list[str]]:
    """One query against raw rows and against codes, beside plain readers of as many bytes."""
    import embmath as em

    corpus, query = data.rows("clustered", n, d), data.queries("clustered", 1, d)
    index = em.Index(corpus, metric="dot", threads=threads)
    buffer = np.ones(corpus.size, dtype=np.float32)
    calls = {name: _in_threads(read, buffer, threads) for name, read in READERS.items()}
    calls["search nq=1, dot"] = partial(em.search, query, corpus, 10, "dot", threads=threads)
    calls["search nq=1, cosine"] = partial(em.search, query, corpus, 10, "cosine", threads=threads)
    calls[_CODE_READER] = partial(index.search, query, 10, threads=threads)
    machine.limit_threads(1)  # the readers bring their own threads
    timings = interleave(calls, policy)
    size = dict.fromkeys(timings, corpus.nbytes) | {_CODE_READER: corpus.size}
    floor = Floor(corpus.nbytes / min(timings[name].min for name in READERS) / 1e9, "GB/s")
    return [floor.row(threads, name, timing, size[name]) for name, timing in timings.items()]


def multiplication(n: int, d: int, nq: int, threads: int, policy: Policy) -> list[list[str]]:
    """A matrix of scores and a batch search in float32, beside the peak of the FMA units."""
    import embmath as em

    corpus, queries = data.rows("clustered", n, d), data.queries("clustered", nq, d)
    out = np.empty((nq, n), dtype=np.float32)
    square = data.rows("isotropic", _SQUARE, _SQUARE)
    index = em.Index(corpus, metric="dot", codes=None, threads=threads)
    ours: dict[str, Call] = {
        "similarity dot": partial(em.similarity, queries, corpus, "dot", out=out, threads=threads),
        f"Index(codes=None) nq={nq}, dot": partial(index.search, queries, 10, threads=threads),
    }
    blas: dict[str, Call] = {
        "NumPy A@B.T": partial(np.matmul, queries, corpus.T, out=out),
        "NumPy square": partial(np.matmul, square, square.T),
    }
    machine.limit_threads(threads)
    loop = fma_loop()
    registers: dict[str, Call] = {} if loop is None else {loop.name: _in_all(loop, threads)}
    timings = interleave({**ours, **blas, **registers}, policy)
    work = dict.fromkeys(timings, float(nq) * n * d) | {"NumPy square": float(_SQUARE) ** 3}
    if loop is not None:
        work[loop.name] = threads * loop.work
    best = max(work[name] / timings[name].min / 1e9 for name in registers or blas)
    floor = Floor(best, "GMAC/s")
    return [floor.row(threads, name, timing, work[name]) for name, timing in timings.items()]


def code_multiplication(n: int, d: int, nq: int, threads: int, policy: Policy) -> list[list[str]]:
    """Batch searches through codes, made on the fly or kept, beside the peak of the byte units."""
    import embmath as em

    corpus, queries = data.rows("clustered", n, d), data.queries("clustered", nq, d)
    index = em.Index(corpus, metric="dot", threads=threads)
    searches: dict[str, Callable[..., object]] = {
        f"search nq={nq}, dot": partial(em.search, queries, corpus, 10, "dot", threads=threads),
        f"Index nq={nq}, dot": partial(index.search, queries, 10, threads=threads),
    }
    calls: dict[str, Call] = {f"{name} ({_plan(call)})": call for name, call in searches.items()}
    machine.limit_threads(threads)
    loop = code_loop()
    registers: dict[str, Call] = {} if loop is None else {loop.name: _in_all(loop, threads)}
    timings = interleave({**calls, **registers}, policy)
    work = dict.fromkeys(timings, float(nq) * n * d)
    if loop is not None:
        work[loop.name] = threads * loop.work
    best = max((work[name] / timings[name].min / 1e9 for name in registers), default=0.0)
    floor = Floor(best, "GMAC/s")
    return [floor.row(threads, name, timing, work[name]) for name, timing in timings.items()]


def _plan(search: Callable[..., object]) -> str:
    """The stages a search went through: only the first multiplies everything."""
    stats: dict[str, str] = {}
    search(stats=stats)
    return stats["plan"]


class RegisterLoop:
    """Multiplications over registers, compiled for this machine."""

    def __init__(self, name: str, library: Path, function: str, rounds: int) -> None:
        self._function = ctypes.CDLL(str(library))[function]
        self._function.argtypes, self._function.restype = (ctypes.c_long,), ctypes.c_double
        self._rounds = rounds
        self.name = name
        self.work = float(self._function(rounds))  # 0: the machine lacks the instruction

    def __call__(self) -> None:
        self._function(self._rounds)


@cache
def _compile(source: str) -> Path | None:
    """A library of the loops in a file beside this one, or None where no compiler is at hand."""
    compiler = shutil.which("c++")
    if compiler is None:
        return None
    library = (Path(tempfile.mkdtemp()) / source).with_suffix(".so")
    flags = ("-std=c++20", "-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC")
    subprocess.run([compiler, *flags, Path(__file__).with_name(source), "-o", library], check=True)
    return library


@cache
def fma_loop() -> RegisterLoop | None:
    """The loop of fma_peak.cpp, or None where no compiler is at hand."""
    library = _compile("fma_peak.cpp")
    if library is None:
        return None
    return RegisterLoop("FMA loop", library, "multiply_adds", _VECTOR_ROUNDS)


@cache
def code_loop() -> RegisterLoop | None:
    """The loop of code_peak.cpp for the units that our searches use, or None without such units.

    The tiles are asked only where ours has them in use: elsewhere their peak is out of its reach.
    """
    import embmath as em

    library = _compile("code_peak.cpp")
    if library is None:
        return None
    loops = [RegisterLoop("VPDPBUSD loop", library, "vector_multiply_adds", _VECTOR_ROUNDS)]
    if em.info()["isa"] == "avx512_amx":
        loops.insert(0, RegisterLoop("TDPBUSD loop", library, "tile_multiply_adds", _TILE_ROUNDS))
    return next((loop for loop in loops if loop.work > 0), None)


def _in_all(loop: RegisterLoop, threads: int) -> Call:
    """The loop on several threads at once; ctypes releases the GIL."""
    pool = ThreadPoolExecutor(threads)
    return lambda: [done.result() for done in [pool.submit(loop) for _ in range(threads)]]


def _peak_source() -> str:
    if fma_loop() is None:
        return "NumPy's best matrix product, a stand-in: no C++ compiler to build the FMA loop"
    return "a register-only FMA loop on as many threads"


def _code_peak_source() -> str:
    loop = code_loop()
    if loop is None:
        return "unknown: no C++ compiler or no VPDPBUSD"
    return f"a register-only {loop.name} on as many threads"


def main() -> None:
    """Print the tables."""
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
    for rows, size in (("corpus", 4 * n_one * d), ("codes", n_one * d)):
        if size < 2 * machine.last_level_cache():
            print(f"The {rows}: not twice as large as the last-level cache, so no memory floor.")
    fma = [row for count in counts for row in multiplication(n_many, d, 1000, count, policy)]
    print(f"\n### Multiplication: n={n_many}, d={d}; floor: {_peak_source()}\n")
    print(machine.markdown_table(_HEAD, fma))
    codes = [row for count in counts for row in code_multiplication(n_many, d, 1000, count, policy)]
    print(f"\n### Codes: n={n_many}, d={d}; floor: {_code_peak_source()}\n")
    print(machine.markdown_table(_HEAD, codes))
    print(f"\nOthers used {disturbance.share():.1%} of the machine.")


if __name__ == "__main__":
    main()
