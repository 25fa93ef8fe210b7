from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[Any]
_Typed = tuple[_Array, str]  # bfloat16 travels as uint16

def version() -> str: ...
def compiler() -> str: ...
def available_isas() -> list[str]: ...
def active_isa() -> str: ...
def force_isa(name: str) -> str: ...
def available_memory() -> int: ...
def require_memory(bytes: int, what: str) -> None: ...
def set_default_threads(count: int) -> None: ...
def default_threads() -> tuple[int, str]: ...
def score_dtype(a: _Typed, b: _Typed, n_cols: int, metric: str) -> np.dtype[Any]: ...
def score_matrix(
    a: _Typed,
    b: _Typed,
    n_cols: int,
    metric: str,
    is_distance: bool,
    threads: int,
    out: _Array,
) -> None: ...
def score_pairs(
    a: _Typed,
    b: _Typed,
    n_cols: int,
    metric: str,
    is_distance: bool,
    threads: int,
    out: _Array,
) -> None: ...
def search(
    queries: _Typed,
    corpus: _Typed,
    n_cols: int,
    metric: str,
    mask: _Array | None,
    exclude_self: bool,
    threshold: float | None,
    reject_nan: bool,
    threads: int,
    progress: Callable[[float], object] | None,
    values: _Array,
    indices: _Array,
) -> None: ...
def range_search(
    queries: _Typed,
    corpus: _Typed,
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
    queries: _Typed, corpus: _Typed, n_cols: int, metric: str
) -> tuple[_Array, _Array, _Array]: ...
def rescore(
    queries: _Typed,
    corpus: _Typed,
    n_cols: int,
    metric: str,
    candidates: _Array,
    reject_nan: bool,
    threads: int,
    values: _Array,
    indices: _Array,
) -> None: ...
def top_k(array: _Typed, largest: bool, threads: int, values: _Array, indices: _Array) -> None: ...
def normalize(x: _Typed, n_cols: int, eps: float, threads: int, out: _Array) -> None: ...
def pack_bits(x: _Typed, threshold: float, threads: int, out: _Array) -> None: ...
def unpack_bits(codes: _Typed, n_cols: int, threads: int, out: _Array) -> None: ...
