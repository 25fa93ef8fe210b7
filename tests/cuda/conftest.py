"""The kernels, once for all tests of a session."""

import importlib.util

import pytest

from cuda_devices import Emulated, Gpu, Kernels, build_emulated


@pytest.fixture(scope="session", params=["emulated", "gpu"])
def kernels(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kernels:
    """Compiled for the host and run thread by thread; or on a GPU, where there is one."""
    if request.param == "emulated":
        return Kernels(Emulated(build_emulated(tmp_path_factory.mktemp("cuda"))))
    torch = pytest.importorskip("torch")
    if importlib.util.find_spec("embmath._cuda") is None:
        pytest.skip("embmath was built without its CUDA module")
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    return Kernels(Gpu(importlib.import_module("embmath._cuda")))
