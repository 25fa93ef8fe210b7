"""Hand samples that are already taken to pytest-benchmark.

pytest-benchmark times all rounds of one test before it starts the next, so it cannot interleave.
It does allow a timer per test. This timer is a clock that stands still except while a replayed
"call" moves it on by one recorded sample; the statistics, the comparison and the JSON file that
pytest-benchmark makes from it are then those of the interleaved samples, exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence


class ReplayClock:
    """A timer that shows recorded time."""

    __name__ = "interleaved samples, replayed"  # how the JSON file names the timer

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        return self._now

    def player(self, samples: Sequence[float]) -> Callable[[], None]:
        """A function whose i-th call takes the i-th sample's time on this clock."""
        left = iter(samples)

        def play() -> None:
            self._now += next(left)

        return play
