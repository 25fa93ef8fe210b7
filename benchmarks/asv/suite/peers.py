"""The same search by what people run today: peer lines beside ours, one history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import axes

_ROWS, _DIMS, _K, _THREADS = 50_000, 384, 10, 2
_NAMES = ("embmath.Index", "embmath.search", "numpy", "torch", "faiss", "scikit-learn", "usearch")


class Peers:
    """float32 rows of length 1, the ten largest products, by contender and batch."""

    param_names = ("contender", "queries")
    params = (_NAMES, (1, 32, 1000))

    def setup(self, contender: str, nq: int) -> None:
        """Data and whatever the contender prepares; left out where it is not installed."""
        try:
            from embmath._cli.bench.searches import SearchCase
        except ImportError:
            raise NotImplementedError("this commit has no bench command like that") from None
        case = SearchCase(nq, _ROWS, _DIMS, "float32", _K, _THREADS)
        found = {each.name: each for each in case.contenders()}
        if contender not in found:
            raise NotImplementedError(f"{contender} is not installed")
        self.contender, self.inputs = found[contender], case.inputs()
        self.contender.load(_THREADS)
        self.search: Callable[[], Any] = self._prepare()

    def _prepare(self) -> Callable[[], Any]:
        return self.contender.prepare(self.inputs)

    @axes.titled("search, by contender")
    def time_search(self, contender: str, nq: int) -> None:
        """What was prepared is not timed."""
        self.search()

    @axes.titled("prepare to search, by contender")
    def time_prepare(self, contender: str, nq: int) -> None:
        """An index, where there is one to build."""
        self._prepare()

    @axes.titled("search, memory, by contender")
    def peakmem_search(self, contender: str, nq: int) -> None:
        """Resident memory of the process, data included."""
        self._prepare()()
