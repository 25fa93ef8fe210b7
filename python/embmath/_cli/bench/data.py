"""Rows that look like text embeddings, and what rounding may do to their products."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import embmath as em

_CLUSTERS = 256
_UNITS = {"float16": 2.0**-11, "float32": 2.0**-24, "float64": 2.0**-53}


def embeddings(rows: int, dims: int, dtype: str, seed: list[int]) -> NDArray[np.floating]:
    """Rows of length 1 around centres; variances fall like 1/j, in random directions."""
    rng = np.random.default_rng(seed)
    spectrum = (1.0 + np.arange(dims)) ** -0.5
    turn = np.linalg.qr(rng.standard_normal((dims, dims)))[0]
    turn = (spectrum[:, None] * turn).astype(np.float32)
    centres = rng.standard_normal((_CLUSTERS, dims), dtype=np.float32)
    found = rng.standard_normal((rows, dims), dtype=np.float32)
    found *= np.float32(0.7)
    found += centres[rng.integers(_CLUSTERS, size=rows)]
    found = np.asarray(em.normalize(found @ turn))
    return found.astype(dtype, copy=False)


def rounding(dims: int, dtype: str) -> float:
    """What a dot product of rows of length 1 may be wrong by, summed in that precision."""
    return (dims + 16) * _UNITS[dtype]
