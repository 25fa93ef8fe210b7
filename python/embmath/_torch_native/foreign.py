"""Arrays of other libraries on a device: CuPy's, JAX's. Torch computes on them where they are."""

import sys
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils.dlpack import from_dlpack

from .. import _arrays

Convert = Callable[[Tensor], Any]


def borrow(value: Any) -> Any:
    """A tensor over the same memory, on the current stream; other values as they are."""
    return from_dlpack(value) if _arrays.is_foreign(value) else value


def way_back(values: Any) -> Convert | None:
    """What makes results the caller's; None: they are Torch's."""
    foreign = next(filter(_arrays.is_foreign, values), None)
    if foreign is None:
        return None
    if hasattr(foreign, "__array_namespace__"):
        library = foreign.__array_namespace__()
    else:
        library = sys.modules[type(foreign).__module__.partition(".")[0]]
    return library.from_dlpack  # type: ignore[no-any-return]


def give_back(result: Any, convert: Convert) -> Any:
    """A tensor, or each of a tuple of them."""
    if isinstance(result, Tensor):
        return convert(result)
    if isinstance(result, tuple):
        return type(result)(*(convert(part) for part in result))
    return result
