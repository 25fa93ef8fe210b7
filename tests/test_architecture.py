"""The drawing of the house, kept true: who may include whom, and what an ISA object may define."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CPP, PACKAGE, BINDINGS = ROOT / "cpp", ROOT / "python" / "embmath", ROOT / "python" / "bindings"
CUDA = ROOT / "cuda"

# Room -> what its files may include (path prefixes), besides files of the room itself.
ALLOWED_INCLUDES = {
    "include": (),
    "core": ("embmath/code_format.hpp", "embmath/types.hpp"),
    "isa": ("core/compiler.hpp", "core/order_key.hpp"),
    "kernel": (
        "core/compiler.hpp",
        "core/decoded_rows.hpp",
        "core/dtype.hpp",
        "core/order_key.hpp",
        "isa/concept.hpp",
        "embmath/types.hpp",
    ),
    "dispatch": ("kernel/table.hpp", "isa_list.hpp", "embmath/"),
    "runtime": ("embmath/",),
    "engine": ("core/", "kernel/table.hpp", "runtime/", "embmath/"),
    "api": ("core/", "dispatch/registry.hpp", "engine/", "runtime/", "embmath/"),
    "bindings": ("embmath/", "pybind11/"),
}
# The same below cuda/, where "core/" and "embmath/types.hpp" are those of cpp/.
ALLOWED_CUDA_INCLUDES = {
    "include": (),
    "emulator": ("core/dtype.hpp",),
    "device": ("core/", "embmath/types.hpp", "emulator/", "kernel/shapes.cuh"),
    "kernel": ("core/", "device/", "embmath/types.hpp"),
    "launch": ("core/", "device/target.cuh", "kernel/", "embmath/cuda.h"),
}
# What is compiled with AVX flags sees no STL: its inline functions would leak into baseline code.
FREESTANDING = {"cstddef", "cstdint", "concepts", "immintrin.h"}

# Module of compat/sentence_transformers -> modules of that room, and outside, that it may import.
SENTENCE_TRANSFORMERS: dict[str, tuple[set[str], set[str]]] = {
    "__init__": (
        {"code_search", "communities", "corpus_index", "maxsim", "metrics", "mining"}
        | {"patching", "quantization", "retrieval", "similarity"},
        set(),
    ),
    "code_search": ({"corpus_index", "foreign_index", "quantization", "retrieval"}, {"_types"}),
    "collector": (set(), set()),
    "communities": ({"inputs"}, set()),
    "corpus_index": ({"quantization"}, {"_types"}),
    "foreign_index": ({"corpus_index"}, {"_types"}),
    "inputs": (set(), set()),
    "maxsim": ({"inputs", "tokens"}, {"torch"}),
    "metrics": ({"inputs", "maxsim", "similarity"}, {"_types"}),
    "mining": ({"collector", "inputs", "metrics", "retrieval", "similarity"}, set()),
    "patching": ({"metrics"}, set()),
    "quantization": ({"inputs"}, {"torch"}),
    "retrieval": ({"collector", "inputs", "metrics", "similarity"}, set()),
    "similarity": ({"inputs"}, {"_types", "torch"}),
    "tokens": ({"inputs"}, set()),
}

# Python module -> package modules it may import.
ALLOWED_IMPORTS = {
    "__init__": {
        *(
            "_bits",
            "_codes",
            "_funnel",
            "_index",
            "_mmr",
            "_quantize",
            "_rotated",
            "_rotation",
            "_runtime",
        ),
        *("_search", "_similarity", "_transform", "_types"),
    },
    "__main__": {"_cli"},
    "_arguments": {"_arrays", "_types"},
    "_arrays": {"_core", "_types"},
    "_files/__init__": {"_files/layout", "_files/reader", "_files/writer"},
    "_files/atomic": set(),
    "_files/damage": {"_files/header", "_files/layout", "_types"},
    "_files/foreign": set(),
    "_files/header": {"_files/layout", "_files/strict_json", "_types"},
    "_files/layout": set(),
    "_files/reader": {"_core", "_files/damage", "_files/foreign", "_files/header"}
    | {"_files/layout", "_types"},
    "_files/sink": {"_files/layout"},
    "_files/strict_json": {"_types"},
    "_files/writer": {"_core", "_files/atomic", "_files/header", "_files/layout", "_files/sink"}
    | {"_files/strict_json", "_types"},
    "_bits": {"_arguments", "_arrays", "_core", "_device", "_types"},
    "_bson": set(),
    "_certificate": {"_arrays", "_types"},
    "_code_rows": {"_arrays", "_core", "_grids", "_precisions", "_types"},
    "_codes": {"_arguments", "_arrays", "_bson", "_code_rows", "_codes_decode", "_codes_file"}
    | {"_codes_given", "_device", "_grids", "_precisions", "_rotated", "_rotation", "_types"},
    "_codes_decode": {"_arrays", "_code_rows", "_core", "_grids", "_precisions", "_types"},
    "_codes_given": {"_arguments", "_arrays", "_grids", "_precisions", "_rotated"},
    "_codes_file": {"_arguments", "_arrays", "_files", "_precisions", "_rotated", "_rotation"}
    | {"_types"},
    "compat/__init__": set(),
    "compat/faiss/__init__": {
        *(f"compat/faiss/{name}" for name in ("binary", "factory", "files", "flat", "functions")),
        *(f"compat/faiss/{name}" for name in ("id_map", "index", "scalar_quantizer", "selectors")),
        *(f"compat/faiss/{name}" for name in ("patching", "streams", "vectors")),
    },
    "compat/faiss/binary": {f"compat/faiss/{name}" for name in ("flat", "index", "stores")},
    "compat/faiss/factory": {
        *(f"compat/faiss/{name}" for name in ("binary", "flat", "id_map", "index")),
        "compat/faiss/scalar_quantizer",
    },
    "compat/faiss/files": {
        "_files",
        *(f"compat/faiss/{name}" for name in ("binary", "flat", "id_map", "index", "streams")),
        "compat/faiss/scalar_quantizer",
    },
    "compat/faiss/flat": {"compat/faiss/index", "compat/faiss/stores"},
    "compat/faiss/functions": {"compat/faiss/flat", "compat/faiss/index"},
    "compat/faiss/id_map": {"compat/faiss/index", "compat/faiss/selectors"},
    "compat/faiss/index": {f"compat/faiss/{name}" for name in ("files", "selectors", "stores")},
    "compat/faiss/patching": set(),
    "compat/faiss/scalar_quantizer": {f"compat/faiss/{n}" for n in ("flat", "index", "stores")},
    "compat/faiss/selectors": set(),
    "compat/faiss/stores": set(),
    "compat/faiss/streams": set(),
    "compat/faiss/vectors": {"compat/faiss/index"},
    "compat/scipy": set(),
    "compat/sklearn/__init__": {"compat/sklearn/neighbors", "compat/sklearn/pairwise"},
    "compat/sklearn/neighbors": {"compat/sklearn/pairwise"},
    "compat/sklearn/pairwise": set(),
    "_device": set(),
    "_funnel": {"_arguments", "_arrays", "_search", "_types"},
    "_grids": {"_arguments", "_arrays", "_bits", "_core", "_precisions", "_types"},
    "_index": {
        "_arguments",
        "_arrays",
        "_core",
        "_device",
        "_index_codes",
        "_index_file",
        "_rotation",
    }
    | {"_search", "_types"},
    "_index_codes": {"_arguments", "_arrays", "_core", "_rotation"},
    "_index_file": {"_arguments", "_core", "_files", "_rotation", "_types"},
    "_mmr": {"_arguments", "_arrays", "_core", "_similarity", "_types"},
    "_precisions": set(),
    "_quantize": {"_arguments", "_arrays", "_codes", "_core", "_device", "_grids", "_precisions"}
    | {"_rotated", "_rotation", "_types"},
    "_rotated": {"_arguments", "_core", "_rotation"},
    "_rotation": {"_arguments", "_arrays", "_files", "_similarity", "_types"},
    "_runtime": {"_arguments", "_arrays", "_core", "_device", "_search"},
    "_query": {"_arguments", "_arrays", "_code_rows", "_core", "_types"},
    "_search": {"_arguments", "_arrays", "_core", "_device", "_query", "_two_pass", "_types"},
    "_similarity": {"_arguments", "_arrays", "_code_rows", "_core", "_device", "_types"},
    "_two_pass": {"_arguments", "_certificate", "_code_rows", "_core", "_query", "_types"},
    "integrations/__init__": set(),
    "integrations/_named_index": {"_index", "_mmr", "_types"},
    "integrations/langchain": {"integrations/_named_index"},
    "integrations/haystack": {"integrations/_named_index"},
    "integrations/llama_index": {"integrations/_named_index"},
    "integrations/mteb": {"_index", "_search", "_types"},
    "integrations/txtai": {"_index", "_runtime", "_types"},
    "integrations/vicinity": {"_index", "_types"},
    "_torch_native/__init__": set(),
    "_torch_native/block": {f"_torch_native/{name}" for name in ("estimate", "order", "problem")},
    "_torch_native/bounds": set(),
    "_torch_native/calls": {"_arguments", "_codes", "_grids", "_types"}
    | {f"_torch_native/{name}" for name in ("codes", "matrix", "order", "ranges", "search")}
    | {f"_torch_native/{name}" for name in ("eager", "problem", "tensors", "transform")}
    | {"_torch_native/kernel_codes", "_torch_native/kernel_search"},
    "_torch_native/canonical": {"_torch_native/rounding"},
    "_torch_native/codes": {"_arguments", "_codes", "_grids", "_precisions", "_types"}
    | {f"_torch_native/{name}" for name in ("kernel_codes", "ranges", "rounding", "tensors")},
    "_torch_native/eager": {"_torch_native/foreign"},
    "_torch_native/estimate": {f"_torch_native/{n}" for n in ("bounds", "canonical", "rounding")},
    "_torch_native/foreign": {"_arrays"},
    "_torch_native/index": {"_arguments", "_types"}
    | {f"_torch_native/{name}" for name in ("calls", "kernel_device", "kernel_search", "tensors")},
    "_torch_native/kernel_codes": {"_torch_native/kernel_device"},
    "_torch_native/kernel_device": {"_device"},
    "_torch_native/kernel_search": {
        f"_torch_native/{name}" for name in ("kernel_device", "problem", "tensors")
    },
    "_torch_native/matrix": {f"_torch_native/{n}" for n in ("bounds", "canonical", "estimate")}
    | {"_torch_native/problem"},
    "_torch_native/order": set(),
    "_torch_native/problem": {f"_torch_native/{n}" for n in ("canonical", "estimate", "tensors")},
    "_torch_native/ranges": {"_arguments", "_codes", "_grids", "_torch_native/tensors"},
    "_torch_native/rounding": set(),
    "_torch_native/search": {
        f"_torch_native/{n}" for n in ("block", "kernel_search", "order", "problem")
    },
    "_torch_native/tensors": set(),
    "_torch_native/transform": {
        f"_torch_native/{n}" for n in ("canonical", "kernel_codes", "order")
    }
    | {"_torch_native/rounding", "_torch_native/tensors"},
    "_transform": {"_arguments", "_arrays", "_core", "_device", "_types"},
    **{
        f"compat/sentence_transformers/{name}": outside
        | {f"compat/sentence_transformers/{other}" for other in beside}
        for name, (beside, outside) in SENTENCE_TRANSFORMERS.items()
    },
    "torch/__init__": {f"torch/{n}" for n in ("autograd", "batching", "fakes", "functions")}
    | {"torch/modules", "torch/ops"},
    "torch/autograd": {"torch/gradients"},
    "torch/batching": set(),
    "torch/fakes": {"_precisions"},
    "torch/functions": {"_types"},
    "torch/gradients": set(),
    "torch/modules": {"_types", "torch/functions"},
    "torch/ops": set(),
    "_types": set(),
}


def sources(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix in {".hpp", ".cpp"})


def room_of(path: Path) -> str:
    if path.is_relative_to(BINDINGS):
        return "bindings"
    parts = path.relative_to(CPP).parts
    return parts[1] if parts[0] == "src" else "include"


def includes(path: Path) -> list[tuple[str, str]]:
    return re.findall(r'^#include ([<"])([^>"]+)[>"]', path.read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    "path", sources(CPP) + sources(BINDINGS), ids=lambda p: str(p.relative_to(ROOT))
)
def test_includes_run_one_way(path: Path) -> None:
    room = room_of(path)
    own = {"include": "embmath/", "bindings": ""}.get(room, room + "/")
    for kind, name in includes(path):
        if kind == "<" and not name.startswith("pybind11/"):
            if room in {"isa", "kernel"}:
                assert name in FREESTANDING, f"{path.name} includes <{name}>"
            continue
        is_own = name.startswith(own) and (own or "/" not in name)
        assert is_own or name.startswith(ALLOWED_INCLUDES[room]), f"{room} may not include {name}"


@pytest.mark.parametrize(
    "path",
    sorted(p for p in CUDA.rglob("*") if p.suffix in {".h", ".hpp", ".cpp", ".cuh", ".cu"}),
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_cuda_includes_run_one_way(path: Path) -> None:
    parts = path.relative_to(CUDA).parts
    room = parts[1] if parts[0] == "src" else parts[0]
    for kind, name in includes(path):
        if kind == '"':
            allowed = (room + "/", *ALLOWED_CUDA_INCLUDES[room])
            assert name.startswith(allowed), f"{room} may not include {name}"


def test_intrinsics_live_in_isa_only() -> None:
    for path in sources(CPP) + sources(BINDINGS):
        if room_of(path) != "isa":
            assert not re.search(r"immintrin|\b_mm\d*_|__m(128|256|512)", path.read_text()), path


def imports(path: Path) -> set[str]:
    """Relative imports as paths below the package."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = path.parents[node.level - 1].relative_to(PACKAGE)
            names = [node.module.split(".")[0]] if node.module else [a.name for a in node.names]
            found |= {(folder / name).as_posix() for name in names}
    return found


@pytest.mark.parametrize("module", sorted(ALLOWED_IMPORTS))
def test_python_imports_run_one_way(module: str) -> None:
    assert imports(PACKAGE / f"{module}.py") <= ALLOWED_IMPORTS[module]


def test_every_module_has_its_place() -> None:
    rooms = ("", "_files", "_torch_native", "compat", "compat/faiss", "compat/sklearn")
    rooms += ("compat/sentence_transformers", "integrations", "torch")
    modules = [path for room in rooms for path in (PACKAGE / room).glob("*.py")]
    names = {p.relative_to(PACKAGE).with_suffix("").as_posix() for p in modules}
    assert names == set(ALLOWED_IMPORTS)


def test_only_arrays_knows_torch() -> None:
    for path in PACKAGE.glob("*.py"):
        code = ast.unparse(ast.parse(path.read_text()))
        assert "import torch" not in code, path
        assert path.stem == "_arrays" or "torch." not in re.sub(
            r'""".*?"""', "", code, flags=re.DOTALL
        ), path


def test_the_package_imports_neither_torch_nor_threads() -> None:
    script = (
        "import sys, threading, embmath; "
        "assert 'torch' not in sys.modules; "
        "assert len(__import__('os').listdir('/proc/self/task')) == 1"
    )
    subprocess.run(
        [sys.executable, "-c", "import os; os.environ['OPENBLAS_NUM_THREADS'] = '1'; " + script],
        check=True,
    )


@pytest.fixture(scope="module", params=["Debug", "Release"])
def isa_objects(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The object file of every ISA, compiled as the package compiles it."""
    if not all(map(shutil.which, ("cmake", "ninja", "nm", "objdump", "c++"))):
        pytest.skip("needs cmake, ninja, binutils and a C++ compiler")
    build = tmp_path_factory.mktemp(request.param)
    names = re.findall(
        r"^embmath_isa\(NAME (\w+)", (CPP / "cmake" / "isa.cmake").read_text(), re.MULTILINE
    )
    configure = ["cmake", "-G", "Ninja", "-S", ROOT, "-B", build]
    configure += [
        f"-DCMAKE_BUILD_TYPE={request.param}",
        "-DEMBMATH_PYTHON=OFF",
        "-DEMBMATH_WERROR=ON",
    ]
    subprocess.run(configure, check=True, capture_output=True)
    targets = [f"embmath_isa_{name}" for name in names]
    subprocess.run(
        ["cmake", "--build", build, "--target", *targets], check=True, capture_output=True
    )
    return {name: next(build.rglob(f"isa_unit_{name}.cpp.o")) for name in names}


@pytest.mark.slow
def test_isa_objects_define_tagged_symbols_only(isa_objects: dict[str, Path]) -> None:
    """A mergeable symbol without its ISA's name could replace baseline code at link time."""
    for name, path in isa_objects.items():
        lines = subprocess.run(
            ["nm", "-C", "--defined-only", path], check=True, capture_output=True, text=True
        )
        shared = [line.split(" ", 2)[1:] for line in lines.stdout.splitlines()]
        untagged = [
            symbol
            for kind, symbol in shared
            if kind.isupper() or kind in "uvw"
            if "embmath::isa::" not in symbol and symbol != f"embmath::dispatch::table_{name}"
            if not symbol.startswith("DW.ref.")
        ]
        assert not untagged, f"{name}: {untagged}"


@pytest.mark.slow
def test_isa_objects_run_nothing_at_load(isa_objects: dict[str, Path]) -> None:
    for name, path in isa_objects.items():
        headers = subprocess.run(
            ["objdump", "-h", path], check=True, capture_output=True, text=True
        ).stdout
        assert ".init_array" not in headers, f"{name} has a static initialiser"
