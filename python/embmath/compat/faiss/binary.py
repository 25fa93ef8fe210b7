"""An index of packed bits."""

import math
from typing import Any

import numpy as np

from .flat import read_bytes
from .index import METRIC_L2, Array, Index
from .stores import IndexedRows


class IndexBinaryFlat(Index):
    """Exact search of packed bits by Hamming distance.

    Parameters
    ----------
    d : int
        Bits; a multiple of 8. Rows are (n, d / 8) of uint8.

    Notes
    -----
    int8 codes of bits ("binary" of sentence-transformers) differ from uint8 by 128: pass
    ``codes.view(numpy.uint8) ^ 128``, or any, if all rows and queries are of the same kind.

    Examples
    --------
    >>> import numpy as np
    >>> from embmath.compat import faiss
    >>> index = faiss.IndexBinaryFlat(8)
    >>> index.add(np.uint8([[0b1111], [0b0001]]))
    >>> index.search(np.uint8([[0b0000]]), 2)
    (array([[1, 4]], dtype=int32), array([[1, 0]]))
    """

    _row_dtype: Any = np.uint8
    _score_dtype: Any = np.int32
    _is_binary = True

    def __init__(self, d: int) -> None:
        super().__init__(d, METRIC_L2)
        if self.d % 8:
            raise RuntimeError(f"d: expected a multiple of 8 bits, got {d}")
        self._store = IndexedRows(self._n_cols, "hamming")

    @property
    def code_size(self) -> int:
        """Bytes of a row."""
        return self.d // 8

    @property
    def xb(self) -> Array:
        """The rows, one after the other: a copy, for ``vector_to_array``."""
        return self.reconstruct_n().ravel()

    @property
    def _n_cols(self) -> int:
        return self.d // 8

    def _read(self, name: str, x: Array) -> Array:
        return read_bytes(name, super()._read(name, read_bytes(name, x)))

    def _inner(self, thresh: float) -> float:
        return math.ceil(thresh) - 1

    def search_and_reconstruct(self, x: Array, k: int, **options: Any) -> Any:
        """Not of bits, as in FAISS."""
        raise AttributeError("search_and_reconstruct: not for packed bits (use reconstruct_batch)")
