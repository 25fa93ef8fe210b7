"""embmath.compat.sklearn beside scikit-learn: the same numbers, types and refusals."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn")

from scipy.sparse import csr_matrix
from sklearn import neighbors as peer
from sklearn.base import clone
from sklearn.cluster import DBSCAN, HDBSCAN
from sklearn.metrics import pairwise as peer_pairwise
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import embmath.compat.sklearn as ours

METRICS = ("cosine", "euclidean", "sqeuclidean", "manhattan")
DTYPES = (np.float32, np.float64, np.float16, np.int64)
CHECKED = ("cosine", "euclidean", "manhattan")  # the checks want sparse rows: not "sqeuclidean"
PAIRWISE = ("cosine_similarity", "cosine_distances", "euclidean_distances")


@parametrize_with_checks(
    [
        *(ours.NearestNeighbors(metric=m, algorithm="brute") for m in CHECKED),
        *(ours.KNeighborsTransformer(metric=m, algorithm="brute") for m in CHECKED),
        ours.NearestNeighbors(),
        ours.KNeighborsTransformer(mode="connectivity"),
    ]
)
@pytest.mark.filterwarnings("ignore")  # of the checks themselves
def test_estimator_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def rows_of(rng: np.random.Generator, n: int, dtype: Any, d: int = 40) -> np.ndarray:
    return (3 * rng.standard_normal((n, d))).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PAIRWISE)
def test_matrices(name: str, dtype: Any, rng: np.random.Generator) -> None:
    x, y = rows_of(rng, 9, dtype), rows_of(rng, 7, dtype)
    x[2] = y[3] = 0
    x[4] = x[5]
    for other in (y, None, x, y.astype(np.float64), y[::-1], np.asfortranarray(y), y.tolist()):
        actual, expected = (getattr(lib, name)(x, other) for lib in (ours, peer_pairwise))
        assert actual.dtype == expected.dtype
        tolerance = {"rtol": 1e-5, "atol": 1e-5} if expected.dtype == np.float32 else {}
        np.testing.assert_allclose(actual, expected, **({"rtol": 1e-12, "atol": 1e-12} | tolerance))
        if other is None and name.endswith("distances"):
            assert (np.diagonal(actual) == 0).all()


@pytest.mark.parametrize("name", PAIRWISE)
@pytest.mark.parametrize(
    "x", [np.empty((0, 3)), np.ones(3), np.full((2, 3), np.nan), np.full((2, 3), np.inf)]
)
def test_refusals_are_those_of_the_peer(name: str, x: Any) -> None:
    with pytest.raises(ValueError) as expected:  # noqa: PT011
        getattr(peer_pairwise, name)(x)
    with pytest.raises(ValueError) as actual:  # noqa: PT011
        getattr(ours, name)(x)
    assert str(actual.value) == str(expected.value)


@pytest.mark.parametrize("name", PAIRWISE)
def test_sparse_rows_are_the_peers_to_compute(name: str, rng: np.random.Generator) -> None:
    x = csr_matrix(rng.standard_normal((5, 4)) * (rng.random((5, 4)) > 0.5))
    for other in (None, x, x[:2], x.toarray()):
        actual, expected = (getattr(lib, name)(x, other) for lib in (ours, peer_pairwise))
        np.testing.assert_array_equal(actual, expected)
    kept = ours.cosine_similarity(x, dense_output=False)
    np.testing.assert_array_equal(
        kept.toarray(), peer_pairwise.cosine_similarity(x, dense_output=False).toarray()
    )


def test_euclidean_options(rng: np.random.Generator) -> None:
    x = rows_of(rng, 6, np.float64)
    squares = (x * x).sum(axis=1)
    actual = ours.euclidean_distances(x, x, X_norm_squared=squares, squared=True)
    np.testing.assert_allclose(actual, peer_pairwise.euclidean_distances(x, squared=True), 1e-12)


def test_near_duplicates_keep_their_distance() -> None:
    x = np.float64([[1e8, 0], [1e8, 1e-6]])
    assert ours.euclidean_distances(x)[0, 1] == 1e-6  # scikit-learn: 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", [*METRICS, "l1", "l2", "cityblock", "chebyshev"])
@pytest.mark.parametrize("axis", [0, 1])
def test_argmin_min(metric: str, axis: int, dtype: Any, rng: np.random.Generator) -> None:
    x, y = rows_of(rng, 9, dtype), rows_of(rng, 7, dtype)
    actual, expected = (
        lib.pairwise_distances_argmin_min(x, y, axis=axis, metric=metric)
        for lib in (ours, peer_pairwise)
    )
    assert [part.dtype for part in actual] == [part.dtype for part in expected]
    np.testing.assert_allclose(actual[1], expected[1], rtol=1e-5, atol=1e-6)
    if dtype != np.int64:
        np.testing.assert_array_equal(actual[0], expected[0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", METRICS)
def test_neighbours(metric: str, dtype: Any, rng: np.random.Generator) -> None:
    x = rows_of(rng, 200, dtype)
    a = ours.NearestNeighbors(metric=metric).fit(x)
    b = peer.NearestNeighbors(metric=metric).fit(x)
    assert a._index is not None
    assert (a.n_features_in_, a.n_samples_fit_) == (b.n_features_in_, b.n_samples_fit_)
    assert (a.effective_metric_, a.effective_metric_params_) == (metric, {})
    tolerance = 1e-5 if metric != "sqeuclidean" else 1e-4
    for queries in (None, x[:9], x[:9].astype(np.float64), x[:9].tolist()):
        (distances, indices), (wanted, places) = a.kneighbors(queries), b.kneighbors(queries)
        assert (distances.dtype, indices.dtype) == (wanted.dtype, places.dtype)
        np.testing.assert_allclose(distances, wanted, rtol=1e-5, atol=tolerance)
        if dtype != np.int64:  # of which some lie equally far
            np.testing.assert_array_equal(indices, places)
        radius = float(np.median(wanted)) * 1.0001
        near, expected = (e.radius_neighbors(queries, radius, sort_results=True) for e in (a, b))
        assert near[0].dtype == near[1].dtype == object
        for part, wanted_part in zip(near[0], expected[0], strict=True):
            assert part.dtype == wanted_part.dtype
            np.testing.assert_allclose(part, wanted_part, rtol=1e-5, atol=tolerance)
        for part, wanted_part in zip(near[1], expected[1], strict=True):
            np.testing.assert_array_equal(np.sort(part), np.sort(wanted_part))
    graphs = [e.kneighbors_graph(x, 4, mode="distance").toarray() for e in (a, b)]
    for part in graphs if dtype == np.int64 else ():
        part.sort(axis=1)
    np.testing.assert_allclose(*graphs, rtol=1e-5, atol=tolerance)


@pytest.mark.parametrize("squared", [False, True])
def test_wide_rows_keep_their_digits(squared: bool) -> None:
    x = np.ones((2, 100_000), np.float32)
    y = x + np.float32(1e-4)
    actual = ours.euclidean_distances(x, y, squared=squared)
    squares = ((x.astype(float) - y) ** 2).sum(axis=1)  # scikit-learn's formula of norms errs
    expected = np.tile(squares if squared else np.sqrt(squares), (2, 1))
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=2e-5 if squared else 1e-5)


@pytest.mark.parametrize(
    "arguments",
    [
        {"squared": "yes"},
        {"X": 3},
        {"X_norm_squared": np.ones(2)},
        {"Y_norm_squared": np.ones((3, 3))},
    ],
)
def test_refused_arguments(arguments: dict[str, Any]) -> None:
    x = np.eye(3)

    def outcome(library: Any) -> Any:
        with pytest.raises(ValueError) as raised:  # noqa: PT011
            library.euclidean_distances(**({"X": x, "Y": x} | arguments))
        return type(raised.value), str(raised.value)

    assert outcome(ours) == outcome(peer_pairwise)


def test_a_radius_counts_itself_in() -> None:
    x = np.zeros((3, 20), np.float32)
    x[:, 0] = 0, 1, 2
    near = ours.NearestNeighbors(radius=1.0, algorithm="brute").fit(x)
    assert near.radius_neighbors(x[:1], return_distance=False)[0].tolist() == [0, 1]
    cosine = ours.NearestNeighbors(metric="cosine").fit(x)
    assert cosine.radius_neighbors(x[1:2], 1.0, return_distance=False)[0].tolist() == [0, 1, 2]
    assert cosine.radius_neighbors(x[1:2], 1.0, sort_results=True)[1][0].tolist() == [1, 2, 0]
    assert cosine.radius_neighbors(x[1:2], 0.5, return_distance=False)[0].tolist() == [1, 2]


@pytest.mark.parametrize("sort_results", [False, True])
def test_the_order_within_a_radius(sort_results: bool, rng: np.random.Generator) -> None:
    x = rows_of(rng, 200, np.float32)
    found, expected = (
        lib.NearestNeighbors(radius=28.0).fit(x).radius_neighbors(x[:9], sort_results=sort_results)
        for lib in (ours, peer)
    )
    assert [part.tolist() for part in found[1]] == [part.tolist() for part in expected[1]]
    assert sum(map(len, found[1])) > 100


@pytest.mark.parametrize("n", [0, -1, 2.5, 200, 201, "two", None])
@pytest.mark.parametrize("is_train", [False, True])
def test_refused_numbers_of_neighbours(n: Any, is_train: bool, rng: np.random.Generator) -> None:
    x = rows_of(rng, 200, np.float32)

    def outcome(library: Any) -> Any:
        try:
            library.NearestNeighbors().fit(x).kneighbors(None if is_train else x[:2], n)
        except (TypeError, ValueError) as error:
            return type(error), str(error)
        return "fine"

    assert outcome(ours) == outcome(peer)


def test_what_has_no_kernel_is_the_peers(rng: np.random.Generator) -> None:
    x = rows_of(rng, 60, np.float64, 8)
    settings = (
        {"algorithm": "kd_tree"},
        {"algorithm": "brute", "metric": "chebyshev"},
        {"algorithm": "brute", "metric": "minkowski", "p": 3},
        {"algorithm": "brute", "metric": "minkowski", "metric_params": {"w": np.arange(8.0)}},
        {"algorithm": "brute", "metric": lambda a, b: float(abs(a - b).sum())},
    )
    for setting in settings:
        a, b = (lib.NearestNeighbors(**setting).fit(x) for lib in (ours, peer))
        assert a._index is None
        for actual, expected in zip(a.kneighbors(), b.kneighbors(), strict=True):
            np.testing.assert_array_equal(actual, expected)
    sparse = ours.NearestNeighbors(metric="cosine").fit(csr_matrix(x))
    assert sparse.kneighbors(x[:3])[1][:, 0].tolist() == [0, 1, 2]


def test_pickle_clone_and_refit(rng: np.random.Generator) -> None:
    x = rows_of(rng, 100, np.float32)
    fitted = ours.NearestNeighbors(metric="cosine", n_jobs=2).fit(x)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.kneighbors(x)[0], fitted.kneighbors(x)[0])
    assert not hasattr(clone(fitted), "_index")
    assert pickle.loads(pickle.dumps(ours.NearestNeighbors())).get_params()["n_neighbors"] == 5
    fitted.set_params(metric="euclidean").fit(x[:50])
    assert fitted.kneighbors(x[:1])[0][0, 0] == 0
    assert ours.NearestNeighbors(n_jobs=-1).fit(x).kneighbors(x[:1], 1)[1] == 0


@pytest.mark.parametrize("mode", ["distance", "connectivity"])
def test_transformer(mode: str, rng: np.random.Generator) -> None:
    x = rows_of(rng, 80, np.float32)
    a, b = (lib.KNeighborsTransformer(mode=mode, metric="cosine") for lib in (ours, peer))
    ga, gb = a.fit_transform(x), b.fit_transform(x)
    assert (ga.shape, ga.nnz, ga.format, ga.dtype) == (gb.shape, gb.nnz, gb.format, gb.dtype)
    np.testing.assert_allclose(ga.toarray(), gb.toarray(), rtol=1e-5, atol=1e-6)
    assert a.get_feature_names_out().tolist() == b.get_feature_names_out().tolist()
    if mode == "distance":
        assert (ga.indices.reshape(80, -1)[:, 0] == np.arange(80)).all()  # each row itself first


@pytest.fixture
def clusters(rng: np.random.Generator) -> np.ndarray:
    centres = 5 * rng.standard_normal((4, 30))
    return (centres[np.arange(200) % 4] + 0.3 * rng.standard_normal((200, 30))).astype(np.float32)


def test_graphs_feed_clusterers(clusters: np.ndarray) -> None:
    graph = ours.NearestNeighbors(radius=4.0, algorithm="brute").fit(clusters)
    near = graph.radius_neighbors_graph(clusters, mode="distance", sort_results=True)
    labels = DBSCAN(eps=4.0, metric="precomputed").fit_predict(near)
    np.testing.assert_array_equal(labels, DBSCAN(eps=4.0).fit_predict(clusters))
    transformer = ours.KNeighborsTransformer(n_neighbors=150, algorithm="brute")
    pipeline = make_pipeline(transformer, DBSCAN(eps=4.0, metric="precomputed"))
    edges = transformer.fit_transform(clusters)
    both_ways = edges.maximum(edges.T)  # HDBSCAN wants symmetry
    hdbscan = HDBSCAN(min_cluster_size=10, metric="precomputed", copy=True)
    for labels in (pipeline.fit_predict(clusters), hdbscan.fit_predict(both_ways)):
        assert len(set(labels)) == 4
        assert all(len(set(labels[i::4])) == 1 for i in range(4))


def test_graphs_feed_classifiers(clusters: np.ndarray) -> None:
    y = np.arange(200) % 4
    model = make_pipeline(
        ours.KNeighborsTransformer(n_neighbors=6, metric="cosine"),
        peer.KNeighborsClassifier(n_neighbors=5, metric="precomputed"),
    ).fit(clusters[:150], y[:150])
    assert model.score(clusters[150:], y[150:]) == 1


@pytest.mark.filterwarnings("ignore")  # of Numba's
def test_graphs_feed_umap(clusters: np.ndarray) -> None:
    umap = pytest.importorskip("umap", reason="needs umap-learn")
    distances, indices = (
        ours.NearestNeighbors(n_neighbors=10, metric="cosine").fit(clusters).kneighbors(clusters)
    )
    model = umap.UMAP(
        n_neighbors=10, n_epochs=20, precomputed_knn=(indices, distances), random_state=0
    )
    assert model.fit_transform(clusters).shape == (200, 2)
