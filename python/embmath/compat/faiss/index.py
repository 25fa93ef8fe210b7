"""What all indexes have in common: FAISS's checks, paddings and orders around a store of rows."""

from typing import Any

import numpy as np
import numpy.typing as npt

from .selectors import IDSelector, IDSelectorBatch, SearchParameters, chosen
from .stores import Store

METRIC_INNER_PRODUCT, METRIC_L2, METRIC_L1 = 0, 1, 2
METRICS: dict[int, Any] = {
    METRIC_INNER_PRODUCT: "dot",
    METRIC_L2: "sqeuclidean",
    METRIC_L1: "manhattan",
}
FLOAT32 = 0  # FAISS's NumericType

Array = npt.NDArray[Any]


def metric_name(metric: int) -> Any:
    """The metric that a number of FAISS's stands for."""
    if metric not in METRICS:
        raise ValueError(f"metric: expected one of {sorted(METRICS)} (IP, L2, L1), got {metric!r}")
    return METRICS[metric]


class Index:
    """Rows numbered 0, 1, 2, ... in the order they came; removing one moves the later ones up.

    Attributes
    ----------
    d : int
        Dimensions; of binary indexes bits.
    metric_type : int
    is_trained, verbose : bool
    """

    _row_dtype: Any = np.float32
    _score_dtype: Any = np.float32
    _is_binary = False
    _store: Store

    def __init__(self, d: int, metric: int) -> None:
        self.d, self.metric_type = int(d), int(metric)
        self.is_trained, self.verbose = True, False

    @property
    def ntotal(self) -> int:
        """Number of rows."""
        return len(self._store)

    @property
    def code_size(self) -> int:
        """Bytes of a row as FAISS counts them."""
        return 4 * self.d

    def train(self, x: Array) -> None:
        """Nothing to learn; the shape is checked."""
        self._read("x", x)

    def add(self, x: Array, numeric_type: int = FLOAT32) -> None:
        """Append rows.

        Parameters
        ----------
        x : array, (n, d)
            float32; other types are converted, as FAISS does.
        numeric_type : int
            Float32 only.
        """
        rows = self._read("x", x)
        if numeric_type != FLOAT32:
            raise RuntimeError(f"numeric_type: expected Float32 (0), got {numeric_type!r}")
        self._require_training()
        self._store.append(rows)

    def add_with_ids(self, x: Array, ids: Array) -> None:
        """Refused, as by FAISS: rows are numbered in order."""
        raise RuntimeError("add_with_ids: this index numbers its rows (wrap it in IndexIDMap2)")

    def search(
        self,
        x: Array,
        k: int,
        *,
        params: SearchParameters | None = None,
        D: Array | None = None,
        I: Array | None = None,
    ) -> tuple[Array, Array]:
        """The k nearest rows of each query.

        Parameters
        ----------
        x : array, (n, d)
        k : int
            At least 1.
        params : SearchParameters, optional
        D, I : array, (n, k), optional
            Receive the result.

        Returns
        -------
        D : array of float32 (int32 of bits), (n, k)
            Inner products, descending, or distances (L2: squared), ascending.
        I : array of int64, (n, k)
            Positions; -1 where there are fewer than k rows, with the worst value there is as D. NaN
            is nobody's neighbour.
        """
        queries = self._read("x", x)
        assert k > 0, f"k: expected at least 1, got {k}"
        distances = _result("D", D, (len(queries), k), self._score_dtype)
        labels = _result("I", I, (len(queries), k), np.int64)
        values, positions = self._store.search(queries, int(k), self._mask(params))
        fill(values, positions, self.metric_type == METRIC_INNER_PRODUCT, distances, labels)
        return distances, labels

    def assign(self, x: Array, k: int = 1) -> Array:
        """The labels of :meth:`search` alone."""
        return self.search(x, k)[1]

    def range_search(
        self, x: Array, thresh: float, *, params: SearchParameters | None = None
    ) -> tuple[Array, Array, Array]:
        """All rows closer than a threshold: inner product above it, distance below it.

        Parameters
        ----------
        x : array, (n, d)
        thresh : float
            Itself left out.
        params : SearchParameters, optional

        Returns
        -------
        lims : array of uint64, (n + 1,)
            The hits of query i are ``lims[i]:lims[i + 1]``, in ascending order of position.
        D : array of float32, (hits,)
        I : array of int64, (hits,)
        """
        queries = self._read("x", x)
        hits = self._store.within(queries, self._inner(thresh), self._mask(params))
        query = np.repeat(np.arange(len(queries)), np.diff(hits.offsets))
        order = np.lexsort((hits.positions, query))
        distances = np.asarray(hits.values[order], np.float32)
        return hits.offsets.astype(np.uint64), distances, hits.positions[order]

    def _inner(self, thresh: float) -> float:
        """The closest threshold that counts itself in."""
        is_similarity = self.metric_type == METRIC_INNER_PRODUCT
        towards = np.float32(np.inf if is_similarity else -np.inf)
        return float(np.nextafter(np.float32(thresh), towards))

    def search_and_reconstruct(
        self, x: Array, k: int, *, params: SearchParameters | None = None
    ) -> tuple[Array, Array, Array]:
        """:meth:`search`, and the rows that it found; NaN where it found none.

        Returns
        -------
        D, I : array, (n, k)
        R : array of float32, (n, k, d)
        """
        distances, labels = self.search(x, k, params=params)
        found = np.full((*labels.shape, self.d), np.nan, np.float32)
        is_hit = labels >= 0
        found[is_hit] = self.reconstruct_batch(labels[is_hit])
        return distances, labels, found

    def reconstruct(self, key: int) -> Array:
        """The row at a position."""
        row: Array = self.reconstruct_batch(np.asarray([key]))[0]
        return row

    def reconstruct_n(self, n0: int = 0, ni: int = -1) -> Array:
        """`ni` rows from position `n0` on; -1: all that follow."""
        return self.reconstruct_batch(np.arange(n0, self.ntotal if ni == -1 else n0 + ni))

    def reconstruct_batch(self, key: Any) -> Array:
        """The rows at some positions, (n, d); RuntimeError for one that there is not."""
        positions = np.ascontiguousarray(key, np.int64)
        outside = (positions < 0) | (positions >= self.ntotal)
        if outside.any():
            raise RuntimeError(
                f"key: expected 0 to {self.ntotal - 1}, got {positions[outside][0]}"
                if self.ntotal
                else f"key: the index is empty, got {positions[outside][0]}"
            )
        if not positions.size:
            return np.empty((0, self._n_cols), self._row_dtype)
        return self._store.rows(positions)

    def remove_ids(self, x: Any) -> int:
        """Remove rows; later ones move up.

        Parameters
        ----------
        x : array of int64, (n,), or IDSelector
            Ids that there are not are passed over.

        Returns
        -------
        int
            How many were removed.
        """
        gone = members(x, np.arange(self.ntotal))
        if gone.any():
            self._store.remove(gone)
        return int(gone.sum())

    def reset(self) -> None:
        """Remove all rows."""
        self._store.remove(np.ones(self.ntotal, bool))

    def merge_from(self, otherIndex: "Index", add_id: int = 0) -> None:
        """Append the rows of another index of the same kind, which is empty then."""
        other = otherIndex
        alike = ("d", "metric_type", "code_size")
        if type(self) is not type(other) or any(
            getattr(self, name) != getattr(other, name) for name in alike
        ):
            raise RuntimeError(f"otherIndex: expected one like {self!r}, got {other!r}")
        if add_id:
            raise RuntimeError(f"add_id: rows are numbered in order, got {add_id}")
        self._store.append(other.reconstruct_n())
        other.reset()

    @property
    def _n_cols(self) -> int:
        return self.d

    def _read(self, name: str, x: Array) -> Array:
        """Rows as they are stored; FAISS's own kinds of errors."""
        n_dims = len(x.shape)
        if n_dims != 2:
            raise ValueError(f"{name}: expected 2 dimensions, got {n_dims}")
        expected, found = self._n_cols, x.shape[1]
        assert found == expected, f"{name}: expected {expected} columns, got {found}"
        return np.ascontiguousarray(x, self._row_dtype)

    def _mask(self, params: SearchParameters | None) -> npt.NDArray[np.bool_] | None:
        selector = getattr(params, "sel", None)
        return None if selector is None else chosen(selector, np.arange(self.ntotal))

    def _require_training(self) -> None:
        if not self.is_trained:
            raise RuntimeError("index: must be trained before rows are added (train)")

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.ntotal} rows x {self.d}>"

    def __reduce__(self) -> Any:
        from .files import deserialize_index, serialize_index

        return deserialize_index, (serialize_index(self),)


def fill(values: Any, positions: Any, is_similarity: bool, distances: Any, labels: Any) -> None:
    """Write a result as FAISS has it: what is not better than the worst number was not found."""
    limits = np.finfo if distances.dtype.kind == "f" else np.iinfo
    worst = limits(distances.dtype).min if is_similarity else limits(distances.dtype).max
    is_found = (positions >= 0) & ((values > worst) if is_similarity else (values < worst))
    distances[...] = np.where(is_found, values, worst)
    labels[...] = np.where(is_found, positions, -1)


def members(x: Any, ids: Any) -> npt.NDArray[np.bool_]:
    """Which ids are named by an array of them or by a selector."""
    if isinstance(x, IDSelector) or hasattr(x, "is_member"):
        return chosen(x, ids)
    assert x.ndim == 1, f"x: expected one dimension, got {x.ndim}"
    return chosen(IDSelectorBatch(x), ids)


def _result(name: str, given: Array | None, shape: tuple[int, int], dtype: Any) -> Array:
    if given is None:
        return np.empty(shape, dtype)
    assert given.shape == shape, f"{name}: expected shape {shape}, got {given.shape}"
    if given.dtype != dtype:
        raise TypeError(f"{name}: expected dtype {np.dtype(dtype).name}, got {given.dtype}")
    return given
