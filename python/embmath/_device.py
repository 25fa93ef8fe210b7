"""Where tensors on a device are computed: said once in the log, and in embmath.info()."""

import importlib
import importlib.metadata
import importlib.util
import logging
import sys
from typing import Any

_log = logging.getLogger("embmath")
_state: dict[str, Any] = {"backend": None}


def backend() -> Any:
    """The module with the operations for tensors on a device."""
    if _state["backend"] is None:
        # Imports Torch, which is loaded already: there are tensors.
        _state["backend"] = importlib.import_module("embmath._torch_native.calls")
        _log.warning(
            "embmath: CUDA module %s; tensors on a device are computed there by Torch operations, "
            "with the same results",
            cuda_module(),
        )
    return _state["backend"]


def cuda_module() -> str:
    """Whether there are CUDA kernels of our own, and why not."""
    found = importlib.util.find_spec("embmath._cuda")
    return "absent: embmath was built without it" if found is None else "present, not used yet"


def info() -> dict[str, Any]:
    """What :func:`embmath.info` says of devices."""
    return {
        "torch": _torch_version(),
        "cuda_module": cuda_module(),
        "device_backend": "torch operations"
        + (", not used so far" if _state["backend"] is None else ", in use"),
    }


def _torch_version() -> str | None:
    """Without importing it."""
    loaded = sys.modules.get("torch")
    if loaded is not None:
        return str(loaded.__version__)
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None
