"""The GPU, and how long it takes: events around many calls, minima and medians of rounds."""

from __future__ import annotations

import datetime
import importlib.metadata
import statistics
import subprocess
from collections.abc import Callable
from typing import Any

import torch

Call = Callable[[], object]


def describe() -> dict[str, Any]:
    """Chip, driver, libraries and date: without them a figure means nothing."""
    chip = torch.cuda.get_device_properties(0)
    query = ["nvidia-smi", "--query-gpu=driver_version,clocks.sm,clocks.mem,power.limit"]
    query += ["--format=csv,noheader"]
    driver = subprocess.run(query, check=False, capture_output=True, text=True)
    packages = ("embmath", "torch", "numpy", "faiss-gpu-cu12", "cuvs-cu12", "cuvs-cu13")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "chip": chip.name,
        "multiprocessors": chip.multi_processor_count,
        "memory_gib": round(chip.total_memory / 2**30, 1),
        "driver, clocks, power": driver.stdout.strip(),
        "cuda": torch.version.cuda,
        "versions": {name: found for name in packages if (found := _version(name))},
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def seconds(call: Call, *, rounds: int = 7, sample: float = 0.05) -> dict[str, float]:
    """Time of a call by the device's own clock; short ones are repeated within a sample."""
    call()
    once = _sample(call, 1)
    loops = max(1, min(1000, int(sample / max(once, 1e-6))))
    samples = [_sample(call, loops) / loops for _ in range(rounds)]
    return {"min": min(samples), "median": statistics.median(samples)}


def _sample(call: Call, loops: int) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    for _ in range(loops):
        call()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3


def interleaved(calls: dict[str, Call], *, rounds: int = 5) -> dict[str, dict[str, float]]:
    """Contenders take turns, so that clocks and temperature are the same for all."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(seconds(call, rounds=1))
    return {
        name: {
            "min": min(each["min"] for each in samples),
            "median": statistics.median(each["median"] for each in samples),
        }
        for name, samples in found.items()
    }
