"""JSON without its loopholes: bounded work, unique keys, text that is Unicode, integers of 64 bits.

Errors are FileFormatError without the path, which only the reader knows.
"""

import json
import re
from typing import Any

from .._types import FileFormatError

# Each of these characters costs some 200 bytes when parsed, so their number bounds the memory.
_SEPARATORS = "{[,:"
MAX_SEPARATORS = 4096

_MAX_DIGITS = 20  # of 2**64; int() takes quadratic time


def n_separators(text: str) -> int:
    return sum(map(text.count, _SEPARATORS))


def is_text(value: str) -> bool:
    """Whether a string can be written as UTF-8."""
    return value.isascii() or not re.search("[\ud800-\udfff]", value)


def load(text: str) -> dict[str, Any]:
    """An object in ASCII."""
    if not text.isascii():
        raise FileFormatError("header: expected ASCII, got other bytes")
    if not text.startswith("{"):
        raise FileFormatError(f"header: expected JSON that starts with '{{', got {text[:1]!r}")
    if n_separators(text) > MAX_SEPARATORS:
        raise FileFormatError(f"header: expected at most {MAX_SEPARATORS} JSON values, got more")
    try:
        document: dict[str, Any] = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
    except json.JSONDecodeError as error:
        raise FileFormatError(f"header: expected JSON, got text with an error: {error}") from None
    except RecursionError:
        raise FileFormatError("header: expected flat JSON, got deeply nested JSON") from None
    return document


def show(value: Any) -> str:
    """A value for a message: short, and never by recursion."""
    if isinstance(value, list) and all(isinstance(item, (str, int)) for item in value):
        return f"{value!r:.80}"
    if isinstance(value, (str, int)):
        return f"{value!r:.80}"
    return {type(None): "null", dict: "an object", list: "a nested list"}[type(value)]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise FileFormatError("header: expected each key once, got a duplicate key")
    if not all(map(is_text, found)):
        raise FileFormatError("header: expected Unicode text, got a lone surrogate in a key")
    return found


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise FileFormatError(f"header: expected 64-bit integers, got one of {len(digits)} digits")
    return int(digits)


def _refuse_number(digits: str) -> None:
    raise FileFormatError(f"header: expected integers, got {digits[:20]}")
