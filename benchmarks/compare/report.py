"""The tables printed at the end."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from statistics import mean

from benchmarks import machine
from benchmarks.compare.runner import OURS, Outcome

_QUIET = 0.05  # share of the machine taken by others above which a case is no result
_HEAD = (
    "contender",
    "min ms",
    "median ms",
    "ratio of min",
    "of medians",
    "bar",
    "cores",
    "prep s",
)


def report(outcomes: list[Outcome], load: str) -> str:
    """Everything worth keeping from a run, as Markdown."""
    blocks = [_preamble(outcomes[-1], load)]
    blocks += ["\n".join(_case_table(outcome)) for outcome in outcomes]
    timed = [outcome for outcome in outcomes if OURS in outcome.timings]
    for _, same_task in groupby(timed, key=lambda outcome: outcome.case.task):
        blocks.append(_summary(list(same_task)))
    return "\n\n".join(blocks)


def _preamble(last: Outcome, load: str) -> str:
    libraries = ", ".join(f"{name} {text}" for name, text in machine.versions().items())
    return "\n".join(
        (
            f"Machine: {machine.machine_line()}; load average at the start {load}",
            f"Ours: {machine.embmath_line()}",
            f"Libraries: {libraries}",
            f"Threads: {last.threads} for every contender; pools: {', '.join(last.pools)}",
            "Ratio: time of the contender over ours; above 1, ours is faster. Cores: CPU seconds"
            " per second. Prep: done once, outside the timer.",
        )
    )


def _case_table(outcome: Outcome) -> Iterator[str]:
    yield f"### {outcome.case.name}"
    yield f"{outcome.case.describe}; {_conditions(outcome)}"
    yield ""
    if OURS not in outcome.timings:
        yield "Ours was not timed, so there are no ratios."
        return
    rows = [_row(outcome, name) for name in outcome.timings]
    yield machine.markdown_table(_HEAD, rows)
    for name, reason in {**outcome.absent, **outcome.wrong}.items():
        yield f"{name} was not timed: {reason}"


def _conditions(outcome: Outcome) -> str:
    rounds = max((len(timing.seconds) for timing in outcome.timings.values()), default=0)
    loud = " (TOO BUSY FOR A RESULT)" if outcome.disturbance > _QUIET else ""
    return f"{rounds} rounds; others used {outcome.disturbance:.1%} of the machine{loud}"


def _row(outcome: Outcome, name: str) -> tuple[str, ...]:
    timing, ours = outcome.timings[name], outcome.timings[OURS]
    ratio = timing.min / ours.min
    bar = outcome.case.bars.get(name)
    return (
        name,
        f"{timing.min * 1e3:.3f}",
        f"{timing.median * 1e3:.3f}",
        f"{ratio:.2f}",
        f"{timing.median / ours.median:.2f}",
        "" if bar is None else f"{bar:.2f} {'met' if ratio >= bar else 'MISSED'}",
        f"{mean(timing.cores):.2f}",
        f"{outcome.prep[name]:.2f}",
    )


def _summary(outcomes: list[Outcome]) -> str:
    """Ratios of all cases of a task in one table."""
    names = list(dict.fromkeys(name for outcome in outcomes for name in outcome.timings))
    names.remove(OURS)
    body = [
        [
            outcome.case.name,
            f"{outcome.timings[OURS].min * 1e3:.3f}",
            *(_ratios(outcome, name) for name in names),
        ]
        for outcome in outcomes
    ]
    title = f"### {outcomes[0].case.task}: ratio of minima (of medians), contender over ours"
    return f"{title}\n\n{machine.markdown_table(['case', 'ours, ms', *names], body)}"


def _ratios(outcome: Outcome, name: str) -> str:
    peer, ours = outcome.timings.get(name), outcome.timings[OURS]
    return f"{peer.min / ours.min:.2f} ({peer.median / ours.median:.2f})" if peer else ""
