"""Rows to search: synthetic ones, generated block by block from a seed, and real ones.

Every block has its own random stream, so row i does not depend on how many rows are asked for:
the first 10 000 rows of a corpus of a million are the corpus of 10 000.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]
Int8Array = npt.NDArray[np.int8]
BoolArray = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]

BLOCK = 4096
CORPUS, QUERIES = 0, 1  # random streams: a query is never a copy of a corpus row
SEED = 20240229

_CLUSTERS = 512
_DECAY = 0.5  # singular values of text embeddings fall off roughly like this power
_SPREAD = 0.7  # size of a row's offset from its cluster's centre, relative to the centre
_DATA_DIR = Path(__file__).resolve().parents[2] / "shared" / "data"
_BASE_FILE = "minilm-384-base-40k.f32.npy"
_QUERY_FILE = "minilm-384-queries-2k.f32.npy"


class DataMissingError(RuntimeError):
    """The real embeddings are not on this machine."""


def unit(x: Array) -> FloatArray:
    """Rows scaled to length 1, as float32."""
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return np.ascontiguousarray(x / norm, dtype=np.float32)


def _rng(*key: int) -> np.random.Generator:
    return np.random.default_rng([SEED, *key])


@lru_cache(maxsize=2)
def _model(d: int) -> tuple[FloatArray, FloatArray]:
    """Cluster centres, and the matrix that gives a normal sample its spectrum and directions.

    The rotation matters: without it the first dimensions would hold most of the energy, which
    flatters every method that looks at a prefix of the dimensions.
    """
    rng = _rng(9, d)
    spectrum = (1.0 + np.arange(d)) ** -_DECAY
    rotation, _ = np.linalg.qr(rng.standard_normal((d, d)))
    colour = (spectrum[:, None] * rotation).astype(np.float32)
    centres = rng.standard_normal((_CLUSTERS, d), dtype=np.float32) @ colour
    return centres, colour


@dataclass(frozen=True)
class Draw:
    """Which rows to make: their random stream, their places, the size of the whole corpus."""

    rng: np.random.Generator
    at: npt.NDArray[np.int64]
    n: int
    d: int


def _clustered(b: Draw) -> FloatArray:
    centres, colour = _model(b.d)
    label = b.rng.integers(0, _CLUSTERS, len(b.at))
    offset = b.rng.standard_normal((len(b.at), b.d), dtype=np.float32) @ colour
    return unit(centres[label] + np.float32(_SPREAD) * offset)


def _isotropic(b: Draw) -> FloatArray:
    return unit(b.rng.standard_normal((len(b.at), b.d), dtype=np.float32))


def _equal(b: Draw) -> FloatArray:
    row = unit(_rng(8, b.d).standard_normal((1, b.d)))
    return np.repeat(row, len(b.at), axis=0)


def _ascending(b: Draw) -> FloatArray:
    """Rows that turn steadily towards one direction: each beats all before it."""
    plane = _plane(b.d)
    angle = 1.3 - 1.1 * b.at / b.n
    return unit(np.cos(angle)[:, None] * plane[0] + np.sin(angle)[:, None] * plane[1])


def _plane(d: int) -> Array:
    basis, _ = np.linalg.qr(_rng(7, d).standard_normal((d, 2)))
    return np.ascontiguousarray(basis.T)


_KINDS: dict[str, Callable[[Draw], FloatArray]] = {
    "clustered": _clustered,
    "isotropic": _isotropic,
    "equal": _equal,
    "ascending": _ascending,
}


def blocks(kind: str, n: int, d: int, stream: int = CORPUS) -> Iterator[tuple[slice, FloatArray]]:
    """Blocks of rows of one kind with the place where each belongs."""
    make = _KINDS[kind]
    for number, start in enumerate(range(0, n, BLOCK)):
        # A whole block is always drawn: a shorter one would use up its stream differently.
        places = np.arange(start, start + BLOCK)
        block = make(Draw(_rng(stream, number, d), places, n, d))
        stop = min(start + BLOCK, n)
        yield slice(start, stop), block[: stop - start]


def rows(kind: str, n: int, d: int) -> FloatArray:
    """A corpus of n unit rows."""
    out = np.empty((n, d), dtype=np.float32)
    for where, block in blocks(kind, n, d):
        out[where] = block
    return out


def queries(kind: str, nq: int, d: int) -> FloatArray:
    """Queries that suit a corpus of that kind."""
    if kind == "ascending":
        noise = _rng(QUERIES, d).standard_normal((nq, d)) * (0.05 / np.sqrt(d))
        return unit(_plane(d)[0] + noise)
    out = np.empty((nq, d), dtype=np.float32)
    for where, block in blocks("clustered" if kind == "equal" else kind, nq, d, QUERIES):
        out[where] = block
    return out


def codes(n: int, bits: int, stream: int = CORPUS) -> ByteArray:
    """Sign bits of clustered rows, packed."""
    out = np.empty((n, (bits + 7) // 8), dtype=np.uint8)
    for where, block in blocks("clustered", n, bits, stream):
        out[where] = np.packbits(block > 0, axis=1)
    return out


def int8_rows(n: int, d: int, stream: int = CORPUS) -> Int8Array:
    """Clustered rows as int8: each scaled until its largest element is 127, then rounded."""
    out = np.empty((n, d), dtype=np.int8)
    for where, block in blocks("clustered", n, d, stream):
        out[where] = np.rint(block * (127 / np.abs(block).max(axis=1, keepdims=True)))
    return out


def mask(n: int, share: float) -> BoolArray:
    """A random choice of rows that may be returned."""
    return _rng(6, n).random(n) < share


def minilm() -> tuple[FloatArray, FloatArray]:
    """Real sentence embeddings: corpus and queries, unit rows of 384 dimensions."""
    folder = Path(os.environ.get("EMBMATH_DATA", _DATA_DIR))
    if not (folder / _BASE_FILE).is_file():
        raise DataMissingError(f"{_BASE_FILE} is not in {folder}; set EMBMATH_DATA to its folder")
    return np.load(folder / _BASE_FILE), np.load(folder / _QUERY_FILE)
