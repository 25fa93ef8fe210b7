"""Results as a table, and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from embmath._cli.errors import CliError

_HEAD = ("", "min ms", "median ms", "embmath.Index is", "prepared in", "peak memory", "answers")


def table(results: Sequence[dict[str, Any]]) -> str:
    """One case, right-aligned columns."""
    body = [_HEAD, *map(_line, results)]
    widths = [max(len(line[i]) for line in body) for i in range(len(_HEAD))]
    lines = []
    for line in body:
        first = line[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))
        lines.append("  ".join([first, *rest]))
    return "\n".join(lines)


def _line(result: dict[str, Any]) -> tuple[str, ...]:
    ratio, memory = result["ratio"], result["peak_mib"]
    is_ours = result["name"] == "embmath.Index"
    verdict = f"{ratio:.2f}x faster" if ratio >= 1 else f"{1 / ratio:.2f}x slower"
    return (
        result["name"],
        f"{result['min_ms']:.2f}",
        f"{result['median_ms']:.2f}",
        "" if is_ours else verdict,
        f"{result['prepare_ms']:.0f} ms",
        "" if memory is None else f"{memory:.0f} MiB",
        "same" if result["same_answers"] else "DIFFERENT",
    )


def losses(cases: Sequence[dict[str, Any]]) -> list[str]:
    """Where a peer was faster: said, not hidden."""
    return [
        f"{result['name']} is {1 / result['ratio']:.2f}x faster at {case['title']}"
        for case in cases
        for result in case["results"]
        if result["ratio"] < 1 and not result["name"].startswith("embmath")
    ]


def picture(path: str, cases: Sequence[dict[str, Any]]) -> None:
    """Times of all contenders, one group of bars per case."""
    try:
        import matplotlib as mpl

        mpl.use("agg")
        import matplotlib.pyplot as plt
    except ImportError:
        raise CliError("--picture needs matplotlib: pip install 'embmath[picture]'") from None
    names = list(dict.fromkeys(r["name"] for case in cases for r in case["results"]))
    figure, axes = plt.subplots(figsize=(max(6.0, 2.2 * len(cases)), 4.5), layout="constrained")
    width = 0.8 / len(names)
    for i, name in enumerate(names):
        found = [
            next((r["min_ms"] for r in case["results"] if r["name"] == name), float("nan"))
            for case in cases
        ]
        places = [x + (i - (len(names) - 1) / 2) * width for x in range(len(cases))]
        bars = axes.bar(places, found, width, label=name)
        axes.bar_label(bars, fmt="%.3g", fontsize=6, padding=1)
    axes.set_yscale("log")
    axes.set_ylabel("milliseconds, lower is better")
    axes.set_xticks(range(len(cases)), [case["title"].replace(", ", "\n") for case in cases])
    axes.legend(fontsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
