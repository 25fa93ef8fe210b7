"""A drop-in at one size, as a case to measure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from embmath._cli.bench.dropins.dropin import Data, DropIn, Sizes, imported
from embmath._cli.bench.dropins.table import DROPINS, PEERS
from embmath._cli.bench.measure import Contender, Run

OURS = "embmath"


@dataclass(frozen=True)
class DropInCase:
    """The lines around one import, with ours and with theirs."""

    name: str
    queries: int
    rows: int
    dims: int
    dtype: str
    threads: int

    @property
    def dropin(self) -> DropIn:
        """What is imported."""
        return DROPINS[self.name]

    @property
    def size(self) -> str:
        """Along the axes."""
        queries = f"{self.queries} x " if self.queries else ""
        dtype = "" if self.dtype == "float32" else f" {self.dtype}"
        return f"{queries}{self.rows} x {self.dims}{dtype}"

    @property
    def title(self) -> str:
        """The function and its size."""
        return f"{self.name}, {self.size}"

    def inputs(self) -> Data:
        """Rows and queries, and what the drop-in wants beside them."""
        data = Data.made(Sizes(self.rows, self.queries), self.dims, self.dtype)
        return data._replace(extra=self.dropin.extra(data))

    def contenders(self) -> list[Contender]:
        """Ours and theirs."""
        places = {OURS: self.dropin.after, PEERS[self.dropin.package]: self.dropin.before}
        return [self._contender(name, place) for name, place in places.items()]

    def _contender(self, name: str, place: str) -> Contender:
        module = place.partition(":")[0]

        def prepare(data: Data) -> Run:
            return self.dropin.use(imported(place), data)

        return Contender(name, (*self.dropin.packages, module), prepare)

    def agree(self, inputs: Data, ours: Any, found: Any) -> bool:
        """As the drop-in judges."""
        return ours is found or self.dropin.same(inputs, ours, found)

    def request(self) -> dict[str, Any]:
        """As JSON."""
        return {"kind": "dropin", **asdict(self)}
