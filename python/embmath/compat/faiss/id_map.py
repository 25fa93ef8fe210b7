"""Indexes whose rows have ids of the caller's."""

from typing import Any

import numpy as np

from .index import Array, Index, members
from .selectors import IDSelector, SearchParameters, chosen


class _AtPositions(IDSelector):
    """The positions of a mask."""

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def _members(self, ids: Any) -> Any:
        return self.mask[ids]


class IndexIDMap(Index):
    """An index whose rows go by ids of the caller's; not each once, if the caller likes.

    Parameters
    ----------
    index : Index
        An empty one.

    Attributes
    ----------
    index : Index
    id_map : array of int64, (ntotal,)

    Examples
    --------
    >>> import numpy as np
    >>> from embmath.compat import faiss
    >>> index = faiss.IndexIDMap2(faiss.IndexFlatIP(2))
    >>> index.add_with_ids(np.float32([[1, 0], [0, 1]]), np.array([10, 20]))
    >>> index.search(np.float32([[1, 3]]), 1)[1]
    array([[20]])
    >>> index.remove_ids(np.array([10]))
    1
    """

    def __init__(self, index: Index) -> None:
        if index.ntotal:
            raise RuntimeError(f"index: expected an empty one, got {index.ntotal} rows")
        self.index, self.verbose = index, False
        self.id_map = np.empty(0, np.int64)

    d = property(lambda self: self.index.d)
    metric_type = property(lambda self: self.index.metric_type)
    is_trained = property(lambda self: self.index.is_trained)
    ntotal = property(lambda self: self.index.ntotal)
    code_size = property(lambda self: self.index.code_size)

    def train(self, x: Array) -> None:
        """Train the index below."""
        self.index.train(x)

    def add(self, x: Array, numeric_type: int = 0) -> None:
        """Refused, as by FAISS: rows need ids."""
        raise RuntimeError("add: rows of this index need ids (add_with_ids)")

    def add_with_ids(self, x: Array, ids: Any) -> None:
        """Append rows.

        Parameters
        ----------
        x : array, (n, d)
        ids : array of int64, (n,)
        """
        assert ids.shape == (x.shape[0],), "not same nb of vectors as ids"
        self.index.add(x)
        self.id_map = np.concatenate([self.id_map, np.ascontiguousarray(ids, np.int64)])

    def search(
        self, x: Array, k: int, *, params: SearchParameters | None = None, **results: Any
    ) -> tuple[Array, Array]:
        """As of the index below, with ids; `params` speaks of ids, too."""
        distances, labels = self.index.search(x, k, params=self._below(params), **results)
        labels[...] = self._ids(labels)
        return distances, labels

    def range_search(
        self, x: Array, thresh: float, *, params: SearchParameters | None = None
    ) -> tuple[Array, Array, Array]:
        """As of the index below, with ids; `params` speaks of ids, too."""
        lims, distances, labels = self.index.range_search(x, thresh, params=self._below(params))
        return lims, distances, self._ids(labels)

    def _ids(self, positions: Any) -> Any:
        return np.append(self.id_map, -1)[positions]

    def _below(self, params: SearchParameters | None) -> SearchParameters | None:
        selector = getattr(params, "sel", None)
        if selector is None:
            return None
        return SearchParameters(sel=_AtPositions(chosen(selector, self.id_map)))

    def remove_ids(self, x: Any) -> int:
        """Remove the rows with these ids, as of :meth:`Index.remove_ids`."""
        gone = members(x, self.id_map)
        self.index.remove_ids(_AtPositions(gone))
        self.id_map = self.id_map[~gone]
        return int(gone.sum())

    def reset(self) -> None:
        """Remove all rows."""
        self.index.reset()
        self.id_map = np.empty(0, np.int64)

    def merge_from(self, otherIndex: Any, add_id: int = 0) -> None:
        """Append the rows of another index of the same kind, adding `add_id` to their ids."""
        if type(self) is not type(otherIndex):
            raise RuntimeError(f"otherIndex: expected one like {self!r}, got {otherIndex!r}")
        self.index.merge_from(otherIndex.index)
        self.id_map = np.concatenate([self.id_map, otherIndex.id_map + add_id])
        otherIndex.id_map = np.empty(0, np.int64)

    def reconstruct_batch(self, key: Any) -> Array:
        """Refused, as by FAISS: only IndexIDMap2 finds rows by their ids."""
        raise RuntimeError("reconstruct: not for IndexIDMap (use IndexIDMap2)")

    def reconstruct_n(self, n0: int = 0, ni: int = -1) -> Array:
        """The rows with ids `n0` to ``n0 + ni - 1``."""
        return self.reconstruct_batch(np.arange(n0, n0 + (self.ntotal - n0 if ni == -1 else ni)))


class IndexIDMap2(IndexIDMap):
    """An :class:`IndexIDMap` that finds rows by their ids.

    Parameters
    ----------
    index : Index
        An empty one.
    """

    def reconstruct_batch(self, key: Any) -> Array:
        """The rows with these ids, (n, d); the last of those that share one."""
        ids = np.ascontiguousarray(key, np.int64)
        order = np.argsort(self.id_map, kind="stable")
        places = np.searchsorted(self.id_map, ids, side="right", sorter=order) - 1
        positions = np.append(order, -1)[places]  # -1 where all ids are larger, or there are none
        unknown = np.append(self.id_map, -1)[positions] != ids
        if (unknown | (positions < 0)).any():
            raise RuntimeError(f"key: no row has the id {ids[unknown | (positions < 0)][0]}")
        return self.index.reconstruct_batch(positions)


class IndexBinaryIDMap(IndexIDMap):
    """:class:`IndexIDMap` of a binary index."""

    _is_binary = True


class IndexBinaryIDMap2(IndexIDMap2):
    """:class:`IndexIDMap2` of a binary index."""

    _is_binary = True
