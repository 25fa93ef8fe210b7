"""What kernels run on in tests: a GPU where there is one, and the emulator everywhere."""

from __future__ import annotations

import importlib.util
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
DTYPES = {"float16": 0, "bfloat16": 1, "float32": 2, "int8": 4, "uint8": 5}
METRICS = {"cosine": 0, "dot": 1, "euclidean": 2, "sqeuclidean": 3}
NUMBERS = METRICS | {"hamming": 5}
AUTO, EXACT, MATCH, TILES = range(4)

ALL = slice(None)

Array = np.ndarray[Any, np.dtype[Any]]
# (query codes, row codes) as float16 -> their products as float32
Multiply = Callable[[Array, Array], Array]


class Found(NamedTuple):
    """Results, and rows scored canonically: after a filter, and in scans of all rows."""

    values: Array
    indices: Array
    rescored: int
    scanned: int


def build_emulated(folder: Path) -> Any:
    """The module with its kernels compiled for the host."""
    if not all(map(shutil.which, ("cmake", "ninja", "c++"))):
        pytest.skip("needs cmake, ninja and a C++ compiler")
    import pybind11

    options = [
        "-DCMAKE_BUILD_TYPE=Release",
        "-DEMBMATH_CUDA=EMULATED",
        f"-DPython_EXECUTABLE={sys.executable}",
        f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
    ]
    commands = (
        ["cmake", "-G", "Ninja", "-S", ROOT, "-B", folder, *options],
        ["cmake", "--build", folder, "--target", "_cuda"],
    )
    for command in commands:
        subprocess.run(command, check=True, capture_output=True)
    (path,) = folder.glob("python/_cuda*.so")
    spec = importlib.util.spec_from_file_location("embmath._cuda", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class RowCodes(NamedTuple):
    """Codes of rows on ranges of their own, and the first row without one."""

    data: Array
    minimum: Array
    step: Array
    first_bad: int | None


class Hits(NamedTuple):
    """Of a range search, in the order of (query, row); how many candidates there were."""

    queries: Array
    indices: Array
    values: Array
    count: int


class Workspace(NamedTuple):
    """Memory of a device, and where it starts."""

    memory: Any
    address: int


class Emulated:
    """NumPy's memory is the device's."""

    stream = 0

    def __init__(self, module: Any) -> None:
        self.module = module

    def put(self, array: Array) -> Any:
        return np.array(array, order="C")

    def get(self, array: Any) -> Array:
        return np.asarray(array)

    def dirty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Whatever was there before must not matter."""
        return np.full(shape, 7, dtype)

    def workspace(self, n_bytes: int) -> Workspace:
        memory = np.full(n_bytes + 256, 0xCD, np.uint8)
        return Workspace(memory, -(-memory.ctypes.data // 256) * 256)

    def address(self, array: Any) -> int:
        return 0 if array is None else int(array.ctypes.data)

    def row_bytes(self, array: Any) -> int:
        return int(array.strides[0])

    def read(self, workspace: Workspace, address: int, shape: tuple[int, int]) -> Array:
        """float16 numbers somewhere in a workspace."""
        first = address - workspace.memory.ctypes.data
        return (
            workspace.memory[first : first + 2 * math.prod(shape)].view(np.float16).reshape(shape)
        )


class Gpu:
    """Torch keeps the memory."""

    def __init__(self, module: Any) -> None:
        import torch

        self.module, self.torch = module, torch
        module.prepare(0)

    @property
    def stream(self) -> int:
        return int(self.torch.cuda.current_stream().cuda_stream)

    def put(self, array: Array) -> Any:
        plain = np.array(array, order="C")
        is_bfloat16 = plain.dtype == ml_dtypes.bfloat16
        tensor = self.torch.from_numpy(plain.view(np.int16) if is_bfloat16 else plain).cuda()
        return tensor.view(self.torch.bfloat16) if is_bfloat16 else tensor

    def get(self, array: Any) -> Array:
        if array.dtype == self.torch.bfloat16:
            return array.view(self.torch.int16).cpu().numpy().view(ml_dtypes.bfloat16)
        return np.asarray(array.cpu().numpy())

    def dirty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return self.put(np.full(shape, 7, dtype))

    def workspace(self, n_bytes: int) -> Workspace:
        memory = self.torch.full((n_bytes,), 0xCD, dtype=self.torch.uint8, device="cuda")
        return Workspace(memory, memory.data_ptr())

    def address(self, array: Any) -> int:
        return 0 if array is None else int(array.data_ptr())

    def row_bytes(self, array: Any) -> int:
        return int(array.stride(0) * array.element_size())

    def read(self, workspace: Workspace, address: int, shape: tuple[int, int]) -> Array:
        first = address - workspace.address
        part = workspace.memory[first : first + 2 * math.prod(shape)]
        return self.get(part.view(self.torch.float16).reshape(shape))


class Kernels:
    """The module's calls, on arrays of a device."""

    def __init__(self, device: Emulated | Gpu) -> None:
        self.device, self.module = device, device.module

    def rows(self, array: Any, dtype: Any) -> tuple[int, int, int, int, int]:
        n_rows, n_cols = array.shape
        address, stride = self.device.address(array), self.device.row_bytes(array)
        return address, n_rows, n_cols, stride, DTYPES[np.dtype(dtype).name]

    def search(
        self,
        queries: Array,
        corpus: Array,
        k: int,
        metric: str = "cosine",
        *,
        multiply: Multiply | None = None,
        tile_rows: int = 2**40,
        spare: int = 0,
        **options: Any,
    ) -> Found:
        device = self.device
        values = device.dirty((len(queries), k), score_dtype(corpus.dtype, metric))
        indices = device.dirty((len(queries), k), np.int64)
        counters = device.put(np.zeros(2, np.int64))
        outputs = {"values": values, "indices": indices, "counters": counters}
        call, _inputs = self._call(queries, corpus, k, metric, outputs, **options)
        n_bytes = call.workspace_bytes(0)
        workspace = device.workspace(n_bytes)
        at = self.module.Place(workspace.address, n_bytes - spare, 0, device.stream)
        if options.get("plan") == TILES:
            assert multiply is not None
            shape = len(queries), len(corpus)
            self._tiles(call, at, workspace, shape, multiply, tile_rows)
        else:
            call.run(at)
        rescored, scanned = (int(count) for count in device.get(counters))
        return Found(device.get(values), device.get(indices), rescored, scanned)

    def range_search(
        self,
        queries: Array,
        corpus: Array,
        threshold: float,
        metric: str,
        capacity: int,
        **options: Any,
    ) -> Hits:
        device = self.device
        outputs = {"values": None, "indices": None, "counters": None}
        call, _inputs = self._call(
            queries, corpus, 1, metric, outputs, threshold=threshold, **options
        )
        n_bytes = call.range_bytes(0)
        workspace = device.workspace(n_bytes)
        at = self.module.Place(workspace.address, n_bytes, 0, device.stream)
        pairs = device.dirty((capacity,), np.int64)
        values = device.dirty((capacity,), score_dtype(corpus.dtype, metric))
        counter = device.put(np.zeros(1, np.int64))
        addresses = device.address(pairs), device.address(values)
        call.run_range(at, *addresses, capacity, device.address(counter))
        count = int(device.get(counter)[0])
        kept = device.get(pairs)[:count]
        found = kept[kept != -1]
        order = np.argsort(found)
        found_values = device.get(values)[:count][kept != -1][order]
        return Hits(found[order] >> 32, found[order] & 0xFFFFFFFF, found_values, count)

    def _call(
        self,
        queries: Array,
        corpus: Array,
        k: int,
        metric: str,
        outputs: dict[str, Any],
        *,
        plan: int = AUTO,
        plane: Any = None,
        mask: Array | None = None,
        self_row: int = -1,
        threshold: float = math.nan,
    ) -> tuple[Any, Any]:
        """The call, and what must stay alive until it has run."""
        device = self.device
        asking = queries if corpus.dtype.itemsize == 1 else np.float32(queries)
        q, x = device.put(asking), device.put(corpus)
        mask = None if mask is None else device.put(mask)
        call = self.module.Search(
            queries=self.rows(q, asking.dtype),
            corpus=self.rows(x, corpus.dtype),
            plane=0 if plane is None else plane.address,
            metric=NUMBERS[metric],
            plan=plan,
            k=k,
            mask=device.address(mask),
            mask_stride=0 if mask is None or mask.ndim == 1 else device.row_bytes(mask),
            self_row=self_row,
            threshold=threshold,
            **{name: device.address(array) for name, array in outputs.items()},
        )
        return call, (q, x, mask)

    def _tiles(
        self,
        call: Any,
        at: Any,
        workspace: Workspace,
        shape: tuple[int, int],
        multiply: Multiply,
        tile_rows: int,
    ) -> None:
        device = self.device
        n_queries, n_rows = shape
        queries, rows, ld, most = call.open_tiles(at)
        for first in range(0, n_rows, min(most, tile_rows)):
            n = min(most, tile_rows, n_rows - first)
            call.encode_tile(at, first, n)
            query_codes = device.read(workspace, queries, (n_queries, ld))
            row_codes = device.read(workspace, rows, (n, ld))
            products = device.put(np.float32(multiply(query_codes, row_codes)))
            call.select_tile(at, device.address(products), n, first, n)
        call.close_tiles(at)

    def plane(self, corpus: Array, metric: str) -> Workspace:
        x = self.device.put(corpus)
        rows = self.rows(x, corpus.dtype)
        n_bytes = self.module.plane_bytes(rows, NUMBERS[metric])
        workspace = self.device.workspace(n_bytes)
        at = self.module.Place(workspace.address, n_bytes, 0, self.device.stream)
        self.module.make_plane(rows, NUMBERS[metric], at)
        return workspace

    def normalize(self, x: Array, eps: float = 0.0) -> Array:
        source, out = self.device.put(x), self.device.put(x)
        rows, address = self.rows(source, x.dtype), self.device.address(out)
        self.module.normalize(rows, eps, address, 0, self.device.stream)
        return self.device.get(out)

    def quantize(
        self, x: Array, format_: tuple[int, bool, bool, int, int], ranges: Array, part: slice = ALL
    ) -> Array:
        source, out = self._part(x, part), self._codes(x, format_, part)
        low, high = (self.device.put(np.float32(end)) for end in ranges)
        self.module.quantize(
            self.rows(source, x.dtype),
            format_,
            self.device.address(low),
            self.device.address(high),
            len(ranges[0]),
            self.device.address(out),
            0,
            self.device.stream,
        )
        return self.device.get(out)

    def quantize_rows(
        self, x: Array, format_: tuple[int, bool, bool, int, int], part: slice = ALL
    ) -> RowCodes:
        source, out = self._part(x, part), self._codes(x, format_, part)
        minimum, step = (self.device.dirty((len(x),), np.float32) for _ in range(2))
        before_bad = self.device.put(np.zeros(1, np.int32))
        self.module.quantize_rows(
            self.rows(source, x.dtype),
            format_,
            self.device.address(out),
            0 if format_[2] else self.device.address(minimum),
            self.device.address(step),
            self.device.address(before_bad),
            0,
            self.device.stream,
        )
        left = int(self.device.get(before_bad)[0]) % 2**32
        first_bad = 2**32 - 1 - left if left else None
        found = [self.device.get(array) for array in (out, minimum, step)]
        return RowCodes(*found, first_bad)

    def pack_bits(self, x: Array, threshold: float, flip: int, part: slice = ALL) -> Array:
        source = self._part(x, part)
        out = self.device.dirty((len(x), -(-source.shape[1] // 8)), np.uint8)
        self.module.pack_bits(
            self.rows(source, x.dtype),
            threshold,
            flip,
            self.device.address(out),
            0,
            self.device.stream,
        )
        return self.device.get(out)

    def _part(self, x: Array, part: slice) -> Any:
        """Some columns, where they lie."""
        return self.device.put(x)[:, part]

    def _codes(self, x: Array, format_: tuple[int, bool, bool, int, int], part: slice) -> Any:
        n_cols = x[:, part].shape[1]
        n_bytes = n_cols if format_[4] == 0 else -(-n_cols // 2)
        return self.device.dirty((len(x), n_bytes), np.int8 if any(format_[1:3]) else np.uint8)


def score_dtype(dtype: Any, metric: str) -> type[np.generic]:
    """Of results: integers where every score is one."""
    has_bytes = np.dtype(dtype).itemsize == 1
    return np.int32 if has_bytes and metric not in ("cosine", "euclidean") else np.float32


def narrow(x: Array, dtype: str) -> Array:
    """Rows of a dtype that kernels read."""
    with np.errstate(over="ignore"):
        return x.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


def product(a: Array, b: Array) -> Array:
    """Of codes, in float32."""
    return a.astype(np.float32) @ b.astype(np.float32).T
