"""``python -m embmath index``, and searches of the files that it makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embmath as em
from cli_fixtures import FILES, Run, hits
from embmath._cli import index as command

INDEX = ("index", "corpus.npy", "--out", "x.safetensors")
SEARCH = ("search", "--corpus", "x.safetensors", "--queries", "queries.npy")


@pytest.fixture
def made(run: Run, saved: Path) -> Path:
    """The working directory with x.safetensors in it."""
    assert run(*INDEX)[0] == 0
    return saved


def test_summary(run: Run, saved: Path) -> None:
    code, out, err = run(*INDEX)
    assert (code, err) == (0, "")
    assert "60 x 24 float32" in out
    assert "codes: none" in out  # of 24 dimensions
    assert f"{(saved / 'x.safetensors').stat().st_size:,} bytes" in out


def test_json(run: Run, saved: Path, arrays: dict[str, np.ndarray]) -> None:
    np.save("ids.npy", np.arange(60)[::-1])
    options = ("--metric", "dot", "--codes", "int8,prefix", "--ids", "ids.npy", "--threads", "1")
    code, out, err = run(*INDEX, *options, "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["codes"] == ["int8", "prefix"]
    assert document["rows"] == {"file": "corpus.npy", "shape": [60, 24], "dtype": "float32"}
    index = em.Index.load("x.safetensors", verify="full")
    assert (index.metric, index.ids.tolist()) == ("dot", list(range(60))[::-1])


@pytest.mark.parametrize(("codes", "kept"), [("none", ()), ("int8", ("int8",)), ("auto", ())])
def test_codes(codes: str, kept: Any, run: Run, saved: Path) -> None:
    assert run(*INDEX, "--codes", codes)[0] == 0
    assert em.Index.load("x.safetensors").stats["codes"] == kept


@pytest.mark.parametrize("options", [(), ("--threshold", "0.1"), ("--mask", "mask.npy")])
def test_search_finds_what_it_finds_in_the_rows(
    options: tuple[str, ...], run: Run, made: Path
) -> None:
    expected = hits(run, *options)
    code, out, err = run(*SEARCH, "--json", *options)
    assert (code, err) == (0, "")
    found = json.loads(out)
    for key in ("indices", "values", "metric", "k"):
        assert found[key] == expected[key]
    assert found["corpus"]["shape"] == [60, 24]


def test_search_shows_ids_and_the_index(run: Run, saved: Path) -> None:
    np.save("ids.npy", np.arange(60) + 1000)
    run(*INDEX, "--metric", "sqeuclidean", "--ids", "ids.npy")
    code, out, _ = run(*SEARCH, "-k", "3")
    assert code == 0
    assert "60 x 24 float32 index" in out
    assert "sqeuclidean, k = 3" in out
    code, out, _ = run(*SEARCH, "--json")
    assert min(min(row) for row in json.loads(out)["indices"]) >= 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--metric", "dot"), "is an index for cosine, got --metric dot"),
        (("--key", "rows"), "--key is for files of arrays"),
        (("--queries", "mask.npy"), "queries (mask.npy): expected"),
    ],
)
def test_what_an_index_cannot_do(
    options: tuple[str, ...], message: str, run: Run, made: Path
) -> None:
    code, out, err = run(*SEARCH, *options)
    assert (code, out) == (1, "")
    assert message in err


def test_a_damaged_index(run: Run, made: Path) -> None:
    content = (made / "x.safetensors").read_bytes()
    (made / "x.safetensors").write_bytes(content[:-100])
    code, _, err = run(*SEARCH)
    assert code == 1
    assert "x.safetensors: " in err
    assert "truncated" in err


@pytest.mark.parametrize(
    "options", [("--codes", "int2"), ("--codes", ""), ("--metric", "l2"), ("--out", "x.npz")]
)
def test_wrong_usage(options: tuple[str, ...], run: Run, saved: Path) -> None:
    code, _, err = run(*INDEX, *options)
    assert code == 2
    assert options[0] in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--metric", "hamming"), "takes packed bits"),
        (("--metric", "hamming", "--codes", "int8"), "codes: 'int8' goes with"),
        (("--ids", "queries.npy"), "ids (queries.npy): expected dtype"),
        (("--ids", "missing.npy"), "missing.npy: No such file"),
        (("--out", "nowhere/x.safetensors"), "no such directory"),
    ],
)
def test_failures(options: tuple[str, ...], message: str, run: Run, saved: Path) -> None:
    code, out, err = run(*INDEX, *options)
    assert (code, out) == (1, "")
    assert message in err
    assert not (saved / "x.safetensors").exists()


def test_an_input_is_not_replaced(run: Run, made: Path) -> None:
    content = (made / "x.safetensors").read_bytes()
    code, _, err = run("index", "x.safetensors", "--key", "rows", "--out", "x.safetensors")
    assert code == 1
    assert "refusing to replace" in err
    assert (made / "x.safetensors").read_bytes() == content


def test_ctrl_c(run: Run, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    content = (made / "x.safetensors").read_bytes()
    monkeypatch.setattr(command.em.Index, "save", interrupt)
    code, _, err = run(*INDEX)
    assert code == 130
    assert "interrupted" in err
    assert (made / "x.safetensors").read_bytes() == content


def test_other_safetensors_files_stay_arrays(
    run: Run, saved: Path, arrays: dict[str, np.ndarray]
) -> None:
    save_file = pytest.importorskip("safetensors.numpy").save_file
    save_file({"x": arrays["corpus"]}, saved / "x.safetensors", metadata={"format": "embmath"})
    expected = hits(run)["indices"]
    code, out, _ = run(*FILES, "--corpus", "x.safetensors", "--json")
    assert code == 0
    assert json.loads(out)["indices"] == expected
