"""Files with right checksums and wrong content: refused by name, or harmless; never a crash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embmath as em
from embmath import _files
from strategies import normal

N, D, PAGE = 1100, 64, 1008  # a full page, 80 rows in whole blocks, 12 in the tail
BLOCKS = 69
Tensors = dict[str, Any]
Change = Callable[[Tensors, dict[str, str]], None]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("malformed") / "original"
    everything().save(path, metadata={"model": "mine"})
    return path


def spoiled(original: Path, path: Path, change: Change) -> Path:
    """The file with other content, and the checksums of that."""
    file = _files.read(original, kind="index")
    tensors: Tensors = {name: array.copy() for name, array in file.tensors.items()}
    metadata = dict(file.metadata)
    change(tensors, metadata)
    _files.write(path, tensors, metadata, kind="index")
    return path


def string(key: str, value: str | None) -> Change:
    def change(tensors: Tensors, metadata: dict[str, str]) -> None:
        assert f"index.{key}" in metadata
        if value is None:
            del metadata[f"index.{key}"]
        else:
            metadata[f"index.{key}"] = value

    return change


def item(name: str, place: Any, value: Any) -> Change:
    def change(tensors: Tensors, metadata: dict[str, str]) -> None:
        tensors[name][place] = value

    return change


def other(name: str, make: Callable[[Any], Any]) -> Change:
    """Another tensor in place of this one."""

    def change(tensors: Tensors, metadata: dict[str, str]) -> None:
        tensors[name] = make(tensors[name])

    return change


def gone(*names: str) -> Change:
    def change(tensors: Tensors, metadata: dict[str, str]) -> None:
        for name in names:
            del tensors[name]

    return change


def more(name: str, array: Any) -> Change:
    def change(tensors: Tensors, metadata: dict[str, str]) -> None:
        tensors[name] = array

    return change


def everything() -> em.Index:
    """An index with everything that an index can have."""
    index = em.Index(normal(np.random.default_rng(0), N, D), codes=("int8", "prefix", "int4"))
    index.remove([7, 1090])
    return index


def saved_names() -> list[str]:
    core = everything()._core
    assert core is not None
    return [name for name, _, _ in core.view().saved()["arrays"]]


BASIS = [f"basis.{part}" for part in ("mean", "vectors", "spread", "defect")]
ROTATION = [f"rotation.{part}" for part in ("mean", "basis", "variance")]
EVERY = [*saved_names(), *BASIS, *ROTATION]
NUMBERS = ("page_rows", "next_id", "dim", "codes_layout")

STRINGS: dict[str, Change] = {
    **{f"{key} missing": string(key, None) for key in (*NUMBERS, "metric", "rows", "codes")},
    "knows_copies missing": string("knows_copies", None),
    **{
        f"{key} = {value!r}": string(key, value)
        for key in NUMBERS
        for value in ("", "-1", "1.5", "x", "9" * 19, "9" * 30, "٣", "0x10", " 1", "1_0")
    },
    **{
        f"page_rows = {value}": string("page_rows", str(value))
        for value in (0, 1, 15, 17, 1000, 544, 1104, 4112, 2**31, 2**32 + 1008, 2**62)
    },
    **{f"next_id = {value}": string("next_id", str(value)) for value in (0, 1, N - 1)},
    **{f"dim = {value}": string("dim", str(value)) for value in (0, 63, 65, 2**32 + 64, 2**62)},
    **{
        f"metric = {value!r}": string("metric", value)
        for value in ("", "Cosine", "hamming", "jaccard", "manhattan", "l2")
    },
    **{
        f"codes = {value!r}": string("codes", value)
        for value in ("auto", "int8", "prefix", "int8,prefix", "x", ",", "int8,int8", "", "int8 ")
    },
    "rows = 'none'": string("rows", "none"),
    "knows_copies = 'true'": string("knows_copies", "true"),
}

ARRAYS: dict[str, Change] = {
    **{f"{name} missing": gone(name) for name in EVERY if name != "live"},
    **{f"{name} shorter": other(name, lambda a: a[:-1].copy()) for name in EVERY},
    **{
        f"{name} longer": other(name, lambda a: np.concatenate([a, a[-1:]]))
        for name in EVERY
        if name != "rotation.basis"
    },
    **{f"{name} empty": other(name, lambda a: a[:0].copy()) for name in EVERY},
    **{f"{name} flat": other(name, lambda a: a.reshape((*a.shape, 1))) for name in EVERY},
    **{
        f"{name} narrower": other(name, lambda a: np.ascontiguousarray(a[:, :-1]))
        for name in EVERY
        if name not in {"ids", "live", *BASIS, *ROTATION} and not name.endswith("reach")
    },
    **{
        f"{name} of float16": other(name, lambda a: (a > 0).astype(np.float16))
        for name in EVERY[1:]
    },
    "rows of bytes": other("rows", lambda a: a.view(np.uint8)),
    "rows of int32": other("rows", lambda a: a.view(np.int32)),
    "rows of bool": other("rows", lambda a: a > 0),
    "rows of bits": other("rows", lambda a: np.zeros((N, D), np.uint8)),
    "ids unsigned": other("ids", lambda a: a.view(np.uint64)),
    "no tensor but rows": lambda tensors, metadata: [
        tensors.pop(name) for name in list(tensors) if name != "rows"
    ],
    "no rows, codes only": gone("rows", "ids", "live"),
    "another tensor": more("other", np.zeros(3)),
    "another kind": more("codes.int2.0.blocks", np.zeros((BLOCKS, 16), np.uint32)),
    "another rung": more("codes.int8.1.mul", np.zeros((BLOCKS, 16), np.float32)),
    "another part of the basis": more("basis.more", np.zeros(3)),
    "another part of the rotation": more("rotation.more", np.zeros(3)),
    "no basis": gone(*BASIS),
    "2^40 rows of no columns": other("rows", lambda a: np.empty((2**40, 0), np.float32)),
    "2^31 rows of no columns": other("rows", lambda a: np.empty((2**31, 0), np.float32)),
}

CONTENT: dict[str, Change] = {
    "id twice": item("ids", 5, 4),
    "id twice, far away": item("ids", 1099, 0),
    "id negative": item("ids", 0, -1),
    "id least": item("ids", 1099, -(2**63)),
    "id largest": item("ids", 1099, 2**63 - 1),
    "id beyond next_id": item("ids", 1099, N),
    "live 2": other("live", lambda a: np.full(N, 2, np.uint8).view(np.bool_)),
    "live 255": other("live", lambda a: np.full(N, 255, np.uint8).view(np.bool_)),
    "valid after the last row": item("valid", (BLOCKS - 1, 0), 0xFFFF),
    **{
        f"extents[{place}] = {value}": item("extents", place, value)
        for place in ((0, 0), (0, 1), (1, 2), (2, 0), (2, 1), (2, 2))
        for value in (np.nan, -1.0, -np.inf)
    },
    **{
        f"reach of {kind} = {value}": item(f"codes.{kind}.reach", -1, value)
        for kind in ("int8", "prefix", "int4")
        for value in (np.nan, -1.0)
    },
    **{f"{name} nan": item(name, -1, np.nan) for name in (*BASIS, *ROTATION)},
    **{f"{name} inf": item(name, 0, np.inf) for name in (*BASIS, *ROTATION)},
    "basis not of length 1": other("basis.vectors", lambda a: 2 * a),
    "basis of zeros": other("basis.vectors", np.zeros_like),
    "basis: defect too large": item("basis.defect", 0, 0.01),
    "basis: defect negative": item("basis.defect", 0, -1e-9),
    "basis: spread negative": item("basis.spread", 3, -1.0),
    "basis: more axes than columns": other("basis.vectors", lambda a: np.vstack([a, a])),
    "basis: mean too large": other("basis.mean", lambda a: a + 1e308),
}


def refuse(original: Path, path: Path, change: Change) -> None:
    spoiled(original, path, change)
    for options in ({}, {"mmap": False, "verify": "full"}):
        with pytest.raises(em.FileFormatError, match="bad"):
            em.Index.load(path, **options)


def test_the_original_loads(original: Path, tmp_path: Path) -> None:
    copy = spoiled(original, tmp_path / "copy", lambda tensors, metadata: None)
    index = em.Index.load(copy, verify="full")
    assert (index.ntotal, index.stats["removed"]) == (N - 2, 2)
    tensors = _files.read(original, kind="index").tensors
    assert set(tensors) == set(EVERY)
    assert len(STRINGS) + len(ARRAYS) + len(CONTENT) > 250


@pytest.mark.parametrize("case", STRINGS)
def test_strings(case: str, original: Path, tmp_path: Path) -> None:
    refuse(original, tmp_path / "bad", STRINGS[case])


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays(case: str, original: Path, tmp_path: Path) -> None:
    refuse(original, tmp_path / "bad", ARRAYS[case])


@pytest.mark.parametrize("case", CONTENT)
def test_content(case: str, original: Path, tmp_path: Path) -> None:
    refuse(original, tmp_path / "bad", CONTENT[case])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("metric", "l2"),
        ("metric", ""),
        ("codes", "int2"),
        ("codes", "int8,auto"),
        ("dim", "-1"),
        ("dim", "9" * 19),
        ("dim", str(2**63 - 1)),
        ("rows", "none"),
    ],
)
def test_strings_of_an_index_without_rows(key: str, value: str, tmp_path: Path) -> None:
    em.Index(dim=8).save(tmp_path / "original")
    refuse(tmp_path / "original", tmp_path / "bad", string(key, value))


def test_codes_that_do_not_go_with_the_metric(tmp_path: Path) -> None:
    em.Index(metric="hamming").save(tmp_path / "original")
    refuse(tmp_path / "original", tmp_path / "bad", string("codes", "int8"))


def test_a_tensor_of_an_index_without_rows(tmp_path: Path) -> None:
    em.Index(dim=8).save(tmp_path / "original")
    refuse(tmp_path / "original", tmp_path / "bad", more("ids", np.zeros(0, np.int64)))


def test_a_basis_that_is_not_orthogonal(original: Path, tmp_path: Path) -> None:
    """Seen where everything is computed again."""

    def change(tensors: Tensors, metadata: dict[str, str]) -> None:
        tensors["basis.vectors"][1] = tensors["basis.vectors"][0]

    path = spoiled(original, tmp_path / "bad", change)
    with pytest.raises(em.FileFormatError, match="orthonormal"):
        em.Index.load(path, verify="full")


def test_repeated_ids_of_removed_rows_are_honest(original: Path, tmp_path: Path) -> None:
    path = spoiled(original, tmp_path / "x", item("ids", 7, 1099))
    index = em.Index.load(path)
    assert index.reconstruct(1099).shape == (1, D)


# Whatever codes and terms say, searches end and read nothing that is not theirs.
GARBAGE = """
import sys
import numpy as np
import embmath as em
from embmath import _files

original, path, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
rng = np.random.default_rng(seed)
x = rng.standard_normal((40, 64), dtype=np.float32)
file = _files.read(original, kind="index")
values = [np.nan, np.inf, -np.inf, 0.0, 1e30, -1e30, 1e-40]
for i in range(12):
    tensors = {name: array.copy() for name, array in file.tensors.items()}
    for name, array in tensors.items():
        if rng.random() < 0.5:
            continue
        if name.startswith("codes") or name in ("copies", "valid"):
            if array.dtype.kind == "u":
                array[...] = rng.integers(0, 2 ** (8 * array.itemsize), array.shape, np.uint64)
            elif array.dtype == np.float64:
                array[...] = rng.choice([0.0, 1e-300, 1e300, np.inf])
            elif rng.random() < 0.5:
                array[...] = rng.choice(values, array.shape)
            else:
                array[...] = rng.standard_normal(array.shape)
        elif name == "extents":
            array[...] = rng.choice([0.0, 1e-300, 1.0, 1e300, np.inf], array.shape)
        elif name == "live":
            array[...] = rng.random(array.shape) < rng.choice([0, 0.1, 1])
        elif name == "basis.mean":
            array[...] = rng.standard_normal(array.shape) * rng.choice([1e-300, 1, 1e100])
        elif name == "basis.spread":
            array *= rng.choice([1e-100, 1e-3, 1e100])
    tensors["valid"][-1] &= 0xFFF
    _files.write(path, tensors, file.metadata, kind="index")
    index = em.Index.load(path, mmap=bool(i % 2))
    assert 0 <= index.ntotal <= 1100
    for nq in (1, 4, 40):
        for k in (1, 10, 2000):
            found = index.search(x[:nq], k)
            assert ((found.indices >= -1) & (found.indices < 1100)).all()
        index.range_search(x[:nq], 0.3)
    index.add(x)
    index.search(x, 5)
    if index.ntotal > 100:
        index.update(index.ids[:50], np.tile(x, (2, 1))[:50])
        index.remove(index.ids[: index.ntotal * 2 // 3])
    index.search(x, 5)
print("survived")
"""


@pytest.mark.parametrize("seed", range(3))
def test_garbage_is_searched_to_the_end(
    seed: int, isa: str, original: Path, tmp_path: Path, run_python
) -> None:
    arguments = [str(original), str(tmp_path / "x"), str(seed)]
    done = run_python(f"import sys; sys.argv[1:] = {arguments!r}\n{GARBAGE}", EMBMATH_FORCE_ISA=isa)
    assert done.stdout.strip() == "survived"
