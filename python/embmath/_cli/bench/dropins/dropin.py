"""What a drop-in is: one function or class of another library, and how it is used."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray

from embmath._cli.bench.data import embeddings, rounding
from embmath._cli.bench.measure import Run

Array = NDArray[Any]


class Sizes(NamedTuple):
    """How much: rows, and queries where there are any."""

    rows: int
    queries: int = 0


class Data(NamedTuple):
    """Rows and queries of one distribution and of length 1, for every library the same."""

    rows: Array  # (rows, dims)
    queries: Array
    extra: Any = None  # of one drop-in: what is made of the rows before anything is measured

    @classmethod
    def made(cls, sizes: Sizes, dims: int, dtype: str) -> Data:
        """The same for the same arguments."""
        found = embeddings(sum(sizes), dims, dtype, [dims, sizes.rows])
        return cls(found[: sizes.rows], found[sizes.rows :])

    @property
    def slack(self) -> float:
        """What rounding may change a product by."""
        return rounding(self.rows.shape[1], self.rows.dtype.name)


@dataclass(frozen=True)
class DropIn:
    """Two imports of which one takes the other's place; `use` is the lines around them."""

    before: str  # "module:name"
    after: str
    use: Callable[[Any, Data], Run]  # makes ready with what was imported
    same: Callable[[Data, Any, Any], bool]  # (data, our answer, theirs)
    quick: Sizes
    full: Sizes
    variant: str = ""
    needs: tuple[str, ...] = ()  # besides the package of `before`
    dtypes: tuple[str, ...] = ("float32",)
    extra: Callable[[Data], Any] = lambda data: None

    @property
    def function(self) -> str:
        """What its library calls it."""
        return self.before.partition(":")[2]

    @property
    def name(self) -> str:
        """The function, and which use of it."""
        return f"{self.function} {self.variant}".rstrip()

    @property
    def package(self) -> str:
        """Whose it is."""
        return self.before.partition(".")[0].partition(":")[0]

    @property
    def packages(self) -> tuple[str, ...]:
        """That must be installed to run both."""
        return (self.package, *self.needs)

    def sizes(self, is_full: bool, rows: int | None, queries: int | None) -> Sizes:
        """Those asked for, else its own; what takes one query or none goes on so."""
        own = self.full if is_full else self.quick
        return Sizes(rows or own.rows, (queries or own.queries) if own.queries > 1 else own.queries)


def imported(place: str) -> Any:
    """What is called "module:name"."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def line(place: str) -> str:
    """The statement that imports it."""
    module, _, name = place.partition(":")
    return f"from {module} import {name}"


def tensors(data: Data) -> tuple[Any, Any]:
    """Queries and rows in Torch."""
    torch = importlib.import_module("torch")
    return torch.from_numpy(data.queries), torch.from_numpy(data.rows)
