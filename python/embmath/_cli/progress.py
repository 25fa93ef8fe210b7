"""A progress bar on stderr; silent unless stderr is a terminal."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

_INTERVAL = 0.1  # seconds: at most 10 redraws a second
_MAX_WIDTH = 80


class Bar:
    """
    A one-line bar, removed again when the block ends.

    Parameters
    ----------
    label : str
        What is going on, e.g. ``"searching"``.
    stream : text file, optional
        Where to draw; stderr by default. Nothing is drawn unless it is a terminal.
    clock : callable, optional
        Seconds, monotonic.
    """

    def __init__(
        self,
        label: str,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._label = label
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._start = clock()
        self._next = self._start + _INTERVAL  # a job shorter than that draws nothing
        self._drawn = 0

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._drawn:
            self._write("\r" + " " * self._drawn + "\r")

    @property
    def callback(self) -> Callable[[float], None] | None:
        """``update`` on a terminal, else None, so that the work pays nothing for it."""
        return self.update if self._stream.isatty() else None

    def update(self, share: float) -> None:
        """Show that this share of the work, 0 to 1, is over."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + _INTERVAL
        line = self._line(share, now - self._start)
        self._write("\r" + line.ljust(self._drawn))
        self._drawn = len(line)

    def _line(self, share: float, elapsed: float) -> str:
        left = f"{elapsed / share - elapsed:.0f} s left" if share > 0 else ""
        # One column stays free: a full line would make some terminals wrap.
        columns = min(shutil.get_terminal_size().columns, _MAX_WIDTH) - 1
        room = columns - len(self._label) - 22
        bar = f" [{'#' * int(room * share):-<{room}}]" if room > 4 else ""
        return f"{self._label}{bar} {share:4.0%} {left}"[:columns]

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
