"""All to be learnt from a GPU in 25 minutes, most wanted first; stopped, it goes on where it was.

    python -m benchmarks.cuda.run --out gpu.json [--minutes 25] [--only REGEX]

Tests come first (results against the oracle, memory errors and races where compute-sanitizer is
installed), then timings. A step that fails is recorded and does not cost the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TESTS = ["tests/cuda", "-k", "gpu", "-q", "-p", "no:cacheprovider"]
# Small ones: a sanitizer makes them a hundred times slower.
SANITIZED = ["tests/cuda/test_search_kernels.py", "tests/cuda/test_quantize_kernels.py"]
SANITIZED += ["-q", "-p", "no:cacheprovider", "-k", "gpu and (edges or masks or plane or nibbles)"]


def pytest(arguments: list[str], *prefix: str) -> dict[str, Any]:
    """A run of tests, and how it ended."""
    command = [*prefix, sys.executable, "-m", "pytest", *arguments]
    # A caching allocator would hide reads beyond an array.
    environment = os.environ | ({"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"} if prefix else {})
    run = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    return {"returncode": run.returncode, "tail": run.stdout[-1500:]}


def steps() -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Name and work of each step."""
    yield "tests", lambda: pytest(TESTS)
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is not None:
        for tool in ("memcheck", "racecheck", "synccheck", "initcheck"):
            options = (sanitizer, "--tool", tool, "--error-exitcode", "1")
            yield f"sanitizer {tool}", lambda options=options: pytest(SANITIZED, *options)  # type: ignore[misc]
    from .cases import cases

    yield from cases()


def main() -> int:
    """Run what the file does not know yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--only", type=re.compile, default=re.compile(""))
    options = parser.parse_args()
    from .device import describe

    end = time.monotonic() + 60 * options.minutes
    known = json.loads(options.out.read_text()) if options.out.exists() else {}
    known.setdefault("machine", describe())
    results = known.setdefault("results", {})
    for name, work in steps():
        if name in results or not options.only.search(name):
            continue
        if time.monotonic() > end:
            print("out of time; run again to go on", file=sys.stderr)
            return 1
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            results[name] = work()
        except Exception:
            results[name] = {"error": traceback.format_exc()[-2000:]}
        options.out.write_text(json.dumps(known, indent=1))
        print(json.dumps(results[name])[:400], file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
