"""`python -m benchmarks.memory`: what a search needs beyond its inputs.

Each contender runs in a process of its own. The kernel's high-water mark of resident memory is
reset just before the call; what it has risen by afterwards is the extra memory, results included.
The corpus is generated into ordinary memory and touched before, so that none of it counts (pages
of a memory-mapped corpus would).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
from pathlib import Path

from benchmarks import machine
from benchmarks.compare.cases import Case, Problem, build
from benchmarks.compare.contenders import CONTENDERS
from benchmarks.compare.runner import OURS

_HEAD = ("contender", "prep, MB", "extra at the peak, MB", "result, MB")
_DEFAULT = (OURS, "embmath, cosine", "FAISS flat")


def _status(field: str) -> int:
    """A field of /proc/self/status, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def _baseline() -> int:
    """Give freed memory back to the kernel, restart the high-water mark, return the level."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def _small(problem: Problem) -> Problem:
    """A few rows of the problem: enough to load libraries and to start threads."""
    return Problem(problem.case, problem.threads, problem.corpus[:512], problem.queries[:8])


def measure(name: str, case: Case, threads: int) -> dict[str, int]:
    """Bytes that one contender needs for a case, in this process."""
    entry = next(e for e in CONTENDERS if e.name == name and e.task == case.task)
    problem = build(case, threads)
    entry.prepare(_small(problem)).run()
    machine.limit_threads(threads)
    start = _baseline()
    prepared = entry.prepare(problem)
    before = _baseline()
    result = prepared.run()
    peak = _status("VmHWM")
    assert prepared.answer is not None
    answer = prepared.answer(result)
    size = answer.values.nbytes + (0 if answer.indices is None else answer.indices.nbytes)
    return {"prep": before - start, "extra": peak - before, "result": size}


def _in_child(name: str, arguments: list[str]) -> list[str]:
    command = [sys.executable, "-m", "benchmarks.memory", "--child", name, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return [name, "failed", f"exit status {done.returncode}", ""]
    bytes_used: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return [name, *(f"{value / 1e6:.1f}" for value in bytes_used.values())]


def _names() -> list[str]:
    return [entry.name for entry in CONTENDERS if entry.task == "search"]


def main() -> None:
    """Print one row per contender."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--nq", type=int, default=1000)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--d", type=int, default=768)
    parser.add_argument("--threads", type=int, default=machine.cores())
    parser.add_argument("--contenders", nargs="*", default=_DEFAULT, choices=_names())
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    case = Case("memory", "search", args.n, args.nq, args.d, args.k)
    if args.child:
        print(json.dumps(measure(args.child, case, args.threads)))
        return
    sizes = ("n", "nq", "k", "d", "threads")
    arguments = [text for size in sizes for text in (f"--{size}", str(getattr(args, size)))]
    rows = [_in_child(name, arguments) for name in args.contenders]
    print(f"Machine: {machine.machine_line()}\nOurs: {machine.embmath_line()}\n")
    print(f"### Memory beyond the inputs: {case.describe}, threads={args.threads}\n")
    print(machine.markdown_table(_HEAD, rows))


if __name__ == "__main__":
    main()
