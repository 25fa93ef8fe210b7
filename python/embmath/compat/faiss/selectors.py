"""Which ids a search may return, as FAISS says it."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class IDSelector(ABC):
    """A set of ids; subclasses say in `_members` which of an array belong to it."""

    def is_member(self, id: Any) -> Any:
        """Whether an id, or each of an array, belongs to the set."""
        members = self._members(np.atleast_1d(np.asarray(id, np.int64)))
        return members if np.ndim(id) else bool(members[0])

    @abstractmethod
    def _members(self, ids: Ids) -> Mask:
        """Which of the ids."""


class IDSelectorAll(IDSelector):
    """Every id."""

    def _members(self, ids: Ids) -> Mask:
        return np.ones(ids.shape, bool)


class IDSelectorArray(IDSelector):
    """The ids of an array; one that is in it twice is found once, unlike in FAISS.

    Parameters
    ----------
    indices : array-like of int64, (n,)
    """

    def __init__(self, indices: Any) -> None:
        self.indices = np.unique(np.ascontiguousarray(indices, np.int64))

    def _members(self, ids: Ids) -> Mask:
        return np.isin(ids, self.indices)


class IDSelectorBatch(IDSelectorArray):
    """The ids of an array; here the same as :class:`IDSelectorArray`."""


class IDSelectorRange(IDSelector):
    """Ids from `imin` up to, not including, `imax`.

    Parameters
    ----------
    imin, imax : int
    assume_sorted : bool
        Accepted for compatibility.
    """

    def __init__(self, imin: int, imax: int, assume_sorted: bool = False) -> None:
        self.imin, self.imax, self.assume_sorted = imin, imax, assume_sorted

    def _members(self, ids: Ids) -> Mask:
        return (ids >= self.imin) & (ids < self.imax)


class IDSelectorBitmap(IDSelector):
    """Ids whose bit is set; least significant bit first, as Arrow has validity.

    Parameters
    ----------
    bitmap : array of uint8, (n,)
        The bit of id i is ``bitmap[i // 8] >> (i % 8) & 1``. Codes (:func:`embmath.pack_bits`) have
        the most significant first.
    """

    def __init__(self, bitmap: Any) -> None:
        array = np.asarray(bitmap)
        if array.dtype != np.uint8 or array.ndim != 1:
            raise TypeError(
                f"bitmap: expected uint8 of one dimension, got {array.dtype} of {array.ndim}"
            )
        self.bits = np.unpackbits(array, bitorder="little").view(bool)

    def _members(self, ids: Ids) -> Mask:
        is_inside = (ids >= 0) & (ids < self.bits.size)
        members: Mask = np.append(self.bits, False)[np.where(is_inside, ids, -1)]
        return members


class IDSelectorNot(IDSelector):
    """Ids that another selector leaves out.

    Parameters
    ----------
    sel : IDSelector
    """

    def __init__(self, sel: Any) -> None:
        self.sel = sel

    def _members(self, ids: Ids) -> Mask:
        return ~chosen(self.sel, ids)


class _Pair(IDSelector):
    def __init__(self, lhs: Any, rhs: Any) -> None:
        self.lhs, self.rhs = lhs, rhs


class IDSelectorAnd(_Pair):
    """Ids of both of two selectors.

    Parameters
    ----------
    lhs, rhs : IDSelector
    """

    def _members(self, ids: Ids) -> Mask:
        return chosen(self.lhs, ids) & chosen(self.rhs, ids)


class IDSelectorOr(_Pair):
    """Ids of either of two selectors.

    Parameters
    ----------
    lhs, rhs : IDSelector
    """

    def _members(self, ids: Ids) -> Mask:
        return chosen(self.lhs, ids) | chosen(self.rhs, ids)


class IDSelectorXOr(_Pair):
    """Ids of one of two selectors, not of both.

    Parameters
    ----------
    lhs, rhs : IDSelector
    """

    def _members(self, ids: Ids) -> Mask:
        return chosen(self.lhs, ids) ^ chosen(self.rhs, ids)


class SearchParameters:
    """What a single search is told.

    Parameters
    ----------
    sel : IDSelector, optional
        Which ids it may return.
    """

    def __init__(self, *, sel: Any = None) -> None:
        self.sel = sel


def chosen(selector: Any, ids: Ids) -> Mask:
    """Which of these ids a selector, ours or FAISS's own, has."""
    if isinstance(selector, IDSelector):
        return selector._members(ids)
    if not hasattr(selector, "is_member"):
        raise TypeError(f"sel: expected an IDSelector, got {type(selector).__name__}")
    return np.fromiter((selector.is_member(int(id)) for id in ids), bool, ids.size)
