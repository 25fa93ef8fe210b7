"""Indexes of float32 rows."""

from typing import Any

import numpy as np

from .index import METRIC_INNER_PRODUCT, METRIC_L2, Array, Index, metric_name
from .stores import IndexedRows


class IndexFlat(Index):
    """Exact search of float32 rows.

    Parameters
    ----------
    d : int
        Dimensions.
    metric : {METRIC_L2, METRIC_INNER_PRODUCT, METRIC_L1}

    Notes
    -----
    Beside the rows there are codes of d bytes each, which searches read instead of the rows
    (:class:`embmath.Index`). Which codes is decided by the first rows that are added.

    Examples
    --------
    >>> import numpy as np
    >>> from embmath.compat import faiss
    >>> index = faiss.IndexFlat(2, faiss.METRIC_L2)
    >>> index.add(np.float32([[0, 0], [3, 4]]))
    >>> index.search(np.float32([[0, 1]]), 2)
    (array([[ 1., 18.]], dtype=float32), array([[0, 1]]))
    """

    def __init__(self, d: int, metric: int = METRIC_L2) -> None:
        super().__init__(d, metric)
        self._store = IndexedRows(self.d, metric_name(metric))

    @property
    def codes(self) -> Array:
        """The rows as bytes, one after the other: a copy, for ``vector_to_array``."""
        return self.reconstruct_n().view(np.uint8).ravel()

    def get_xb(self) -> Array:
        """The rows, one after the other: a copy, for ``rev_swig_ptr``."""
        return self.reconstruct_n().ravel()

    def sa_code_size(self) -> int:
        """Bytes of an encoded row."""
        return self.code_size

    def sa_encode(self, x: Array) -> Array:
        """Rows as bytes: (n, 4 d) of uint8."""
        return self._read("x", x).view(np.uint8)

    def sa_decode(self, codes: Array) -> Array:
        """The rows that bytes are."""
        _, width = codes.shape
        assert width == self.code_size, f"codes: expected {self.code_size} columns, got {width}"
        return read_bytes("codes", codes).view(np.float32)


class IndexFlatIP(IndexFlat):
    """Exact search by inner product; by cosine where rows and queries have length 1.

    Parameters
    ----------
    d : int

    Examples
    --------
    >>> import numpy as np
    >>> from embmath.compat import faiss
    >>> index = faiss.IndexFlatIP(2)
    >>> index.add(np.float32([[1, 0], [0, 1]]))
    >>> index.search(np.float32([[1, 3]]), 3)[1]
    array([[ 1,  0, -1]])
    """

    def __init__(self, d: int) -> None:
        super().__init__(d, METRIC_INNER_PRODUCT)


class IndexFlatL2(IndexFlat):
    """Exact search by squared euclidean distance.

    Parameters
    ----------
    d : int
    """

    def __init__(self, d: int) -> None:
        super().__init__(d, METRIC_L2)


def read_bytes(name: str, x: Any) -> Array:
    """uint8 as it is, anything else refused: int8 codes would be other bits."""
    if not isinstance(x, np.ndarray) or x.dtype != np.uint8:
        found = getattr(x, "dtype", type(x).__name__)
        raise TypeError(f"{name}: expected an array of uint8, got {found}")
    return np.ascontiguousarray(x)
