"""Which instruction sets exist, which one runs, and how to force it."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

import embmath as em
from embmath import _core

X86 = platform.machine() in ("x86_64", "AMD64")
ACTIVE = "import embmath as em; print(em.info()['isa'])"
FIRST_USE = "import numpy as np, embmath as em; em.similarity(np.ones((1, 4), 'f4'))"


def cpu_flags() -> set[str]:
    """What the kernel says this CPU can do."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return set(next(line for line in lines if line.startswith("flags")).split())


def test_scalar_is_always_there_and_the_best_is_last():
    assert em.isas()[0] == "scalar"
    assert tuple(_core.available_isas()) == tuple(em.isas()) == tuple(em.info()["isas"])


def test_the_best_is_used_unless_forced(run_python):
    assert run_python(ACTIVE).stdout.strip() == em.isas()[-1]


@pytest.mark.skipif(not X86 or not Path("/proc/cpuinfo").exists(), reason="asks Linux about x86")
def test_none_is_missing_and_none_is_claimed_in_vain():
    flags = cpu_flags()
    avx2 = {"avx2", "fma", "f16c"} <= flags
    avx512 = avx2 and {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags
    assert ("avx2" in em.isas()) == avx2
    assert ("avx512" in em.isas()) == avx512


def test_forcing_in_process(isa):
    assert em.info()["isa"] == isa


def test_forcing_returns_the_previous_one(force_isa):
    before, first, last = em.info()["isa"], em.isas()[0], em.isas()[-1]
    assert force_isa(first) == before
    assert force_isa(last) == first
    assert em.info()["isa"] == last


def test_a_bogus_name_in_process_changes_nothing():
    before = em.info()["isa"]
    with pytest.raises(ValueError, match="scalar"):
        _core.force_isa("sse9")
    assert em.info()["isa"] == before


@pytest.mark.parametrize("name", em.isas())
def test_forcing_by_environment(run_python, name):
    assert run_python(ACTIVE, EMBMATH_FORCE_ISA=name).stdout.strip() == name


@pytest.mark.parametrize("name", ["sse9", "AVX2 ", "neon" if X86 else "avx2"])
def test_an_unknown_or_unsupported_name_is_a_clear_error(run_python, name):
    done = run_python(FIRST_USE, check=False, EMBMATH_FORCE_ISA=name)
    assert done.returncode == 1
    message = done.stderr.splitlines()[-1]
    assert "EMBMATH_FORCE_ISA" in message
    assert name.strip() in message
    assert all(available in message for available in em.isas())


def test_an_empty_name_forces_nothing(run_python):
    assert run_python(ACTIVE, EMBMATH_FORCE_ISA="").stdout.strip() == em.isas()[-1]
