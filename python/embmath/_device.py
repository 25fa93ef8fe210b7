"""Where tensors on a device are computed: said once in the log, and in embmath.info()."""

import functools
import importlib
import importlib.util
import sys
from typing import Any

_state: dict[str, Any] = {"backend": None}


def backend() -> Any:
    """The module with the operations for tensors on a device."""
    if _state["backend"] is None:
        # Imports Torch, which is loaded already: there are tensors.
        _state["backend"] = importlib.import_module("embmath._torch_native.calls")
        if kernels() is None:
            report(f"CUDA module {cuda_module()}")
    return _state["backend"]


def index() -> Any:
    """The class of an index on a device."""
    backend()
    return importlib.import_module("embmath._torch_native.index").DeviceIndex


def report(reason: str) -> None:
    """Say why Torch operations do what kernels could."""
    import logging  # 2 of 13 ms, if importing embmath did it

    logging.getLogger("embmath").warning(
        "embmath: %s; tensors on a device are computed there by Torch operations, with the same "
        "results",
        reason,
    )


def kernels() -> Any:
    """The CUDA module; None where there is none."""
    return _load()[0]


def cuda_module() -> str:
    """Whether there are CUDA kernels of our own, and why not."""
    return _load()[1]


@functools.cache
def _load() -> tuple[Any, str]:
    if importlib.util.find_spec("embmath._cuda") is None:
        return None, "absent: embmath was built without it"
    try:
        return importlib.import_module("embmath._cuda"), "present"
    except ImportError as error:
        return None, f"absent: {error}"


def info() -> dict[str, Any]:
    """What :func:`embmath.info` says of devices."""
    return {
        "torch": _torch_version(),
        "cuda_module": cuda_module(),
        "device_backend": ("kernels" if kernels() is not None else "torch operations")
        + (", not used so far" if _state["backend"] is None else ", in use"),
    }


def _torch_version() -> str | None:
    """Without importing it."""
    loaded = sys.modules.get("torch")
    if loaded is not None:
        return str(loaded.__version__)
    from importlib import metadata  # takes as long to import as all of embmath

    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return None
