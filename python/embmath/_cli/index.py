"""``python -m embmath index``: an index of your own embeddings, as a file that opens at once."""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any

import embmath as em
from embmath._cli import files
from embmath._cli.arguments import (
    Commands,
    add_json_flag,
    code_kinds,
    positive_int,
    safetensors_path,
)
from embmath._cli.errors import CliError
from embmath._cli.progress import Bar

_DESCRIPTION = """\
Put embeddings and their codes into one file, which search opens without reading it.
The input is .npy (memory-mapped), .npz or .safetensors, one embedding per row.
"""
_EPILOG = """\
example:
  python -m embmath index base.npy --out base-index.safetensors
  python -m embmath search --corpus base-index.safetensors --queries q.npy
"""


def add_parser(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "index",
        help="make an index file, for searches of the same corpus again and again",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rows", metavar="FILE", help="rows to search in later")
    parser.add_argument(
        "--out", required=True, metavar="FILE", type=safetensors_path, help="the index file"
    )
    parser.add_argument("--key", metavar="NAME", help="array of a .npz or .safetensors file")
    parser.add_argument("--ids", metavar="FILE", help="int64 array: names of the rows in hits")
    parser.add_argument(
        "--metric",
        choices=em.metrics(),
        default="cosine",
        metavar="NAME",
        help=f"{', '.join(em.metrics())} (default cosine)",
    )
    parser.add_argument(
        "--codes",
        type=code_kinds,
        default="auto",
        metavar="KINDS",
        help="auto (default), none, or some of int8,prefix,int4",
    )
    parser.add_argument("--threads", type=positive_int, metavar="N", help="threads to use")
    add_json_flag(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Build the index, save it, and say what is in it."""
    files.check_writable(args.out, [args.rows, args.ids or ""])
    start = time.perf_counter()
    index = _build(args)
    built = time.perf_counter()
    with Bar("saving") as bar:
        index.save(args.out, progress=bar.callback)
    facts = _facts(args, index, built - start, time.perf_counter() - built)
    if args.json:
        print(json.dumps(facts))
        return
    print(f"rows     {index.ntotal:,} x {index.d:,} {index.dtype}  {args.rows}")
    kinds = ", ".join(facts["codes"]) or "none"
    print(f"index    {index.metric}, codes: {kinds}  {facts['build_seconds']:.3f} s")
    print(f"file     {facts['bytes']:,} bytes  {facts['save_seconds']:.3f} s  {args.out}")


def _build(args: argparse.Namespace) -> em.Index:
    rows = files.read_array(args.rows, args.key)
    ids = files.read_array(args.ids) if args.ids else None
    with Bar("building") as bar:
        try:
            index = em.Index(metric=args.metric, codes=args.codes)
            index.add(rows, ids, threads=args.threads, progress=bar.callback)
        except (TypeError, ValueError) as error:
            raise CliError(files.with_names(str(error), args, ("rows", "ids"))) from error
    return index


def _facts(
    args: argparse.Namespace, index: em.Index, build_seconds: float, save_seconds: float
) -> dict[str, Any]:
    return {
        "rows": {"file": args.rows, "shape": [index.ntotal, index.d], "dtype": index.dtype},
        "metric": index.metric,
        "codes": list(index.stats["codes"] or ()),
        "build_seconds": build_seconds,
        "save_seconds": save_seconds,
        "bytes": os.path.getsize(args.out),
        "out": args.out,
    }
