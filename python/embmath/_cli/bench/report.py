"""Results as tables, and as a picture."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from embmath._cli.errors import CliError

_NOISE_MIB = 8
_OURS, _OTHERS = "tab:blue", "lightgrey"


def search_table(results: Sequence[dict[str, Any]]) -> str:
    """One case, a line for every contender."""
    ours = results[0]["name"]
    head = ("", "min ms", "median ms", f"{ours} is", "prepared in", "peak memory", "answers")
    return _aligned([head, *(_search_line(each, each["name"] == ours) for each in results)])


def _search_line(result: dict[str, Any], is_ours: bool) -> tuple[str, ...]:
    memory = result["peak_mib"]
    return (
        result["name"],
        f"{result['min_ms']:.2f}",
        f"{result['median_ms']:.2f}",
        "" if is_ours else _verdict(result["ratio"]),
        f"{result['prepare_ms']:.0f} ms",
        "" if memory is None else f"{memory:.0f} MiB",
        _judgement(result),
    )


def dropin_table(cases: Sequence[dict[str, Any]]) -> str:
    """One library's functions, a line each: theirs, then ours."""
    head = ("", "size", "before, ms", "after, ms", "embmath is", "prepared, ms", "peak MiB")
    return _aligned([(*head, "answers"), *map(_dropin_line, cases)])


def _dropin_line(case: dict[str, Any]) -> tuple[str, ...]:
    ours, theirs = case["results"]
    memory = (theirs["peak_mib"], ours["peak_mib"])
    return (
        case["function"],
        case["size"],
        f"{theirs['min_ms']:.2f}",
        f"{ours['min_ms']:.2f}",
        _verdict(theirs["ratio"]),
        f"{theirs['prepare_ms']:.0f} -> {ours['prepare_ms']:.0f}",
        "" if None in memory else f"{memory[0]:.0f} -> {memory[1]:.0f}",
        _judgement(theirs),
    )


def _verdict(ratio: float) -> str:
    return f"{ratio:.2f}x faster" if ratio >= 1 else f"{1 / ratio:.2f}x slower"


def _judgement(result: dict[str, Any]) -> str:
    return "same" if result["same_answers"] else "DIFFERENT"


def _aligned(body: Sequence[tuple[str, ...]]) -> str:
    """Columns to the right but the first."""
    widths = [max(map(len, column)) for column in zip(*body, strict=True)]
    lines = []
    for line in body:
        first = line[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))
        lines.append("  ".join([first, *rest]))
    return "\n".join(lines)


def losses(cases: Sequence[dict[str, Any]]) -> list[str]:
    """Where a peer was faster, or took less memory: said, not hidden."""
    lines = []
    for case in cases:
        ours = case["results"][0]
        for result in case["results"]:
            if result["name"].startswith("embmath"):
                continue
            if result["ratio"] < 1:
                times = f"{1 / result['ratio']:.2f}x faster"
                lines.append(f"{result['name']} is {times} at {case['title']}")
            if _takes_less(result["peak_mib"], ours["peak_mib"]):
                memory = f"{result['peak_mib']:.0f} MiB for our {ours['peak_mib']:.0f}"
                lines.append(f"{result['name']} takes {memory} at {case['title']}")
    return lines


def _takes_less(peer: float | None, ours: float | None) -> bool:
    """By more than what a measurement may be wrong by."""
    return peer is not None and ours is not None and ours > 1.1 * peer + _NOISE_MIB


def disagreements(cases: Sequence[dict[str, Any]]) -> list[str]:
    """Where answers differ, which none may."""
    return [
        f"{result['name']} at {case['title']}"
        for case in cases
        for result in case["results"]
        if not result["same_answers"]
    ]


def pyplot() -> Any:
    """What draws; asked for before anything is measured, not to fail in the end."""
    try:
        matplotlib = importlib.import_module("matplotlib")
    except ImportError:
        raise CliError("--picture needs matplotlib: pip install 'embmath[picture]'") from None
    matplotlib.use("agg")
    return importlib.import_module("matplotlib.pyplot")


def picture(path: str, cases: Sequence[dict[str, Any]]) -> None:
    """Times of all contenders as bars, case by case."""
    plt = pyplot()
    places, ticks, bottom = [], [], 0.0
    for case in cases:
        n_bars = len(case["results"])
        places += [bottom + i for i in range(n_bars)]
        ticks.append(bottom + (n_bars - 1) / 2)
        bottom += n_bars + 0.8
    found = [result for case in cases for result in case["results"]]
    colours = [_OURS if each["name"].startswith("embmath") else _OTHERS for each in found]
    figure, axes = plt.subplots(figsize=(9, 0.8 + 0.19 * bottom), layout="constrained")
    bars = axes.barh(places, [each["min_ms"] for each in found], 0.9, color=colours)
    axes.bar_label(bars, [_bar_label(each) for each in found], fontsize=7, padding=2)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.set_xlabel("milliseconds, less is better")
    axes.set_yticks(ticks, [case["title"] for case in cases], fontsize=7)
    axes.invert_yaxis()
    axes.margins(x=0.15, y=0.01)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _bar_label(result: dict[str, Any]) -> str:
    ratio = "" if result["ratio"] == 1 else f", {_short(result['ratio'])}x"
    return f"{result['name']} {_short(result['min_ms'])}{ratio}"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 99.5 else f"{number:.2g}"
