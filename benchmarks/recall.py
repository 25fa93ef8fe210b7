"""Recall against bytes: what every codec keeps of the ten nearest neighbours.

    python -m benchmarks.recall            # prints a table, writes benchmarks/recall.{json,md,png}

Rows are coded, decoded and searched exactly, so the figures are those of the codes and of nothing
else. With rescoring, the best 40 by code are scored again with the exact rows.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import embmath as em
from benchmarks import data

K, CANDIDATES = 10, 40
FOLDER = Path(__file__).resolve().parent
Array = data.Array


class Coded(NamedTuple):
    """Rows as a codec leaves them, the queries that go with them, and what a row takes."""

    family: str
    codec: str
    bytes: float
    rows: Array
    queries: Array
    metric: str = "dot"


def scalar(family: str, name: str, rows: Array, queries: Array) -> Iterator[Coded]:
    for precision in ("int8", "int4") if name else ("float16", "int8", "int4"):
        codes = em.quantize(rows, precision)
        label = f"{precision}, {name}" if name else precision
        yield Coded(family, label, codes.nbytes / len(codes), codes.dequantize(), queries)


def signs(family: str, name: str, rows: Array, queries: Array) -> Iterator[Coded]:
    codes = em.quantize(rows, "ubinary")
    n_bytes = codes.nbytes / len(codes)
    yield Coded(family, f"signs, float query{name}", n_bytes, codes.dequantize(), queries)
    if not name:
        bits = em.quantize(queries, "ubinary").data
        yield Coded(family, "signs, Hamming", n_bytes, codes.data, bits, "hamming")


def allocated(rows: Array, queries: Array) -> Iterator[Coded]:
    rotation = em.fit_rotation(rows)
    choices = [("pca", bits, rotation) for bits in (4, 3, 2, 1, 0.5)]
    choices += [("rabitq", bits, None) for bits in (4, 2, 1)]
    for precision, bits, given in choices:
        codes = em.quantize(rows, precision, bits=bits, rotation=given)
        name = f"{precision}, {bits} bit{'' if bits == 1 else 's'}"
        yield Coded(precision, name, codes.nbytes / len(codes), codes.dequantize(), queries)


def codecs(base: Array, queries: Array) -> Iterator[Coded]:
    d = base.shape[1]
    yield from scalar("scalar", "", base, queries)
    per_dim = em.quantize(base, "uint8", scope="dim", rounding="nearest")
    yield Coded("scalar", "uint8, per dimension", d, per_dim.dequantize(), queries)
    yield from signs("signs", "", base, queries)
    yield from allocated(base, queries)
    rotation = em.fit_rotation(base, center=False)
    turned, asked = rotation.apply(base), rotation.apply(queries)
    for dims in (d // 2, d // 4, d // 8):
        yield Coded("prefix", f"float32, first {dims}", 4 * dims, base[:, :dims], queries[:, :dims])
        prefix, query = turned[:, :dims], asked[:, :dims]
        yield Coded("rotated", f"float32, rotated {dims}", 4 * dims, prefix, query)
        yield from scalar("rotated", f"rotated {dims}", prefix, query)


def share(found: Array, truth: Array) -> float:
    hits = [len(np.intersect1d(a, b)) for a, b in zip(found, truth, strict=True)]
    return float(np.mean(hits)) / truth.shape[1]


def measure() -> list[dict[str, Any]]:
    base, queries = data.minilm()
    truth = em.search(queries, base, K, "dot").indices
    table = []
    for coded in codecs(base, queries):
        best = em.search(coded.queries, coded.rows, CANDIDATES, coded.metric).indices
        again = em.rescore(queries, base, best, K, "dot").indices
        row = {"family": coded.family, "codec": coded.codec, "bytes": coded.bytes}
        table.append(row | {"recall": share(best[:, :K], truth), "rescored": share(again, truth)})
        print(f"{coded.codec:28} {coded.bytes:7.0f} B {table[-1]['recall']:.3f}", file=sys.stderr)
    return sorted(table, key=lambda row: (-row["bytes"], row["codec"]))


def as_markdown(table: list[dict[str, Any]]) -> str:
    lines = [f"| bytes | codec | recall@{K} | {CANDIDATES} rescored |", "|---|---|---|---|"]
    lines.extend(
        f"| {row['bytes']:.0f} | {row['codec']} | {row['recall']:.3f} | {row['rescored']:.3f} |"
        for row in table
    )
    return "\n".join(lines) + "\n"


def draw(table: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for family in dict.fromkeys(row["family"] for row in table):
        points = sorted(
            (r["bytes"], r["recall"], r["codec"]) for r in table if r["family"] == family
        )
        axes.plot([p[0] for p in points], [p[1] for p in points], "o", label=family)
        for n_bytes, recall, codec in points:
            place = {"xytext": (5, -3), "textcoords": "offset points", "fontsize": 7}
            axes.annotate(codec, (n_bytes, recall), **place)
    ticks = [2**i for i in range(5, 11)]
    axes.set_xscale("log", base=2)
    axes.set(
        xlim=(28, 1400),
        xticks=ticks,
        xticklabels=[str(tick) for tick in ticks],
        xlabel="bytes per row (384 dimensions; float32 takes 1536)",
        ylabel=f"recall@{K}, without rescoring",
        title="What codes keep: MiniLM sentence embeddings, 40,000 rows, 2,000 queries",
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=120)


def main() -> None:
    try:
        table = measure()
    except data.DataMissingError as error:
        sys.exit(f"recall: {error}")
    (FOLDER / "recall.json").write_text(json.dumps(table, indent=1) + "\n")
    (FOLDER / "recall.md").write_text(as_markdown(table))
    draw(table, FOLDER / "recall.png")
    print(as_markdown(table))


if __name__ == "__main__":
    main()
