"""The command: which cases, and what is done with the results."""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import sys
from collections.abc import Callable
from typing import Any

import embmath as em
from embmath._cli.arguments import Commands, positive_int
from embmath._cli.bench import report, sections
from embmath._cli.bench.dropins import DROPINS, PEERS
from embmath._cli.bench.memory import MemoryMeter
from embmath._cli.bench.searches import SEARCHERS
from embmath._cli.errors import CliError

_DESCRIPTION = """\
Before and after, on this machine: exact search by embmath and by every peer that is installed
("search"), and other libraries' functions with ours in their place ("dropin"). Times, ratios and
memory; answers are compared first, and the exit code is 1 if any differ. Contenders take turns.
Data are random rows with the spectrum of text embeddings.
"""
_DTYPES = ("float16", "float32", "float64")


def _several(parse: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    def parse_all(text: str) -> list[Any]:
        return [parse(part) for part in text.split(",")]

    return parse_all


def _one_of(names: list[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(f"expected some of {', '.join(names)}, got {text!r}")
        return text

    return parse


def _peers() -> list[str]:
    searchers = [each.name for each in SEARCHERS if each.package != "embmath"]
    return list(dict.fromkeys([*searchers, *PEERS.values()]))


def add_parser(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "bench",
        help="compare with the peers that are installed",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="?", choices=("all", *sections.KINDS), default="all")
    sizes = _several(positive_int)
    functions = list(dict.fromkeys(each.function for each in DROPINS.values()))
    names, dtypes = _several(_one_of(_peers())), _several(_one_of(list(_DTYPES)))
    parser.add_argument("--queries", type=sizes, metavar="N,...", help="search: 1,32,1000")
    parser.add_argument("--rows", type=sizes, metavar="N,...", help="search: 100000")
    parser.add_argument("--dims", type=sizes, default=[384], metavar="N,...")
    parser.add_argument("--dtype", type=dtypes, default=["float32"], metavar="NAME,...")
    parser.add_argument("--k", type=positive_int, default=10, help="of search")
    parser.add_argument("--full", action="store_true", help="drop-ins: several times the rows")
    parser.add_argument("--functions", type=_several(_one_of(functions)), metavar="NAME,...")
    parser.add_argument("--peers", type=names, metavar="NAME,...", help="default: all")
    parser.add_argument("--threads", type=positive_int, help="of those that can be told")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each case (2)")
    parser.add_argument("--no-memory", action="store_true", help="leave the peak memory out")
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    parser.add_argument("--picture", metavar="FILE", help="draw the times (needs matplotlib)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Measure section by section, print as results come."""
    args.threads = args.threads or em.info()["threads"]
    if args.picture is not None:
        report.pyplot()
    cases: list[dict[str, Any]] = []
    left_out: list[str] = []
    print(f"{em.info()['isa']}, {args.threads} threads, {', '.join(args.dtype)}\n")
    with contextlib.ExitStack() as stack:
        meter = None if args.no_memory else stack.enter_context(MemoryMeter())
        for kind, sections_of in sections.KINDS.items():
            if args.what in ("all", kind):
                for section in sections_of(args, left_out):
                    cases += section.measure(args.seconds, meter)
                    print(f"{section.table(cases)}\n", flush=True)
    for line in report.losses(cases):
        print(line)
    if left_out:
        print(f"left out, not installed: {', '.join(dict.fromkeys(left_out))}")
    if args.json is not None:
        machine = {"machine": platform.processor() or platform.machine(), "embmath": em.info()}
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({**machine, "cases": cases, "left_out": left_out}, file, indent=1)
    if args.picture is not None:
        report.picture(args.picture, cases)
        print(f"wrote {args.picture}", file=sys.stderr)
    if different := report.disagreements(cases):
        raise CliError(f"answers differ: {'; '.join(different)}")
