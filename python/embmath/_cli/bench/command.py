"""The command: which cases, and what is done with the results."""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import sys
from collections.abc import Callable
from typing import Any

import embmath as em
from embmath._cli.arguments import Commands, positive_int
from embmath._cli.bench import report
from embmath._cli.bench.contenders import CONTENDERS, installed
from embmath._cli.bench.measure import Case, run_case

_DESCRIPTION = """\
Search the same rows with embmath and with every peer that is installed, on this machine: times,
ratios, memory, and whether the answers are the same. Contenders take turns. Data are random rows
with the spectrum of text embeddings.
"""


def _several(parse: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    def parse_all(text: str) -> list[Any]:
        return [parse(part) for part in text.split(",")]

    return parse_all


def _dtype(text: str) -> str:
    if text not in ("float32", "float16"):
        raise argparse.ArgumentTypeError(f"expected float32 or float16, got {text!r}")
    return text


def _peer(text: str) -> str:
    names = [each.name for each in CONTENDERS if each.package != "embmath"]
    if text not in names:
        raise argparse.ArgumentTypeError(f"expected some of {', '.join(names)}, got {text!r}")
    return text


def add_parser(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "bench",
        help="compare with the peers that are installed",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sizes = _several(positive_int)
    parser.add_argument("--queries", type=sizes, default=[1, 32, 1000], metavar="N,...")
    parser.add_argument("--rows", type=sizes, default=[100_000], metavar="N,...")
    parser.add_argument("--dims", type=sizes, default=[384], metavar="N,...")
    parser.add_argument("--dtype", type=_several(_dtype), default=["float32"], metavar="NAME,...")
    parser.add_argument("--k", type=positive_int, default=10)
    parser.add_argument("--peers", type=_several(_peer), metavar="NAME,...", help="default: all")
    parser.add_argument("--threads", type=positive_int, help="of those that can be told")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each case (5)")
    parser.add_argument("--no-memory", action="store_true", help="leave the peak memory out")
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    parser.add_argument("--picture", metavar="FILE", help="draw the times (needs matplotlib)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Measure case by case, print as results come."""
    threads = args.threads or em.info()["threads"]
    axes = itertools.product(args.rows, args.dims, args.dtype, args.queries)
    cases = []
    for rows, dims, dtype, queries in axes:
        case = Case(queries, rows, dims, dtype, min(args.k, rows), threads)
        title = f"{queries} queries, {rows} x {dims}, {dtype}"
        contenders = installed(args.peers, dtype)
        results = run_case(case, contenders, args.seconds, not args.no_memory)
        cases.append({"title": title, "results": results})
        print(f"{title}, k={case.k}, {threads} threads\n{report.table(results)}\n", flush=True)
    for line in report.losses(cases):
        print(line)
    if args.json is not None:
        machine = {"machine": platform.processor() or platform.machine(), "embmath": em.info()}
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({**machine, "cases": cases}, file, indent=1)
    if args.picture is not None:
        report.picture(args.picture, cases)
        print(f"wrote {args.picture}", file=sys.stderr)
