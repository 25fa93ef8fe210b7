"""Indexes by description."""

from .binary import IndexBinaryFlat
from .flat import IndexFlat
from .id_map import IndexBinaryIDMap, IndexBinaryIDMap2, IndexIDMap, IndexIDMap2
from .index import METRIC_L2, Index
from .scalar_quantizer import IndexScalarQuantizer, ScalarQuantizer

_CODES = {
    "SQ8": ScalarQuantizer.QT_8bit,
    "SQ4": ScalarQuantizer.QT_4bit,
    "SQfp16": ScalarQuantizer.QT_fp16,
    "SQbf16": ScalarQuantizer.QT_bf16,
    "SQ8_direct": ScalarQuantizer.QT_8bit_direct,
    "SQ8_direct_signed": ScalarQuantizer.QT_8bit_direct_signed,
}
_ID_MAPS = {"IDMap": IndexIDMap, "IDMap2": IndexIDMap2}
_BINARY_ID_MAPS = {"IDMap": IndexBinaryIDMap, "IDMap2": IndexBinaryIDMap2}


def index_factory(d: int, description: str, metric: int = METRIC_L2) -> Index:
    """An empty index.

    Parameters
    ----------
    d : int
        Dimensions.
    description : str
        "Flat", "SQ8", "SQ4", "SQfp16", "SQbf16", "SQ8_direct" or "SQ8_direct_signed"; with
        "IDMap," or "IDMap2," before it or ",IDMap" or ",IDMap2" behind it, one with ids.
    metric : int
        METRIC_L2, METRIC_INNER_PRODUCT or METRIC_L1.

    Returns
    -------
    Index

    Raises
    ------
    NotImplementedError
        For other descriptions; a RuntimeError, which FAISS raises.

    Examples
    --------
    >>> from embmath.compat import faiss
    >>> index = faiss.index_factory(8, "IDMap,SQ8", faiss.METRIC_INNER_PRODUCT)
    >>> type(index).__name__, type(index.index).__name__, index.is_trained
    ('IndexIDMap', 'IndexScalarQuantizer', False)
    """
    kind, id_map = _parts(description)
    if kind == "Flat":
        index: Index = IndexFlat(d, metric)
    elif kind in _CODES:
        index = IndexScalarQuantizer(d, _CODES[kind], metric)
    else:
        raise _unknown(description, ("Flat", *_CODES))
    return _ID_MAPS[id_map](index) if id_map else index


def index_binary_factory(d: int, description: str) -> Index:
    """An empty index of packed bits.

    Parameters
    ----------
    d : int
        Bits.
    description : str
        "BFlat", with ids as for :func:`index_factory`.

    Returns
    -------
    Index

    Raises
    ------
    NotImplementedError
        For other descriptions.

    Examples
    --------
    >>> from embmath.compat import faiss
    >>> faiss.index_binary_factory(64, "BFlat").code_size
    8
    """
    kind, id_map = _parts(description)
    if kind != "BFlat":
        raise _unknown(description, ("BFlat",))
    index = IndexBinaryFlat(d)
    return _BINARY_ID_MAPS[id_map](index) if id_map else index


def _parts(description: str) -> tuple[str, str]:
    """What an index is made of, and the way its rows are named."""
    first, _, second = description.partition(",")
    if first in _ID_MAPS:
        return second, first
    return (first, second) if second in _ID_MAPS else (description, "")


def _unknown(description: str, kinds: tuple[str, ...]) -> NotImplementedError:
    known = ", ".join(repr(kind) for kind in kinds)
    return NotImplementedError(
        f"description: expected {known}, with or without 'IDMap,' or 'IDMap2,', got {description!r}"
    )
