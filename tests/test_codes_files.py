"""Codes on the disk: what comes back, from which memory, and which files are refused."""

from __future__ import annotations

import dataclasses
import doctest
import gc
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import embmath as em
from codes_helpers import PRECISIONS, assert_alike
from embmath import _files
from file_helpers import temporaries
from reference import assert_same
from strategies import normal

ROUNDINGS = ("floor", "nearest", "truncate", "ratio")
X = np.float32([[1, -0.5, 0.25, 7], [0, 2, -3, 1], [5, 5, 5, 5]])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "codes.safetensors"


@pytest.fixture(params=PRECISIONS)
def codes(request: pytest.FixtureRequest, rng: np.random.Generator) -> em.Codes:
    return em.quantize(normal(rng, 12, 37), request.param)


# --- what comes back ------------------------------------------------------------------------------


@st.composite
def any_codes(draw: st.DrawFn) -> em.Codes:
    """Codes of every precision and convention, empty ones and single rows too."""
    precision = draw(st.sampled_from(PRECISIONS))
    n, d = draw(st.sampled_from([0, 1, 2, 9])), draw(st.sampled_from([0, 1, 2, 6, 16, 37]))
    x = normal(np.random.default_rng(draw(st.integers(0, 99))), n, d)
    options: dict[str, Any] = {}
    if precision in ("int8", "uint8", "int4"):
        options["scope"] = scope = draw(st.sampled_from(["row", "dim", "global"]))
        if n == 1 and scope == "dim":
            options["calibration"] = np.concatenate([x - 1, x + 1])
        if scope != "row" or precision != "int8":
            options["rounding"] = draw(st.sampled_from([None, *ROUNDINGS]))
    if precision == "uint8":
        options["bits"] = draw(st.sampled_from([7, 8]))
    if precision == "int4" and d % 2 == 0:
        options["layout"] = draw(st.sampled_from(["interleaved", "split"]))
    if precision == "binary":
        options["signedness"] = draw(st.sampled_from(["none", "offset", "twos_complement"]))
    codes = em.quantize(x, precision, **options)
    rows = draw(st.sampled_from([None, slice(None, None, -1), slice(1, None, 3), 0]))
    return codes if rows is None or (rows == 0 and n == 0) else codes[rows]


@given(any_codes(), st.booleans(), st.sampled_from(["header", "full"]))
def test_round_trip(tmp_path: Path, codes: em.Codes, mmap: bool, verify: Any) -> None:
    codes.save(tmp_path / "codes")
    again = em.Codes.load(tmp_path / "codes", mmap=mmap, verify=verify)
    assert_alike(again, codes)
    assert_same(again.dequantize(), codes.dequantize())
    first = (tmp_path / "codes").read_bytes()
    again.save(tmp_path / "codes")
    assert (tmp_path / "codes").read_bytes() == first


@pytest.mark.parametrize(
    ("options", "scope"),
    [
        ({"step": [0.5, 2, 1, 3], "scope": "dim"}, "dim"),
        ({"step": [0.5, 2, 1], "scope": "row", "minimum": [1, 2, 3]}, "row"),
        ({"step": 0.5}, "global"),
        ({"step": 0.5, "minimum": -1, "rounding": "truncate"}, "global"),
        ({"ranges": [-1, 3]}, "global"),
        ({"ranges": [[-1] * 4, [3] * 4], "rounding": "ratio"}, "dim"),
        ({}, None),
        ({"rounding": "floor"}, None),
    ],
)
def test_codes_made_elsewhere(path: Path, options: dict[str, Any], scope: str | None) -> None:
    codes = em.Codes.from_data(np.arange(12, dtype=np.int8).reshape(3, 4), "int8", **options)
    codes.save(path)
    assert_alike(em.Codes.load(path), codes)
    assert codes.scope == scope


def test_bson_vectors(path: Path) -> None:
    codes = em.Codes.from_bson(bytes.fromhex("1004a0"))
    codes.save(path)
    assert_alike(em.Codes.load(path), codes)


@pytest.mark.parametrize("precision", ["int8", "uint8", "int4"])
def test_the_same_grid_after_loading(precision: Any, path: Path) -> None:
    codes = em.quantize(X, precision, scope="dim")
    codes.save(path)
    ranges = em.Codes.load(path).ranges
    assert_same(em.quantize(X, precision, ranges=ranges).data, codes.data)


def test_torch_comes_back_as_numpy(codes: em.Codes, path: Path, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    x = normal(rng, 12, 37)
    em.quantize(torch.from_numpy(x), codes.precision).save(path)
    again = em.Codes.load(path)
    assert type(again.data) is np.ndarray
    assert_alike(again, em.quantize(x, codes.precision))


def test_bfloat16_without_ml_dtypes(path: Path, run_python: Callable[..., Any]) -> None:
    em.quantize(X, "bfloat16").save(path)
    done = run_python(
        "import sys, embmath as em\n"
        f"codes = em.Codes.load({str(path)!r})\n"
        "assert 'ml_dtypes' not in sys.modules\n"
        "print(codes.precision, codes.data.dtype, codes.dequantize().tolist() == "
        f"{X.tolist()})\n"
        f"codes.save({str(path)!r})\n"
    )
    assert done.stdout.split() == ["bfloat16", "uint16", "True"]
    assert_alike(em.Codes.load(path), em.quantize(X, "bfloat16"))


def test_safetensors_reads_it(codes: em.Codes, path: Path) -> None:
    load_file = pytest.importorskip("safetensors.numpy").load_file
    codes.save(path)
    assert_same(load_file(path)["data"], np.asarray(codes.data))


@pytest.mark.parametrize("method", ["save", "load"])
def test_examples_run(method: str) -> None:
    (example,) = doctest.DocTestFinder(recurse=False).find(
        getattr(em.Codes, method), method, globs={"em": em, "np": np}
    )
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example)
    assert result.attempted > 0
    assert result.failed == 0


# --- the caller's strings -------------------------------------------------------------------------


def test_metadata(codes: em.Codes, path: Path) -> None:
    texts = {"model": "e5", "precision": "mine", "user.x": "", "": "ü\n😀", "_later": "kept"}
    assert codes.metadata == {}
    codes.save(path, metadata=texts)
    again = em.Codes.load(path)
    assert again.metadata == texts
    assert_alike(again, codes)
    again[:2].save(path, metadata={"model": "e6", "more": "1"})
    assert em.Codes.load(path).metadata == texts | {"model": "e6", "more": "1"}


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        ({"n": 1}, TypeError),
        ({1: "n"}, TypeError),
        ([("a", "b")], TypeError),
        ("text", TypeError),
        ({"a": "\ud800"}, ValueError),
        ({"a": "x" * 100_000}, ValueError),
    ],
)
def test_metadata_refused(path: Path, metadata: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="metadata"):
        em.quantize(X, "int8").save(path, metadata=metadata)
    assert not list(path.parent.iterdir())


# --- from which memory ----------------------------------------------------------------------------


def base_of(array: Any) -> Any:
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array.obj if isinstance(array, memoryview) else array


@pytest.mark.parametrize("precision", PRECISIONS)
def test_mapped_memory(precision: Any, path: Path, rng: np.random.Generator) -> None:
    """No copy, of the steps neither; it lives as long as a part of it does."""
    codes = em.quantize(normal(rng, 3000, 33), precision)
    codes.save(path)
    descriptors = len(os.listdir("/proc/self/fd"))
    again = em.Codes.load(path)
    for array in (again.data, again.step, again.minimum):
        if array is not None:
            assert isinstance(base_of(array), mmap.mmap)
            assert not array.flags.writeable
            assert array.ctypes.data % 64 == 0
    part = again[5:9]
    path.unlink()
    del again
    gc.collect()
    assert_alike(part, codes[5:9])
    del part, array
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert str(path) not in Path("/proc/self/maps").read_text()


def test_read_into_memory(codes: em.Codes, path: Path) -> None:
    codes.save(path)
    again = em.Codes.load(path, mmap=False)
    assert not isinstance(base_of(again.data), mmap.mmap)
    path.write_bytes(b"")
    assert_alike(again, codes)


def test_over_its_own_mapping(codes: em.Codes, path: Path) -> None:
    codes.save(path)
    mapped = em.Codes.load(path)
    mapped[::-2].save(path)
    assert_alike(mapped, codes)
    assert_alike(em.Codes.load(path, verify="full"), codes[::-2])


def test_load_imports_nothing_with_the_package(run_python: Callable[..., Any]) -> None:
    done = run_python("import sys, embmath; print('embmath._files' in sys.modules)")
    assert done.stdout.strip() == "False"


# --- which files are refused ----------------------------------------------------------------------

STEP = np.ones((3, 1), np.float32)
LIMITS = np.float32([[0] * 4, [1] * 4])
BYTES = np.zeros((3, 4), np.uint8)
NAN, INF = np.float32(np.nan), np.float32(np.inf)


def content(precision: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Tensors and strings of good files."""
    fields = {"dim": "4", "bits": "8", "layout": "interleaved", "signedness": "none"}
    fields |= {"precision": precision, "rounding": "nearest"}
    if precision == "int8":
        data, numbers = BYTES.view(np.int8), {"step": STEP}
        return {"data": data} | numbers, fields | {"scope": "row"}
    if precision == "uint8":
        return {"data": BYTES, "ranges": LIMITS}, fields | {"scope": "dim", "rounding": "floor"}
    if precision == "int4":
        tensors = {"data": BYTES[:, :2], "step": STEP, "minimum": STEP}
        return tensors, fields | {"bits": "4", "scope": "row"}
    if precision == "bfloat16":
        data = _files.Blocks("BF16", (3, 4), [bytes(24)])
        return {"data": data}, fields | {"bits": "16"}
    if precision == "float16":
        return {"data": BYTES.astype(np.float16)}, fields | {"bits": "16"}
    return {"data": BYTES[:, :1]}, fields | {"bits": "1"}


def refusal(path: Path, tensors: dict[str, Any], fields: dict[str, str], kind: Any) -> str:
    _files.write(path, tensors, fields, kind=kind)
    _files.read(path, kind=kind, verify="full")  # the file itself is good
    with pytest.raises(em.FileFormatError) as caught:
        em.Codes.load(path)
    return str(caught.value)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_good_files(precision: str, path: Path) -> None:
    tensors, fields = content(precision)
    _files.write(path, tensors, fields | {"_later": "ignored"}, kind="codes")
    assert em.Codes.load(path).shape == (3, 4)


# precision, what is put in its place (None: nothing), what the message says
MALFORMED: list[tuple[str, dict[str, Any], str]] = [
    ("int8", {"data": None}, "data: expected a tensor"),
    ("int8", {"data": BYTES}, "data: expected dtype int8"),
    ("int8", {"data": BYTES.astype(bool)}, "data: expected dtype int8"),
    ("int8", {"data": BYTES.astype(np.float32)}, "data: expected dtype int8"),
    ("int8", {"data": BYTES.view(np.int8)[:, :3]}, "dim: "),
    ("int8", {"data": BYTES.view(np.int8)[:2]}, "step: expected 2"),
    ("int8", {"data": np.int8(3)}, "data: expected 1 or 2 dimensions"),
    ("int8", {"data": np.zeros((3, 4, 1), np.int8)}, "data: expected 1 or 2 dimensions"),
    ("int8", {"data": np.zeros((0, 4), np.int8)}, "step: expected 0"),
    ("int8", {"dim": "5"}, "dim: "),
    ("int8", {"dim": "-4"}, "dim: "),
    ("int8", {"dim": "+4"}, "dim: "),
    ("int8", {"dim": " 4"}, "dim: "),
    ("int8", {"dim": "4.0"}, "dim: "),
    ("int8", {"dim": "04"}, "dim: "),
    ("int8", {"dim": "٤"}, "dim: "),
    ("int8", {"dim": ""}, "dim: "),
    ("int8", {"dim": "9" * 19}, "dim: "),
    ("int8", {"dim": "9" * 20000}, "dim: "),
    ("int8", {"dim": None}, "dim: "),
    ("int8", {"precision": None}, "precision: "),
    ("int8", {"precision": "int7"}, "precision: unknown"),
    ("int8", {"precision": "INT8"}, "precision: unknown"),
    ("int8", {"precision": ""}, "precision: unknown"),
    ("int8", {"precision": "uint8"}, "data: expected dtype uint8"),
    ("int8", {"precision": "binary"}, "dim: "),
    ("int8", {"scope": "all"}, "scope: unknown"),
    ("int8", {"scope": "dim"}, "step: expected 4"),
    ("int8", {"scope": "global"}, "step: expected 1"),
    ("int8", {"scope": None}, "scope: "),
    ("int8", {"rounding": "up"}, "rounding: unknown"),
    ("int8", {"rounding": None}, "rounding: "),
    ("int8", {"bits": "7"}, "bits: expected 8"),
    ("int8", {"bits": None}, "bits: expected 8"),
    ("int8", {"layout": "split"}, "layout: "),
    ("int8", {"layout": None}, "layout: "),
    ("int8", {"signedness": "offset"}, "signedness: "),
    ("int8", {"signedness": None}, "signedness: "),
    ("int8", {"step": None}, "scope: "),
    ("int8", {"step": STEP * NAN}, "step: expected finite"),
    ("int8", {"step": STEP * INF}, "step: expected finite"),
    ("int8", {"step": STEP[:2]}, "step: expected 3"),
    ("int8", {"step": STEP[:0]}, "step: expected 3"),
    ("int8", {"step": STEP[:, 0]}, "step: expected float32 (3, 1)"),
    ("int8", {"step": STEP.T}, "step: expected float32 (3, 1)"),
    ("int8", {"step": STEP.astype(np.float64)}, "step: expected float32"),
    ("int8", {"step": np.full((3, 1), 1e300)}, "step: expected finite"),
    ("int8", {"step": STEP.astype(np.int64)}, "step: expected float32"),
    ("int8", {"step": STEP.astype(np.uint16)}, "step: expected dtype"),
    ("int8", {"minimum": STEP * NAN}, "minimum: expected finite"),
    ("int8", {"minimum": STEP[:1]}, "minimum: expected 3"),
    ("int8", {"step": None, "minimum": STEP}, "minimum: expected a step"),
    ("int8", {"ranges": LIMITS}, "ranges: expected ranges, or minimum and step"),
    ("int8", {"more": STEP}, "more: expected none"),
    ("int8", {"more": "text"}, "more: expected none"),
    ("uint8", {"ranges": LIMITS[:1]}, "ranges: expected shape"),
    ("uint8", {"ranges": LIMITS[:, :3]}, "ranges: expected shape"),
    ("uint8", {"ranges": LIMITS[:, 0], "scope": "global"}, "ranges: expected float32 (2, 1)"),
    ("uint8", {"ranges": LIMITS[::-1]}, "ranges: expected minimum <= maximum"),
    ("uint8", {"ranges": LIMITS * NAN}, "ranges: expected finite"),
    ("uint8", {"ranges": np.float32([[-3e38] * 4, [3e38] * 4])}, "ranges: expected finite"),
    ("uint8", {"ranges": LIMITS.astype(np.float64)}, "ranges: expected float32"),
    ("uint8", {"ranges": None}, "scope: "),
    ("uint8", {"ranges": None, "step": STEP, "scope": "row"}, "minimum: uint8 codes need one"),
    ("uint8", {"scope": "row"}, "scope: ranges"),
    ("uint8", {"bits": "6"}, "bits: must be at least 7"),
    ("uint8", {"bits": "9"}, "bits: must be at most 8"),
    ("uint8", {"bits": "eight"}, "bits: "),
    ("uint8", {"bits": None}, "bits: "),
    ("int4", {"dim": "5"}, "dim: "),
    ("int4", {"dim": "2"}, "dim: "),
    ("int4", {"dim": "3", "layout": "split"}, "layout: "),
    ("int4", {"bits": "8"}, "bits: expected 4"),
    ("int4", {"layout": "tiled"}, "layout: unknown"),
    ("int4", {"minimum": STEP[:2]}, "minimum: expected 3"),
    ("binary", {"dim": "9"}, "dim: "),
    ("binary", {"dim": "0"}, "dim: "),
    ("binary", {"signedness": "offset"}, "data: expected dtype int8"),
    ("binary", {"signedness": "upside_down"}, "signedness: unknown"),
    ("binary", {"step": STEP}, "step: means nothing"),
    ("ubinary", {"ranges": LIMITS}, "ranges: means nothing"),
    ("ubinary", {"scope": "row"}, "scope: expected none"),
    ("ubinary", {"rounding": "floor"}, "rounding: expected nearest"),
    ("ubinary", {"signedness": "twos_complement"}, "signedness: unknown"),
    ("float16", {"data": BYTES.astype(np.float32)}, "data: expected dtype float16"),
    ("float16", {"precision": "bfloat16"}, "data: expected dtype bfloat16"),
    ("float16", {"minimum": STEP}, "minimum: means nothing"),
    ("bfloat16", {"data": BYTES.astype(np.uint16)}, "data: expected bfloat16"),
    ("bfloat16", {"precision": "float16"}, "data: expected dtype float16"),
    ("bfloat16", {"precision": "uint8"}, "data: expected dtype uint8"),
]


@pytest.mark.parametrize(
    ("precision", "changes", "message"),
    MALFORMED,
    ids=lambda v: "-".join(v) if isinstance(v, dict) else str(v)[:20],
)
def test_malformed(precision: str, changes: dict[str, Any], message: str, path: Path) -> None:
    """Sealed with the right checksums, so nothing but the content gives it away."""
    tensors, fields = content(precision)
    for name, value in changes.items():
        target = fields if isinstance(value, str) or name in fields else tensors
        target.pop(name, None)
        if value is not None:
            target[name] = np.asarray(value) if target is tensors else value
    found = refusal(path, tensors, fields, "codes")
    assert found.startswith(f"{path}: {message}")
    assert len(found) < len(str(path)) + 200


@pytest.mark.parametrize("kind", ["index", "rotation"])
def test_another_kind(kind: str, path: Path) -> None:
    assert "expected embmath codes, got embmath " + kind in refusal(path, *content("int8"), kind)


def test_a_damaged_file(codes: em.Codes, path: Path) -> None:
    codes.save(path)
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    with pytest.raises(em.FileFormatError, match="truncated"):
        em.Codes.load(path)
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(em.FileFormatError, match="CRC-32"):
        em.Codes.load(path, verify="full")
    with pytest.raises(FileNotFoundError):
        em.Codes.load(path.with_name("none"))


def test_arguments(path: Path) -> None:
    codes = em.quantize(X, "int8")
    codes.save(path)
    with pytest.raises(ValueError, match="verify"):
        em.Codes.load(path, verify="all")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="mmap"):
        em.Codes.load(path, mmap="yes")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="progress"):
        codes.save(path, progress=3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"dim": 5},
        {"precision": "uint8"},
        {"step": np.ones(3)},
        {"step": STEP.astype(np.float64)},
        {"step": STEP * NAN},
        {"scope": "dim"},
        {"bits": 7},
        {"ranges": LIMITS},
        {"data": None},
        {"rounding": None},
    ],
    ids=str,
)
def test_contradictory_codes_are_not_saved(changes: dict[str, Any], path: Path) -> None:
    """The constructor believes its caller; a file would not."""
    codes = dataclasses.replace(em.quantize(X, "int8"), **changes)
    with pytest.raises((TypeError, ValueError)):
        codes.save(path)
    assert not path.exists()


# --- a save that ends early -----------------------------------------------------------------------


def test_progress_may_cancel(path: Path, rng: np.random.Generator) -> None:
    old = em.quantize(X, "int8")
    old.save(path)
    codes = em.quantize(normal(rng, 3000, 1000), "int8")
    shares: list[float] = []
    codes.save(path, progress=shares.append)
    assert shares[-1] == 1
    old.save(path)

    def cancel(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        codes.save(path, progress=cancel)
    assert_alike(em.Codes.load(path, verify="full"), old)
    assert not temporaries(path.parent)


KILLS = """
import os, random, signal, sys, time
import numpy as np
import embmath as em
path = sys.argv[1]
random.seed(2)
rows = {n: np.full((n, 256), n, np.float32) for n in (9000, 14000)}
kinds = {n: em.quantize(rows[n], "uint8") for n in rows}
start = time.perf_counter()
for n in kinds:
    kinds[n].save(path)
duration = (time.perf_counter() - start) / 2
sizes = []
for i in range(16):
    child = os.fork()
    if not child:
        kinds[(9000, 14000)[i % 2]].save(path)
        os._exit(0)
    time.sleep(random.uniform(0, 2 * duration))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    codes = em.Codes.load(path, verify="full")
    assert np.array_equal(codes.dequantize(), kinds[len(codes)].dequantize())
    sizes.append(len(codes))
print(*sizes)
"""


def test_kills(path: Path, run_python: Callable[..., Any]) -> None:
    """SIGKILL at random moments: the codes in place are the old or the new ones."""
    code = f"import sys; sys.argv = ['kills', {str(path)!r}]\n{KILLS}"
    done = run_python(code, OPENBLAS_NUM_THREADS="1", EMBMATH_NUM_THREADS="1")
    assert len(done.stdout.split()) == 16
