"""``python -m embmath quantize``: embeddings of a file to a file of codes, in bounded memory."""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

import embmath as em
from embmath._cli import files
from embmath._cli.arguments import (
    Commands,
    add_json_flag,
    number,
    positive_int,
    safetensors_path,
)
from embmath._cli.encode import Encoder
from embmath._cli.errors import CliError
from embmath._cli.progress import Bar

_DESCRIPTION = """\
Write the rows of a file as codes of a fraction of a bit to 16 bits per dimension.
The input is .npy (memory-mapped: it may be larger than memory), .npz or .safetensors, one
embedding per row. The output is for embmath.Codes.load and anything that reads .safetensors.
"""
_EPILOG = """\
By default every row has a grid of its own, and the input is read once. --scope dim or global
reads it twice: first for the ranges, which are written too. --to pca fits a rotation to a sample
of the rows first, which is written, too.

examples:
  python -m embmath quantize base.npy --to int8 --out codes.safetensors
  python -m embmath quantize base.npy --to pca --bits 2 --out codes.safetensors
"""
_PRECISIONS = ("int8", "uint8", "int4", "binary", "ubinary", "float16", "bfloat16")
_ROTATED = ("pca", "rabitq")
_CONVENTIONS = ("scope", "rounding", "bits", "layout", "signedness")


def add_parser(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "quantize",
        help="your own embedding files as int8, int4, bits, ...",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_files(parser)
    _add_conventions(parser)
    _add_rows(parser)
    parser.set_defaults(run=run)


def _add_files(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("files")
    group.add_argument("input", metavar="FILE", help="rows to quantize")
    group.add_argument("--key", metavar="NAME", help="array of a .npz or .safetensors file")
    group.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        type=safetensors_path,
        help="write this .safetensors",
    )


def _add_conventions(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("codes")
    group.add_argument(
        "--to",
        required=True,
        choices=_PRECISIONS + _ROTATED,
        metavar="PRECISION",
        help=", ".join(_PRECISIONS + _ROTATED),
    )
    group.add_argument(
        "--scope",
        choices=("row", "dim", "global"),
        help="what has a grid of its own (default row; with --quantile dim)",
    )
    group.add_argument(
        "--rounding",
        choices=("floor", "nearest", "truncate", "ratio"),
        help="default nearest for scope row, else floor",
    )
    group.add_argument(
        "--quantile",
        type=float,
        metavar="Q",
        help="spread codes over this central share; sorts in memory, 64 bytes a row and thread",
    )
    group.add_argument(
        "--bits",
        type=number,
        metavar="B",
        help="per dimension: of pca above 0 to 8 (default 2), of rabitq 1 to 8, of uint8 7 or 8",
    )
    group.add_argument("--layout", choices=("interleaved", "split"), help="of int4")
    group.add_argument(
        "--signedness", choices=("none", "offset", "twos_complement"), help="of the bytes of binary"
    )


def _add_rows(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("rows")
    group.add_argument(
        "--dims", type=positive_int, metavar="D", help="use the first D dimensions only"
    )
    group.add_argument("--normalize", action="store_true", help="make them unit vectors before")
    group.add_argument("--threads", type=positive_int, metavar="N", help="threads to use")
    add_json_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Quantize, then say what it took."""
    files.check_writable(args.out, [args.input])
    if args.threads:
        em.set_num_threads(args.threads)
    start = time.perf_counter()
    rows = _read_rows(args)
    codes = _write_codes(args, rows)
    facts = _document(args, rows, codes, time.perf_counter() - start)
    if args.json:
        print(json.dumps(facts))
    else:
        _print_summary(facts)


def _read_rows(args: argparse.Namespace) -> NDArray[Any]:
    array = files.read_array(args.input, args.key)
    rows = array[np.newaxis] if array.ndim == 1 else array
    if rows.ndim != 2:
        raise CliError(f"{args.input}: expected 1 or 2 dimensions, got {rows.ndim}")
    if args.dims and args.dims > rows.shape[1]:
        raise CliError(f"--dims: must be at most {rows.shape[1]} for {args.input}, got {args.dims}")
    return rows[:, : args.dims]


def _write_codes(args: argparse.Namespace, rows: NDArray[Any]) -> em.Codes:
    """Write the file; codes of no rows, with the conventions that were found."""
    options = {name: getattr(args, name) for name in _CONVENTIONS}
    options = {name: value for name, value in options.items() if value is not None}
    try:
        encoder = Encoder(rows, args.to, options, args.quantile, args.normalize)
        if encoder.needs_ranges:
            with Bar("fitting") as bar:
                encoder.fit(bar.callback)
        with Bar("quantizing") as bar:
            encoder.save(args.out, bar.callback)
    except (TypeError, ValueError) as error:
        message = str(error)
        if message.startswith("x:"):
            message = f"{args.input}{message[1:]}"
        raise CliError(message) from error
    return encoder.codes


def _document(
    args: argparse.Namespace, rows: NDArray[Any], codes: em.Codes, seconds: float
) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    size = os.path.getsize(args.out)
    return {
        "input": {"file": args.input, "shape": list(rows.shape), "dtype": str(rows.dtype)},
        "out": args.out,
        "precision": codes.precision,
        "scope": codes.scope,
        "rounding": codes.rounding if codes.scope and codes.grid is None else None,
        "bits": None if codes.grid is None else codes.grid.bits,
        "bytes_in": rows.nbytes,
        "bytes_out": size,
        "ratio": rows.nbytes / size,
        "seconds": seconds,
        "gb_per_s": rows.nbytes / 1e9 / max(seconds, 1e-9),
    }


def _print_summary(facts: dict[str, Any]) -> None:
    source = facts["input"]
    shape = " x ".join(f"{size:,}" for size in source["shape"])
    scope = f", scope {facts['scope']}" if facts["scope"] else ""
    if facts["bits"]:
        scope = f", {facts['bits']:.3g} bits per dimension"
    print(f"rows     {shape} {source['dtype']}  {source['file']}")
    print(f"codes    {facts['precision']}{scope}  {facts['out']}")
    print(
        f"bytes    {facts['bytes_in']:,} -> {facts['bytes_out']:,}: 1/{facts['ratio']:.2f} "
        f"in {facts['seconds']:.3f} s, {facts['gb_per_s']:.2f} GB/s"
    )
