"""``python -m embmath bench``: all contenders find the same rows, and losses are said."""

from __future__ import annotations

import json

import numpy as np
import pytest

from embmath._cli import main
from embmath._cli.bench import contenders, measure, report

SMALL = ["bench", "--rows", "600", "--dims", "24", "--queries", "1,7", "--seconds", "0.01"]


def test_a_run(capsys, tmp_path):
    path = tmp_path / "figures.json"
    command = [*SMALL, "--dtype", "float32,float16", "--no-memory", "--json", str(path)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "DIFFERENT" not in printed
    cases = json.loads(path.read_text())["cases"]
    assert [case["title"] for case in cases][:2] == [
        "1 queries, 600 x 24, float32",
        "7 queries, 600 x 24, float32",
    ]
    for case in cases:
        first = case["results"][0]
        assert (first["name"], first["ratio"]) == ("embmath.Index", 1.0)
        assert {"embmath.search", "numpy"} <= {each["name"] for each in case["results"]}


@pytest.mark.parametrize("contender", contenders.CONTENDERS, ids=lambda each: each.name)
@pytest.mark.parametrize("n_queries", [1, 5])
def test_contenders_find_what_a_plain_search_finds(contender, n_queries):
    if contender not in contenders.installed(None, contender.dtypes[0]):
        pytest.skip(f"needs {contender.package}")
    case = measure.Case(n_queries, 300, 16, "float32", 4, 1)
    queries, corpus = case.data()
    found = contender.prepare(corpus, 4, 1)(queries)
    scores = queries.astype(np.float64) @ corpus.T.astype(np.float64)
    np.testing.assert_array_equal(np.sort(found), np.sort(np.argsort(-scores)[:, :4]))


def test_wrong_answers_are_called_so():
    case = measure.Case(3, 200, 16, "float32", 2, 1)
    wrong = contenders.Contender(
        "wrong", "numpy", ("float32",), lambda corpus, k, threads: lambda q: np.zeros((3, 2), int)
    )
    results = measure.run_case(case, [contenders.OURS, wrong], 0.0, has_memory=False)
    assert [each["same_answers"] for each in results] == [True, False]
    assert "DIFFERENT" in report.table(results)


def test_losses_are_said():
    results = [{"name": "embmath.Index", "ratio": 1.0}, {"name": "faster", "ratio": 0.5}]
    (line,) = report.losses([{"title": "a case", "results": results}])
    assert line == "faster is 2.00x faster at a case"


def test_memory_is_that_of_a_process_of_its_own():
    case = measure.Case(2, 60_000, 64, "float32", 3, 1)
    found = measure.peak_memory(case, "embmath.Index")
    # 64 bytes of codes and some fifty of scalars a row; less than the 15 MiB of rows.
    assert found is not None
    assert 3 < found < 40


def test_a_picture(tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    path = tmp_path / "times.png"
    assert main([*SMALL, "--no-memory", "--picture", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "wrong", [["--dtype", "int3"], ["--peers", "nobody"], ["--queries", "0"], ["--k", "x"]]
)
def test_wrong_usage(wrong, capsys):
    assert main([*SMALL, *wrong]) == 2
    assert "expected" in capsys.readouterr().err
