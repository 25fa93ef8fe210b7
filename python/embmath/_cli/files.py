"""Arrays from the user's files (.npy memory-mapped, .npz, .safetensors) and back."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import re
import secrets
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import embmath as em
from embmath._cli.errors import CliError

Array = NDArray[Any]

_NPY_MAGIC = b"\x93NUMPY"
# How a file saved by this package starts, after the header's length; and what it holds.
_OWN_START = re.compile(rb'.{8}\{"__metadata__":\{"format":"embmath","kind":"([a-z]+)"', re.DOTALL)
# All that NumPy and zipfile raise on damaged files.
_DAMAGE = (ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)


def read_array(path: str, key: str | None = None) -> Array:
    """
    Open one array of a file.

    Parameters
    ----------
    path : str
        A .npy file (memory-mapped: it may be larger than memory), .npz or .safetensors.
    key : str, optional
        Which array of a .npz or .safetensors file; not needed where there is only one.

    Raises
    ------
    CliError
        With the file's name, for anything that is wrong with it.
    """
    readers = {".npy": _read_npy, ".npz": _read_npz, ".safetensors": _read_safetensors}
    reader = readers.get(Path(path).suffix.lower())
    if reader is None:
        raise CliError(f"{path}: expected a .npy, .npz or .safetensors file")
    with _naming(path):
        array = reader(path, key)
    if array.dtype.type is np.void and array.dtype.itemsize == 2:
        raise CliError(f"{path}: .npy and .npz do not keep bfloat16, .safetensors files do")
    return array


def open_corpus(path: str, key: str | None = None) -> Array | em.Codes | em.Index:
    """
    Open what can be searched: a file of this package as what it holds, any other as an array.

    Raises
    ------
    CliError
        With the file's name, for anything that is wrong with it.
    """
    kind = _saved_kind(path)
    if kind not in ("codes", "index"):
        return read_array(path, key)
    if key is not None:
        raise CliError(f"{path}: is a file of this package, --key is for files of arrays")
    try:
        return em.Codes.load(path) if kind == "codes" else em.Index.load(path)
    except em.FileFormatError as error:  # has the name already
        raise CliError(str(error)) from error


def with_names(message: str, args: argparse.Namespace, arguments: Sequence[str]) -> str:
    """Name the file where the message is about an array that came from one."""
    match = re.match(r"(\w+):", message)
    if match is None or match[1] not in arguments:
        return message
    return f"{match[1]} ({getattr(args, match[1])}){message[match.end() - 1 :]}"


def write_hits(path: str, values: Array, indices: Array) -> None:
    """Write a .npz file in one step: readers see the old file or the whole new one."""
    target = Path(os.path.realpath(path))
    scratch = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    with _naming(path):
        try:
            with scratch.open("xb") as file:
                np.savez(file, values=values, indices=indices)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(target)
        finally:
            scratch.unlink(missing_ok=True)


def check_writable(path: str, inputs: Sequence[str]) -> None:
    """Fail before the work, not after it, if `path` cannot be written or is an input."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise CliError(f"{path}: is a directory")
    if not target.parent.is_dir():
        raise CliError(f"{path}: no such directory: {target.parent}")
    if not os.access(target.parent, os.W_OK):
        raise CliError(f"{path}: directory is not writable: {target.parent}")
    if any(Path(os.path.realpath(source)) == target for source in inputs):
        raise CliError(f"{path}: is an input file, refusing to replace it")


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Turn what goes wrong with a file into a message that names it."""
    try:
        yield
    except OSError as error:
        raise CliError(f"{path}: {error.strerror or error}") from error
    except _DAMAGE as error:
        raise CliError(f"{path}: cannot be read: {error}") from error


def _saved_kind(path: str) -> str | None:
    """Return "codes", "index" or "rotation"; None for files of others, and what is no file."""
    if not os.path.isfile(path):  # opening a pipe would wait for its writer
        return None
    with _naming(path), open(path, "rb") as file:
        start = _OWN_START.match(file.read(128))
    return None if start is None else start[1].decode()


def _read_npy(path: str, key: str | None) -> Array:
    del key  # a .npy file holds one array
    with open(path, "rb") as file:
        magic = file.read(len(_NPY_MAGIC))
    if magic != _NPY_MAGIC:
        raise CliError(f"{path}: not a .npy file")
    array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _read_npz(path: str, key: str | None) -> Array:
    with open(path, "rb") as file:
        if not zipfile.is_zipfile(file):
            raise CliError(f"{path}: not a .npz file")
    with np.load(path, allow_pickle=False) as archive:
        array: Array = archive[_choose(path, archive.files, key)]
    return array


def _read_safetensors(path: str, key: str | None) -> Array:
    try:
        safetensors = importlib.import_module("safetensors")
    except ImportError:
        raise CliError(
            f"{path}: reading .safetensors needs the package safetensors: "
            "pip install 'embmath[demo]' or pip install safetensors"
        ) from None
    with open(path, "rb"):
        pass  # safetensors words a missing or unreadable file in its own way
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            array: Array = file.get_tensor(_choose(path, list(file.keys()), key))
    except safetensors.SafetensorError as error:
        raise CliError(f"{path}: not a .safetensors file: {error}") from error
    return array


def _choose(path: str, names: Sequence[str], key: str | None) -> str:
    """Return the name of the array to read."""
    if not names:
        raise CliError(f"{path}: holds no arrays")
    known = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    if key is None and len(names) > 1:
        raise CliError(f"{path}: holds {len(names)} arrays, choose one with --key: {known}")
    if key is not None and key not in names:
        raise CliError(f"{path}: no array {key!r}, it holds: {known}")
    return names[0] if key is None else key
