"""The demo: the texts, the embedding, the search beside NumPy's."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embmath as em
from embmath._cli import compare, corpus, main
from embmath._cli.demo import QUESTIONS
from embmath._cli.embed import HashedText
from embmath._cli.errors import CliError
from embmath._cli.pca import Sparse, principal_axes

LIMIT = ("--limit", "300")


@pytest.fixture(autouse=True)
def _short_races(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time three runs only."""
    monkeypatch.setattr("embmath._cli.demo._RACE_SECONDS", 0.0)


@pytest.fixture(scope="module")
def docs() -> list[corpus.Doc]:
    return corpus.collect(400)


# --- the texts ------------------------------------------------------------------------------------


def test_thousands_of_distinct_texts() -> None:
    before = set(sys.modules)
    shares: list[float] = []
    docs = corpus.collect(progress=shares.append)
    assert len(docs) > 3000
    assert len({doc.text for doc in docs}) == len(docs)
    names = {doc.name for doc in docs}
    assert {"csv", "random.Random.choice", "threading.Thread.join"} <= names
    assert not any(".test." in name or name.startswith("idlelib") for name in names)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert "turtle" not in set(sys.modules) - before  # read, not imported


def test_limit_keeps_the_first(docs: list[corpus.Doc]) -> None:
    assert corpus.collect(200) == docs[:200]


def library(root: Path, texts: int) -> Path:
    """A library with so many documented functions, and what must not matter."""
    functions = "\n".join(f'def f{i}():\n    """Text {i}."""' for i in range(texts))
    (root / "csv.py").write_text(f'"""About csv."""\n{functions}\n')
    (root / "json" / "tests").mkdir(parents=True)
    (root / "json" / "__init__.py").write_text('class A:\n    """A."""\n    def _b(): """B."""\n')
    (root / "json" / "decoder.py").write_text('async def c():\n    """About csv."""\n')
    (root / "json" / "tests" / "test_x.py").write_text('"""A test."""')
    (root / "json" / "broken.py").write_text("def (:")
    (root / "json" / "null.py").write_bytes(b"\0")
    (root / "mine.py").write_text('"""Not of the library."""')
    return root


def test_public_names_once_without_tests(tmp_path: Path) -> None:
    docs = corpus.collect(root=library(tmp_path, 100))
    assert [doc.name for doc in docs] == ["csv", *(f"csv.f{i}" for i in range(100)), "json.A"]
    assert docs[0].first_line == "About csv."


def test_no_sources_is_said_clearly(tmp_path: Path) -> None:
    with pytest.raises(CliError, match=r"found 0 in .*without sources"):
        corpus.collect(root=tmp_path)
    with pytest.raises(CliError, match="found 52 in"):
        corpus.collect(root=library(tmp_path, 50))


# --- the embedding --------------------------------------------------------------------------------


def test_principal_axes_are_those_of_an_svd(rng: np.random.Generator) -> None:
    # Few strong directions, as in texts, at the randomized method's mercy otherwise.
    dense = rng.standard_normal((80, 12)) @ (2.0 ** -np.arange(12)[:, None] * np.eye(12, 40))
    dense[rng.random(dense.shape) < 0.3] = 0.0
    dense[7] = 0.0  # a row without entries
    rows, columns = np.nonzero(dense)
    starts = np.searchsorted(rows, np.arange(81))
    sparse = Sparse(starts, columns, dense[rows, columns].astype(np.float32), 40)
    np.testing.assert_allclose(sparse.dot(np.eye(40, dtype=np.float32)), dense, rtol=1e-6)
    np.testing.assert_allclose(sparse.transposed().dot(np.eye(80, dtype=np.float32)), dense.T, 1e-6)

    mean, axes = principal_axes(sparse, 5)
    np.testing.assert_allclose(mean, dense.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(axes.T @ axes, np.eye(5), atol=1e-5)
    expected = np.linalg.svd(dense - dense.mean(axis=0))[2][:5]
    np.testing.assert_allclose(np.abs(np.sum(axes.T * expected, axis=1)), 1.0, atol=1e-3)


def test_axes_stop_where_the_rows_span_no_more() -> None:
    same = Sparse(np.arange(0, 21, 2), np.tile([3, 5], 10), np.ones(20, np.float32), 8)
    assert principal_axes(same, 4)[1].shape == (8, 0)


def test_vectors_are_unit_rows_and_repeatable(docs: list[corpus.Doc]) -> None:
    texts = [doc.text for doc in docs]
    embedding = HashedText()
    vectors = embedding.fit(texts)
    assert vectors.shape == (400, 256)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(HashedText().fit(texts), vectors)
    np.testing.assert_allclose(embedding.encode(texts[:9]), vectors[:9], atol=1e-5)


def test_texts_without_words_have_no_direction(docs: list[corpus.Doc]) -> None:
    embedding = HashedText()
    embedding.fit([doc.text for doc in docs])
    nothing, stop_words, unknown = embedding.encode(["?! ...", "how do I", "Grüße, zqxj"])
    assert not nothing.any()
    assert np.linalg.norm(stop_words) == pytest.approx(1.0, abs=1e-5)
    assert np.linalg.norm(unknown) == pytest.approx(1.0, abs=1e-5)


# --- the comparison -------------------------------------------------------------------------------


def unit_rows(rng: np.random.Generator, rows: int, dims: int) -> np.ndarray:
    x = rng.standard_normal((rows, dims), dtype=np.float32)
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


@pytest.mark.parametrize("k", [1, 7, 50, 80])
def test_numpy_and_embmath_agree(rng: np.random.Generator, k: int) -> None:
    queries, rows = unit_rows(rng, 1100, 32), unit_rows(rng, 50, 32)
    rows[20:30] = rows[3]  # ties: any order is right, the lowest index first is ours
    theirs = compare.search_numpy(queries, rows, k)
    agreement = compare.compare(em.search(queries, rows, k), theirs, queries, rows)
    assert agreement.holds
    assert agreement.identical + agreement.reordered == agreement.queries == 1100
    assert agreement.better == agreement.reordered
    assert agreement.largest_gap <= agreement.tolerance == 48 / 2**24


def test_the_right_order_is_told_from_the_wrong_one(rng: np.random.Generator) -> None:
    queries, rows = unit_rows(rng, 20, 32), unit_rows(rng, 50, 32)
    right = em.search(queries, rows, 5)
    swapped = (np.array(right.values), np.array(right.indices)[:, [0, 1, 3, 2, 4]])
    assert compare.compare(right, swapped, queries, rows).better == 20
    assert compare.compare(swapped, right, queries, rows).better == 0


@pytest.mark.parametrize("fault", ["row", "value"])
def test_a_wrong_answer_is_seen(rng: np.random.Generator, fault: str) -> None:
    queries, rows = unit_rows(rng, 20, 32), unit_rows(rng, 50, 32)
    theirs = compare.search_numpy(queries, rows, 5)
    values, indices = (np.array(part) for part in em.search(queries, rows, 5))
    if fault == "row":
        indices[4, 2] = indices[4, 4]
    else:
        values[4, 2] += np.float32(1e-6)  # within what NumPy may lose, not what embmath may
    assert not compare.compare((values, indices), theirs, queries, rows).holds


# --- the command ----------------------------------------------------------------------------------


def run_json(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    assert main(["demo", "--json", *argv]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    document: dict[str, Any] = json.loads(out)
    return document


def test_demo_prints_hits_verdict_and_times(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", *LIMIT]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert all(question in out for question in QUESTIONS)
    assert "300 docstrings" in out
    assert "Same answers" in out
    assert "300 x 300 texts" in out
    assert max(map(len, out.splitlines())) < 80
    assert "\x1b" not in out  # no colours


def test_demo_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    document = run_json(capsys, "find the median", "-k", "3", "--limit", "400")
    (answer,) = document["questions"]
    assert document["texts"] == 400
    assert answer["question"] == "find the median"
    scores = [hit["score"] for hit in answer["hits"]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 3
    assert [race["queries"] for race in document["numpy"]] == [1, 400]
    assert all(race["agreement"]["holds"] for race in document["numpy"])
    assert all(race["numpy_seconds"] > 0 for race in document["numpy"])


def test_more_hits_than_texts(capsys: pytest.CaptureFixture[str]) -> None:
    document = run_json(capsys, "anything", "--k", "1000", "--limit", "100")
    assert len(document["questions"][0]["hits"]) == 100


@pytest.mark.parametrize("question", ["", " ", "?!"])
def test_a_question_without_words(capsys: pytest.CaptureFixture[str], question: str) -> None:
    assert main(["demo", *LIMIT, "what is this", question]) == 1
    message = f"embmath: error: question: has no words, got {question!r}\n"
    assert capsys.readouterr() == ("", message)


def test_disagreement_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def reversed_search(*args: Any, **options: Any) -> em.TopK:
        values, indices = compare.search_numpy(args[0], args[1], args[2])
        return em.TopK(values[:, ::-1], indices[:, ::-1])

    monkeypatch.setattr(em, "search", reversed_search)
    assert main(["demo", *LIMIT]) == 1
    out, err = capsys.readouterr()
    assert "DIFFERENT ANSWERS" in out
    assert "disagree" in err


def test_three_lines_in_the_place_of_faiss(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embmath._cli.dropins.are_installed", lambda names: names == ["scipy"])
    assert main(["demo", *LIMIT, "--k", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()[-7:]
    assert lines.pop(3).startswith(
        "  index.search(questions, 3)                       # the hits ab"
    )
    assert lines == [
        "the same where FAISS does it today:",
        "  from embmath.compat import faiss                 # was: import faiss",
        "  index = faiss.IndexFlatIP(256); index.add(texts) # as it was",
        "and where other libraries that you have do it (python -m embmath bench dropin):",
        "  - from scipy.spatial.distance import cdist",
        "  + from embmath.compat.scipy import cdist",
    ]
    faiss = run_json(capsys, *LIMIT)["faiss"]
    assert faiss["same_hits"]
    assert faiss["largest_gap"] < 1e-6


def model_library(encode: Callable[..., Any]) -> types.ModuleType:
    """A stand-in for sentence_transformers: one model is known."""

    class SentenceTransformer:
        def __init__(self, name: str) -> None:
            if name != "known":
                raise OSError(f"{name} is not a model")

        def encode(self, texts: list[str], **options: object) -> Any:
            return encode(texts)

    library = types.ModuleType("sentence_transformers")
    library.SentenceTransformer = SentenceTransformer  # type: ignore[attr-defined]
    return library


def test_a_model_embeds_texts_and_questions(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_length(texts: list[str]) -> np.ndarray:
        return np.array([[len(text), 1.0, 0.0] for text in texts])

    monkeypatch.setitem(sys.modules, "sentence_transformers", model_library(by_length))
    document = run_json(capsys, "x" * 200, "--model", "known", *LIMIT)
    assert (document["model"], document["dims"]) == ("known", 3)
    assert document["numpy"][1]["agreement"]["holds"]


def test_an_unknown_model(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", model_library(len))
    assert main(["demo", *LIMIT, "--model", "other"]) == 1
    assert "cannot load 'other': other is not a model" in capsys.readouterr().err


def test_no_library_for_models(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    assert main(["demo", *LIMIT, "--model", "any"]) == 1
    assert "pip install 'embmath[demo]'" in capsys.readouterr().err


def test_any_text_on_a_poor_terminal(run_python: Callable[..., Any]) -> None:
    done = run_python(
        "import sys\n"
        "from embmath._cli import main\n"
        "sys.argv = ['embmath', 'demo', '--limit', '100', 'naïve Größe?']\n"
        "sys.exit(main())\n",
        PYTHONIOENCODING="ascii",
    )
    assert "na?ve Gr??e?" in done.stdout
