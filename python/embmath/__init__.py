"""Exact embedding similarity and top-k search, at low-precision speed.

A cheap filter with a proven error bound discards almost every row; the survivors are scored in
float64. Results are therefore the same, bit for bit, whatever the instruction set, the number of
threads, the batch size or the memory layout.

>>> import numpy as np
>>> import embmath as em
>>> corpus = np.eye(4, dtype=np.float32)
>>> values, indices = em.search(corpus[2], corpus, k=2)
>>> indices
array([[2, 0]])
"""

from ._bits import pack_bits, pack_int4, unpack_bits, unpack_int4
from ._codes import Codes, dequantize
from ._funnel import funnel_search
from ._index import Index
from ._mmr import mmr
from ._quantize import fit_ranges, quantize
from ._rotated import RotatedGrid
from ._rotation import Rotation, fit_rotation, random_rotation
from ._runtime import (
    __version__,
    dtypes,
    get_num_threads,
    info,
    isas,
    metrics,
    set_num_threads,
)
from ._search import range_search, rescore, search, top_k
from ._similarity import (
    cosine_similarity,
    distance,
    distance_pairwise,
    similarity,
    similarity_pairwise,
)
from ._transform import normalize, truncate
from ._types import (
    ApproximateRangeResult,
    ApproximateTopK,
    FileFormatError,
    RangeResult,
    Residuals,
    TopK,
)

__all__ = [
    "ApproximateRangeResult",
    "ApproximateTopK",
    "Codes",
    "FileFormatError",
    "Index",
    "RangeResult",
    "Residuals",
    "RotatedGrid",
    "Rotation",
    "TopK",
    "__version__",
    "cosine_similarity",
    "dequantize",
    "distance",
    "distance_pairwise",
    "dtypes",
    "fit_ranges",
    "fit_rotation",
    "funnel_search",
    "get_num_threads",
    "info",
    "isas",
    "metrics",
    "mmr",
    "normalize",
    "pack_bits",
    "pack_int4",
    "quantize",
    "random_rotation",
    "range_search",
    "rescore",
    "search",
    "set_num_threads",
    "similarity",
    "similarity_pairwise",
    "top_k",
    "truncate",
    "unpack_bits",
    "unpack_int4",
]
