"""What the CUDA compiler made of the kernels: no spills, the instructions meant, a small file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from collections import Counter
from pathlib import Path

import pytest

ARCHITECTURES = ("sm_80", "sm_90", "sm_100", "sm_120")
# Kernel -> registers of a thread, on the chip that takes most.
LEDGER = {
    "encode_halves": 40,
    "find_least": 40,
    "finish": 40,
    "make_gates": 40,
    "match": 128,
    "measure_rows": 40,
    "normalize": 40,
    "open_lists": 16,
    "open_range": 16,
    "pack_bits": 64,
    "quantize": 128,
    "quantize_rows": 64,
    "rescore": 56,
    "score_hits": 64,
    "search_exact": 80,
    "select_tile": 48,
    "tighten": 40,
    "write_values": 56,
}


PRODUCTS = {"HalfCode": "HMMA", "ByteCode": "IMMA", "BitCode": "BMMA"}


@pytest.fixture(scope="module")
def module() -> Path:
    """The module as built for every GPU."""
    build = os.environ.get("EMBMATH_CUDA_BUILD")
    if build is None:
        pytest.skip("EMBMATH_CUDA_BUILD names no build with EMBMATH_CUDA=ON")
    (path,) = Path(build).glob("python/_cuda*.so")
    return path


def cuobjdump(*arguments: object) -> str:
    """What the disassembler says; it needs no driver."""
    wheels = Path(sysconfig.get_paths()["purelib"]) / "nvidia" / "cu13" / "bin"
    path = os.pathsep.join([str(wheels), os.environ["PATH"]])
    program = shutil.which("cuobjdump", path=path)
    assert program is not None, "cuobjdump is among the extras of the tests"
    return subprocess.run(
        [program, *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": path},
    ).stdout


def kernel_name(mangled: str) -> str:
    """Of embmath::cuda::name<...>."""
    found = re.match(r"_ZN7embmath4cuda(\d+)", mangled)
    assert found is not None, mangled
    return mangled[found.end() : found.end() + int(found[1])]


def test_every_generation_and_those_to_come(module):
    compiled = set(re.findall(r"\.(sm_\w+)\.cubin", cuobjdump("--list-elf", module)))
    assert compiled == set(ARCHITECTURES)
    assert set(re.findall(r"\.(sm_\w+)\.ptx", cuobjdump("--list-ptx", module))) == {"sm_90"}


def test_the_file_is_small_and_needs_no_cuda_library(module):
    assert module.stat().st_size <= 8 << 20
    needed = subprocess.run(["objdump", "-p", module], check=True, capture_output=True, text=True)
    libraries = re.findall(r"NEEDED\s+(\S+)", needed.stdout)
    assert not [name for name in libraries if "cu" in name or "torch" in name or "blas" in name]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_registers_are_those_of_the_ledger(module, architecture):
    usage = cuobjdump("-res-usage", "-arch", architecture, module)
    found = re.findall(r"Function (\w+):\s+REG:(\d+) STACK:(\d+)", usage)
    assert {kernel_name(name) for name, _, _ in found} == set(LEDGER)
    # Its shared memory holds one block of the widest tile, or none: registers need not be shared.
    ledger = LEDGER | ({"match": 255} if architecture == "sm_120" else {})
    for name, registers, stack in found:
        assert int(registers) <= ledger[kernel_name(name)], name
        assert int(stack) == 0, name


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_instructions_are_those_that_were_meant(module, architecture):
    """Matrix products, fragments and asynchronous copies; nothing in local memory."""
    code = cuobjdump("-sass", "-arch", architecture, module)
    kernels = re.split(r"Function : (\w+)\n", code)[1:]
    for mangled, body in zip(kernels[::2], kernels[1::2], strict=True):
        name = kernel_name(mangled)
        count = Counter(re.findall(r"\b(HMMA|IMMA|BMMA|LDSM|LDGSTS|LDL|STL)\b", body))
        assert count["LDL"] + count["STL"] == 0, mangled
        promised = set()
        if name == "match":
            (code,) = {code for code in PRODUCTS if code in mangled}
            promised = {"LDSM", "LDGSTS", PRODUCTS[code]}
            if code == "BitCode" and architecture in ("sm_100", "sm_120"):
                promised = {"LDSM", "LDGSTS", "IMMA"}  # bits are multiplied as bytes there
        assert {each for each in count if count[each]} == promised, mangled
