"""vicinity: a backend in place of ``BasicBackend``."""

from pathlib import Path
from typing import Any

import numpy as np
from vicinity import Metric, Vicinity
from vicinity.backends.base import AbstractBackend
from vicinity.backends.basic import BasicArgs
from vicinity.datatypes import Backend

from .._index import Index
from .._types import Array

_METRICS = {Metric.COSINE: "cosine", Metric.EUCLIDEAN: "euclidean"}


class EmbmathBackend(AbstractBackend[BasicArgs]):
    """Exact neighbours, as ``BasicBackend`` finds them, by way of an index.

    Distances are those of ``BasicBackend``, equal ones in the order of the items. Saved is what
    ``BasicBackend`` saves: ``Vicinity.load`` opens it with that one, :func:`load` with this one.

    Examples
    --------
    >>> import numpy as np
    >>> from vicinity import Vicinity
    >>> from embmath.integrations.vicinity import EmbmathBackend
    >>> backend = EmbmathBackend.from_vectors(np.eye(3, dtype=np.float32), metric="cosine")
    >>> vicinity = Vicinity(["x", "y", "z"], backend)
    >>> [item for item, _ in vicinity.query(np.float32([0, 1, 0.5]), k=2)[0]]
    ['y', 'z']
    """

    argument_class = BasicArgs
    supported_metrics = frozenset(_METRICS)

    def __init__(self, vectors: Array, arguments: BasicArgs) -> None:
        super().__init__(arguments)
        if arguments.metric not in _METRICS:
            names = ", ".join(repr(metric.value) for metric in _METRICS)
            raise ValueError(f"metric: expected one of {names}, got {arguments.metric.value!r}")
        self._index = Index(vectors, metric=_METRICS[arguments.metric])  # type: ignore[arg-type]
        self._ids = self._index.ids  # position -> id, ascending: ids are never used again

    @classmethod
    def from_vectors(
        cls, vectors: Array, metric: str | Metric = "cosine", **kwargs: Any
    ) -> "EmbmathBackend":
        """A backend of these vectors, (n, d); they are read where they lie."""
        return cls(vectors, BasicArgs(metric=Metric.from_string(metric)))

    @property
    def backend_type(self) -> Backend:
        """What may open a saved one: the names are a closed set."""
        return Backend.BASIC

    @property
    def dim(self) -> int:
        """Number of columns."""
        return self._index.d

    def __len__(self) -> int:
        return len(self._ids)

    def insert(self, vectors: Array) -> None:
        """Add vectors after the others."""
        self._ids = np.concatenate([self._ids, self._index.add(vectors)])

    def delete(self, indices: list[int]) -> None:
        """Remove the vectors in these places; those after them move up."""
        self._index.remove(np.unique(self._ids[indices]))
        self._ids = np.delete(self._ids, indices)

    def query(self, vectors: Array, k: int) -> list[tuple[Array, Array]]:
        """The k nearest places of each vector and their distances."""
        if k < 1:
            raise ValueError(f"k should be >= 1, is now {k}")
        values, ids = self._index.search(vectors, k)
        return list(zip(self._places(ids), self._distances(values), strict=True))

    def threshold(self, vectors: Array, threshold: float, max_k: int) -> list[tuple[Array, Array]]:
        """All places within a distance of each vector, in order; `max_k` counts for nothing."""
        reach = threshold
        if self.arguments.metric == Metric.COSINE:
            # A little more than asked for, as ``1 - cosine`` is rounded again.
            reach = float(np.nextafter(np.float32(1 - threshold), np.float32(-np.inf)))
        hits = self._index.range_search(vectors, reach)
        ends = hits.offsets[1:-1]
        found = zip(np.split(hits.indices, ends), np.split(hits.values, ends), strict=True)
        return [self._within(ids, self._distances(values), threshold) for ids, values in found]

    def _within(self, ids: Array, distances: Array, threshold: float) -> tuple[Array, Array]:
        keep = distances <= threshold
        places, distances = self._places(ids[keep]), distances[keep]
        order = np.argsort(places)
        return places[order], distances[order]

    def _places(self, ids: Array) -> Array:
        return np.searchsorted(self._ids, ids)

    def _distances(self, values: Array) -> Array:
        return 1 - values if self.arguments.metric == Metric.COSINE else values

    def save(self, path: Path) -> None:
        """Save as ``BasicBackend`` does, into a folder."""
        rows, new = self._index.reconstruct(self._ids), path / "vectors.new.npy"
        np.save(new, rows)
        new.replace(path / "vectors.npy")  # not written over: rows may lie in it
        self.arguments.dump(path / "arguments.json")

    @classmethod
    def load(cls, path: Path) -> "EmbmathBackend":
        """Open what this or ``BasicBackend`` saved; vectors are read where they lie in the file."""
        vectors = np.load(path / "vectors.npy", mmap_mode="r")
        return cls(vectors, BasicArgs.load(path / "arguments.json"))


def load(folder: str | Path) -> "Vicinity[Any]":
    """``Vicinity.load`` with :class:`EmbmathBackend` in place of the basic one."""
    vicinity = Vicinity.load(folder)
    vicinity.backend = EmbmathBackend.load(Path(folder))
    return vicinity
