"""The interleaved runner: A B C, then A B C again, never AAA BBB.

Clock speed, temperature and neighbours drift over seconds to minutes. Contenders that take turns
meet the same weather; contenders measured one after the other do not.
"""

from __future__ import annotations

import gc
import math
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Call = Callable[[], object]

_QUIET_WINDOW = 0.02


@dataclass(frozen=True)
class Policy:
    """How long to measure."""

    budget: float = 40.0  # seconds to aim for per case, all contenders together
    min_rounds: int = 5
    max_rounds: int = 30
    min_sample: float = 0.05  # seconds; shorter calls are repeated within one sample
    settle: float = 1.0  # seconds to wait for a quiet process, at most


@dataclass
class Timing:
    """Samples of one contender: seconds per call, and CPU seconds per second of wall time."""

    loops: int = 1
    seconds: list[float] = field(default_factory=list)
    cores: list[float] = field(default_factory=list)

    @property
    def min(self) -> float:
        return min(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def _calibrate(call: Call, policy: Policy) -> tuple[int, float]:
    """Repetitions per sample, and the seconds that such a sample takes with its wait."""
    start = time.perf_counter()
    call()
    once = time.perf_counter() - start
    loops = max(1, math.ceil(policy.min_sample / max(once, 1e-9)))
    return loops, loops * once + _settle(policy.settle)


def _settle(longest: float) -> float:
    """Wait until no thread of ours runs any more; return the seconds that took.

    BLAS and OpenMP workers spin after a call, on the very cores the next contender is timed on
    (NumPy's OpenBLAS: a whole core for 0.1 s on a 2.6 GHz machine).
    """
    start = time.perf_counter()
    while (waited := time.perf_counter() - start) < longest:
        cpu = time.process_time()
        time.sleep(_QUIET_WINDOW)
        if time.process_time() - cpu < 0.05 * _QUIET_WINDOW:
            break
    return waited + _QUIET_WINDOW


def _sample(call: Call, loops: int) -> tuple[float, float]:
    """One timed sample: seconds per call and CPU seconds per second.

    Where calls are short an untimed one goes first and gives back what the wait took: awake
    workers, and the contender's own data in the caches.
    """
    if loops > 1:
        call()
    cpu, start = time.process_time(), time.perf_counter()
    for _ in range(loops):
        call()
    wall = time.perf_counter() - start
    return wall / loops, (time.process_time() - cpu) / wall


def _rounds(round_seconds: float, policy: Policy) -> int:
    fit = int(policy.budget / max(round_seconds, 1e-9))
    return min(max(fit, policy.min_rounds), policy.max_rounds)


def interleave(calls: Mapping[str, Call], policy: Policy) -> dict[str, Timing]:
    """Time all calls in rounds, each once per round, in an order shuffled anew every round.

    All get the same number of rounds: more samples alone would lower a minimum.
    """
    plan = {name: _calibrate(call, policy) for name, call in calls.items()}
    timings = {name: Timing(loops) for name, (loops, _) in plan.items()}
    round_seconds = sum(seconds for _, seconds in plan.values())
    order = list(calls)
    shuffle = random.Random(0).shuffle
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for _ in range(_rounds(round_seconds, policy)):
            shuffle(order)
            for name in order:
                _settle(policy.settle)
                seconds, cores = _sample(calls[name], timings[name].loops)
                timings[name].seconds.append(seconds)
                timings[name].cores.append(cores)
    finally:
        if was_enabled:
            gc.enable()
    return timings
