"""Files that are not ours, not whole or not sane: refused at once, by cause, in little memory."""

from __future__ import annotations

import bz2
import copy
import gzip
import io
import itertools
import json
import lzma
import os
import pickle
import re
import struct
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import embmath as em
from embmath import _files
from file_helpers import (
    assert_is_sample,
    encode,
    header_end,
    sample_data,
    sample_document,
    seal,
    tensor,
)

DATA, DOCUMENT = sample_data(), sample_document()
VALID = encode(DOCUMENT, DATA)
TEXT = json.dumps(DOCUMENT, separators=(",", ":"))
HEADER_END = header_end(VALID)
# One character outside the basic plane makes a string of it take four bytes for each.
WIDE = TEXT.replace("cosine", "\\ud83d\\ude00" + "x" * 63000).replace('"index"', '"codes"')
MIB = 1 << 20
# How deep a parser goes depends on Python's version; none crashes.
DEEP = "nested|another safetensors file"

Case = tuple[str, bytes, str]  # what is wrong, the file, what the message says


def foreign() -> Iterator[Case]:
    array = np.arange(100.0)
    npy, npz, zipped = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(npy, array)
    np.savez(npz, a=array)
    np.savez(zipped)
    yield "npy", npy.getvalue(), r"NumPy \.npy"
    yield "npz", npz.getvalue(), "zip archive"
    yield "empty npz", zipped.getvalue(), "empty zip archive"
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        yield f"pickle {protocol}", pickle.dumps(array, protocol), "pickle"
    yield "pickle 0", pickle.dumps(["text"] * 9, 0), "got"
    yield "gzip of ours", gzip.compress(VALID), "gzip"
    yield "bzip2 of ours", bz2.compress(VALID), "bzip2"
    yield "xz of ours", lzma.compress(VALID), "xz"
    yield "zstd", b"\x28\xb5\x2f\xfd" + bytes(range(200)), "Zstandard"
    yield "hdf5", b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"
    yield "parquet", b"PAR1" + bytes(range(100)) + b"PAR1", "Parquet"
    yield "arrow", b"ARROW1\0\0" + b"\xff" * 100, "Arrow"
    yield "gguf", b"GGUF\3\0\0\0" + b"\1" * 100, "GGUF"
    yield "elf", b"\x7fELF\2\1\1" + bytes(100), "program"
    yield "sqlite", b"SQLite format 3\0" + bytes(100), "SQLite"
    yield "lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"
    yield "json", json.dumps({"a": list(range(99))}).encode(), "JSON"
    yield "json array", b'[\n  {"a": 1, "b": 2}\n]\n', "JSON"
    yield "html", b"<!DOCTYPE html><html><body>404</body></html>", "HTML"
    yield "xml", b'\xef\xbb\xbf<?xml version="1.0"?><a>' + b"x" * 50, "HTML or XML"
    yield "text", b"The quick brown fox\njumps over the lazy dog\n", "got text"
    yield "utf-8 text", "Größe: naïve café\n".encode() * 9, "got text"
    yield "csv", b"a,b,c\n1,2,3\n4,5,6\n7,8,9\n", "got text"
    yield "zeros", bytes(4096), "zeros"
    yield "ones", b"\xff" * 4096, "starts with"
    yield "noise", np.random.default_rng(1).bytes(4096), "starts with"
    library = safetensors.numpy.save
    yield "library", library({"a": array}), "another safetensors file"
    yield "library, pt", library({"a": array}, {"format": "pt"}), "another safetensors file"
    yield "library, empty", library({}), "another safetensors file"
    big_endian = struct.pack(">Q", HEADER_END - 8) + VALID[8:]
    yield "big-endian", big_endian, "big-endian"


def truncated() -> Iterator[Case]:
    yield "empty", b"", "empty file"
    for size in range(1, 8):
        yield f"cut at {size}", VALID[:size], f"got {size} bytes"
    yield "length only", VALID[:8], "got a file that starts with"
    for size in (9, 10, 30, 64, 65, HEADER_END // 2, HEADER_END - 64, HEADER_END - 1):
        yield f"cut at {size}", VALID[:size], r"header: .*truncated"
    for size in (*range(HEADER_END, len(VALID), 23), len(VALID) - 1):
        yield f"cut at {size}", VALID[:size], r"data: expected .*truncated|crc32"
    for extra in (1, 7, 64, MIB, MIB + 1):
        yield f"{extra} bytes more", VALID + bytes(extra), r"data: expected|crc32: expected"


def lengths() -> Iterator[Case]:
    for n in (0, 1, 1 << 20, 1 << 31, 1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
        yield f"length {n}", struct.pack("<Q", n) + VALID[8:], "header: expected (2 to|a little)"
    size = len(VALID)
    for n in (size - 7, size, size + 1):
        yield f"length {n}", struct.pack("<Q", n) + VALID[8:], r"header: .*truncated"
    for n in (2, 3, 63, HEADER_END - 100):
        yield f"length {n}", struct.pack("<Q", n) + VALID[8:], "header: expected JSON"
    for n in (size - 8, HEADER_END - 7):
        yield f"length {n}", struct.pack("<Q", n) + VALID[8:], "header: expected "
    long = json.dumps({"a": "x" * (1 << 17)})
    yield "long header, little data", encode(long, b""), "header: expected 2 to"


def json_texts() -> Iterator[Case]:
    for name, text, message in (
        ("no object", "[]", "starts with"),
        ("leading space", " " + TEXT, "starts with"),
        ("byte order mark", "\ufeff" + TEXT, "ASCII"),
        ("unclosed", TEXT[:-1], "expected JSON"),
        ("unclosed string", TEXT[:-40], "expected JSON"),
        ("rubbish behind", TEXT + "x", "expected JSON"),
        ("two objects", TEXT + TEXT, "expected JSON"),
        ("NUL behind", TEXT + "\0", "expected JSON"),
        ("single quotes", TEXT.replace('"', "'"), "expected JSON"),
        ("comment", TEXT.replace("{", "{/**/", 1), "expected JSON"),
        ("trailing comma", TEXT[:-1] + ",}", "expected JSON"),
        ("control character", TEXT.replace("cosine", "cos\nine"), "expected JSON"),
        ("bad escape", TEXT.replace("cosine", "cos\\xine"), "expected JSON"),
        ("short escape", TEXT.replace("cosine", "cos\\u12"), "expected JSON"),
        ("UTF-8", TEXT.replace("cosine", "cosîne"), "ASCII"),
        ("emoji", TEXT.replace("cosine", "\U0001f600" * 100), "ASCII"),
        ("raw surrogate", TEXT.replace("cosine", "\ud800"), "ASCII"),
        ("escaped surrogate", TEXT.replace("cosine", "\\ud800"), "expected text"),
        ("surrogate as key", TEXT.replace('"metric"', '"\\udfff"'), "lone surrogate"),
        ("surrogate as name", TEXT.replace('"ids"', '"\\udc00"'), "lone surrogate"),
        ("NaN", TEXT.replace('"cosine"', "NaN"), "integers, got NaN"),
        ("Infinity", TEXT.replace("[4,16]", "[4,Infinity]"), "integers, got Infinity"),
        ("-Infinity", TEXT.replace("[4,16]", "[-Infinity]"), "integers, got -Infinity"),
        ("float", TEXT.replace("[4,16]", "[4,16.0]"), "integers, got 16.0"),
        ("exponent", TEXT.replace("[4,16]", "[4,1e400]"), "integers, got 1e400"),
        ("long number", TEXT.replace("[4,16]", f"[{'9' * 5000}]"), "5000 digits"),
        ("leading zero", TEXT.replace("[4,16]", "[04,16]"), "expected JSON"),
        ("duplicate tensor", TEXT[:-1] + ',"ids":' + json.dumps(DOCUMENT["ids"]) + "}", "dupl"),
        ("duplicate field", TEXT.replace('"dtype"', '"dtype":"U8","dtype"', 1), "duplicate"),
        ("duplicate string", TEXT.replace('"kind"', '"kind":"codes","kind"'), "duplicate"),
        ("duplicate metadata", TEXT.replace("{", '{"__metadata__":{},', 1), "duplicate"),
        ("nested lists", '{"a":' + "[" * 2000 + "]" * 2000 + "}", DEEP),
        ("nested objects", '{"a":' * 1900 + "1" + "}" * 1900, DEEP),
        ("nested too often", '{"a":' + "[" * 40000 + "]" * 20000 + "}", "at most"),
        ("many values", '{"a":[' + "1," * 20000 + "1]}", "at most"),
        ("many strings", '{"a":[' + '"ab",' * 9000 + "1]}", "at most"),
        ("many tensors", "{" + ",".join(f'"{i}":{{}}' for i in range(5000)) + "}", "at most"),
        ("many lists", "{" + ",".join(f'"{i}":[]' for i in range(2000)) + "}", "at most"),
        ("values enough", '{"a":[' + '"ab",' * 4090 + "1]}", "another safetensors file"),
        ("tensors enough", "{" + ",".join(f'"{i}":{{}}' for i in range(1300)) + "}", "another"),
        ("lists enough", '{"a":[' + "[]," * 2040 + "1]}", "another safetensors file"),
        ("wide text", WIDE, "got embmath codes"),
        ("empty object", "{}", "another safetensors file"),
    ):
        yield name, encode(text, DATA), message
    yield "invalid UTF-8", encode(TEXT.encode().replace(b"cosine", b"\xff\xfe"), DATA), "ASCII"
    yield "overlong UTF-8", encode(TEXT.encode().replace(b"cosine", b"\xc0\xaf"), DATA), "ASCII"
    yield "UTF-16", encode(TEXT.encode("utf-16-le"), DATA), "expected JSON"
    yield "spaces only", encode(b" " * 56, DATA), "got a file that starts|starts with"


def changed(change: dict[str, Any], where: str) -> bytes:
    """The valid file with fields of one object of its header replaced; ... removes a field."""
    document = copy.deepcopy(DOCUMENT)
    for key, value in change.items():
        if value is ...:
            del document[where][key]
        else:
            document[where][key] = value
    return encode(document, DATA)


def metadata() -> Iterator[Case]:
    for value in (None, [], "text", 1, True, [["a", "b"]]):
        document = DOCUMENT | {"__metadata__": value}
        yield f"metadata {value!r}", encode(document, DATA), "__metadata__: expected an object"
    for value in (None, 1, True, [], {}, ["a"], {"a": "b"}):
        yield f"string {value!r}", changed({"metric": value}, "__metadata__"), "expected text"
    for key, bad, message in (
        ("format", (..., "", "pt", "Embmath"), "another safetensors file"),
        ("schema", ("2.0", "0.9", "99.1", "10.0"), r"schema: expected 1\.x"),
        ("schema", ("", "1", "1.0.0", "v1", " 1.0", "1.-1", "99999.0", "1.\uff10"), "two numbers"),
        ("schema", (...,), "expected 'schema'"),
        ("kind", ("codes", "rotation", "Index", ""), "expected embmath index, got"),
        ("kind", (...,), "expected 'kind'"),
        ("version", (...,), "expected 'version'"),
        ("sha256", ("", "0" * 63, "0" * 65, "G" * 64, "A" * 64), "sha256: expected 64 hex"),
        ("sha256", (...,), "expected 'sha256'"),
        ("crc32", ("", "0" * 7, "0" * 16, "x" * 8), "crc32: expected 8 hex"),
        ("crc32", (...,), "expected 'crc32'"),
        ("header_sha256", (..., "", "0" * 63, "F" * 64), "SHA-256 in it, got none"),
    ):
        for value in bad:
            name = "missing" if value is ... else value[:12]
            yield f"{key} {name!r}", changed({key: value}, "__metadata__"), message


def tensors() -> Iterator[Case]:
    for value in ("f32", "F8_E4M3", "", "C64", "I128", "O", "<f4", None, 3, True, ["U8"], {}):
        yield f"dtype {value!r}", changed({"dtype": value}, "codes"), "'codes': expected dtype"
    shapes: tuple[Any, ...] = (None, 64, "64", {}, [-64], [-8, -8], [True, 64], ["64"], [[64]])
    shapes += ([None], [1 << 63], [1 << 40, 1 << 40], [1 << 64], [0, 1 << 63], [64] + [1] * 32)
    shapes += ([0] * 33, [1 << 32, 1 << 31])
    for value in shapes:
        message = "'codes': expected an array's shape"
        yield f"shape {str(value)[:30]}", changed({"shape": value}, "codes"), message
    for value in ([], [63], [65], [4, 17], [1 << 32, 1 << 30], [0], [1 << 62]):
        message = r"'codes': expected data_offsets \[0, \d+\]"
        yield f"size {value}", changed({"shape": value}, "codes"), message
    offsets: tuple[Any, ...] = (None, 64, "0,64", {}, [], [0], [64], [0, 64, 64], ["0", "64"])
    offsets += ([0, None], [False, 64], [[0, 64]], [-64, 0], [0, -64], [64, 0], [64, 128])
    offsets += ([0, 63], [0, 65], [1, 65], [0, 1 << 63], [1 << 63, (1 << 63) + 64], [0, 0])
    for value in offsets:
        message = r"'codes': expected data_offsets \[0, 64\]"
        yield f"offsets {value}", changed({"data_offsets": value}, "codes"), message
    for field in ("dtype", "shape", "data_offsets"):
        yield f"no {field}", changed({field: ...}, "codes"), "expected dtype, shape and"
    yield "a field more", changed({"strides": []}, "codes"), "expected dtype, shape and"
    for value in (None, [], "U8", 1, {}):
        document = DOCUMENT | {"codes": value}
        yield f"tensor {value!r}", encode(document, DATA), "'codes': expected dtype, shape and"


def placements() -> Iterator[Case]:
    yield "overlap", changed({"data_offsets": [0, 16]}, "scales"), "'scales': expected data_off"
    document = copy.deepcopy(DOCUMENT)
    del document["_pad.ids"]
    yield "hole", encode(document, DATA), r"'ids': expected data_offsets \[80, "
    keys = list(DOCUMENT)
    keys[1], keys[2] = keys[2], keys[1]
    yield "order", encode({key: DOCUMENT[key] for key in keys}, DATA), "'scales': expected data_off"
    end = len(DATA)
    document = DOCUMENT | {"_pad.end": tensor("U8", [60], end, end + 60)}
    document |= {"more": tensor("U8", [64], len(DATA) + 60, len(DATA) + 124)}
    yield "beyond the end", encode(document, DATA), r"data: expected .*truncated"
    document = copy.deepcopy(DOCUMENT)
    del document["mask"]
    yield "data left over", encode(document, DATA), r"data: expected \d+ bytes, got"
    document = sample_document(b"") | {"codes": DOCUMENT["codes"]}
    yield "no data", encode(document, b""), r"data: expected \d+ bytes, got 0 .truncated"
    document = {"__metadata__": DOCUMENT["__metadata__"]} | {
        "a": tensor("U8", [8], 0, 8),
        "b": tensor("U8", [len(DATA) - 8], 8, len(DATA)),
    }
    yield "misaligned tensor", encode(document, DATA), "'b': expected a multiple of 64"
    raw = VALID[8:HEADER_END] + b" " * 8
    file = seal(struct.pack("<Q", len(raw)) + raw) + DATA
    yield "misaligned data", file, "expected data at a multiple of 64"


def damaged() -> Iterator[Case]:
    """Every part of the header, with its checksum as it was."""
    spaces = VALID[:HEADER_END].rstrip().__len__()
    where = {"first field": 24, "a digit": VALID.index(b'"shape":[') + 9, "padding": spaces}
    for name, at in where.items():
        flipped = bytes([VALID[at] ^ 1])
        message = "damaged|got another|expected JSON"
        yield f"bit of {name}", VALID[:at] + flipped + VALID[at + 1 :], message
    for old, new in ((b"cosine", b"cosinE"), (b'"0.1.0"', b'"0.1.1"'), (b'"index"', b'"codes"')):
        yield f"{old!r} to {new!r}", VALID.replace(old, new), "header: .*damaged"
    document = copy.deepcopy(DOCUMENT)
    yield "unsealed", encode(document, DATA, sealed=False), "header: .*damaged"


SOURCES = (foreign, truncated, lengths, json_texts, metadata, tensors, placements, damaged)
CASES = [
    pytest.param(content, message, id=f"{source.__name__}-{name}")
    for source in SOURCES
    for name, content, message in source()
]


def refused(path: Path, message: str, **options: Any) -> None:
    with pytest.raises(em.FileFormatError, match=message) as caught:
        _files.read(path, kind="index", **options)
    assert str(caught.value).startswith(f"{path}: ")
    assert "expected" in str(caught.value)
    assert "got" in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 300


def test_the_valid_file_is_valid(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(VALID)
    for mmap, verify in itertools.product((True, False), ("header", "full")):
        file = _files.read(tmp_path / "good", kind="index", mmap=mmap, verify=verify)
        assert_is_sample(file.tensors)
        assert file.metadata == {"metric": "cosine"}


def test_there_are_enough() -> None:
    assert len(CASES) >= 200


@pytest.mark.parametrize(("content", "message"), CASES)
def test_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    start = time.process_time()
    refused(path, message)
    assert time.process_time() - start < 0.1
    for mmap in (True, False):
        tracemalloc.start()
        try:
            refused(path, message, mmap=mmap, verify="full")
            assert tracemalloc.get_traced_memory()[1] <= len(content) + MIB
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("name", ["codes", "scales", "ids", "mask"])
def test_damaged_data_are_named(name: str, mmap: bool, tmp_path: Path) -> None:
    content = bytearray(VALID)
    begin, end = DOCUMENT[name]["data_offsets"]
    content[HEADER_END + (begin + end) // 2] ^= 4
    (tmp_path / "bad").write_bytes(content)
    _files.read(tmp_path / "bad", kind="index", mmap=mmap)  # the header is fine
    message = f"1 of 1 blocks damaged, first bytes {HEADER_END} to {len(VALID)} .*{name!r}"
    refused(tmp_path / "bad", message, mmap=mmap, verify="full")


def test_damaged_blocks_are_named(tmp_path: Path) -> None:
    path = tmp_path / "file"
    arrays = {name: np.full(3 * MIB, n, np.uint8) for n, name in enumerate("abc")}
    _files.write(path, arrays, {}, kind="index")
    content = bytearray(path.read_bytes())
    start = header_end(content)
    for position in (4 * MIB + 5, 5 * MIB, 8 * MIB):
        content[start + position] ^= 1
    path.write_bytes(content)
    range_ = f"first bytes {start + 4 * MIB} to {start + 6 * MIB} of the file, in tensor 'b'$"
    refused(path, f"3 of 9 blocks damaged, {range_}", verify="full")


def test_wrong_checksums_of_good_data(tmp_path: Path) -> None:
    """Only SHA-256 decides; who writes wrong ones is told so."""
    (tmp_path / "bad").write_bytes(changed({"sha256": "0" * 64}, "__metadata__"))
    refused(tmp_path / "bad", "data: expected to match their SHA-256", verify="full")


def test_a_bool_is_0_or_1(tmp_path: Path) -> None:
    data = DATA[:-1] + b"\2"
    (tmp_path / "bad").write_bytes(encode(sample_document(data), data))
    refused(tmp_path / "bad", "'mask': expected bytes 0 and 1", verify="full")


def test_a_later_minor_schema_is_read(tmp_path: Path) -> None:
    content = changed({"schema": "1.7", "mood": "new"}, "__metadata__")
    (tmp_path / "newer").write_bytes(content)
    file = _files.read(tmp_path / "newer", kind="index", verify="full")
    assert file.schema == "1.7"
    assert_is_sample(file.tensors)


class TestNoFile:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            _files.read(tmp_path / "none", kind="index")

    def test_folder(self, tmp_path: Path) -> None:
        refused(tmp_path, "got a folder")

    def test_pipe_without_writer(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        refused(tmp_path / "pipe", "got a device or pipe")

    @pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
    def test_device(self, device: str) -> None:
        refused(Path(device), "got a device or pipe")

    def test_verify_is_checked_first(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"^verify: expected 'header' or 'full', got 'all'"):
            _files.read(tmp_path / "none", kind="index", verify="all")  # type: ignore[arg-type]


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("left", [0, 8, 100, HEADER_END, len(VALID) - 1])
def test_cut_after_it_was_opened(
    left: int, mmap: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program shortens the file between the look at its size and the reading."""
    path = tmp_path / "shrinking"
    path.write_bytes(VALID)
    fstat, pread = os.fstat, os.pread

    def look_and_cut(descriptor: int) -> os.stat_result:
        status = fstat(descriptor)
        if left < HEADER_END:
            os.truncate(path, left)
        return status

    def read_and_cut(descriptor: int, size: int, offset: int) -> bytes:
        found = pread(descriptor, size, offset)
        if size == HEADER_END:
            os.truncate(path, left)
        return found

    monkeypatch.setattr(os, "fstat", look_and_cut)
    monkeypatch.setattr(os, "pread", read_and_cut)
    refused(path, "empty file|cut while read|starts with", mmap=mmap)


def mutations(rng: np.random.Generator, content: bytes, low: int, high: int) -> bytes:
    """Some bytes between two positions changed, moved, lost or doubled."""
    result = bytearray(content)
    action = rng.integers(8)
    at, other = sorted(int(i) for i in rng.integers(low, high, 2))
    if action == 0:
        del result[at : at + int(rng.integers(1, 20))]
    elif action == 1:
        result[at:at] = rng.bytes(int(rng.integers(1, 20)))
    elif action == 2:
        result[at:at] = result[at:other]
    elif action == 3:
        result[at : at + 64], result[other : other + 64] = (
            result[other : other + 64],
            result[at : at + 64],
        )
    else:
        for position in rng.integers(low, high, int(rng.integers(1, 5))):
            result[position] ^= int(rng.integers(1, 256))
    return bytes(result)


def test_no_mutation_goes_unseen(tmp_path: Path, rng: np.random.Generator) -> None:
    """5,000 damaged files: refused, or exactly what was written."""
    path = tmp_path / "mutant"
    n_refused = 0
    for i in range(5000):
        low = HEADER_END if i % 2 else 0  # the data as often as anything
        path.write_bytes(mutations(rng, VALID, low, len(VALID)))
        try:
            file = _files.read(path, kind="index", mmap=i % 3 > 0, verify="full")
        except em.FileFormatError:
            n_refused += 1
        else:
            assert_is_sample(file.tensors)
            assert file.metadata == {"metric": "cosine"}
    assert n_refused > 4500


PIECES = ("{", "}", "[", "]", ",", ":", '"', "0", "-1", "1e9", "null", "true", "NaN", "\\u0000")
PIECES += ('"dtype"', '"shape"', '"F64"', "[0,0]", "{}", "18446744073709551615", "_pad", " ")


def test_forged_headers_do_no_harm(tmp_path: Path, rng: np.random.Generator) -> None:
    """Changed headers under a checksum that is right: any outcome but harm."""
    path = tmp_path / "forged"
    tokens = re.findall(r'"[^"]*"|\d+|[\[\]{},:]', TEXT)
    outcomes = set()
    for i in range(3000):
        forged = list(tokens)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(len(forged)))
            if rng.integers(3):
                forged[at] = PIECES[rng.integers(len(PIECES))]
            else:
                forged[at] = forged[int(rng.integers(len(forged)))]
        path.write_bytes(encode("".join(forged), DATA))
        if i % 10 == 0:
            tracemalloc.start()
        try:
            file = _files.read(path, kind="index")
            outcomes.add(sum(array.nbytes for array in file.tensors.values()) <= len(DATA))
        except em.FileFormatError as error:
            outcomes.add(re.sub(r"[\d'].*", "", str(error).removeprefix(f"{path}: ")))
        if i % 10 == 0:
            assert tracemalloc.get_traced_memory()[1] <= path.stat().st_size + MIB
            tracemalloc.stop()
    assert True in outcomes
    assert False not in outcomes
    assert len(outcomes) > 10
