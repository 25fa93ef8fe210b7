"""What kernels run on in tests: a GPU where there is one, and the emulator everywhere."""

from __future__ import annotations

import ctypes
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
DTYPES = {"float16": 0, "bfloat16": 1, "float32": 2}
METRICS = {"cosine": 0, "dot": 1, "euclidean": 2, "sqeuclidean": 3}
AUTO, EXACT, MATCH, TILES = range(4)

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


class Emulated:
    """NumPy's memory is the device's."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def put(self, array: Array) -> Array:
        return np.array(array, order="C")

    def get(self, array: Array) -> Array:
        return array

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        # Whatever was there before must not matter.
        return np.full(shape, -1, dtype) if dtype != np.float32 else np.full(shape, 7.0, dtype)

    def workspace(self, n_bytes: int) -> tuple[Any, int]:
        memory = np.full(n_bytes + 256, 0xCD, np.uint8)
        return memory, -(-memory.ctypes.data // 256) * 256

    def address(self, array: Array | None) -> int:
        return 0 if array is None else array.ctypes.data

    def strides(self, array: Array) -> tuple[int, ...]:
        return array.strides

    def view(self, address: int, shape: tuple[int, int], dtype: Any) -> Array:
        n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        raw = (ctypes.c_uint8 * n_bytes).from_address(address)
        return np.frombuffer(raw, dtype).reshape(shape)

    stream = 0


class Kernels:
    """The module's calls, on arrays of a device."""

    def __init__(self, device: Emulated) -> None:
        self.device, self.module = device, device.module

    def rows(self, array: Array) -> tuple[int, int, int, int, int]:
        n_rows, n_cols = array.shape
        stride = self.device.strides(array)[0]
        return self.device.address(array), n_rows, n_cols, stride, DTYPES[array.dtype.name]

    def search(
        self,
        queries: Array,
        corpus: Array,
        k: int,
        metric: str = "cosine",
        *,
        plan: int = AUTO,
        plane: Any = None,
        mask: Array | None = None,
        self_row: int = -1,
        threshold: float = math.nan,
        multiply: Multiply | None = None,
        tile_rows: int = 2**40,
        spare: int = 0,
    ) -> Found:
        device = self.device
        q, x = device.put(np.float32(queries)), device.put(corpus)
        values = device.empty((len(q), k), np.float32)
        indices = device.empty((len(q), k), np.int64)
        counters = device.put(np.zeros(2, np.uint64))
        mask = None if mask is None else device.put(mask)
        call = self.module.Search(
            queries=self.rows(q),
            corpus=self.rows(x),
            plane=0 if plane is None else plane[1],
            metric=METRICS[metric],
            plan=plan,
            k=k,
            mask=device.address(mask),
            mask_stride=0 if mask is None or mask.ndim == 1 else device.strides(mask)[0],
            self_row=self_row,
            threshold=threshold,
            values=device.address(values),
            indices=device.address(indices),
            counters=device.address(counters),
        )
        n_bytes = call.workspace_bytes(0)
        memory, address = device.workspace(n_bytes)
        at = self.module.Place(address, n_bytes - spare, 0, device.stream)
        if plan == TILES:
            assert multiply is not None
            self._tiles(call, at, (len(q), len(x)), multiply, tile_rows)
        else:
            call.run(at)
        del memory
        rescored, scanned = (int(count) for count in device.get(counters))
        return Found(device.get(values), device.get(indices), rescored, scanned)

    def _tiles(
        self, call: Any, at: Any, shape: tuple[int, int], multiply: Multiply, tile_rows: int
    ) -> None:
        device = self.device
        n_queries, n_rows = shape
        queries, rows, ld, most = call.open_tiles(at)
        for first in range(0, n_rows, min(most, tile_rows)):
            n = min(most, tile_rows, n_rows - first)
            call.encode_tile(at, first, n)
            codes = (device.view(queries, (n_queries, ld), np.float16),)
            codes += (device.view(rows, (n, ld), np.float16),)
            products = device.put(np.ascontiguousarray(multiply(*codes), np.float32))
            call.select_tile(at, device.address(products), n, first, n)
        call.close_tiles(at)

    def plane(self, corpus: Array, metric: str) -> tuple[Any, int]:
        x = self.device.put(corpus)
        n_bytes = self.module.plane_bytes(*x.shape)
        memory, address = self.device.workspace(n_bytes)
        at = self.module.Place(address, n_bytes, 0, self.device.stream)
        self.module.make_plane(self.rows(x), METRICS[metric], at)
        return memory, address

    def normalize(self, x: Array, eps: float = 0.0) -> Array:
        source = self.device.put(x)
        out = np.empty(x.shape, x.dtype)
        self.module.normalize(self.rows(source), eps, self.device.address(out), 0, 0)
        return out


def narrow(x: Array, dtype: str) -> Array:
    """Rows of a dtype that kernels read."""
    return x.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


def product(a: Array, b: Array) -> Array:
    """Of codes, in float32."""
    return a.astype(np.float32) @ b.astype(np.float32).T
