"""FAISS's exact indexes: the same calls and paddings, several times faster, without FAISS.

    from embmath.compat import faiss  # was: import faiss

Wherever a FAISS index goes as an argument (sentence-transformers ``corpus_index=``, datasets
``custom_index=``, LangChain's ``FAISS`` store), these go too. Files are FAISS's own, both ways.
:func:`install` and :func:`patched` make it what such a library itself imports as ``faiss``.
Results are exact and the same on every machine: best first, lowest id first among equals.
"""

from .binary import IndexBinaryFlat
from .factory import index_binary_factory, index_factory
from .files import (
    IO_FLAG_MMAP,
    IO_FLAG_MMAP_IFC,
    IO_FLAG_READ_ONLY,
    deserialize_index,
    read_index,
    serialize_index,
    write_index,
)
from .files import deserialize_index as deserialize_index_binary
from .files import read_index as read_index_binary
from .files import serialize_index as serialize_index_binary
from .files import write_index as write_index_binary
from .flat import IndexFlat, IndexFlatIP, IndexFlatL2
from .functions import knn, knn_hamming, normalize_L2, pairwise_distances
from .id_map import IndexBinaryIDMap, IndexBinaryIDMap2, IndexIDMap, IndexIDMap2
from .index import METRIC_INNER_PRODUCT, METRIC_L1, METRIC_L2, Index
from .patching import install, patched
from .scalar_quantizer import IndexScalarQuantizer, ScalarQuantizer
from .selectors import (
    IDSelector,
    IDSelectorAll,
    IDSelectorAnd,
    IDSelectorArray,
    IDSelectorBatch,
    IDSelectorBitmap,
    IDSelectorNot,
    IDSelectorOr,
    IDSelectorRange,
    IDSelectorXOr,
    SearchParameters,
)
from .streams import BufferedIOReader, BufferedIOWriter, PyCallbackIOReader, PyCallbackIOWriter
from .vectors import rev_swig_ptr, vector_to_array

__version__ = "1.15.1"  # of FAISS: whose calls and files these are

__all__ = [
    "IO_FLAG_MMAP",
    "IO_FLAG_MMAP_IFC",
    "IO_FLAG_READ_ONLY",
    "METRIC_INNER_PRODUCT",
    "METRIC_L1",
    "METRIC_L2",
    "BufferedIOReader",
    "BufferedIOWriter",
    "IDSelector",
    "IDSelectorAll",
    "IDSelectorAnd",
    "IDSelectorArray",
    "IDSelectorBatch",
    "IDSelectorBitmap",
    "IDSelectorNot",
    "IDSelectorOr",
    "IDSelectorRange",
    "IDSelectorXOr",
    "Index",
    "IndexBinaryFlat",
    "IndexBinaryIDMap",
    "IndexBinaryIDMap2",
    "IndexFlat",
    "IndexFlatIP",
    "IndexFlatL2",
    "IndexIDMap",
    "IndexIDMap2",
    "IndexScalarQuantizer",
    "PyCallbackIOReader",
    "PyCallbackIOWriter",
    "ScalarQuantizer",
    "SearchParameters",
    "deserialize_index",
    "deserialize_index_binary",
    "index_binary_factory",
    "index_factory",
    "install",
    "knn",
    "knn_hamming",
    "normalize_L2",
    "pairwise_distances",
    "patched",
    "read_index",
    "read_index_binary",
    "rev_swig_ptr",
    "serialize_index",
    "serialize_index_binary",
    "vector_to_array",
    "write_index",
    "write_index_binary",
]
