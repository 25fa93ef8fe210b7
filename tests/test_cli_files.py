"""The command line on the user's files: formats, damage, what is written."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embmath as em
from cli_fixtures import FILES, Run, hits
from embmath._cli import files


def test_npy_is_memory_mapped(saved: Path) -> None:
    assert isinstance(files.read_array(str(saved / "corpus.npy")), np.memmap)


def test_npz_with_one_array_or_a_key(run: Run, saved: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(saved / "one.npz", arrays["corpus"])
    np.savez_compressed(saved / "all.npz", corpus=arrays["corpus"], queries=arrays["queries"])
    expected = hits(run)["indices"]
    keyed = ("--corpus", "all.npz", "--key", "corpus")
    both = ("--queries", "all.npz", "--queries-key", "queries")
    for options in (("--corpus", "one.npz"), keyed, keyed + both):
        assert hits(run, *options)["indices"] == expected


def test_safetensors(run: Run, saved: Path, arrays: dict[str, np.ndarray]) -> None:
    save_file = pytest.importorskip("safetensors.numpy").save_file
    save_file(arrays, saved / "all.safetensors")
    save_file({"x": arrays["queries"]}, saved / "one.safetensors")
    expected = hits(run)["indices"]
    options = ("--corpus", "all.safetensors", "--key", "corpus")
    assert hits(run, *options)["indices"] == expected
    assert hits(run, "--queries", "one.safetensors")["indices"] == expected


def test_bfloat16_from_safetensors(run: Run, saved: Path, arrays: dict[str, np.ndarray]) -> None:
    save_file = pytest.importorskip("safetensors.numpy").save_file
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    corpus = arrays["corpus"].astype(bfloat16)
    save_file({"x": corpus}, saved / "half.safetensors")
    expected = em.search(arrays["queries"], corpus).indices.tolist()
    assert hits(run, "--corpus", "half.safetensors")["indices"] == expected


def test_safetensors_not_installed(run: Run, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    (saved / "x.safetensors").touch()
    code, _, err = run(*FILES, "--corpus", "x.safetensors")
    assert code == 1
    assert "embmath[demo]" in err


def damage(kind: str) -> str:
    """Write a file that cannot be searched; its name."""
    good = Path("corpus.npy").read_bytes()
    name = f"bad.{kind.split(maxsplit=1)[0]}"
    contents = {
        "npy text": b"not numbers",
        "npy empty": b"",
        "npy short": good[:-9],
        "npy header": good[:40],
        "npz text": b"not an archive",
        "npz short": b"PK\x03\x04 and no more",
        "safetensors text": b"\xff" * 64,
    }
    Path(name).write_bytes(contents[kind])
    return name


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("npy text", "not a .npy file"),
        ("npy empty", "not a .npy file"),
        ("npy short", "cannot be read"),
        ("npy header", "cannot be read"),
        ("npz text", "not a .npz file"),
        ("npz short", "not a .npz file"),
        ("safetensors text", "not a .safetensors file"),
    ],
)
@pytest.mark.usefixtures("saved")
def test_damaged_files_are_named(run: Run, kind: str, message: str) -> None:
    if kind.startswith("safetensors"):
        pytest.importorskip("safetensors")
    name = damage(kind)
    code, out, err = run(*FILES, "--corpus", name)
    assert (code, out) == (1, "")
    assert err.startswith(f"embmath: error: {name}: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([{}], dtype=object), "cannot be read"),
        (np.zeros((9, 5), np.float32), "corpus (corpus.npy): "),
        (np.zeros((9, 24), np.int64), "corpus (corpus.npy): "),
        (np.zeros((9, 24), np.complex64), "corpus (corpus.npy): "),
        (np.zeros((2, 9, 24), np.float32), "corpus (corpus.npy): "),
        (np.zeros((9, 24), "V2"), "bfloat16"),
    ],
    ids=["object", "columns", "int64", "complex", "3-D", "bfloat16"],
)
@pytest.mark.usefixtures("saved")
def test_unfit_arrays_are_named(run: Run, array: np.ndarray, message: str) -> None:
    np.save("corpus.npy", array)
    code, out, err = run(*FILES)
    assert (code, out) == (1, "")
    assert err.startswith("embmath: error: ")
    assert "corpus.npy" in err
    assert message in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--corpus", "none.npy"), "none.npy: No such file"),
        (("--corpus", "none.npz"), "none.npz: No such file"),
        (("--corpus", "none.safetensors"), "none.safetensors: "),
        (("--corpus", "data.csv"), "data.csv: expected a .npy, .npz or .safetensors file"),
        (("--corpus", "folder.npy"), "folder.npy: Is a directory"),
        (("--corpus", "all.npz"), "all.npz: holds 2 arrays, choose one with --key: a, b"),
        (("--corpus", "all.npz", "--key", "c"), "all.npz: no array 'c', it holds: a, b"),
        (("--corpus", "empty.npz"), "empty.npz: holds no arrays"),
        (("--mask", "queries.npy"), "mask (queries.npy): "),
        (("--dims", "25"), "dims: "),
        (("--threshold", "nan"), "threshold: "),
        (("--out", "nowhere/hits.npz"), "nowhere/hits.npz: no such directory"),
        (("--out", "folder.npz"), "folder.npz: is a directory"),
        (("--corpus", "one.npz", "--out", "one.npz"), "one.npz: is an input file"),
        (("--corpus", "one.npz", "--out", "./link.npz"), "link.npz: is an input file"),
    ],
)
def test_failures_exit_with_1(
    run: Run, saved: Path, options: tuple[str, ...], message: str
) -> None:
    if any("safetensors" in option for option in options):
        pytest.importorskip("safetensors")
    for folder in ("folder.npy", "folder.npz"):
        (saved / folder).mkdir()
    np.savez("all.npz", a=np.zeros(3), b=np.zeros(3))
    np.savez("one.npz", np.zeros((9, 24), np.float32))
    np.savez("empty.npz")
    Path("link.npz").symlink_to("one.npz")
    code, out, err = run(*FILES, *options)
    assert (code, out) == (1, "")
    assert err.startswith("embmath: error: ")
    assert message in err
    assert err.count("\n") == 1


def test_nan_query(run: Run, saved: Path, arrays: dict[str, np.ndarray]) -> None:
    arrays["queries"][2, 2] = np.nan
    np.save(saved / "queries.npy", arrays["queries"])
    code, _, err = run(*FILES)
    assert code == 1
    assert "queries (queries.npy): " in err


def test_a_failed_write_leaves_the_old_file(
    run: Run, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(file: Any, **arrays: np.ndarray) -> None:
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (saved / "hits.npz").write_bytes(b"old")
    monkeypatch.setattr(np, "savez", no_space)
    code, _, err = run(*FILES, "--out", "hits.npz")
    assert code == 1
    assert err == f"embmath: error: hits.npz: {os.strerror(errno.ENOSPC)}\n"
    assert (saved / "hits.npz").read_bytes() == b"old"
    assert len(list(saved.iterdir())) == 4
