"""Which of the peers' tests run with our functions in the place of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Suite(NamedTuple):
    """Tests of a peer, what is put in the place of what, and what must come of it.

    Patterns are those of a whole test's name, parameters included.
    """

    peer: str  # the distribution
    tests: tuple[str, ...]  # modules installed with it, or files of its source distribution
    theirs: str  # a module
    ours: str  # a module
    names: Mapping[str, str] = {}  # of theirs, to ours; none: the whole module
    differs: Mapping[str, str] = {}  # pattern of tests that must fail, and why they do
    left_out: Mapping[str, str] = {}  # pattern of tests that do not run, and why they do not
    passed: int = 0  # how many of the tests that call ours pass, at least
    reached: int = 0  # how many of those come to the engine, at least
    version: str = ""  # of the source distribution; by default the installed one
    checkout: str = (
        ""  # the environment variable that names it, where no distribution has the tests
    )
    borrowed: tuple[str, ...] = ()  # what the tests use of a peer whose whole module is replaced
    absent: str = ""  # pattern of the errors of what is not here
    missing: Mapping[str, str] = {}  # what it forgot: file name, text
    options: tuple[str, ...] = ()  # of pytest
    environment: Mapping[str, str] = {}

    @property
    def is_installed(self) -> bool:
        return not self.tests[0].endswith(".py")


def same(*names: str) -> dict[str, str]:
    return dict(zip(names, names, strict=True))


# Half of scikit-learn's tests are skipped otherwise.
FLOAT32 = {"SKLEARN_RUN_FLOAT32_TESTS": "1"}
# The plugins and fixtures that their conftest.py wants concern nothing here.
LANGCHAIN = ("--noconftest", "-o", "asyncio_mode=auto")

SUITES = {
    "sklearn-pairwise": Suite(
        peer="scikit-learn",
        tests=(
            "sklearn.metrics.tests.test_pairwise",
            "sklearn.metrics.cluster.tests.test_unsupervised",
            "sklearn.tests.test_public_functions",
        ),
        theirs="sklearn.metrics.pairwise",
        ours="embmath.compat.sklearn",
        names=same(
            "cosine_distances",
            "cosine_similarity",
            "euclidean_distances",
            "pairwise_distances_argmin_min",
        ),
        differs={
            r"test_euclidean_distances_with_norms\[float\d\d-dense\]": "wrong norms, given beside "
            "dense rows, spoil nothing: distances come from differences",
        },
        left_out={
            r"test_(function|class_wrapper)_param_validation\[(?!sklearn\.metrics\.pairwise\."
            r"(cosine_|euclidean_distances|pairwise_distances_argmin_min)).*": "other functions",
            r"test_(pairwise_parallel|sparse_manhattan_readonly_dataset|.*array_api).*": "other "
            "functions, slow ones",
        },
        environment=FLOAT32,
        passed=222,
        reached=138,
    ),
    "sklearn-neighbors": Suite(
        peer="scikit-learn",
        tests=(
            "sklearn.neighbors.tests.test_neighbors",
            "sklearn.neighbors.tests.test_neighbors_pipeline",
            "sklearn.neighbors.tests.test_graph",
            "sklearn.cluster.tests.test_dbscan",
            "sklearn.manifold.tests.test_isomap",
        ),
        theirs="sklearn.neighbors",
        ours="embmath.compat.sklearn",
        names=same("KNeighborsTransformer", "NearestNeighbors"),
        differs={
            r"test_k_and_radius_neighbors_duplicates.*": "of equal rows the lowest index is the "
            "neighbour; there a row finds itself or, if not, the second of the others",
        },
        left_out={
            r"test_(neigh_predictions|knn_forcing|.*[cC]lassif|.*[rR]egress).*": "other classes",
        },
        environment=FLOAT32,
        passed=501,
        reached=165,
    ),
    "scipy": Suite(
        peer="scipy",
        tests=("scipy.spatial.tests.test_distance",),
        theirs="scipy.spatial.distance",
        ours="embmath.compat.scipy",
        names=same("cdist"),
        left_out={r"(TestPdist|TestSquareForm|TestNum|TestIs)::.*": "other functions"},
        passed=188,
        reached=26,
    ),
    "sentence-transformers": Suite(
        peer="sentence-transformers",
        version="5.0.0",  # the last whose distribution ships these
        tests=("tests/test_util.py",),
        theirs="sentence_transformers.util",
        ours="embmath.compat.sentence_transformers",
        names=same(
            "community_detection",
            "cos_sim",
            "dot_score",
            "euclidean_sim",
            "manhattan_sim",
            "normalize_embeddings",
            "pairwise_angle_sim",
            "pairwise_cos_sim",
            "pairwise_dot_score",
            "pairwise_euclidean_sim",
            "pairwise_manhattan_sim",
            "paraphrase_mining",
            "paraphrase_mining_embeddings",
            "pytorch_cos_sim",
            "semantic_search",
            "truncate_embeddings",
        ),
        left_out={r"test_(paraphrase_mining|mine_hard_negatives.*)": "they download a model"},
        passed=17,
        reached=17,
    ),
    "langchain-faiss": Suite(
        peer="langchain-community",
        tests=("tests/unit_tests/vectorstores/test_faiss.py",),
        theirs="faiss",
        ours="embmath.compat.faiss",
        options=LANGCHAIN,
        passed=81,
        reached=81,
    ),
    "faiss": Suite(
        peer="faiss-cpu",
        checkout="EMBMATH_FAISS_TESTS",  # those of FAISS 1.7.3
        tests=(
            "test_binary_factory.py",
            "test_binary_io.py",
            "test_build_blocks.py",
            "test_extra_distances.py",
            "test_factory.py",
            "test_index.py",
            "test_index_accuracy.py",
            "test_index_binary.py",
            "test_index_composite.py",
            "test_io.py",
            "test_referenced_objects.py",
            "test_search_params.py",
        ),
        theirs="faiss",
        ours="embmath.compat.faiss",
        borrowed=(
            "contrib.datasets",
            "contrib.evaluation",
            "omp_get_max_threads",
            "omp_set_num_threads",
            "rand",
            "rand_smooth_vectors",
            "randint",
            "randn",
            "swig_ptr",
        ),
        absent=r"module 'embmath.compat.faiss' has no attribute|description: expected|"
        r"metric: expected one of|.*has no attribute '(QT_6bit|find_sorted_ids_bounds|thisown)'",
        differs={
            "TestSWIGWrap::test_id_map_at": "id_map is an array",
            "TestKNN::test_L1": "distances of pairs differ from those of a search in the last bit",
            "TestIndexFlat::test_with_blas_reservoir": "exact neighbours, against a formula that "
            "cancels and may err once in 10,000 times",
            "TestRoundoff::test_roundoff": "it must find what rounding spoils, and nothing is",
        },
        left_out={
            r"TestSWIGWrap::test_all_array_types": "FAISS's own pointers",
            r"TestCallbacks::test_(buf_read|read_buffer)": "FAISS's own pointers and files",
        },
        passed=49,
        reached=47,
    ),
    "datasets-faiss": Suite(
        peer="datasets",
        tests=("tests/test_search.py",),
        theirs="faiss",
        ours="embmath.compat.faiss",
        missing={
            "tests/__init__.py": "",
            "tests/utils.py": "import unittest\n"
            "require_elasticsearch = unittest.skip('not here')\n"
            "def require_faiss(test): return test\n",
        },
        differs={r"FaissIndexTest::test_factory": "no LSH index"},
        left_out={
            r".*elasticsearch.*": "Elasticsearch, not FAISS",
            r"test_serialization_fs": "a fixture that the distribution lacks",
        },
        passed=8,
        reached=8,
    ),
    "langchain-core": Suite(
        peer="langchain-core",
        tests=("tests/unit_tests/vectorstores/test_in_memory.py",),
        theirs="langchain_core.vectorstores",
        ours="embmath.integrations.langchain",
        names={"InMemoryVectorStore": "EmbmathVectorStore"},
        differs={
            "test_inmemory_upsert": "rows are kept as float32",
            "test_inmemory_call_embeddings_async": "an embedding that comes to nothing is refused",
        },
        options=LANGCHAIN,
        passed=32,
        reached=32,
    ),
    "vicinity": Suite(
        peer="vicinity",
        tests=("tests/test_vicinity.py",),
        theirs="vicinity.backends.basic",
        ours="embmath.integrations.vicinity",
        names={"BasicBackend": "EmbmathBackend"},
        # "backend_type9" is the basic one, too
        left_out={r".*\[(?!BASIC|basic|backend_type9\]).*\]": "other backends"},
        passed=21,
        reached=21,
    ),
}
