"""Rows of any number into a file of codes: chunk by chunk, with the memory of one chunk."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

import embmath as em
from embmath import _codes_file, _files
from embmath._rotation import sample_mean

Array = NDArray[Any]
Report = Callable[[float], object] | None

_CHUNK = 16 << 20  # bytes of input: work for all threads, and little memory
_PIECE = 1 << 20
_FORMATS = {"int8": "I8", "uint8": "U8", "float16": "F16"}


class Encoder:
    """
    Rows and what they become.

    Parameters
    ----------
    rows : array, (n, d)
        Mapped, if it is larger than memory.
    precision : str
    options : mapping
        Further arguments of `embmath.quantize`.
    quantile : float, optional
        Takes ranges from this central share of the rows, sorted in memory.
    normalize : bool
        Makes rows unit vectors before.
    """

    def __init__(
        self,
        rows: Array,
        precision: Any,
        options: Mapping[str, Any],
        quantile: float | None = None,
        normalize: bool = False,
    ) -> None:
        self._rows = rows
        self._precision = precision
        self._options = dict(options)
        self._quantile = quantile
        self._normalize = normalize
        if precision in ("pca", "rabitq"):
            self._options["rotation"] = self._rotation()
        # Of no rows: says which conventions apply, and refuses what does not go together.
        self.codes = em.quantize(rows[:0], precision, quantile=quantile, **self._options)
        if quantile is not None and normalize:
            raise ValueError("quantile: needs the rows as they are in the file, not normalized")

    @property
    def needs_ranges(self) -> bool:
        """Whether `fit` has to come first."""
        return self.codes.ranges is not None and len(self._rows) > 0

    def fit(self, progress: Report = None) -> None:
        """Take the ranges from all rows."""
        scope: Any = self.codes.scope
        if scope == "dim" and len(self._rows) == 1:
            raise ValueError("scope: one row has no range per dimension")
        if self._quantile is not None:
            ranges = em.fit_ranges(self._rows, quantile=self._quantile, scope=scope)
        else:
            found = [em.fit_ranges(part, scope=scope) for _, part in self._chunks(progress)]
            ranges = np.stack([np.min(found, axis=0)[0], np.max(found, axis=0)[1]])
        self._options |= {"scope": scope, "ranges": ranges}
        self.codes = em.quantize(self._rows[:0], self._precision, **self._options)

    def save(self, path: str, progress: Report = None) -> None:
        """Write the file, which replaces an existing one whole or not at all."""
        with contextlib.ExitStack() as stack:
            # The numbers of rows come behind all codes: until then they wait in files without
            # names, which go with this process, however it ends.
            folder = os.path.dirname(os.path.realpath(path))
            spools = {
                name: stack.enter_context(tempfile.TemporaryFile(dir=folder))
                for name in ("step", "minimum", "offset")
                if self.codes.scope == "row" and getattr(self.codes, name) is not None
            }
            n, stored = len(self._rows), np.asarray(self.codes.data)
            dtype = _FORMATS.get(stored.dtype.name, "BF16")
            streams = {"data": _files.Blocks(dtype, (n, stored.shape[1]), self._encoded(spools))}
            for name, spool in spools.items():
                streams[name] = _files.Blocks("F32", (n, 1), _content(spool))
            _codes_file.save(self.codes, path, None, progress, streams)

    def _rotation(self) -> em.Rotation:
        if self._precision == "pca":
            return em.fit_rotation(self._rows, normalize=self._normalize)
        mean = sample_mean(self._rows, self._normalize)
        return em.random_rotation(self._rows.shape[1], mean=mean)

    def _chunks(self, progress: Report = None) -> Iterator[tuple[int, Array]]:
        """Some rows at a time, after the number of those before them."""
        n, width = self._rows.shape
        step = max(1, _CHUNK // max(1, width * self._rows.itemsize))
        for start in range(0, n, step):
            part = self._rows[start : start + step]
            yield start, em.normalize(part) if self._normalize else part
            if progress is not None:
                progress(min(n, start + step) / n)

    def _encoded(self, spools: Mapping[str, IO[bytes]]) -> Iterator[Array]:
        for start, part in self._chunks():
            try:
                codes = em.quantize(part, self._precision, **self._options)
            except ValueError as error:
                raise ValueError(_in_file(str(error), start)) from error
            for name, spool in spools.items():
                spool.write(np.ascontiguousarray(getattr(codes, name)).data)
            yield np.asarray(codes.data)


def _in_file(message: str, start: int) -> str:
    """The message with the row's number in the file, not in its chunk."""
    return re.sub(r"(?<=in row )\d+", lambda row: str(start + int(row[0])), message)


def _content(spool: IO[bytes]) -> Iterator[bytes]:
    spool.seek(0)
    while piece := spool.read(_PIECE):
        yield piece
