"""Each contender's interleaved samples become one pytest-benchmark entry."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from benchmarks.compare.replay import ReplayClock
from benchmarks.compare.runner import Outcome

_CLOCK = ReplayClock()


@pytest.mark.benchmark(timer=_CLOCK)
def test_compare(outcome: Outcome, contender: str, benchmark: Any) -> None:
    """Fails where the answer was wrong, skips where the library is missing."""
    if contender in outcome.absent:
        pytest.skip(f"{contender}: {outcome.absent[contender]}")
    if contender in outcome.wrong:
        pytest.fail(f"{contender}: {outcome.wrong[contender]}", pytrace=False)
    timing = outcome.timings[contender]
    benchmark.group = f"{outcome.case.name}: {outcome.case.describe}"
    benchmark.extra_info.update(
        contender=contender,
        case=asdict(outcome.case),
        threads=outcome.threads,
        pools=outcome.pools,
        calls_per_sample=timing.loops,
        cores=timing.cores,
        prep_seconds=outcome.prep[contender],
        disturbance=outcome.disturbance,
    )
    benchmark.pedantic(_CLOCK.player(timing.seconds), rounds=len(timing.seconds))
