"""compat.sentence_transformers: codes and the search of codes against the library's own."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import reference
import st_helpers

torch = pytest.importorskip("torch", reason="needs Torch")
from embmath.compat import sentence_transformers as ours  # noqa: E402

PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")
FAISS = ("float32", "uint8", "ubinary")
USEARCH = ("float32", "int8", "ubinary", "binary")


@pytest.fixture(scope="module")
def theirs():
    return st_helpers.util("util.quantization")


@pytest.fixture
def rows(rng):
    return rng.standard_normal((300, 44), dtype=np.float32)


def ranges_of(rows):
    return np.stack([rows.min(0), rows.max(0)])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("given", ["ranges", "calibration", "nothing"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_codes(theirs, rows, precision, given, dtype):
    rows = rows.astype(dtype)
    rows[3, 5], rows[4, 6] = 9, -9
    options = {
        "ranges": {"ranges": ranges_of(rows[:200])},
        "calibration": {"calibration_embeddings": rows[:200]},
    }.get(given, {})
    wanted = theirs.quantize_embeddings(rows, precision, **options)
    for x in (rows, torch.from_numpy(rows), list(rows), list(torch.from_numpy(rows))):
        found = ours.quantize_embeddings(x, precision, **options)
        assert isinstance(found, np.ndarray)
        reference.assert_same(found, wanted)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_codes_of_matrices(theirs, rows, precision):
    parts = [rows[:100], rows[100:250], rows[250:250], rows[250:]]
    found = ours.quantize_embeddings(parts, precision)
    wanted = theirs.quantize_embeddings(parts, precision)
    assert len(found) == len(wanted) == 4
    for mine, expected in zip(found, wanted, strict=True):
        reference.assert_same(mine, expected)
    assert ours.quantize_embeddings([], precision) == []


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shape", [(0, 44), (0, 3)])
def test_codes_of_nothing(theirs, precision, shape):
    empty = np.empty(shape, np.float32)
    reference.assert_same(
        ours.quantize_embeddings(empty, precision), theirs.quantize_embeddings(empty, precision)
    )


@pytest.mark.parametrize("precision", ["float32", "binary", "ubinary"])
def test_codes_of_one(theirs, rows, precision):
    for x in (rows[0], rows[:1], torch.from_numpy(rows[0]).bfloat16()):
        wanted = theirs.quantize_embeddings(x, precision)
        reference.assert_same(ours.quantize_embeddings(x, precision), wanted)


def test_refusals(theirs, rows, caplog):
    for x in (rows[0], rows[:1]):
        for f in (ours.quantize_embeddings, theirs.quantize_embeddings):
            with pytest.raises(ValueError, match="single"):
                f(x, "int8")
    with pytest.raises(ValueError, match="precision: unknown 'int4'"):
        ours.quantize_embeddings(rows, "int4")
    with pytest.raises(TypeError, match="expected floats, got int8"):
        ours.quantize_embeddings(np.int8([[1]]), "int8")
    with caplog.at_level(logging.WARNING):
        ours.quantize_embeddings(rows[:99], "int8")
    assert "99 rows" in caplog.text


def assert_alike(found, wanted):
    """The same scores; rows of equal scores (bits have many) may be others."""
    for mine, expected in zip(st_helpers.scores(found), st_helpers.scores(wanted), strict=True):
        np.testing.assert_allclose(mine, expected, atol=2e-5, rtol=1e-6)
        assert all(isinstance(score, float) for score in mine)


def options_for(precision, rows, rescore, k):
    scalar = {"ranges": ranges_of(rows)} if "int8" in precision else {}
    return {"corpus_precision": precision, "rescore": rescore, "top_k": k, **scalar}


@pytest.mark.parametrize("precision", FAISS)
@pytest.mark.parametrize("rescore", [True, False])
@pytest.mark.parametrize("k", [1, 10, 400])
def test_faiss(theirs, rows, precision, rescore, k):
    pytest.importorskip("faiss", reason="needs faiss-cpu")
    codes = ours.quantize_embeddings(rows, precision, ranges=ranges_of(rows))
    options = options_for(precision, rows, rescore, k)
    if precision == "ubinary" and rescore and k == 10:
        options["rescore_multiplier"] = 30  # all rows: candidates do not depend on ties
    wanted, _, index = theirs.semantic_search_faiss(rows[:7], codes, output_index=True, **options)
    found, seconds, mine = ours.semantic_search_faiss(rows[:7], codes, output_index=True, **options)
    assert seconds > 0
    if not (precision == "ubinary" and rescore and k == 1):
        assert_alike(found, wanted)
    # Either library takes the other's index.
    again = ours.semantic_search_faiss(rows[:7], corpus_index=index, **options)[0]
    assert_alike(again, wanted)
    theirs_of_mine = theirs.semantic_search_faiss(rows[:7], corpus_index=mine, **options)[0]
    assert_alike(found, theirs_of_mine)
    assert st_helpers.ids(theirs_of_mine) == st_helpers.ids(found)
    assert mine.nbytes == codes.nbytes


@pytest.mark.parametrize("precision", USEARCH)
@pytest.mark.parametrize("rescore", [True, False])
@pytest.mark.parametrize("queries", [7, 1])
def test_usearch(theirs, rows, precision, rescore, queries):
    pytest.importorskip("usearch", reason="needs usearch")
    codes = ours.quantize_embeddings(rows, precision, ranges=ranges_of(rows))
    options = options_for(precision, rows, rescore, 10)
    if rescore:
        options["rescore_multiplier"] = 30
    wanted, _, index = theirs.semantic_search_usearch(
        rows[:queries], codes, output_index=True, **options
    )
    found, _, mine = ours.semantic_search_usearch(
        rows[:queries], codes, output_index=True, **options
    )
    assert_alike(found, wanted)
    again = ours.semantic_search_usearch(rows[:queries], corpus_index=mine, **options)[0]
    assert again == found
    other = ours.semantic_search_usearch(rows[:queries], corpus_index=index, **options)[0]
    assert_alike(other, wanted)


@pytest.mark.parametrize("precision", ["uint8", "ubinary"])
def test_queries_that_are_codes(theirs, rows, precision, caplog):
    pytest.importorskip("faiss", reason="needs faiss-cpu")
    codes = ours.quantize_embeddings(rows, precision)
    wanted = theirs.semantic_search_faiss(codes[:5], codes, corpus_precision=precision)[0]
    with caplog.at_level(logging.WARNING):
        found = ours.semantic_search_faiss(codes[:5], codes, corpus_precision=precision)[0]
    assert "the query embeddings are quantized already" in caplog.text
    assert_alike(found, wanted)


def test_search_refusals(rows):
    for f in (ours.semantic_search_faiss, ours.semantic_search_usearch):
        with pytest.raises(ValueError, match="corpus_index, got neither"):
            f(rows)
        with pytest.raises(ValueError, match="corpus_index, got both"):
            f(rows, rows, rows)
        with pytest.raises(ValueError, match="corpus_precision: unknown 'int4'"):
            f(rows, rows, corpus_precision="int4")
    codes = ours.quantize_embeddings(rows, "uint8")
    with pytest.raises(ValueError, match="single row"):
        ours.semantic_search_faiss(rows[:1], codes, corpus_precision="uint8")


@pytest.mark.parametrize("precision", ["uint8", "ubinary", "float32"])
def test_small_corpora(rows, precision):
    codes = ours.quantize_embeddings(rows[:3], precision, ranges=ranges_of(rows))
    options = options_for(precision, rows, precision != "float32", 10)
    assert [len(hits) for hits in ours.semantic_search_faiss(rows[:2], codes, **options)[0]] == [
        3
    ] * 2
    assert ours.semantic_search_faiss(rows[:2], codes[:0], **options)[0] == [[], []]
    assert ours.semantic_search_faiss(rows[:0], codes, **options)[0] == []
    options["top_k"] = 0
    assert ours.semantic_search_faiss(rows[:2], codes, **options)[0] == [[], []]
