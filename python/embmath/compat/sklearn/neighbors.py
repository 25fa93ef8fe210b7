"""Neighbour estimators whose brute force is an exact index."""

from numbers import Integral
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from scipy.sparse import issparse
from sklearn import neighbors as peer
from sklearn.utils.validation import check_is_fitted, validate_data

import embmath as em

from .pairwise import METRICS, as_distances

_FLOATS = (np.float32, np.float64)
_Estimator: Any = object  # what comes after is one of scikit-learn, which has no types


class _ExactNeighbors(_Estimator):
    """Put before an estimator of scikit-learn: what it would search by brute force is indexed.

    Parameters, attributes, checks and errors stay scikit-learn's; only the two searches differ.
    """

    _index: em.Index | None
    n_neighbors: int
    radius: Any
    n_jobs: int | None
    n_samples_fit_: int
    _fit_X: Any

    def _fit(self, X: Any, y: Any = None) -> Any:
        super()._fit(X, y)
        self._index = _index_of(self)
        return self

    def __getstate__(self) -> dict[str, Any]:
        # The index reads the rows that are pickled beside it, and is soon made again.
        state: dict[str, Any] = super().__getstate__()
        return state | {"_index": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_fit_method" in state:
            self._index = _index_of(self)

    def kneighbors(
        self,
        X: Any = None,
        n_neighbors: int | None = None,
        return_distance: bool = True,
    ) -> Any:
        """The nearest fitted rows of every query, nearest first, lowest index among equals.

        Parameters
        ----------
        X : {array-like, sparse matrix}, (n_queries, d), optional
            Default: the fitted rows, none of which is its own neighbour.
        n_neighbors : int, optional
            Default: the estimator's.
        return_distance : bool

        Returns
        -------
        distances : array, (n_queries, n_neighbors)
            Only if asked for; float64, or float32 for cosine of float32.
        indices : array of int64, (n_queries, n_neighbors)

        Raises
        ------
        ValueError, TypeError
            As scikit-learn.

        Notes
        -----
        O(n_queries n d) byte operations; no distance matrix.
        """
        check_is_fitted(self)
        wanted = self.n_neighbors if n_neighbors is None else n_neighbors
        if self._index is None or issparse(X) or not self._has(wanted, X is None):
            # scikit-learn's to compute, or to refuse
            return super().kneighbors(X, n_neighbors, return_distance)
        values, indices = self._index.search(
            self._queries(X), wanted, exclude_self=X is None, threads=self._threads()
        )
        if not return_distance:
            return indices
        return as_distances(values, self._index.metric), indices

    def radius_neighbors(
        self,
        X: Any = None,
        radius: float | None = None,
        return_distance: bool = True,
        sort_results: bool = False,
    ) -> Any:
        """The fitted rows within a radius of every query.

        Parameters
        ----------
        X : {array-like, sparse matrix}, (n_queries, d), optional
            Default: the fitted rows, none of which is its own neighbour.
        radius : float, optional
            Default: the estimator's.
        return_distance : bool
        sort_results : bool
            Nearest first; otherwise in the order of their indices.

        Returns
        -------
        distances : array of arrays, (n_queries,)
            Only if asked for.
        indices : array of arrays of int64, (n_queries,)

        Raises
        ------
        ValueError, TypeError
            As scikit-learn.

        Notes
        -----
        O(n_queries n d) byte operations, and memory for the hits.
        """
        check_is_fitted(self)
        within = self.radius if radius is None else radius
        is_refused = np.ndim(within) > 0 or (sort_results and not return_distance)
        if self._index is None or issparse(X) or is_refused:
            return super().radius_neighbors(X, radius, return_distance, sort_results)
        hits = self._index.range_search(
            self._queries(X),
            _threshold(self._index.metric, within),
            exclude_self=X is None,
            threads=self._threads(),
        )
        distances = as_distances(hits.values, self._index.metric)
        keep = distances <= within
        ends = np.concatenate([[0], np.cumsum(keep)])[hits.offsets]
        distances, indices = distances[keep], hits.indices[keep]
        if not sort_results:
            order = np.lexsort((indices, np.repeat(np.arange(len(ends) - 1), np.diff(ends))))
            distances, indices = distances[order], indices[order]
        return (
            (_each(distances, ends), _each(indices, ends))
            if return_distance
            else _each(indices, ends)
        )

    def _has(self, n_neighbors: Any, is_train: bool) -> bool:
        """Whether there are that many neighbours."""
        if not isinstance(n_neighbors, Integral):
            return False
        return 1 <= int(n_neighbors) <= self.n_samples_fit_ - is_train

    def _queries(self, X: Any) -> Any:
        if X is None:
            return _floats(self._fit_X)
        return _floats(validate_data(self, X, accept_sparse="csr", reset=False, order="C"))

    def _threads(self) -> int | None:
        return None if self.n_jobs is None else int(effective_n_jobs(self.n_jobs))


class NearestNeighbors(_ExactNeighbors, peer.NearestNeighbors):
    """scikit-learn's ``NearestNeighbors`` over an exact index.

    Parameters
    ----------
    n_neighbors, radius, algorithm, leaf_size, metric, p, metric_params, n_jobs
        As for ``sklearn.neighbors.NearestNeighbors``, whose subclass this is. `n_jobs` is the
        number of threads; None: :func:`embmath.get_num_threads`.

    Notes
    -----
    Where scikit-learn takes brute force (``algorithm="brute"``, or "auto" with more than 15
    columns) on dense rows with "cosine", "euclidean", "sqeuclidean", "manhattan" or their other
    names, :class:`embmath.Index` searches. Trees, sparse rows and other metrics are scikit-learn's.
    `fit` makes the codes, d bytes per row; rows are read where they are and must not change.
    Results do not depend on batches, threads or the machine. Distances of float32 rows are rounded
    to float32 once.

    Examples
    --------
    >>> import numpy as np
    >>> from embmath.compat.sklearn import NearestNeighbors
    >>> rows = np.eye(4, 32, dtype=np.float32)
    >>> nearest = NearestNeighbors(n_neighbors=1, metric="cosine").fit(rows)
    >>> nearest.kneighbors(rows[2:3])
    (array([[0.]], dtype=float32), array([[2]]))
    """


class KNeighborsTransformer(_ExactNeighbors, peer.KNeighborsTransformer):
    """scikit-learn's ``KNeighborsTransformer`` over an exact index.

    Parameters
    ----------
    mode, n_neighbors, algorithm, leaf_size, metric, p, metric_params, n_jobs
        As for ``sklearn.neighbors.KNeighborsTransformer``, whose subclass this is; see
        :class:`NearestNeighbors`.

    Notes
    -----
    Its sparse graph is what every estimator with ``metric="precomputed"`` takes: DBSCAN, HDBSCAN,
    UMAP, TSNE, Isomap, SpectralClustering, KNeighborsClassifier.

    Examples
    --------
    >>> import numpy as np
    >>> from embmath.compat.sklearn import KNeighborsTransformer
    >>> graph = KNeighborsTransformer(n_neighbors=2, algorithm="brute").fit_transform(np.eye(4))
    >>> graph.shape, graph.nnz  # each row itself and two others
    ((4, 4), 12)
    """


def _index_of(fitted: Any) -> em.Index | None:
    """An index of what scikit-learn would search by brute force, if there are kernels for it."""
    metric = fitted.effective_metric_
    is_known = isinstance(metric, str) and metric in METRICS and not fitted.effective_metric_params_
    if fitted._fit_method != "brute" or not is_known or issparse(fitted._fit_X):
        return None
    return em.Index(_floats(fitted._fit_X), metric=METRICS[metric])


def _floats(rows: Any) -> Any:
    """Rows of a type that scikit-learn computes with: anything else becomes float64."""
    return rows if rows.dtype in _FLOATS else np.asarray(rows, np.float64)


def _threshold(metric: str, radius: float) -> float:
    """What a score must reach; cosines a little less, as ``1 - score`` is rounded again."""
    if metric != "cosine":
        return float(radius)
    return float(np.nextafter(np.float32(1 - radius), np.float32(-np.inf)))


def _each(hits: Any, ends: Any) -> Any:
    """The hits of each query, in an array of arrays."""
    parts = np.empty(len(ends) - 1, dtype=object)
    for i in range(len(parts)):
        parts[i] = hits[ends[i] : ends[i + 1]]
    return parts
