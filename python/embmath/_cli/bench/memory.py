"""The memory that a contender takes, measured in a process of its own. Linux only.

One helper process imports the packages, which takes longer than anything measured here, and forks a
child for every measurement: it has imported everything and computed nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

_PROCESS = Path("/proc/self")


class MemoryMeter:
    """Asks the helper process; started when it is first needed."""

    def __init__(self) -> None:
        self._helper: subprocess.Popen[str] | None = None

    def __enter__(self) -> MemoryMeter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._helper is not None:
            self._helper.communicate()  # closes its input, at which it ends

    def peak(self, request: dict[str, Any], name: str) -> float | None:
        """MiB that preparing and running once take beyond the data; None where nobody can say."""
        if self._helper is None:
            self._helper = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        assert self._helper.stdin is not None
        assert self._helper.stdout is not None
        try:
            print(json.dumps([request, name]), file=self._helper.stdin, flush=True)
            answer = json.loads(self._helper.stdout.readline())
        except (OSError, ValueError):  # it has died
            return None
        return None if answer is None else float(answer)


def serve() -> None:
    """Answer every request from stdin with a line of its own: MiB, or null."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what packages print is no answer
    for line in sys.stdin:
        try:
            measured = _measured_by_child(*json.loads(line))
        except Exception:
            measured = None
        print(json.dumps(measured), file=answers, flush=True)


def _measured_by_child(request: dict[str, Any], name: str) -> float | None:
    from embmath._cli.bench.kinds import case_of

    case = case_of(request)
    contender = next(each for each in case.contenders() if each.name == name)
    contender.load(case.threads)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, json.dumps(_peak(case, contender)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return float(text) if text else None


def _peak(case: Any, contender: Any) -> float:
    inputs = case.inputs()
    with contextlib.suppress(AttributeError):  # not every C library keeps what was freed
        ctypes.CDLL(None).malloc_trim(0)
    (_PROCESS / "clear_refs").write_text("5")  # the peak starts anew: making the data had one
    before = _kib("VmRSS")
    contender.prepare(inputs)()
    return (_kib("VmHWM") - before) / 1024


def _kib(field: str) -> int:
    lines = (_PROCESS / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))


if __name__ == "__main__":
    serve()
