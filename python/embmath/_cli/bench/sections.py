"""What is measured and printed together: one search, or one library's functions."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from embmath._cli.bench import report
from embmath._cli.bench.dropins import DROPINS, PEERS, DropInCase
from embmath._cli.bench.dropins.dropin import DropIn, line
from embmath._cli.bench.measure import Case, run_case
from embmath._cli.bench.memory import MemoryMeter
from embmath._cli.bench.packages import are_installed, version
from embmath._cli.bench.searches import SEARCHERS, SearchCase
from embmath._cli.progress import Bar

_SEARCH_QUERIES, _SEARCH_ROWS = (1, 32, 1000), (100_000,)


@dataclass(frozen=True)
class Section:
    """Cases under one heading."""

    heading: str
    cases: Sequence[Case]
    facts: Sequence[dict[str, Any]]  # of each case, beside its title and results
    draw: Callable[[Sequence[dict[str, Any]]], str]

    def measure(self, seconds: float, meter: MemoryMeter | None) -> list[dict[str, Any]]:
        """Run all."""
        found = []
        with Bar(self.heading) as bar:
            for case, facts in zip(self.cases, self.facts, strict=True):
                results = run_case(case, seconds, meter)
                found.append({"title": case.title, **facts, "results": results})
                if bar.callback is not None:
                    bar.callback(len(found) / len(self.cases))
        return found

    def table(self, found: Sequence[dict[str, Any]]) -> str:
        """The last of what was found, which is this section's."""
        return f"{self.heading}\n{self.draw(found[-len(self.cases) :])}"


def searches(args: argparse.Namespace, left_out: list[str]) -> Iterator[Section]:
    """A section for every point of the axes."""
    peers = None if args.peers is None else tuple(args.peers)
    left_out += [
        each.name
        for each in SEARCHERS
        if not are_installed([each.package]) and (peers is None or each.name in peers)
    ]
    axes = itertools.product(
        args.rows or _SEARCH_ROWS, args.dims, args.dtype, args.queries or _SEARCH_QUERIES
    )
    for rows, dims, dtype, queries in axes:
        case = SearchCase(queries, rows, dims, dtype, min(args.k, rows), args.threads, peers)
        if case.contenders():
            heading = f"{case.title}, k={case.k}"
            yield Section(
                heading,
                [case],
                [{"kind": "search"}],
                lambda found: report.search_table(found[0]["results"]),
            )


def dropins(args: argparse.Namespace, left_out: list[str]) -> Iterator[Section]:
    """A section for every library."""
    for package, peer in PEERS.items():
        chosen = []
        for each in DROPINS.values():
            if each.package != package or not _is_asked_for(each, args):
                continue
            if are_installed(each.packages):
                chosen.append(each)
            else:
                left_out.append(f"{peer} ({each.name})")
        pairs = [(case, each) for each in chosen for case in _cases(each, args)]
        if pairs:
            yield Section(
                f"{peer} {version(package)}",
                [case for case, _ in pairs],
                [_facts(case, each) for case, each in pairs],
                report.dropin_table,
            )


def _is_asked_for(dropin: DropIn, args: argparse.Namespace) -> bool:
    is_peer = args.peers is None or PEERS[dropin.package] in args.peers
    return is_peer and (args.functions is None or dropin.function in args.functions)


def _cases(dropin: DropIn, args: argparse.Namespace) -> Iterator[DropInCase]:
    axes = itertools.product(args.rows or [None], args.dims, args.dtype, args.queries or [None])
    seen = set()
    for rows, dims, dtype, queries in axes:
        sizes = dropin.sizes(args.full, rows, queries)
        case = DropInCase(dropin.name, sizes.queries, sizes.rows, dims, dtype, args.threads)
        if dtype in dropin.dtypes and case not in seen:  # some have no queries
            seen.add(case)
            yield case


def _facts(case: DropInCase, dropin: DropIn) -> dict[str, Any]:
    return {
        "kind": "dropin",
        "function": dropin.name,
        "size": case.size,
        "before": line(dropin.before),
        "after": line(dropin.after),
    }


KINDS = {"search": searches, "dropin": dropins}
