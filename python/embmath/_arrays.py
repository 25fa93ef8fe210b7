"""The one file that tells NumPy from Torch: arrays of any library in, the same library's out.

Inputs are recognised, never imported: Torch is looked up among the modules already loaded. Nothing
is copied here; strided, misaligned and column-major arrays are read as they are.
"""

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import _core
from ._types import Array, Coded

NDArray = npt.NDArray[Any]

# Element types of embeddings; scores (top_k) also come as int32 and int64.
EMBEDDING_DTYPES = ("float16", "bfloat16", "float32", "float64", "int8", "uint8")
SCORE_DTYPES = (*EMBEDDING_DTYPES, "int32", "int64")

Wrap = Callable[[NDArray], Array]


class Input(NamedTuple):
    """An array argument: its memory as NumPy sees it, and the way back to the caller's library."""

    name: str
    array: NDArray  # bfloat16 as uint16
    dtype: str
    wrap: Wrap
    is_numpy: bool
    coding: tuple[Any, ...] | None = None  # what rows of codes stand for (_code_rows.py)

    @property
    def typed(self) -> Any:
        """What the kernels are given: (array, dtype), and the coding of codes."""
        plain = self.array, self.dtype
        return plain if self.coding is None else (*plain, self.coding)

    @property
    def n_rows(self) -> int:
        return int(self.array.shape[0])

    @property
    def n_cols(self) -> int:
        if self.coding is None:
            return int(self.array.shape[1])
        dim = int(self.coding[1])
        return -(-dim // 8) if self.coding[0] == "bits" else dim


def read(name: str, value: object, allowed: Sequence[str] = EMBEDDING_DTYPES) -> Input:
    """Recognise an array argument of any number of dimensions."""
    if isinstance(value, np.ndarray):
        return _read_numpy(name, value, allowed)
    if isinstance(value, Coded):
        raise TypeError(
            f"{name}: expected an array, got Codes "
            "(pass .dequantize() for the numbers that they stand for, or .data)"
        )
    if _is_tensor(value):
        return _read_torch(name, value, sys.modules["torch"], allowed)
    if hasattr(value, "__dlpack__"):
        return _read_dlpack(name, value, allowed)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: expected an array of numbers, got {error}") from error
    return _read_numpy(name, array, allowed)


def matrix(name: str, value: object, allowed: Sequence[str] = EMBEDDING_DTYPES) -> Input:
    """Recognise a 2-D array argument; 1-D is one row."""
    return as_rows(read(name, value, allowed))


def as_rows(source: Input) -> Input:
    """The same array as a matrix; 1-D is one row."""
    if source.array.ndim == 2:
        return source
    if source.array.ndim == 1:
        return source._replace(array=source.array[np.newaxis, :])
    raise ValueError(f"{source.name}: expected 1 or 2 dimensions, got {source.array.ndim}")


def _read_numpy(name: str, array: NDArray, allowed: Sequence[str]) -> Input:
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{name}: expected a plain array, got a masked array (use .filled())")
    dtype = array.dtype.name
    if dtype not in allowed:
        hint = " (convert with .astype)" if array.dtype.kind in "iufb" else ""
        raise TypeError(f"{name}: expected dtype {_list(allowed)}, got {dtype}{hint}")
    if not array.dtype.isnative:
        raise TypeError(f"{name}: expected native byte order, got {array.dtype.str}")
    if dtype != "bfloat16":
        return Input(name, array, dtype, _as_is, True)
    bfloat16 = array.dtype
    return Input(name, array.view(np.uint16), dtype, lambda out: _bfloat16(out, bfloat16), True)


def _is_tensor(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


# Where arrays stay: devices with float64, which canonical scores are made of; by Torch's names and
# DLPack's numbers.
DEVICES = ("cuda",)
DLPACK_DEVICES = (2,)


def is_on_device(*values: Any) -> bool:
    """Whether any of these is an array, or codes made of one, that is not in this memory."""
    return any(map(_is_elsewhere, values))


def _is_elsewhere(value: Any) -> bool:
    found = value.data if isinstance(value, Coded) else value
    if isinstance(found, np.ndarray):
        return False
    if _is_tensor(found):
        return found.device.type in DEVICES
    return is_foreign(found) and found.__dlpack_device__()[0] in DLPACK_DEVICES


def is_foreign(value: Any) -> bool:
    """Whether this is an array of neither NumPy nor Torch that tells its device."""
    is_known = isinstance(value, (np.ndarray, Coded)) or _is_tensor(value)
    return not is_known and hasattr(value, "__dlpack_device__")


def _as_is(out: NDArray) -> NDArray:
    return out


def _bfloat16(out: NDArray, dtype: np.dtype[Any]) -> NDArray:
    return out.view(dtype) if out.dtype == np.uint16 else out


def _read_torch(name: str, tensor: Any, torch: Any, allowed: Sequence[str]) -> Input:
    if tensor.device.type != "cpu":
        raise TypeError(f"{name}: expected a CPU tensor, got one on {tensor.device}")
    if tensor.layout is not torch.strided:
        raise TypeError(f"{name}: expected a dense tensor, got layout {tensor.layout}")
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in allowed:
        raise TypeError(f"{name}: expected dtype {_list(allowed)}, got torch.{dtype}")
    if tensor.requires_grad:
        if torch.is_grad_enabled():
            raise TypeError(
                f"{name}: gradients do not flow through embmath, got a tensor that requires grad "
                "(pass .detach(), or call under torch.no_grad())"
            )
        tensor = tensor.detach()
    tensor = tensor.resolve_neg()
    if dtype == "bfloat16":
        tensor = tensor.view(torch.uint16)
    return Input(name, tensor.numpy(), dtype, lambda out: _to_torch(out, torch), False)


def _to_torch(out: NDArray, torch: Any) -> Any:
    tensor = torch.from_numpy(out)
    return tensor.view(torch.bfloat16) if out.dtype == np.uint16 else tensor


def _read_dlpack(name: str, value: Any, allowed: Sequence[str]) -> Input:
    try:
        array = np.from_dlpack(value)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise TypeError(f"{name}: cannot be read through DLPack: {error}") from error
    source = _read_numpy(name, array, allowed)
    if not hasattr(value, "__array_namespace__"):
        return source
    namespace = value.__array_namespace__()
    return source._replace(wrap=lambda out: _to_namespace(out, namespace), is_numpy=False)


def _to_namespace(out: NDArray, namespace: Any) -> Any:
    convert = getattr(namespace, "from_dlpack", None) or namespace.asarray
    return convert(out)


def wrapper(*inputs: Input) -> Wrap:
    """Results follow the first input that is not NumPy, else they are NumPy."""
    for source in inputs:
        if not source.is_numpy:
            return source.wrap
    return inputs[0].wrap


def allocate(shape: tuple[int, ...], dtype: npt.DTypeLike) -> NDArray:
    """New memory for a result, asked for before it is taken."""
    n_bytes = min(math.prod(shape) * np.dtype(dtype).itemsize, 2**63)  # beyond any machine
    _core.require_memory(n_bytes, f"a result of shape {shape}")
    return np.empty(shape, dtype)


def output(
    name: str, out: object, shape: tuple[int, ...], dtype: npt.DTypeLike, inputs: Sequence[Input]
) -> NDArray:
    """Memory for a result: new, or the caller's after every check."""
    dtype = np.dtype(dtype)
    if out is None:
        return allocate(shape, dtype)
    if not isinstance(out, np.ndarray) and not _is_tensor(out):
        raise TypeError(
            f"{name}: expected a NumPy array or a Torch tensor, got {type(out).__name__}"
        )
    known = "bfloat16" if dtype == np.uint16 else dtype.name
    target = read(name, out, allowed=(*SCORE_DTYPES, known))
    if not isinstance(out, np.ndarray) and target.array.ctypes.data != out.data_ptr():  # type: ignore[attr-defined]
        raise ValueError(f"{name}: expected plain memory, got a lazily negated view")
    if target.array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {target.array.shape}")
    if target.dtype != known:
        raise TypeError(f"{name}: expected dtype {known}, got {target.dtype}")
    if not (target.array.flags.c_contiguous and target.array.flags.aligned):
        raise ValueError(
            f"{name}: expected a C-contiguous, aligned array, got strides {target.array.strides}"
        )
    if not target.array.flags.writeable:
        raise ValueError(f"{name}: expected a writable array, got a read-only one")
    for source in inputs:
        if np.may_share_memory(target.array, source.array):
            raise ValueError(
                f"{name}: expected memory of its own, got an overlap with {source.name}"
            )
    return target.array


def row_mask(mask: object, n_queries: int, n_rows: int) -> NDArray | None:
    """Which rows may be returned, in contiguous bytes: for all queries, or one row per query."""
    if mask is None:
        return None
    source = read("mask", mask, allowed=("bool",))
    if source.array.shape not in ((n_rows,), (n_queries, n_rows)):
        raise ValueError(
            f"mask: expected shape ({n_rows},) or ({n_queries}, {n_rows}), got {source.array.shape}"
        )
    return np.ascontiguousarray(source.array).view(np.uint8)


def index_matrix(name: str, value: object, n_rows: int) -> NDArray:
    """Integer positions, one row per query."""
    source = matrix(name, value, allowed=("int32", "int64"))
    if source.array.shape[0] != n_rows:
        raise ValueError(
            f"{name}: expected {n_rows} rows like queries, got {source.array.shape[0]}"
        )
    # A copy of our own: what was checked stays what is read, whoever writes meanwhile.
    return np.array(source.array, dtype=np.int64, order="C")


def id_list(name: str, value: object, n: int | None = None) -> NDArray:
    """Row ids: integers, one for each of n rows if n is given; a single one counts as a list."""
    if isinstance(value, (list, tuple)) and not value:
        value = np.empty(0, np.int64)
    source = read(name, value, allowed=("int32", "int64"))
    array = source.array.reshape(1) if source.array.ndim == 0 else source.array
    if array.ndim != 1 or (n is not None and array.shape[0] != n):
        wanted = "one dimension" if n is None else f"shape ({n},)"
        raise ValueError(f"{name}: expected {wanted}, got shape {source.array.shape}")
    # A copy of our own: what was checked stays what is read, whoever writes meanwhile.
    return np.array(array, dtype=np.int64, order="C")


def n_bytes(array: Any) -> int:
    """Of the elements, wherever they are."""
    if is_on_device(array):
        return int(array.nbytes)
    return read("data", array, (*EMBEDDING_DTYPES, "uint16")).array.nbytes


def as_float64(source: Input, rows: NDArray) -> NDArray:
    """A float64 copy of some rows."""
    part = source.array[rows]
    if source.dtype == "bfloat16":
        part = (part.astype(np.uint32) << 16).view(np.float32)
    return part.astype(np.float64)


def row_of(dtype: str, n_cols: int) -> tuple[NDArray, str]:
    """One row of a type, where only types matter."""
    return np.zeros((1, n_cols), _storage(dtype)), dtype


def allocate_rows(shape: tuple[int, int], dtype: str) -> NDArray:
    """Memory for embeddings of a named type."""
    return allocate(shape, _storage(dtype))


def allocate_like(out: object, shape: tuple[int, ...], dtype: str, source: Input) -> NDArray:
    """Memory for numbers of a named type: new, or the caller's after every check."""
    return output("out", out, shape, _storage(dtype), (source,))


def wrap_as(source: Input, out: NDArray, dtype: str) -> Array:
    """A result of a named type in the library that `source` came from."""
    return as_embeddings(out, dtype) if source.is_numpy else source.wrap(out)


def dtype_name(name: str, value: Any, allowed: Sequence[str]) -> str:
    """The name of a dtype given by name, as NumPy's or as Torch's."""
    try:
        found = value if isinstance(value, str) else np.dtype(value).name
    except TypeError:
        found = str(value).removeprefix("torch.")
    if found not in allowed:
        raise TypeError(f"{name}: expected one of {_list(allowed)}, got {found}")
    return found


def as_embeddings(array: NDArray, dtype: str) -> NDArray:
    """Embeddings as NumPy shows them; bfloat16 where some package has taught it that type."""
    if dtype != "bfloat16":
        return array
    known = sys.modules.get("ml_dtypes")
    return array if known is None else array.view(known.bfloat16)


def _storage(dtype: str) -> np.dtype[Any]:
    return np.dtype(np.uint16 if dtype == "bfloat16" else dtype)


def top_k_outputs(
    out: Any,
    shape: tuple[int, int],
    dtype: npt.DTypeLike,
    inputs: Sequence[Input],
    mask: NDArray | None,
) -> tuple[NDArray, NDArray]:
    """Memory for values and indices: new, or the caller's pair after every check."""
    if out is not None and not (isinstance(out, (tuple, list)) and len(out) == 2):
        raise TypeError(f"out: expected a pair (values, indices), got {type(out).__name__}")
    values_out, indices_out = (None, None) if out is None else out
    values = output("out[0]", values_out, shape, dtype, inputs)
    indices = output("out[1]", indices_out, shape, np.int64, inputs)
    if out is not None and np.may_share_memory(values, indices):
        raise ValueError("out: expected two separate arrays, got overlapping ones")
    if mask is not None and any(np.may_share_memory(part, mask) for part in (values, indices)):
        raise ValueError("out: expected memory of its own, got an overlap with mask")
    return values, indices


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
