"""``python -m embmath search``: the k best corpus rows of every query, from and to files."""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import embmath as em
from embmath._cli import files
from embmath._cli.arguments import Commands, add_json_flag, npz_path, positive_int
from embmath._cli.errors import CliError
from embmath._cli.progress import Bar

_DESCRIPTION = """\
Find the k best rows of the corpus for every query row, exactly.
Files are .npy (memory-mapped), .npz or .safetensors, one embedding per row; the corpus may also
be an index file that "index" made, or a file of codes that "quantize" wrote.
"""
_EPILOG = """\
The .npz written by --out holds two arrays with one row per query, best hit first:
values (similarities or distances) and indices (corpus rows, ids of an index; -1 where
--mask or --threshold leave fewer than k hits).

example:
  python -m embmath search --corpus base.npy --queries q.npy -k 10 --out hits.npz
"""


@dataclass(frozen=True)
class Found:
    """What a search returned, and how long it took."""

    corpus: NDArray[Any] | em.Codes | em.Index
    queries: NDArray[Any]
    metric: str
    values: NDArray[Any]
    indices: NDArray[np.int64]
    seconds: float


def add_parser(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "search",
        help="exact search of your own embedding files",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_files(parser)
    _add_options(parser)
    parser.set_defaults(run=run)


def _add_files(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("files")
    group.add_argument("--corpus", required=True, metavar="FILE", help="rows to search in")
    group.add_argument("--queries", required=True, metavar="FILE", help="rows to search for")
    group.add_argument("--key", metavar="NAME", help="array of a .npz or .safetensors file")
    group.add_argument("--queries-key", metavar="NAME", help="the same for --queries only")
    group.add_argument("--mask", metavar="FILE", help="bool array: corpus rows that may be hits")
    group.add_argument("--out", metavar="FILE", type=npz_path, help="write all hits to this .npz")


def _add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("search")
    group.add_argument(
        "-k", "--k", type=positive_int, default=10, metavar="K", help="hits per query (default 10)"
    )
    group.add_argument(
        "--metric",
        choices=em.metrics(),
        metavar="NAME",
        help=f"{', '.join(em.metrics())} (default cosine, or that of the index)",
    )
    group.add_argument(
        "--dims", type=positive_int, metavar="D", help="use the first D dimensions only"
    )
    group.add_argument(
        "--threshold", type=float, metavar="T", help="keep similarities >= T (distances <= T)"
    )
    group.add_argument(
        "--exclude-self", action="store_true", help="query i never finds corpus row i"
    )
    group.add_argument("--threads", type=positive_int, metavar="N", help="threads to use")
    group.add_argument(
        "--show", type=positive_int, default=3, metavar="N", help="queries printed (default 3)"
    )
    add_json_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Search, then write or print the hits."""
    if args.out:
        files.check_writable(args.out, [args.corpus, args.queries, args.mask or ""])
    found = _search(args)
    if args.out:
        files.write_hits(args.out, found.values, found.indices)
    if args.json:
        print(json.dumps(_document(args, found)))
    else:
        _print_summary(args, found)


def _search(args: argparse.Namespace) -> Found:
    corpus = files.open_corpus(args.corpus, args.key)
    queries = files.read_array(args.queries, args.queries_key or args.key)
    options: dict[str, Any] = {
        "mask": files.read_array(args.mask) if args.mask else None,
        "exclude_self": args.exclude_self,
        "threshold": args.threshold,
        "threads": args.threads,
    }
    with Bar("searching") as bar:
        options["progress"] = bar.callback
        start = time.perf_counter()
        try:
            if isinstance(corpus, em.Index):
                metric: Any = _metric_of(corpus, args)
                top = corpus.search(queries, args.k, dims=args.dims, **options)
            else:
                metric = args.metric or "cosine"
                top = em.search(queries, corpus, args.k, metric, dims=args.dims, **options)
        except (TypeError, ValueError) as error:
            names = ("corpus", "queries", "mask")
            raise CliError(files.with_names(str(error), args, names)) from error
        seconds = time.perf_counter() - start
    return Found(corpus, queries, metric, np.asarray(top.values), np.asarray(top.indices), seconds)


def _metric_of(index: em.Index, args: argparse.Namespace) -> str:
    """What the index searches by; another metric is refused."""
    if args.metric not in (None, index.metric):
        raise CliError(f"{args.corpus}: is an index for {index.metric}, got --metric {args.metric}")
    return index.metric


def _document(args: argparse.Namespace, found: Found) -> dict[str, Any]:
    """Return what ``--json`` prints; the hits too, unless they went to a file."""
    document: dict[str, Any] = {
        "corpus": {"file": args.corpus, **_facts(found.corpus)},
        "queries": {"file": args.queries, **_facts(found.queries)},
        "metric": found.metric,
        "k": args.k,
        "seconds": found.seconds,
        "out": args.out,
    }
    if not args.out:
        kept = found.indices >= 0
        rows = range(len(kept))
        document["indices"] = [found.indices[row][kept[row]].tolist() for row in rows]
        document["values"] = [_json_values(found.values[row][kept[row]]) for row in rows]
    return document


def _facts(source: NDArray[Any] | em.Codes | em.Index) -> dict[str, Any]:
    shape, dtype = _form(source)
    facts: dict[str, Any] = {"shape": list(shape), "dtype": dtype}
    return facts | ({"codes": source.stats["codes"]} if isinstance(source, em.Index) else {})


def _form(source: NDArray[Any] | em.Codes | em.Index) -> tuple[tuple[int, ...], str]:
    if isinstance(source, em.Index):
        return (source.ntotal, source.d), str(source.dtype)
    if isinstance(source, em.Codes):
        return source.shape, f"{source.precision} codes"
    return source.shape, str(source.dtype)


def _json_values(values: NDArray[Any]) -> list[float | None]:
    """Return the scores as JSON numbers; JSON has no NaN, the score of a row that holds one."""
    return [None if math.isnan(value) else value for value in values.tolist()]


def _print_summary(args: argparse.Namespace, found: Found) -> None:
    print(f"corpus   {_described(found.corpus)}  {args.corpus}")
    print(f"queries  {_described(found.queries)}  {args.queries}")
    rate = len(found.values) / max(found.seconds, 1e-9)
    print(f"search   {found.metric}, k = {args.k}: {found.seconds:.3f} s, {rate:,.0f} queries/s")
    if args.out:
        rows, columns = found.values.shape
        print(f"hits     {rows:,} x {columns:,}  {args.out}")
    else:
        _print_hits(args, found)


def _described(source: NDArray[Any] | em.Codes | em.Index) -> str:
    shape, dtype = _form(source)
    kind = " index" if isinstance(source, em.Index) else ""
    return " x ".join(f"{size:,}" for size in shape) + f" {dtype}{kind}"


def _print_hits(args: argparse.Namespace, found: Found) -> None:
    shown = min(args.show, len(found.values))
    if shown:
        print(f"\n{'query':>7} {'rank':>5} {'row':>13}  {found.metric}")
    for query in range(shown):
        kept = found.indices[query] >= 0  # they come first
        hits = zip(found.indices[query][kept], found.values[query][kept], strict=True)
        for rank, (row, value) in enumerate(hits, start=1):
            print(f"{query if rank == 1 else '':>7} {rank:>5} {row:>13}  {value:.7g}")
        if not kept.any():
            print(f"{query:>7} {'-':>5} {'no hits':>13}")
    left = len(found.values) - shown
    if left > 0:
        print(f"\n{left:,} more queries: --show N prints more, --out FILE.npz keeps all.")
