from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[Any]
_Typed = tuple[_Array, str]  # bfloat16 travels as uint16
_Rows = Any  # _Typed, or (array, dtype, coding): see _code_rows.py
_Format = tuple[int, bool, bool, str, str]  # levels, is_signed, is_symmetric, rounding, layout

def version() -> str: ...
def compiler() -> str: ...
def available_isas() -> list[str]: ...
def active_isa() -> str: ...
def multiplies_bytes() -> bool: ...
def check_forced_isa() -> None: ...
def force_isa(name: str) -> str: ...
def available_memory() -> int: ...
def require_memory(bytes: int, what: str) -> None: ...
def set_default_threads(count: int) -> None: ...
def default_threads() -> tuple[int, str]: ...
def score_dtype(a: _Rows, b: _Rows, n_cols: int, metric: str) -> np.dtype[Any]: ...
def score_matrix(
    a: _Rows,
    b: _Rows,
    n_cols: int,
    metric: str,
    is_distance: bool,
    threads: int,
    out: _Array,
) -> None: ...
def score_pairs(
    a: _Rows,
    b: _Rows,
    n_cols: int,
    metric: str,
    is_distance: bool,
    threads: int,
    out: _Array,
) -> None: ...
def search(
    queries: _Rows,
    corpus: _Rows,
    n_cols: int,
    metric: str,
    mask: _Array | None,
    exclude_self: bool,
    threshold: float | None,
    reject_nan: bool,
    threads: int,
    progress: Callable[[float], object] | None,
    stats: bool,
    values: _Array,
    indices: _Array,
    own_rows: _Array | None = None,
) -> dict[str, Any]: ...
def range_search(
    queries: _Rows,
    corpus: _Rows,
    n_cols: int,
    metric: str,
    mask: _Array | None,
    exclude_self: bool,
    threshold: float,
    reject_nan: bool,
    threads: int,
    progress: Callable[[float], object] | None,
) -> tuple[_Array, _Array, _Array]: ...
def certificate(
    queries: _Typed,
    corpus: _Rows,
    n_cols: int,
    metric: str,
    stage: str,
    rank: int,
    basis: tuple[Any, ...] | None = None,
) -> tuple[_Array, _Array]: ...
def scale_bounds(rounding: float, residual: float, query: float) -> None: ...
def rescore(
    queries: _Rows,
    corpus: _Rows,
    n_cols: int,
    metric: str,
    candidates: _Array,
    threshold: float | None,
    reject_nan: bool,
    threads: int,
    values: _Array,
    indices: _Array,
) -> None: ...

CODES_LAYOUT: int
CODE_KINDS: list[str]

class IndexView:
    @property
    def n_rows(self) -> int: ...
    def stats(self) -> dict[str, int]: ...
    def ids(self) -> _Array: ...
    def contains(self, id: int) -> bool: ...
    def search(
        self,
        queries: _Typed,
        n_cols: int,
        mask: _Array | None,
        exclude_self: bool,
        threshold: float | None,
        reject_nan: bool,
        threads: int,
        progress: Callable[[float], object] | None,
        stats: bool,
        values: _Array,
        ids: _Array,
    ) -> dict[str, Any]: ...
    def range_search(
        self,
        queries: _Typed,
        n_cols: int,
        metric: str,
        like: _Typed,
        mask: _Array | None,
        exclude_self: bool,
        threshold: float,
        reject_nan: bool,
        threads: int,
        progress: Callable[[float], object] | None,
    ) -> tuple[_Array, _Array, _Array]: ...
    def reconstruct(self, ids: _Array, out: _Array) -> None: ...
    def saved(self) -> dict[str, Any]: ...
    def basis(self) -> tuple[_Array, _Array, _Array, float] | None: ...
    def read(self, array: int, first: int, n: int, out: _Array) -> None: ...

class Index:
    def __init__(
        self,
        metric: str,
        dtype: str,
        n_cols: int,
        codes: Sequence[str],
        basis: tuple[Any, ...] | None,
        copies_rows: bool,
    ) -> None: ...
    @staticmethod
    def restore(
        metric: str,
        dtype: str,
        n_cols: int,
        codes: Sequence[str],
        basis: tuple[Any, ...] | None,
        copies_rows: bool,
        arrays: Sequence[tuple[str, str, _Array]],
        page_rows: int,
        next_id: int,
        knows_copies: bool,
        has_codes: bool,
        is_in_memory: bool,
        threads: int,
    ) -> Index: ...
    @property
    def codes(self) -> list[str]: ...
    def view(self) -> IndexView: ...
    def add(
        self,
        rows: _Typed,
        ids: _Array | None,
        threads: int,
        progress: Callable[[float], object] | None,
    ) -> _Array: ...
    def update(self, ids: _Array, rows: _Typed) -> None: ...
    def remove(self, ids: _Array, threads: int) -> None: ...

def top_k(array: _Typed, largest: bool, threads: int, values: _Array, indices: _Array) -> None: ...
def normalize(x: _Typed, n_cols: int, eps: float, threads: int, out: _Array) -> None: ...
def pack_bits(x: _Typed, threshold: float, flip: int, threads: int, out: _Array) -> None: ...
def unpack_bits(
    codes: _Typed, n_cols: int, flip: int, dtype: str, threads: int, out: _Array
) -> None: ...
def pack_nibbles(codes: _Typed, layout: str, threads: int, out: _Array) -> None: ...
def unpack_nibbles(codes: _Typed, n_cols: int, layout: str, threads: int, out: _Array) -> None: ...
def range_steps(ranges: _Array, levels: int, out: _Array) -> None: ...
def fit_ranges(
    x: _Typed, quantile: float | None, scope: str, threads: int, out: _Array
) -> None: ...
def quantize(x: _Typed, ranges: _Array, format: _Format, threads: int, out: _Array) -> None: ...
def quantize_rows(
    x: _Typed, format: _Format, threads: int, out: _Array, minimum: _Array | None, step: _Array
) -> None: ...
def rotate(
    x: _Rows,
    axes: _Array,
    mean: _Array | None,
    with_rest: bool,
    threads: int,
    progress: Callable[[float], object] | None,
    out: _Array,
) -> None: ...
def quantize_rotated(
    x: _Typed,
    axes: _Array,
    mean: _Array | None,
    grid: tuple[_Array, _Array, _Array, int],
    threads: int,
    progress: Callable[[float], object] | None,
    out: _Array,
    scale: _Array,
    offset: _Array,
) -> None: ...
def dequantize(
    codes: _Typed,
    n_cols: int,
    minimum: _Array | None,
    step: _Array,
    scope: str,
    format: _Format,
    center: bool,
    dtype: str,
    threads: int,
    out: _Array,
) -> None: ...
def convert(x: _Typed, dtype: str, threads: int, out: _Array) -> None: ...
