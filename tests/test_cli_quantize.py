"""``python -m embmath quantize``: the codes of em.quantize, whatever the size of the file."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embmath as em
from cli_fixtures import COMMAND, Run, hits
from codes_helpers import PRECISIONS, assert_alike
from embmath import _codes_file
from embmath._cli import encode, files
from embmath._cli.errors import CliError

OUT = "codes.safetensors"
MIB = 1 << 20


def quantize(run: Run, *options: object, source: str = "corpus.npy") -> em.Codes:
    code, out, err = run("quantize", source, "--out", OUT, *options)
    assert (code, err) == (0, "")
    assert OUT in out
    assert sorted(p.name for p in Path().iterdir() if p.name.startswith(".")) == []
    return em.Codes.load(OUT, verify="full")


@pytest.fixture(params=[encode._CHUNK, 700], ids=["one chunk", "chunks"])
def chunked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with chunks of seven rows, which do not divide sixty."""
    monkeypatch.setattr(encode, "_CHUNK", request.param)


CASES: list[tuple[tuple[object, ...], dict[str, Any]]] = [
    *[(("--to", name), {"precision": name}) for name in PRECISIONS],
    *[
        (("--to", name, "--scope", scope), {"precision": name, "scope": scope})
        for name in ("int8", "uint8", "int4")
        for scope in ("row", "dim", "global")
    ],
    *[
        (("--to", "int8", "--scope", "dim", "--rounding", rule), {"scope": "dim", "rounding": rule})
        for rule in ("floor", "nearest", "truncate", "ratio")
    ],
    (("--to", "int8", "--quantile", 0.9), {"quantile": 0.9}),
    (
        ("--to", "uint8", "--quantile", 0.5, "--scope", "global", "--bits", 7),
        {"precision": "uint8", "quantile": 0.5, "scope": "global", "bits": 7},
    ),
    (("--to", "int4", "--layout", "split"), {"precision": "int4", "layout": "split"}),
    (
        ("--to", "binary", "--signedness", "twos_complement"),
        {"precision": "binary", "signedness": "twos_complement"},
    ),
    (("--to", "int8", "--threads", 1), {}),
]


@pytest.mark.parametrize(("options", "keywords"), CASES, ids=lambda v: str(v)[:50])
@pytest.mark.usefixtures("saved", "chunked")
def test_codes_are_those_of_quantize(
    run: Run,
    arrays: dict[str, np.ndarray],
    options: tuple[object, ...],
    keywords: dict[str, Any],
) -> None:
    expected = em.quantize(arrays["corpus"], **({"precision": "int8"} | keywords))
    assert_alike(quantize(run, *options), expected)


@pytest.mark.parametrize("scope", ["row", "dim", "global"])
@pytest.mark.usefixtures("saved", "chunked")
def test_rows_changed_before(run: Run, arrays: dict[str, np.ndarray], scope: Any) -> None:
    prefix = arrays["corpus"][:, :11]
    options = ("--to", "uint8", "--scope", scope, "--dims", 11)
    assert_alike(quantize(run, *options), em.quantize(prefix, "uint8", scope=scope))
    unit = em.normalize(prefix)
    assert_alike(quantize(run, *options, "--normalize"), em.quantize(unit, "uint8", scope=scope))


@pytest.mark.parametrize("dtype", ["float16", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.usefixtures("chunked")
def test_dtypes_and_orders(
    run: Run, saved: Path, arrays: dict[str, np.ndarray], dtype: str, order: Any
) -> None:
    x = np.asarray(arrays["corpus"], dtype, order=order)
    np.save(saved / "other.npy", x)
    codes = quantize(run, "--to", "int8", "--scope", "dim", source="other.npy")
    assert_alike(codes, em.quantize(x, "int8", scope="dim"))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0), (1, 5)])
def test_few_rows(run: Run, saved: Path, precision: Any, shape: tuple[int, int]) -> None:
    x = np.ones(shape, np.float32)
    np.save(saved / "few.npy", x)
    codes = quantize(run, "--to", precision, source="few.npy")
    assert_alike(codes, em.quantize(x, precision))


@pytest.mark.usefixtures("saved")
def test_one_row(run: Run, arrays: dict[str, np.ndarray]) -> None:
    np.save("row.npy", arrays["corpus"][0])
    codes = quantize(run, "--to", "int8", source="row.npy")
    assert_alike(codes, em.quantize(arrays["corpus"][:1], "int8"))


def test_other_files(run: Run, saved: Path, arrays: dict[str, np.ndarray]) -> None:
    expected = em.quantize(arrays["corpus"], "int8")
    np.savez("all.npz", a=arrays["corpus"], b=arrays["queries"])
    assert_alike(quantize(run, "--to", "int8", "--key", "a", source="all.npz"), expected)
    save_file = pytest.importorskip("safetensors.numpy").save_file
    save_file({"x": arrays["corpus"]}, saved / "x.safetensors")
    assert_alike(quantize(run, "--to", "int8", source="x.safetensors"), expected)


# --- what it says ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("saved")
def test_json(run: Run) -> None:
    code, out, err = run("quantize", "corpus.npy", "--to", "int8", "--out", OUT, "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert facts["input"] == {"file": "corpus.npy", "shape": [60, 24], "dtype": "float32"}
    assert (facts["precision"], facts["scope"], facts["out"]) == ("int8", "row", OUT)
    assert facts["bytes_in"] == 60 * 24 * 4
    assert facts["bytes_out"] == Path(OUT).stat().st_size
    assert facts["ratio"] == facts["bytes_in"] / facts["bytes_out"]
    assert facts["seconds"] > 0
    assert facts["gb_per_s"] > 0


@pytest.mark.usefixtures("saved")
def test_summary(run: Run) -> None:
    _, out, _ = run("quantize", "corpus.npy", "--to", "int4", "--out", OUT)
    assert "60 x 24 float32  corpus.npy" in out
    assert "int4, scope row" in out
    assert "GB/s" in out


def test_progress_of_both_passes(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "_CHUNK", 700)
    rows = files.read_array(str(saved / "corpus.npy"))
    encoder = encode.Encoder(rows, "int8", {"scope": "dim"})
    shares: list[float] = []
    assert encoder.needs_ranges
    encoder.fit(shares.append)
    assert shares == sorted(shares)
    assert (len(shares), shares[-1]) == (9, 1.0)
    encoder.save(OUT, shares.append)
    assert shares[-1] == 1.0


# --- exit codes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "required"),
        (("corpus.npy", "--out", OUT), "--to"),
        (("corpus.npy", "--to", "int8"), "--out"),
        (("corpus.npy", "--to", "int9", "--out", OUT), "invalid choice"),
        (("corpus.npy", "--to", "int8", "--out", "codes.npz"), ".safetensors"),
        (("corpus.npy", "--to", "int8", "--out", OUT, "--scope", "all"), "invalid choice"),
        (("corpus.npy", "--to", "int8", "--out", OUT, "--dims", "0"), "at least 1"),
        (("corpus.npy", "--to", "uint8", "--out", OUT, "--bits", "few"), "expected a number"),
        (("corpus.npy", "--to", "int8", "--out", OUT, "--quantile", "most"), "--quantile"),
    ],
)
@pytest.mark.usefixtures("saved")
def test_wrong_usage_exits_with_2(run: Run, options: tuple[str, ...], message: str) -> None:
    code, out, err = run("quantize", *options)
    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("none.npy", ("--to", "int8"), "none.npy: No such file"),
        ("data.csv", ("--to", "int8"), "data.csv: expected a .npy"),
        ("mask.npy", ("--to", "int8"), "mask.npy: expected dtype float16"),
        ("cube.npy", ("--to", "int8"), "cube.npy: expected 1 or 2 dimensions, got 3"),
        ("nan.npy", ("--to", "int8"), "nan.npy: expected rows of finite numbers"),
        ("nan.npy", ("--to", "int8", "--scope", "dim"), "nan.npy: expected finite"),
        ("one.npy", ("--to", "int8", "--scope", "dim"), "scope: one row"),
        ("corpus.npy", ("--to", "int8", "--dims", 25), "--dims: must be at most 24"),
        ("corpus.npy", ("--to", "binary", "--scope", "row"), "scope: means nothing for binary"),
        ("corpus.npy", ("--to", "int8", "--rounding", "floor"), "rounding: must be 'nearest'"),
        ("corpus.npy", ("--to", "int8", "--quantile", 2), "quantile: must be above 0"),
        ("corpus.npy", ("--to", "int8", "--quantile", 0.9, "--scope", "row"), "scope: rows have"),
        ("corpus.npy", ("--to", "int8", "--quantile", 0.9, "--normalize"), "quantile: needs"),
        ("corpus.npy", ("--to", "int8", "--layout", "split"), "layout: only int4"),
        ("corpus.npy", ("--to", "int8", "--bits", 7), "bits: must be 8"),
        ("corpus.npy", ("--to", "int8", "--out", "nowhere/c.safetensors"), "no such directory"),
        ("x.safetensors", ("--to", "int8", "--out", "x.safetensors"), "is an input file"),
    ],
)
def test_failures_exit_with_1(
    run: Run, saved: Path, source: str, options: tuple[object, ...], message: str
) -> None:
    nan = np.ones((70, 24), np.float32)
    nan[61, 3] = np.nan
    np.save("nan.npy", nan)
    np.save("cube.npy", np.ones((2, 3, 4), np.float32))
    np.save("one.npy", np.ones((1, 4), np.float32))
    Path(OUT).write_bytes(b"old")
    before = sorted(saved.iterdir())
    code, out, err = run("quantize", source, "--out", OUT, *options)
    assert (code, out) == (1, "")
    assert err.startswith("embmath: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(saved.iterdir()) == before
    assert Path(OUT).read_bytes() == b"old"


@pytest.mark.usefixtures("saved")
def test_a_bad_row_is_named_by_its_number_in_the_file(
    run: Run, arrays: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode, "_CHUNK", 700)
    arrays["corpus"][41, 5] = np.inf
    np.save("corpus.npy", arrays["corpus"])
    code, _, err = run("quantize", "corpus.npy", "--to", "int8", "--out", OUT)
    assert code == 1
    assert err.endswith("in row 41\n")


@pytest.mark.usefixtures("saved")
def test_a_full_disk(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_codes_file, "save", no_space)
    code, out, err = run("quantize", "corpus.npy", "--to", "int8", "--out", OUT)
    assert (code, out) == (1, "")
    assert os.strerror(errno.ENOSPC) in err
    assert not Path(OUT).exists()


def sparse_rows(path: Path, n_bytes: int) -> None:
    """Zeros that take no room on the disk."""
    rows = np.lib.format.open_memmap(path, "w+", np.float32, (n_bytes // 4096, 1024))
    del rows


@pytest.mark.parametrize("scope", ["row", "dim"])
def test_ctrl_c_leaves_no_file(tmp_path: Path, scope: str) -> None:
    sparse_rows(tmp_path / "rows.npy", 8 << 30)
    command = [*COMMAND, "quantize", "rows.npy", "--to", "int8", "--scope", scope, "--out", OUT]
    child = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    maps = Path(f"/proc/{child.pid}/maps")
    # Until it writes, or reads: the input is mapped when the first pass begins.
    while not (
        list(tmp_path.glob(".*.tmp")) or (scope == "dim" and "rows.npy" in maps.read_text())
    ):
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (130, "embmath: interrupted\n")
    assert [p.name for p in tmp_path.iterdir()] == ["rows.npy"]


# --- memory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [("--scope", "row"), ("--scope", "dim", "--normalize")])
def test_memory_is_that_of_a_chunk(tmp_path: Path, options: tuple[str, ...]) -> None:
    """512 MiB of rows under a limit of 256 MiB of memory of its own."""
    sparse_rows(tmp_path / "rows.npy", 512 * MIB)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (256 * MIB, 256 * MIB))

    done = subprocess.run(
        [
            *COMMAND,
            "quantize",
            "rows.npy",
            "--to",
            "int4",
            "--out",
            OUT,
            "--threads",
            "2",
            *options,
        ],
        cwd=tmp_path,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=limit,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert em.Codes.load(tmp_path / OUT).shape == (512 * MIB // 4096, 1024)


# --- search in codes ------------------------------------------------------------------------------


def searches_codes(arrays: dict[str, np.ndarray]) -> bool:
    try:
        em.search(arrays["queries"], em.quantize(arrays["corpus"], "int8"))
    except TypeError:
        return False
    return True


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.usefixtures("saved")
def test_search_in_a_file_of_codes(run: Run, arrays: dict[str, np.ndarray], precision: str) -> None:
    if not searches_codes(arrays):
        pytest.skip("search refuses Codes as a corpus so far")
    codes = quantize(run, "--to", precision)
    expected = em.search(arrays["queries"], codes.dequantize(), 10)
    document = hits(run, "--corpus", OUT)
    assert document["indices"] == expected.indices.tolist()
    assert document["corpus"]["dtype"] == f"{precision} codes"
    assert document["corpus"]["shape"] == [60, 24]


@pytest.mark.usefixtures("saved")
def test_files_of_codes_are_recognised(run: Run, arrays: dict[str, np.ndarray]) -> None:
    quantize(run, "--to", "int8")
    corpus = files.open_corpus(OUT)
    assert isinstance(corpus, em.Codes)
    assert_alike(corpus, em.quantize(arrays["corpus"], "int8"))
    assert isinstance(files.open_corpus("corpus.npy"), np.memmap)
    os.mkfifo("pipe")
    with pytest.raises(CliError, match=r"expected a \.npy"):
        files.open_corpus("pipe")
    content = Path(OUT).read_bytes()
    Path(OUT).write_bytes(content[:-1])
    code, _, err = run("search", "--corpus", OUT, "--queries", "queries.npy")
    assert code == 1
    assert err.startswith(f"embmath: error: {OUT}: ")
    assert "truncated" in err
