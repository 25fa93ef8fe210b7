"""Where an index keeps its rows: by position, as FAISS numbers them."""

from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

import embmath as em

Rows = npt.NDArray[Any]
Positions = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Hits(NamedTuple):
    """Those of query i are ``offsets[i]:offsets[i + 1]``."""

    offsets: Any
    values: Any
    positions: Any


class Store(Protocol):
    """Rows that can be searched, appended and removed; those after a removed one move up."""

    def __len__(self) -> int: ...
    def append(self, rows: Rows) -> None: ...
    def remove(self, gone: Mask) -> None: ...
    def rows(self, positions: Positions) -> Rows: ...
    def search(self, queries: Rows, k: int, mask: Mask | None) -> tuple[Any, Any]: ...
    def within(self, queries: Rows, threshold: float, mask: Mask | None) -> Hits: ...


class IndexedRows:
    """Rows in an :class:`embmath.Index`, whose ids stay when rows go: positions are ranks."""

    def __init__(self, n_cols: int, metric: Any) -> None:
        self._n_cols, self._metric = n_cols, metric
        self._clear()

    def _clear(self) -> None:
        self._index = em.Index(dim=self._n_cols, metric=self._metric, rows="copy")
        self._ids: Positions | None = None  # ascending; None: 0, 1, 2, ...

    def __len__(self) -> int:
        return self._index.ntotal

    def append(self, rows: Rows) -> None:
        if not len(rows):
            return
        added = self._index.add(rows)
        if self._ids is not None:
            self._ids = np.concatenate([self._ids, added])

    def remove(self, gone: Mask) -> None:
        ids = np.arange(len(self)) if self._ids is None else self._ids
        if gone.all():
            self._clear()
            return
        self._index.remove(ids[gone])
        self._ids = ids[~gone]

    def rows(self, positions: Positions) -> Rows:
        ids = positions if self._ids is None else self._ids[positions]
        return np.asarray(self._index.reconstruct(ids))

    def search(self, queries: Rows, k: int, mask: Mask | None) -> tuple[Any, Any]:
        found = self._index.search(queries, k, mask=self._mask(mask), pad=True, nan="rank_last")
        return found.values, self._positions(found.indices)

    def within(self, queries: Rows, threshold: float, mask: Mask | None) -> Hits:
        hits = self._index.range_search(queries, threshold, mask=self._mask(mask), nan="rank_last")
        return Hits(hits.offsets, hits.values, self._positions(hits.indices))

    def _positions(self, ids: Positions) -> Positions:
        if self._ids is None:
            return ids
        return np.where(ids < 0, -1, np.searchsorted(self._ids, ids))

    def _mask(self, mask: Mask | None) -> Mask | None:
        return None if mask is None else mask[self._positions(self._index.ids)]


class CodedRows:
    """Codes in one array, decoded a few rows at a time by the search."""

    def __init__(self, codec: Any, metric: Any) -> None:
        self._codec, self._metric = codec, metric
        self._parts: list[Rows] = []
        self._n_rows = 0

    def __len__(self) -> int:
        return self._n_rows

    @property
    def codes(self) -> Rows:
        """All codes, as bytes."""
        if len(self._parts) != 1:
            empty = np.empty((0, self._codec.code_size), np.uint8)
            self._parts = [np.concatenate([empty, *self._parts])]
        return self._parts[0]

    def append(self, rows: Rows) -> None:
        self.append_codes(self._codec.compute_codes(rows))

    def append_codes(self, codes: Rows) -> None:
        self._parts.append(np.array(codes, np.uint8, order="C"))
        self._n_rows += len(codes)

    def remove(self, gone: Mask) -> None:
        self._parts = [self.codes[~gone]]
        self._n_rows = len(self._parts[0])

    def rows(self, positions: Positions) -> Rows:
        return np.asarray(self._codec.decode(self.codes[positions]))

    def search(self, queries: Rows, k: int, mask: Mask | None) -> tuple[Any, Any]:
        codes = self._codec.wrap(self.codes)
        found = em.search(
            queries,
            codes,
            k,
            self._metric,
            mask=mask,
            pad=True,
            nan="rank_last",
        )
        return found.values, found.indices

    def within(self, queries: Rows, threshold: float, mask: Mask | None) -> Hits:
        codes = self._codec.wrap(self.codes)
        found = em.range_search(
            queries,
            codes,
            threshold,
            self._metric,
            mask=mask,
            nan="rank_last",
        )
        return Hits(found.offsets, found.values, found.indices)
