"""Rotated codes of few, flat, huge rows and of no numbers; errors; files; the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embmath as em
from cli_fixtures import Run
from codes_helpers import assert_alike
from embmath import _files
from reference import assert_same
from strategies import normal
from test_rotated_codes import assert_codes, rows

PRECISIONS = ("pca", "rabitq")


@pytest.fixture(params=PRECISIONS)
def precision(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def codes(precision: Any, rng: np.random.Generator) -> em.Codes:
    return em.quantize(rows(rng, 60, 37), precision)


# --- rows ---------------------------------------------------------------------------------------


def test_rows_without_direction(precision, rng):
    for x in (np.zeros((5, 20)), np.ones((5, 20)), np.full((40, 3), 1e-30), np.eye(1)):
        found = em.quantize(x.astype(np.float32), precision, bits=1)
        np.testing.assert_allclose(found.dequantize(), x, rtol=1e-5, atol=1e-37)
    x = rows(rng, 50, 20)
    x[7] = 0
    codes = em.quantize(x, precision)
    assert np.abs(codes.dequantize()[7]).max() == 0
    assert em.similarity(x[:3], codes[7:8]).tolist() == [[0], [0], [0]]


def test_constant_columns(precision, rng):
    x = rows(rng, 60, 20)
    x[:, 3:9] = 2
    found = em.quantize(x, precision, bits=8)
    assert_codes(found, x)
    assert np.abs(found.dequantize() - x).max() < 0.1


@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e10, 1e30])
def test_scales(precision, rng, scale):
    x = rows(rng, 60, 20)
    plain, scaled = (em.quantize((x * s).astype(np.float32), precision, bits=4) for s in (1, scale))
    lost = np.abs(scaled.dequantize().astype(np.float64) / scale - plain.dequantize()).max()
    assert lost < 0.2


def test_wide_scales_of_rows(precision, rng):
    x = (rows(rng, 60, 20) * 10.0 ** rng.uniform(-15, 15, (60, 1))).astype(np.float32)
    found = em.quantize(x, precision, bits=4, rotation=em.random_rotation(20))
    wide = found.dequantize().astype(np.float64)
    assert (
        np.linalg.norm(wide - x, axis=1) < 0.3 * np.linalg.norm(x.astype(np.float64), axis=1)
    ).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite(precision, rng, value):
    x = rows(rng, 200, 20)
    x[150, 3] = value
    x[170, 2] = value
    with pytest.raises(ValueError, match=r"x: expected rows of finite numbers .* in row 150$"):
        em.quantize(x, precision)


def test_no_rows(precision, rng):
    rotation = em.fit_rotation(rows(rng, 60, 20))
    none = em.quantize(np.zeros((0, 20), np.float32), precision, rotation=rotation)
    assert none.dequantize().shape == (0, 20)
    assert em.search(np.ones((3, 20), np.float32), none).indices.shape == (3, 0)
    with pytest.raises(ValueError, match="at least one column"):
        em.quantize(np.zeros((5, 0), np.float32), precision)
    with pytest.raises(ValueError, match="at least one row"):
        em.quantize(np.zeros((0, 5), np.float32), "pca")


def test_fewer_rows_than_columns(precision, rng):
    x = rows(rng, 3, 50)
    assert_codes(em.quantize(x, precision, bits=8), x)


def test_rotations_of_fewer_axes(rng):
    x = rows(rng, 200, 40)
    found = em.quantize(x, "pca", bits=4, rotation=em.fit_rotation(x, dims=20))
    assert found.grid.axes.shape == (21, 40)  # and what is left of the mean
    assert np.abs(found.dequantize().mean(0) - x.mean(0)).max() < 0.1


def test_nan_queries(codes):
    q = np.ones((2, 37), np.float32)
    q[1, 4] = np.nan
    with pytest.raises(ValueError, match="row 1 holds NaN"):
        em.search(q, codes)
    assert em.search(q, codes, nan="rank_last").indices[1].tolist() == [-1] * 10


def test_progress(precision, rng):
    seen: list[float] = []
    em.quantize(normal(rng, 20_000, 128), precision, progress=seen.append)
    assert seen[-1] == 1
    assert seen == sorted(seen)
    em.quantize(normal(rng, 20, 8), "int8", progress=seen.append)
    assert seen[-1] == 1


# --- errors ---------------------------------------------------------------------------------------

ERRORS = [
    ({"bits": 0}, ValueError, "bits: must be"),
    ({"bits": 8.5}, (TypeError, ValueError), "bits: "),
    ({"bits": "2"}, TypeError, "bits: expected"),
    ({"rotation": 3}, TypeError, "rotation: expected a Rotation, got int"),
    ({"scope": "row"}, ValueError, "scope: means nothing for"),
    ({"ranges": [0, 1]}, ValueError, "ranges: means nothing for"),
    ({"layout": "split"}, ValueError, "layout: only int4"),
    ({"signedness": "offset"}, ValueError, "signedness: "),
    ({"threshold": "ge"}, ValueError, "threshold: means nothing for"),
    ({"progress": 1}, TypeError, "progress: expected a callable"),
]


@pytest.mark.parametrize(("options", "kind", "message"), ERRORS)
def test_errors_of_quantize(precision, rng, options, kind, message):
    with pytest.raises(kind, match=message):
        em.quantize(rows(rng, 9, 8), precision, **options)


def test_errors_of_rotations(precision, rng):
    x = rows(rng, 9, 8)
    with pytest.raises(ValueError, match="rotation: expected one of 8 columns, got 9"):
        em.quantize(x, precision, rotation=em.random_rotation(9))
    skew = em.Rotation(np.zeros(8), np.ones((8, 8)), np.ones(8))
    with pytest.raises(ValueError, match="rotation: expected orthonormal axes"):
        em.quantize(x, precision, rotation=skew)
    with pytest.raises(ValueError, match="rotation: means nothing for int8"):
        em.quantize(x, "int8", rotation=em.random_rotation(8))
    with pytest.raises(ValueError, match=r"mean: expected shape \(8,\), got \(9,\)"):
        em.random_rotation(8, mean=np.zeros(9))
    with pytest.raises(ValueError, match="dim: must be at least 1"):
        em.random_rotation(0)


def test_errors_of_search(codes, rng):
    q = rows(rng, 2, 37)
    with pytest.raises(ValueError, match=r"metric: corpus are \w+ codes.*cosine.*got 'manhattan'"):
        em.search(q, codes, metric="manhattan")
    with pytest.raises(TypeError, match="takes bits"):
        em.search(q, codes, metric="hamming")
    with pytest.raises(ValueError, match=r"dims: \w+ codes stand for whole rows"):
        em.search(q, codes, dims=8)
    with pytest.raises(ValueError, match="corpus: expected 36 columns like queries, got 37"):
        em.search(q[:, 1:], codes)
    with pytest.raises(TypeError, match="queries: expected floats"):
        em.search(np.ones((1, 37), np.int8), codes)
    with pytest.raises(ValueError, match="no certificate"):
        codes.with_residuals(rows(rng, 60, 37))


def test_errors_of_foreign_codes(codes):
    given: dict[str, Any] = {"grid": codes.grid, "step": codes.step, "offset": codes.offset}
    again = em.Codes.from_data(codes.data, codes.precision, **given)
    assert_alike(again, codes)
    wrong = [
        ({"grid": None}, "grid: expected a RotatedGrid"),
        ({"offset": None}, "offset: expected one per row"),
        ({"step": codes.step[1:]}, "step: expected 60 elements, got 59"),
        ({"offset": codes.offset * np.nan}, "offset: expected finite"),
        ({"dim": 38}, "dim: expected 37"),
        ({"scope": "row"}, "scope: means nothing"),
    ]
    for change, message in wrong:
        with pytest.raises((TypeError, ValueError), match=message):
            em.Codes.from_data(codes.data, codes.precision, **(given | change))
    with pytest.raises(ValueError, match="columns like the grid"):
        em.Codes.from_data(codes.data[:, 1:], codes.precision, **given)
    with pytest.raises(ValueError, match="grid: means nothing for uint8"):
        em.Codes.from_data(codes.data, "uint8", grid=codes.grid)


@pytest.mark.parametrize(
    ("widths", "steps", "message"),
    [
        ([1], [1, 1], "2 blocks"),
        ([0, 0], [1, 1], "at least one of them above 0"),
        ([9, 0], [1, 1], "up to 8"),
        ([1, 0], [0, 0], "above 0"),
        ([1, 0], [np.nan, 0], "finite"),
    ],
)
def test_errors_of_grids(widths, steps, message):
    with pytest.raises(ValueError, match=message):
        em.RotatedGrid(em.random_rotation(20), widths, steps)


# --- files ----------------------------------------------------------------------------------------


def test_files(codes, tmp_path):
    path = tmp_path / "codes.safetensors"
    codes.save(path, metadata={"model": "any"})
    again = em.Codes.load(path, verify="full")
    assert_alike(again, codes)
    assert again.metadata == {"model": "any"}
    for name in ("mean", "basis", "variance"):
        assert_same(getattr(again.rotation, name), getattr(codes.rotation, name))
    assert_same(again.grid.axes, codes.grid.axes)
    assert_same(again[3:5].dequantize(), codes[3:5].dequantize())


def test_malformed_files(codes, tmp_path):
    path = tmp_path / "codes.safetensors"
    codes.save(path)
    file = _files.read(path, kind="codes", mmap=False, verify="full")
    grid = codes.grid
    changes: list[tuple[dict[str, Any], str]] = [
        ({name: None}, name) for name in ("data", "step", "offset", "mean", "basis", "variance")
    ]
    changes += [({name: None}, name) for name in ("widths", "steps")]
    changes += [
        ({"widths": grid.widths + (grid.widths > 0).astype(np.uint8)}, "data"),
        ({"widths": np.full_like(grid.widths, 9)}, "widths"),
        ({"widths": grid.widths.astype(np.int8)}, "widths"),
        ({"steps": grid.steps[1:]}, "steps"),
        ({"steps": np.full_like(grid.steps, np.inf)}, "steps"),
        ({"basis": codes.rotation.basis * np.float32(2)}, "orthonormal"),
        ({"basis": codes.rotation.basis.astype(np.float64)}, "basis"),
        ({"mean": codes.rotation.mean[1:]}, "mean"),
        ({"offset": codes.offset * np.float32(np.nan)}, "offset"),
        ({"step": codes.step.reshape(-1)}, "step"),
        ({"minimum": codes.step}, "minimum"),
    ]
    for change, message in changes:
        tensors = {k: v for k, v in (file.tensors | change).items() if v is not None}
        _files.write(path, tensors, file.metadata, kind="codes", progress=None)
        with pytest.raises(em.FileFormatError, match=message):
            em.Codes.load(path)


@pytest.mark.usefixtures("saved")
def test_command_line(run: Run, arrays: dict[str, np.ndarray], precision: str) -> None:
    out = ("--out", "codes.safetensors")
    code, text, err = run("quantize", "corpus.npy", "--to", precision, "--bits", "2", *out)
    assert (code, err) == (0, "")
    assert "2 bits per dimension" in text
    codes = em.Codes.load("codes.safetensors", verify="full")
    assert_alike(codes, em.quantize(arrays["corpus"], precision, bits=2))
    code, _, err = run("search", "--corpus", out[1], "--queries", "queries.npy", "--out", "h.npz")
    assert (code, err) == (0, "")
    hits = np.load("h.npz")["indices"]
    assert_same(hits, em.search(arrays["queries"], codes).indices)
    code, _, err = run("quantize", "corpus.npy", "--to", precision, "--bits", "9", *out)
    assert code == 1
    assert "bits: must be" in err
    code, _, err = run("quantize", "corpus.npy", "--to", precision, "--normalize", *out)
    assert code == 0
    lengths = np.linalg.norm(em.Codes.load(out[1]).dequantize(), axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)


@pytest.mark.usefixtures("saved")
def test_command_line_in_chunks(
    run: Run, arrays: dict[str, np.ndarray], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from embmath._cli import encode

    monkeypatch.setattr(encode, "_CHUNK", 700)
    assert run("quantize", "corpus.npy", "--to", precision, "--out", "c.safetensors")[0] == 0
    assert_alike(em.Codes.load("c.safetensors"), em.quantize(arrays["corpus"], precision))
    assert Path("c.safetensors").stat().st_size < 2**16
