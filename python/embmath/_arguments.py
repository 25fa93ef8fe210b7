"""Scalar arguments: checked by name before anything is computed."""

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

from ._arrays import Input
from ._types import Progress

MAX_THREADS = 2**20


def _is_bool(value: object) -> bool:
    return type(value).__name__ in ("bool", "bool_")


def integer(name: str, value: object, *, at_least: int, at_most: int = 2**62) -> int:
    """An int (NumPy integers included, bool not) within bounds."""
    if _is_bool(value):
        raise TypeError(f"{name}: expected an integer, got bool")
    try:
        result = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name}: expected an integer, got {type(value).__name__}") from None
    if result < at_least:
        raise ValueError(f"{name}: must be at least {at_least}, got {result}")
    if result > at_most:
        raise ValueError(f"{name}: must be at most {at_most}, got {result}")
    return result


def number(name: str, value: object) -> float:
    """A real number, NaN not allowed."""
    if isinstance(value, str) or _is_bool(value):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    try:
        result = float(value)  # type: ignore[arg-type]
    except OverflowError:
        raise ValueError(f"{name}: must be a float64, got {value!r:.40}") from None
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}") from None
    if math.isnan(result):
        raise ValueError(f"{name}: must be a number, got nan")
    return result


def flag(name: str, value: object) -> bool:
    """A bool, NumPy's included."""
    if not _is_bool(value):
        raise TypeError(f"{name}: expected a bool, got {type(value).__name__}")
    return bool(value)


def choice(name: str, value: object, allowed: Sequence[str]) -> str:
    """One of a few words."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a string, got {type(value).__name__}")
    if value not in allowed:
        raise ValueError(f"{name}: unknown {value!r}, expected one of: {', '.join(allowed)}")
    return value


def strings(name: str, value: object) -> dict[str, str]:
    """A mapping of str to str, as a dict of its own."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}: expected a mapping, got {type(value).__name__}")
    for key, each in value.items():
        if not (isinstance(key, str) and isinstance(each, str)):
            raise TypeError(f"{name}: expected strings, got {key!r}: {type(each).__name__}")
    return dict(value)


def progress(value: Progress | None) -> Progress | None:
    """Something to call with the fraction done."""
    if value is not None and not callable(value):
        raise TypeError(f"progress: expected a callable, got {type(value).__name__}")
    return value


def threads(value: object) -> int:
    """A thread count; 0 stands for the default."""
    return 0 if value is None else integer("threads", value, at_least=1, at_most=MAX_THREADS)


def dims(value: object, a: Input, b: Input | None = None) -> int:
    """Leading columns to use: all of them, or a prefix both arguments have."""
    n_cols = a.n_cols
    if value is None:
        if b is not None and b.n_cols != n_cols:
            raise ValueError(f"{b.name}: expected {n_cols} columns like {a.name}, got {b.n_cols}")
        return int(n_cols)
    prefix = integer("dims", value, at_least=1)
    widest = n_cols if b is None else min(n_cols, b.n_cols)
    if prefix > widest:
        raise ValueError(f"dims: must be between 1 and {widest}, got {prefix}")
    return prefix


_threads, _progress = threads, progress  # the class has arguments of these names


class Search:
    """What searches of arrays and of an index take alike, checked."""

    def __init__(
        self,
        *,
        exclude_self: object = False,
        threshold: object = None,
        nan: object = "raise",
        threads: object = None,
        progress: Progress | None = None,
        stats: dict[str, Any] | None = None,
    ) -> None:
        if stats is not None and not isinstance(stats, dict):
            raise TypeError(f"stats: expected a dict to fill in, got {type(stats).__name__}")
        self.options: dict[str, Any] = {
            "exclude_self": flag("exclude_self", exclude_self),
            "threshold": None if threshold is None else number("threshold", threshold),
            "reject_nan": choice("nan", nan, ("raise", "rank_last")) == "raise",
            "threads": _threads(threads),
            "progress": _progress(progress),
        }
        self.stats = stats

    def finish(self, report: dict[str, Any] | None = None) -> None:
        """Hand over what the search did and say that it is done."""
        if self.stats is not None and report is not None:
            self.stats.update(report)
        if self.options["progress"] is not None:
            self.options["progress"](1.0)
