"""A process of its own for the memory of one contender; prints MiB. Linux only."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import sys
from pathlib import Path

from embmath._cli.bench.measure import Case, contender

_PROCESS = Path("/proc/self")


def _kib(field: str) -> int:
    lines = (_PROCESS / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))


def main(request: str) -> None:
    """Prepare and search once."""
    asked = json.loads(request)
    case, chosen = Case(**asked["case"]), contender(asked["name"])
    importlib.import_module(chosen.package)
    queries, corpus = case.data()
    with contextlib.suppress(AttributeError):  # not every C library keeps what was freed
        ctypes.CDLL(None).malloc_trim(0)
    (_PROCESS / "clear_refs").write_text("5")  # the peak starts anew: making the data had one
    before = _kib("VmRSS")
    chosen.prepare(corpus, case.k, case.threads)(queries)
    print((_kib("VmHWM") - before) / 1024)


if __name__ == "__main__":
    main(sys.argv[1])
