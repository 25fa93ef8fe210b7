"""Fixtures every test may use: instruction sets, the oracle beside the package, subprocesses."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import embmath as em
import reference
from embmath import _core

pytest_plugins = ["cli_fixtures"]

settings.register_profile(
    "default",
    deadline=None,
    max_examples=100,
    # The fixtures used with @given only choose an instruction set, once for all examples.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=3000)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default")
)

# Functions whose float32 results are bounded, not canonical; defaults of (a, b, metric).
MATRICES = {
    "similarity": (None, None, "cosine"),
    "distance": (None, None, "euclidean"),
    "cosine_similarity": (None, None, "cosine"),
}

Agree = Callable[..., Any]
RunPython = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def force_isa() -> Iterator[Callable[[str], str]]:
    """Switch the instruction set as often as a test likes; the first one comes back after it."""
    before = em.info()["isa"]
    yield _core.force_isa
    _core.force_isa(before)


@pytest.fixture(params=_core.available_isas())
def isa(request: pytest.FixtureRequest, force_isa: Callable[[str], str]) -> str:
    """Every instruction set of this CPU in turn, forced for the length of a test."""
    force_isa(request.param)
    assert em.info()["isa"] == request.param
    return str(request.param)


@pytest.fixture
def one_isa(request: pytest.FixtureRequest, force_isa: Callable[[str], str]) -> str:
    """One of the instruction sets, by the name of the test: for what many tests try together."""
    isas = _core.available_isas()
    return force_isa(isas[zlib.crc32(request.node.name.encode()) % len(isas)])


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run."""
    return np.random.default_rng(20)


@pytest.fixture(autouse=True)
def _default_threads() -> Iterator[None]:
    """No test leaves its number of threads to the next."""
    yield
    em.set_num_threads(None)


@pytest.fixture(scope="session")
def agree() -> Agree:
    """Call a function of the package and of the oracle alike and compare the results.

    Bit for bit; float32 matrices, which are not canonical, within their documented bound.
    """

    def compare(function: str, *args: Any, threads: int | None = None, **options: Any) -> Any:
        extra = {} if threads is None else {"threads": threads}
        actual = getattr(em, function)(*args, **options, **extra)
        expected = getattr(reference, function)(*args, **options)
        if isinstance(expected, tuple):
            reference.assert_all_same(actual, expected)
        elif function in MATRICES and expected.dtype == np.float32 and not _exact(args[0]):
            a, b, metric = (*args, *MATRICES[function][len(args) :])[:3]
            metric = options.get("metric", metric)
            reference.assert_within_bound(actual, expected, a, b, metric, options.get("dims"))
        else:
            reference.assert_same(actual, expected)
        return actual

    return compare


def _exact(a: Any) -> bool:
    """Integers and packed bits are exact even where the matrix is float32."""
    return np.asarray(a).dtype in reference.INT_DTYPES


@pytest.fixture(scope="session")
def agree_closely() -> Agree:
    """Like ``agree`` for transforms: the same values up to one unit in the last place."""

    def compare(function: str, x: Any, *args: Any, **options: Any) -> Any:
        actual = getattr(em, function)(x, *args, **options)
        reference.assert_one_ulp(actual, getattr(reference, function)(x, *args, **options))
        return actual

    return compare


@pytest.fixture(scope="session")
def run_python() -> RunPython:
    """Run a piece of Python in a fresh interpreter with these environment variables."""

    def run(code: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("EMBMATH_", "OMP_"))}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=clean | env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    return run
