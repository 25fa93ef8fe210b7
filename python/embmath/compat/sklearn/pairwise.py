"""Distance matrices and nearest rows, as ``sklearn.metrics.pairwise`` has them."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from scipy.sparse import issparse
from sklearn.metrics import pairwise as peer
from sklearn.utils import check_array
from sklearn.utils._param_validation import validate_params

import embmath as em

Function = TypeVar("Function", bound=Callable[..., Any])

# scikit-learn's names of what there are kernels for.
METRICS: dict[str, Any] = {
    "cosine": "cosine",
    "euclidean": "euclidean",
    "l2": "euclidean",
    "sqeuclidean": "sqeuclidean",
    "manhattan": "manhattan",
    "cityblock": "manhattan",
    "l1": "manhattan",
}

# float32 sums over more columns than this would lose digits that scikit-learn's float64 keeps.
COLUMNS = 1024


def checked_as_there(function: Function) -> Function:
    """With the checks of parameters that scikit-learn's function of the same name has."""
    constraints = getattr(peer, function.__name__)._skl_parameter_constraints
    checked: Function = validate_params(constraints, prefer_skip_nested_validation=True)(function)
    return checked


@checked_as_there
def cosine_similarity(X: Any, Y: Any = None, dense_output: bool = True) -> Any:
    """Cosine of every row of `X` with every row of `Y`.

    Parameters
    ----------
    X : {array-like, sparse matrix}, (m, d)
    Y : {array-like, sparse matrix}, (n, d), optional
        Default: `X`.
    dense_output : bool
        Of sparse input, which scikit-learn computes.

    Returns
    -------
    array, (m, n)
        float32 if both are, else float64; 0 for zero rows. Rows whose squares leave the range of
        float32 have their true cosine here and 0 in scikit-learn.

    Raises
    ------
    ValueError
        For NaN, infinity, no rows, and dimensions other than 2.

    Notes
    -----
    O(m n d).

    Examples
    --------
    >>> from embmath.compat.sklearn import cosine_similarity
    >>> cosine_similarity([[3.0, 4.0]], [[4.0, 3.0], [0.0, 0.0]])
    array([[0.96, 0.  ]])
    """
    a, b = peer.check_pairwise_arrays(X, Y)
    if issparse(a) or issparse(b):
        return peer.cosine_similarity(a, b, dense_output=dense_output)
    return em.similarity(a, b, "cosine")


@checked_as_there
def cosine_distances(X: Any, Y: Any = None) -> Any:
    """One minus the cosine of every row of `X` with every row of `Y`.

    Parameters
    ----------
    X, Y
        As for :func:`cosine_similarity`.

    Returns
    -------
    array, (m, n)
        From 0 to 2; 1 for zero rows; exactly 0 on the diagonal where `Y` is None or `X` itself.

    Raises
    ------
    ValueError
        As :func:`cosine_similarity`.

    Notes
    -----
    O(m n d).

    Examples
    --------
    >>> from embmath.compat.sklearn import cosine_distances
    >>> cosine_distances([[1.0, 0.0], [0.0, 2.0]])
    array([[0., 1.],
           [1., 0.]])
    """
    a, b = peer.check_pairwise_arrays(X, Y)
    if issparse(a) or issparse(b):
        return peer.cosine_distances(a, None if Y is None or X is Y else b)
    distances = em.distance(a, b, "cosine")
    if a is b or Y is None or X is Y:
        each = range(distances.shape[0])
        distances[each, each] = 0
    return distances


@checked_as_there
def euclidean_distances(
    X: Any,
    Y: Any = None,
    *,
    Y_norm_squared: Any = None,
    squared: bool = False,
    X_norm_squared: Any = None,
) -> Any:
    """Euclidean distance of every row of `X` to every row of `Y`.

    Parameters
    ----------
    X, Y
        As for :func:`cosine_similarity`.
    Y_norm_squared, X_norm_squared : array-like, optional
        Used for sparse input only, and checked: distances of dense rows come from differences,
        not from norms, so near-duplicates keep the relative accuracy that the formula of norms
        loses.
    squared : bool
        Do not take the root.

    Returns
    -------
    array, (m, n)
        float32 if both are, else float64.

    Raises
    ------
    ValueError
        As :func:`cosine_similarity`.

    Notes
    -----
    O(m n d).

    Examples
    --------
    >>> from embmath.compat.sklearn import euclidean_distances
    >>> euclidean_distances([[0.0, 0.0]], [[3.0, 4.0]], squared=True)
    array([[25.]])
    """
    a, b = peer.check_pairwise_arrays(X, Y)
    if issparse(a) or issparse(b):
        return peer.euclidean_distances(
            a,
            None if Y is None or X is Y else b,
            Y_norm_squared=Y_norm_squared,
            squared=squared,
            X_norm_squared=X_norm_squared,
        )
    _check_norms("X", a, X_norm_squared)
    _check_norms("Y", b, Y_norm_squared)
    if a.dtype != np.float32 or b.dtype != np.float32 or a.shape[1] <= COLUMNS:
        return em.distance(a, b, "sqeuclidean" if squared else "euclidean")
    distances = _squares_by_columns(a, b)
    return (distances if squared else np.sqrt(distances)).astype(np.float32)


@checked_as_there
def pairwise_distances_argmin_min(
    X: Any,
    Y: Any,
    *,
    axis: int = 1,
    metric: Any = "euclidean",
    metric_kwargs: dict[str, Any] | None = None,
) -> tuple[Any, Any]:
    """The nearest row of `Y` for every row of `X`, and its distance.

    Parameters
    ----------
    X : {array-like, sparse matrix}, (m, d)
    Y : {array-like, sparse matrix}, (n, d)
    axis : {1, 0}
        0: the nearest row of `X` for every row of `Y`.
    metric : str or callable
        "cosine", "euclidean", "l2", "sqeuclidean", "manhattan", "cityblock" and "l1" are searched
        here; scikit-learn computes others.
    metric_kwargs : dict, optional
        Of metrics that scikit-learn computes.

    Returns
    -------
    argmin : array of int64, (m,)
        The lowest index among equals.
    distances : array, (m,)
        float64; float32 for "cosine" of float32.

    Raises
    ------
    ValueError
        As :func:`cosine_similarity`.

    Notes
    -----
    O(m n d), and no distance matrix. Distances of float32 rows are rounded to float32 once.

    Examples
    --------
    >>> from embmath.compat.sklearn import pairwise_distances_argmin_min
    >>> pairwise_distances_argmin_min([[0.0, 1.0]], [[3.0, 4.0], [0.0, 0.0]])
    (array([1]), array([1.]))
    """
    name = METRICS.get(metric) if isinstance(metric, str) else None
    if name is not None and not metric_kwargs and not (issparse(X) or issparse(Y)):
        a, b = peer.check_pairwise_arrays(X, Y)
        found = em.search(*((a, b) if axis else (b, a)), 1, name)
        distances = as_distances(found.values[:, 0], name)
        return np.asarray(found.indices[:, 0]), np.asarray(distances)
    found = peer.pairwise_distances_argmin_min(
        X, Y, axis=axis, metric=metric, metric_kwargs=metric_kwargs
    )
    return found[0], found[1]


def _check_norms(name: str, rows: Any, norms: Any) -> None:
    if norms is None:
        return
    shape, n = check_array(norms, ensure_2d=False).shape, rows.shape[0]
    if shape not in ((n,), (n, 1), (1, n)):
        raise ValueError(
            f"Incompatible dimensions for {name} of shape {rows.shape} and "
            f"{name}_norm_squared of shape {shape}."
        )


def _squares_by_columns(a: Any, b: Any) -> Any:
    """Squared distances of wide float32 rows, a block of columns at a time, summed in float64."""
    total = np.zeros((a.shape[0], b.shape[0]))
    for start in range(0, a.shape[1], COLUMNS):
        block = slice(start, start + COLUMNS)
        total += em.distance(a[:, block], b[:, block], "sqeuclidean")
    return total


def as_distances(values: Any, metric: str) -> Any:
    """Scores of a search as scikit-learn has distances: float64, cosine in the rows' own type."""
    if metric == "cosine":
        return 1 - values
    return np.asarray(values, np.float64)
