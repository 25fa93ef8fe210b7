"""compat.sentence_transformers: search, pairs and groups against the library's own."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import embmath as em
import reference
import st_helpers

torch = pytest.importorskip("torch", reason="needs Torch")
from embmath.compat import sentence_transformers as ours  # noqa: E402
from embmath.compat.sentence_transformers import mining  # noqa: E402

TOLERANCE = 5e-3  # of the library's Euclidean distances, which cancel

NAMES = ("cos_sim", "dot_score", "euclidean_sim", "manhattan_sim")
pytestmark = pytest.mark.filterwarnings("ignore:Sparse:UserWarning")


@pytest.fixture(scope="module")
def theirs():
    return st_helpers.util()


@pytest.fixture
def rows(rng):
    return rng.standard_normal((300, 24), dtype=np.float32)


def assert_alike(found, wanted):
    assert st_helpers.ids(found) == st_helpers.ids(wanted)
    for mine, expected in zip(st_helpers.scores(found), st_helpers.scores(wanted), strict=True):
        np.testing.assert_allclose(mine, expected, atol=TOLERANCE, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("k", [1, 10, 300, 301])
def test_search(theirs, rows, name, k):
    wanted = theirs.semantic_search(
        torch.from_numpy(rows[:5]), rows, top_k=k, score_function=getattr(theirs, name)
    )
    for function in (getattr(theirs, name), getattr(ours, name)):  # both are recognised
        assert_alike(ours.semantic_search(rows[:5], rows, 2, 100, k, function), wanted)


@pytest.mark.parametrize("convert", [torch.from_numpy, list, lambda x: torch.tensor(x).to_sparse()])
def test_search_inputs(theirs, rows, convert):
    queries, corpus = convert(rows[:5]), convert(rows)
    assert_alike(ours.semantic_search(queries, corpus), theirs.semantic_search(queries, corpus))


def test_search_without_rows(theirs, rows):
    for f in (ours.semantic_search, theirs.semantic_search):
        assert f(rows[:2], rows[:0]) == [[], []]
        assert f(rows[:2], []) == [[], []]
        assert f(rows[:0], rows) == []
        assert f(rows[:2], rows, top_k=0) == [[], []]
    assert ours.semantic_search([], rows) == []
    assert_alike(ours.semantic_search(rows[0], rows), theirs.semantic_search(rows[0], rows))


def test_own_score_function(theirs, rows):
    def weighted(a, b):
        return (a * torch.linspace(0, 1, 24)) @ b.T

    wanted = theirs.semantic_search(torch.tensor(rows[:9]), rows, score_function=weighted)
    found = ours.semantic_search(rows[:9], rows, 4, 77, score_function=weighted)
    assert_alike(found, wanted)


def test_integers_are_ranked_right(theirs, rng):
    """The library's int8 products wrap, and it ranks by what is left of them."""
    codes = rng.integers(-128, 128, (50, 64), dtype=np.int8)
    found = ours.semantic_search(codes[:3], codes, top_k=5, score_function=theirs.dot_score)
    wanted = reference.search(codes[:3], codes, 5, "dot")
    assert st_helpers.ids(found) == wanted.indices.tolist()
    assert st_helpers.scores(found) == wanted.values.tolist()
    assert isinstance(found[0][0]["score"], int)
    wide = codes.astype(np.int64)
    assert ours.semantic_search(wide[:3], wide, top_k=5, score_function=ours.dot_score) == found


def test_ties_and_nan():
    corpus = np.float32([[0, 1], [1, 0], [1, 0], [0, 0], [np.nan, 1]])
    found = ours.semantic_search([[1.0, 0.0], [np.nan, 0.0]], corpus, top_k=4)
    assert st_helpers.ids(found) == [[1, 2, 0, 3], []]
    assert ours.semantic_search(torch.ones(2, requires_grad=True), corpus)[0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("max_pairs", "top_k"), [(500000, 100), (50, 7), (1, 1), (10**6, 1000)])
def test_paraphrases(theirs, rows, name, max_pairs, top_k):
    options = {"max_pairs": max_pairs, "top_k": top_k}
    function = getattr(theirs, name)
    wanted = theirs.paraphrase_mining_embeddings(
        torch.tensor(rows), 100, 70, score_function=function, **options
    )
    found = ours.paraphrase_mining_embeddings(rows, score_function=function, **options)
    chunked = ours.paraphrase_mining_embeddings(
        rows, 100, 70, score_function=functools.partial(function), **options
    )
    for mine in (found, chunked):
        np.testing.assert_allclose([p[0] for p in mine], [p[0] for p in wanted], atol=TOLERANCE)
        assert len({(i, j) for _, i, j in mine} ^ {(i, j) for _, i, j in wanted}) <= len(mine) // 99
        assert all(i < j for _, i, j in mine)


def test_few_paraphrases(theirs, rows):
    for f in (ours.paraphrase_mining_embeddings, theirs.paraphrase_mining_embeddings):
        assert f(torch.from_numpy(rows[:0])) == f(torch.from_numpy(rows[:1])) == []
    assert ours.paraphrase_mining_embeddings(rows, top_k=0) == []
    same = ours.paraphrase_mining_embeddings(np.ones((4, 3), np.float32), max_pairs=4)
    assert same == [[1.0, 0, 1], [1.0, 0, 2], [1.0, 0, 3], [1.0, 1, 2]]


@pytest.mark.parametrize("name", ["cos_sim", "euclidean_sim"])
@pytest.mark.parametrize("margin", [1.3, 0.1])  # too low: the threshold fails and is dropped
def test_likely_threshold_changes_nothing(rng, monkeypatch, name, margin):
    rows = np.repeat(rng.standard_normal((900, 12), dtype=np.float32), 2, axis=0)
    rows += 0.3 * rng.standard_normal(rows.shape, dtype=np.float32)
    options = {"max_pairs": 400, "top_k": 20, "score_function": getattr(ours, name)}
    wanted = ours.paraphrase_mining_embeddings(rows, **options)
    monkeypatch.setattr(mining, "SAMPLE", 100)
    monkeypatch.setattr(mining, "MARGIN", margin)
    assert ours.paraphrase_mining_embeddings(rows, **options) == wanted


def test_paraphrases_of_sentences(theirs):
    class Model:
        def encode(self, sentences, convert_to_tensor, truncate_dim, **options):
            assert convert_to_tensor
            assert set(options) == {"show_progress_bar", "batch_size", "prompt_name", "prompt"}
            return torch.eye(3)[[len(s) % 3 for s in sentences]][:, :truncate_dim]

    sentences = ["a", "bb", "cccc", "ddd"]
    found = ours.paraphrase_mining(Model(), sentences, truncate_dim=2, max_pairs=1)
    assert found == theirs.paraphrase_mining(Model(), sentences, truncate_dim=2, max_pairs=1)
    assert found == [[1.0, 0, 2]]


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("smallest", [1, 3, 20])
def test_communities(theirs, rng, threshold, smallest):
    centres = rng.standard_normal((12, 16), dtype=np.float32)
    rows = centres[rng.integers(0, 12, 150)]
    rows = rows + 0.4 * rng.standard_normal(rows.shape, dtype=np.float32)
    options = {"threshold": threshold, "min_community_size": smallest, "batch_size": 64}
    wanted = theirs.community_detection(rows, **options)
    assert ours.community_detection(rows, **options) == wanted
    assert ours.community_detection(torch.from_numpy(rows).double(), **options) == wanted


def test_few_communities(theirs, rows):
    rows[:10] = 0
    for f in (ours.community_detection, theirs.community_detection):
        assert f([]) == f(rows[:0]) == f(rows[:9]) == f(rows[:10]) == []
    zero = ours.community_detection(rows[:10], 0.0)
    assert [sorted(c) for c in zero] == [list(range(10))]
    with pytest.raises(ValueError, match="min_community_size: must be at least 1, got 0"):
        ours.community_detection(rows, min_community_size=0)


def test_progress_bar(rows, capsys):
    pytest.importorskip("tqdm", reason="needs tqdm")
    ours.community_detection(rows, show_progress_bar=True)
    assert "Finding clusters" in capsys.readouterr().err


def test_threads_change_nothing(rows):
    results = []
    for threads in (1, 2):
        em.set_num_threads(threads)
        results.append((ours.semantic_search(rows, rows), ours.community_detection(rows, 0.3, 2)))
    assert results[0] == results[1]
