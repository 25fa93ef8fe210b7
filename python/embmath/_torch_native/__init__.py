"""Every operation in plain Torch: for tensors on a device that has no kernels of our own.

The answers are those of the kernels, bit for bit where these are canonical: a matrix product with a
proven error bound (bounds.py, estimate.py) rules rows out, canonical scores (canonical.py) decide
among the rest, integer keys (order.py) order them. Nothing is moved to another device.
"""

from .calls import (
    dequantize,
    fit_ranges,
    normalize,
    pack_bits,
    pack_int4,
    quantize,
    range_search,
    rescore,
    score_matrix,
    score_pairs,
    search,
    top_k,
    truncate,
    unpack_bits,
    unpack_int4,
)

__all__ = [
    "dequantize",
    "fit_ranges",
    "normalize",
    "pack_bits",
    "pack_int4",
    "quantize",
    "range_search",
    "rescore",
    "score_matrix",
    "score_pairs",
    "search",
    "top_k",
    "truncate",
    "unpack_bits",
    "unpack_int4",
]
