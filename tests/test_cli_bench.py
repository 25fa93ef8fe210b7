"""``python -m embmath bench``: all contenders find the same rows, and losses are said."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from embmath._cli import main
from embmath._cli.bench import measure, memory, report, searches
from embmath._cli.bench.dropins import DROPINS, PEERS, DropInCase, answers
from embmath._cli.bench.packages import are_installed

SMALL = ["bench", "--rows", "600", "--dims", "24", "--queries", "1,7", "--seconds", "0.01"]
SEARCH = searches.SearchCase(3, 200, 16, "float32", 2, 1)

# Of the peers' own making.
pytestmark = pytest.mark.filterwarnings("ignore")


def test_searches(capsys, tmp_path):
    path = tmp_path / "figures.json"
    command = [*SMALL, "search", "--dtype", "float32,float16", "--no-memory", "--json", str(path)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "DIFFERENT" not in printed
    cases = json.loads(path.read_text())["cases"]
    assert [case["title"] for case in cases][:2] == [
        "1 query, 600 x 24, float32",
        "7 queries, 600 x 24, float32",
    ]
    for case in cases:
        first = case["results"][0]
        assert (first["name"], first["ratio"]) == ("embmath.Index", 1.0)
        assert {"embmath.search", "numpy"} <= {each["name"] for each in case["results"]}


@pytest.mark.parametrize("searcher", searches.SEARCHERS, ids=lambda each: each.name)
@pytest.mark.parametrize("n_queries", [1, 5])
def test_contenders_find_what_a_plain_search_finds(searcher, n_queries):
    if not are_installed([searcher.package]):
        pytest.skip(f"needs {searcher.package}")
    inputs = searches.SearchCase(n_queries, 300, 16, searcher.dtypes[0], 4, 1).inputs()
    found = searcher.prepare(inputs)()
    scores = inputs.queries.astype(np.float64) @ inputs.corpus.T.astype(np.float64)
    np.testing.assert_array_equal(np.sort(found), np.sort(np.argsort(-scores)[:, :4]))


def test_wrong_answers_are_called_so_and_fail(monkeypatch, capsys):
    wrong = searches.Searcher(
        "wrong", "numpy", ("float32",), lambda corpus, k, threads: lambda q: np.zeros((len(q), k))
    )
    monkeypatch.setattr(searches, "SEARCHERS", (searches.SEARCHERS[0], wrong))
    results = measure.run_case(SEARCH, 0.0, None)
    assert [each["same_answers"] for each in results] == [True, False]
    assert "DIFFERENT" in report.search_table(results)
    assert main([*SMALL, "search", "--no-memory"]) == 1
    assert "answers differ: wrong at 1 query, 600 x 24, float32; wrong" in capsys.readouterr().err


def test_losses_are_said():
    ours = {"name": "embmath.Index", "ratio": 1.0, "peak_mib": 90.0}
    faster = {"name": "faster", "ratio": 0.5, "peak_mib": 100.0}
    lighter = {"name": "lighter", "ratio": 1.5, "peak_mib": 40.0}
    unknown = {"name": "unknown", "ratio": 1.5, "peak_mib": None}
    lines = report.losses([{"title": "a case", "results": [ours, faster, lighter, unknown]}])
    assert lines == [
        "faster is 2.00x faster at a case",
        "lighter takes 40 MiB for our 90 at a case",
    ]


def test_memory_is_that_of_a_process_of_its_own():
    case = searches.SearchCase(2, 60_000, 64, "float32", 3, 1)
    with memory.MemoryMeter() as meter:
        found = meter.peak(case.request(), "embmath.Index")
        assert meter.peak(case.request(), "nobody") is None
        again = meter.peak(case.request(), "embmath.Index")
    # 64 bytes of codes and some fifty of scalars a row; less than the 15 MiB of rows.
    assert found is not None
    assert again is not None
    assert 3 < found < 40
    assert 3 < again < 40


# --- drop-ins -------------------------------------------------------------------------------------


def needed(name: str) -> DropInCase:
    """A small case of a drop-in whose library is here."""
    if not are_installed(DROPINS[name].packages):
        pytest.skip(f"needs {' and '.join(DROPINS[name].packages)}")
    queries = min(DROPINS[name].quick.queries, 7)
    return DropInCase(name, queries, 600, 24, "float32", 1)


@pytest.mark.parametrize("name", DROPINS)
def test_dropins_give_the_same_answers(name):
    case = needed(name)
    for dtype in DROPINS[name].dtypes:
        ours, theirs = measure.run_case(replace(case, dtype=dtype), 0.0, None)
        assert (ours["name"], theirs["name"]) == ("embmath", PEERS[DROPINS[name].package])
        assert theirs["same_answers"]


@pytest.mark.parametrize("name", DROPINS)
def test_other_answers_are_noticed(name):
    """Those of other rows."""
    case = needed(name)
    found = []
    for rows in (600, 601):
        other = replace(case, rows=rows)
        found.append(other.contenders()[0].prepare(other.inputs())())
    assert case.agree(case.inputs(), found[0], found[0])
    assert not case.agree(case.inputs(), *found)


def test_a_table_and_figures_of_dropins(capsys, tmp_path):
    pytest.importorskip("scipy", reason="needs SciPy")
    path = tmp_path / "figures.json"
    command = [*SMALL, "dropin", "--functions", "cdist", "--peers", "scipy", "--json", str(path)]
    assert main(command) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[2].startswith("scipy ")
    assert printed[3].split()[0] == "size"
    assert printed[4].split()[:6] == ["cdist", "1", "x", "600", "x", "24"]
    assert printed[4].endswith("same")
    cases = json.loads(path.read_text())["cases"]
    assert [case["title"] for case in cases] == ["cdist, 1 x 600 x 24", "cdist, 7 x 600 x 24"]
    for case in cases:
        assert case["before"] == "from scipy.spatial.distance import cdist"
        assert case["after"] == "from embmath.compat.scipy import cdist"
        assert [each["name"] for each in case["results"]] == ["embmath", "scipy"]
        assert all(each["peak_mib"] is not None for each in case["results"])


def test_dropins_that_differ_fail(monkeypatch, capsys):
    pytest.importorskip("scipy", reason="needs SciPy")
    wrong = replace(DROPINS["cdist"], same=lambda data, ours, theirs: False)
    monkeypatch.setitem(DROPINS, "cdist", wrong)
    assert main([*SMALL, "dropin", "--functions", "cdist", "--no-memory"]) == 1
    found = capsys.readouterr()
    assert "DIFFERENT" in found.out
    assert "answers differ: scipy at cdist, 1 x 600 x 24; scipy" in found.err


def test_what_is_not_installed_is_said(monkeypatch, capsys):
    absent = replace(DROPINS["cdist"], needs=("not_to_be_found",))
    monkeypatch.setitem(DROPINS, "cdist", absent)
    assert main([*SMALL, "dropin", "--functions", "cdist", "--no-memory"]) == 0
    assert capsys.readouterr().out.endswith("left out, not installed: scipy (cdist)\n")


def test_ties_may_be_broken_otherwise():
    values = np.array([[3.0, 2.0, 1.0]])
    ours = answers.Hits(values, np.array([[7, 8, 9]]))
    for ids in ([7, 8, 9], [7, 8, 5]):
        assert answers.same_hits(ours, answers.Hits(values, np.array([ids])), 1e-6)
    for ids in ([8, 7, 9], [7, 5, 9], [7, 8, 8], [5, 6, 9]):
        assert not answers.same_hits(ours, answers.Hits(values, np.array([ids])), 1e-6)
    tied = answers.Hits(np.array([[3.0, 3.0, 1.0]]), ours.ids)
    assert answers.same_hits(tied, answers.Hits(tied.values, np.array([[8, 7, 9]])), 1e-6)
    assert not answers.same_hits(ours, answers.Hits(values + 1, ours.ids), 1e-6)
    assert not answers.same_hits(ours, answers.Hits(values[:, :2], ours.ids[:, :2]), 1e-6)


# --- both -----------------------------------------------------------------------------------------


def test_a_picture(tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    path = tmp_path / "times.png"
    assert main([*SMALL, "search", "--no-memory", "--picture", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "wrong",
    [
        ["--dtype", "int3"],
        ["--peers", "nobody"],
        ["--queries", "0"],
        ["--k", "x"],
        ["--functions", "f"],
    ],
)
def test_wrong_usage(wrong, capsys):
    assert main([*SMALL, *wrong]) == 2
    assert "expected" in capsys.readouterr().err
