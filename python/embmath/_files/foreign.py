"""What a file is that is not ours: only for the error message."""

import codecs

_MAGIC = (
    (b"\x93NUMPY", "a NumPy .npy file"),
    (b"PK\x03\x04", "a zip archive (.npz or a Torch file)"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"GGUF", "a GGUF file"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3", "an SQLite database"),
    (b"version https://git-lfs", "a Git LFS pointer (fetch the file with git lfs pull)"),
    (b"<", "an HTML or XML file"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)
_PICKLE_PROTOCOLS = range(2, 6)


def describe(start: bytes) -> str:
    """Name a file by its first bytes, of which there is at least one."""
    for magic, name in _MAGIC:
        if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(magic):
            return name
    if len(start) > 1 and start[0] == 0x80 and start[1] in _PICKLE_PROTOCOLS:
        return "a pickle (embmath never loads one)"
    if not start.strip(b"\0"):
        return "zeros"
    if _is_text(start):
        return "text"
    return f"a file that starts with {start[:8]!r}"


def _is_text(start: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)  # may end inside a character
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\t\r\n" for character in text)
