"""The command line: info, search, progress, exit codes."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embmath as em
from cli_fixtures import COMMAND, FILES, Run, hits
from embmath._cli.progress import Bar

# --- commands and usage ---------------------------------------------------------------------------


def test_help_names_the_commands(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert all(command in out for command in ("info", "demo", "search", "quantize", "exit codes"))


def test_help_loads_nothing_optional(run_python: Callable[..., Any]) -> None:
    unwanted = ("safetensors", "sentence_transformers", "torch", "embmath._cli.embed")
    done = run_python(
        "import sys\n"
        "from embmath._cli import main\n"
        "assert main(['--help']) == 0\n"
        f"assert not set({unwanted}) & set(sys.modules)\n"
    )
    assert "search" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "required"),
        (("nothing",), "invalid choice"),
        (("search", "--corpus", "a.npy"), "--queries"),
        ((*FILES, "-k", "0"), "at least 1"),
        ((*FILES, "-k", "ten"), "at least 1"),
        ((*FILES, "-k", "1.5"), "at least 1"),
        ((*FILES, "--dims", "-3"), "at least 1"),
        ((*FILES, "--threads", "0"), "at least 1"),
        ((*FILES, "--metric", "cos"), "cosine"),
        ((*FILES, "--threshold", "high"), "--threshold"),
        ((*FILES, "--out", "hits.npy"), ".npz"),
        (("demo", "--limit", "5"), "at least 100"),
    ],
)
def test_wrong_usage_exits_with_2(run: Run, options: tuple[str, ...], message: str) -> None:
    code, out, err = run(*options)
    assert (code, out) == (2, "")
    assert message in err


def test_info_prints_every_fact(run: Run) -> None:
    code, out, _ = run("info")
    assert code == 0
    assert em.info()["version"] in out
    assert ", ".join(em.isas()) in out


def test_info_as_json(run: Run) -> None:
    code, out, _ = run("info", "--json")
    assert code == 0
    assert json.loads(out).keys() == em.info().keys()
    assert json.loads(out)["isas"] == list(em.isas())


# --- search ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "keywords"),
    [
        ((), {}),
        (("-k", 3), {"k": 3}),
        (("--k", 100), {"k": 100}),
        (("--metric", "euclidean"), {"metric": "euclidean"}),
        (("--metric", "dot", "--threads", 1), {"metric": "dot"}),
        (("--dims", 8), {"dims": 8}),
        (("--threshold", 0.2), {"threshold": 0.2}),
        (("--threshold", 5.5, "--metric", "euclidean"), {"threshold": 5.5, "metric": "euclidean"}),
        (("--exclude-self",), {"exclude_self": True}),
        (("--mask", "mask.npy"), {"mask": True}),
    ],
)
@pytest.mark.usefixtures("saved")
def test_json_holds_the_hits_of_search(
    run: Run,
    arrays: dict[str, np.ndarray],
    options: tuple[object, ...],
    keywords: dict[str, Any],
) -> None:
    if "mask" in keywords:
        keywords = {"mask": arrays["mask"]}
    expected = em.search(arrays["queries"], arrays["corpus"], **keywords)
    document = hits(run, *options)
    kept = [row >= 0 for row in expected.indices]
    assert document["indices"] == [
        row[keep].tolist() for row, keep in zip(expected.indices, kept, strict=True)
    ]
    assert document["values"] == [
        row[keep].tolist() for row, keep in zip(expected.values, kept, strict=True)
    ]


@pytest.mark.usefixtures("saved")
def test_json_describes_the_search(run: Run) -> None:
    document = hits(run, "-k", 2)
    assert document["corpus"] == {"file": "corpus.npy", "shape": [60, 24], "dtype": "float32"}
    assert document["queries"]["shape"] == [7, 24]
    assert (document["metric"], document["k"], document["out"]) == ("cosine", 2, None)
    assert document["seconds"] > 0


def test_json_has_null_for_nan(run: Run, saved: Path, arrays: dict[str, np.ndarray]) -> None:
    arrays["corpus"][3, 5] = np.nan
    np.save(saved / "corpus.npy", arrays["corpus"])
    document = hits(run, "-k", 60)
    assert all(row[-1] == 3 for row in document["indices"])
    assert all(row[-1] is None for row in document["values"])


def test_out_holds_all_hits(run: Run, saved: Path, arrays: dict[str, np.ndarray]) -> None:
    (saved / "hits.npz").write_bytes(b"an older file")
    code, out, _ = run(*FILES, "-k", 4, "--out", "hits.npz")
    assert code == 0
    assert "7 x 4" in out
    expected = em.search(arrays["queries"], arrays["corpus"], 4)
    with np.load("hits.npz") as archive:
        assert set(archive.files) == {"values", "indices"}
        np.testing.assert_array_equal(archive["values"], expected.values)
        np.testing.assert_array_equal(archive["indices"], expected.indices)
    assert sorted(p.name for p in saved.iterdir()) == sorted(
        ["corpus.npy", "queries.npy", "mask.npy", "hits.npz"]
    )


@pytest.mark.usefixtures("saved")
def test_out_with_json_prints_a_summary_only(run: Run) -> None:
    document = hits(run, "--out", "hits.npz")
    assert document["out"] == "hits.npz"
    assert "indices" not in document


@pytest.mark.usefixtures("saved")
def test_the_table_shows_the_first_queries(run: Run, arrays: dict[str, np.ndarray]) -> None:
    code, out, err = run(*FILES, "-k", 2, "--show", 5)
    assert (code, err) == (0, "")
    top = em.search(arrays["queries"], arrays["corpus"], 2)
    table = out.split("cosine\n")[1].split("\n\n")[0].splitlines()
    assert [int(line.split()[-2]) for line in table] == top.indices[:5].ravel().tolist()
    assert "2 more queries" in out
    assert max(map(len, out.splitlines())) < 80


@pytest.mark.usefixtures("saved")
def test_the_table_says_where_nothing_is_found(run: Run) -> None:
    code, out, _ = run(*FILES, "--threshold", 0.9999, "--show", 7)
    assert code == 0
    assert out.count("no hits") == 7


def test_packed_bits_and_one_row_of_queries(
    run: Run, saved: Path, rng: np.random.Generator
) -> None:
    codes = rng.integers(0, 256, (40, 8), dtype=np.uint8)
    np.save(saved / "corpus.npy", codes)
    np.save(saved / "queries.npy", codes[7])
    document = hits(run, "--metric", "hamming", "-k", 3)
    assert document["indices"][0][0] == 7
    assert document["values"] == em.search(codes[7], codes, 3, "hamming").values.tolist()


@pytest.mark.usefixtures("saved")
def test_without_queries_there_is_nothing_to_show(run: Run) -> None:
    np.save("queries.npy", np.zeros((0, 24), np.float32))
    assert run(*FILES)[0] == 0
    assert hits(run)["indices"] == []


# --- interruption ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "embmath: interrupted\n"),
        (MemoryError("workspace: 3 GB"), 1, "embmath: error: workspace: 3 GB\n"),
        (MemoryError(), 1, "embmath: error: not enough memory\n"),
    ],
)
@pytest.mark.usefixtures("saved")
def test_interruptions(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, message: str
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(em, "search", fail)
    assert run(*FILES) == (code, "", message)


@pytest.mark.skipif(os.name != "posix", reason="POSIX pipes")
def test_a_closed_pipe_is_no_traceback(saved: Path, rng: np.random.Generator) -> None:
    np.save(saved / "queries.npy", rng.standard_normal((2000, 24), dtype=np.float32))
    with subprocess.Popen(
        [*COMMAND, *FILES, "-k", "50", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_ctrl_c_is_no_traceback() -> None:
    with subprocess.Popen(
        [*COMMAND, "demo", "--limit", "400"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"texts")
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b"embmath: interrupted\n"
        assert process.wait(60) == 130


# --- progress -------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_bar_moves_ten_times_a_second_at_most_and_goes() -> None:
    terminal, clock = Terminal(), Clock()
    with Bar("searching", terminal, clock) as bar:
        assert bar.callback is not None
        for step in range(1, 101):
            clock.now = step / 100  # one second in all
            bar.callback(step / 100)
        drawn = terminal.getvalue()
    lines = drawn.split("\r")[1:]
    assert 5 <= len(lines) <= 10
    assert all(line.startswith("searching [") and len(line) < 80 for line in lines)
    assert "s left" in lines[0]
    assert terminal.getvalue() == drawn + "\r" + " " * len(lines[-1]) + "\r"


def test_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    terminal, clock = Terminal(), Clock()
    with Bar("searching", terminal, clock) as bar:
        clock.now = 1.0
        bar.update(0.5)
        assert terminal.getvalue() == "\rsearching  50% 1 s "


def test_no_bar_without_a_terminal_or_for_a_moment() -> None:
    assert Bar("searching", io.StringIO()).callback is None
    terminal, clock = Terminal(), Clock()
    with Bar("searching", terminal, clock) as bar:
        bar.update(0.5)
    assert terminal.getvalue() == ""


@pytest.mark.usefixtures("saved")
def test_search_draws_on_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("embmath._cli.progress._INTERVAL", 0.0)

    def long_search(*args: Any, progress: Callable[[float], object], **options: Any) -> em.TopK:
        progress(0.5)
        return search(*args, **options)

    search = em.search
    monkeypatch.setattr(em, "search", long_search)
    assert run(*FILES)[0] == 0
    assert "searching" in terminal.getvalue()
