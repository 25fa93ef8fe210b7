"""What a measurement was made on: the machine, the libraries, the threads, the disturbance."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

LIBRARIES = (
    "embmath",
    "numpy",
    "torch",
    "faiss-cpu",
    "usearch",
    "numkong",
    "scikit-learn",
    "scipy",
    "threadpoolctl",
)
_FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_vpopcntdq", "amx_int8")


def cores() -> int:
    """CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_facts() -> dict[str, str]:
    """The first processor's entry of /proc/cpuinfo; empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {}
    first = text.split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def last_level_cache() -> int:
    """Bytes of the largest cache of CPU 0; 0 where unknown."""
    sizes = [0]
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text(encoding="ascii").strip()
        sizes.append(int(text.rstrip("KM")) * {"K": 1 << 10, "M": 1 << 20}.get(text[-1], 1))
    return max(sizes)


def machine_line() -> str:
    """One line that says where a number comes from."""
    facts = cpu_facts()
    have = set(facts.get("flags", "").split())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return ", ".join(
        (
            facts.get("model name", platform.processor() or platform.machine()),
            f"family {facts.get('cpu family', '?')} model {facts.get('model', '?')}",
            f"{cores()} of {os.cpu_count()} CPUs",
            f"last-level cache {last_level_cache() >> 20} MiB",
            f"{memory:.0f} GiB",
            " ".join(flag for flag in _FLAGS if flag in have),
            f"{platform.system()} {platform.release()}",
            f"Python {platform.python_version()}",
        )
    )


def versions() -> dict[str, str]:
    """Versions of the libraries that are installed."""
    found = ((name, _version(name)) for name in LIBRARIES)
    return {name: text for name, text in found if text}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def embmath_line() -> str:
    """Which instruction set and compiler our own numbers come from."""
    import embmath as em

    facts = em.info()
    return ", ".join(
        f"{key} {facts[key]}" for key in ("version", "isa", "compiler") if key in facts
    )


def limit_threads(threads: int) -> list[str]:
    """Give every thread pool of the process the same size; say what each one reports.

    Called after all contenders are ready, because a library that is imported later brings its
    own OpenMP and BLAS, with their own counts. FAISS goes last: its setter is the OpenMP call of
    its private copy, and the BLAS it links is limited by threadpoolctl only.
    """
    from threadpoolctl import threadpool_info, threadpool_limits

    threadpool_limits(limits=threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    if "faiss" in sys.modules:
        sys.modules["faiss"].omp_set_num_threads(threads)
    return [_pool(entry) for entry in threadpool_info()]


def _pool(entry: dict[str, Any]) -> str:
    folder = Path(entry["filepath"]).parent.name
    return f"{folder}/{entry['internal_api']}={entry['num_threads']}"


@dataclass(frozen=True)
class _Ticks:
    wall: float
    own: float
    busy: float
    steal: float


def _ticks() -> _Ticks | None:
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0]
    except OSError:
        return None
    user, nice, system, _, _, irq, softirq, steal = (int(x) for x in first.split()[1:9])
    hertz = os.sysconf("SC_CLK_TCK")
    busy = (user + nice + system + irq + softirq) / hertz
    return _Ticks(time.perf_counter(), time.process_time(), busy, steal / hertz)


class Disturbance:
    """Share of the machine that others used while we measured: processes here, and the host.

    A ratio measured on a busy machine says more about the neighbours than about the contenders.
    """

    def __init__(self) -> None:
        self._start = _ticks()

    def share(self) -> float:
        """Foreign and stolen CPU time over all CPU time since the start; NaN where unknown."""
        end = _ticks()
        if self._start is None or end is None:
            return float("nan")
        start = self._start
        own = end.own - start.own
        foreign = max(0.0, end.busy - start.busy - own) + end.steal - start.steal
        return foreign / ((end.wall - start.wall) * (os.cpu_count() or 1))


def markdown_table(head: Iterable[str], body: Iterable[Iterable[str]]) -> str:
    """A table that reads as text and as Markdown."""
    lines = [list(head), *(list(row) for row in body)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    rule = ["-" * width for width in widths]

    def show(line: list[str]) -> str:
        cells = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        return "| " + " | ".join(cells) + " |"

    return "\n".join(show(line) for line in (lines[0], rule, *lines[1:]))
