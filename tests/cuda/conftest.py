"""The kernels, once for all tests of a session."""

import pytest

from cuda_devices import Emulated, Kernels, build_emulated


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Kernels:
    """Kernels compiled for the host and run thread by thread."""
    return Kernels(Emulated(build_emulated(tmp_path_factory.mktemp("cuda"))))
