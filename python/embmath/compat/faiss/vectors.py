"""FAISS's ways from its vectors and pointers to arrays: here they are arrays already."""

from typing import Any

import numpy as np

from .index import Array


def vector_to_array(v: Any) -> Array:
    """A copy of an index's `codes`, `id_map` or `xb`.

    Examples
    --------
    >>> import numpy as np
    >>> from embmath.compat import faiss
    >>> index = faiss.IndexIDMap(faiss.IndexFlatIP(2))
    >>> index.add_with_ids(np.eye(2, dtype=np.float32), np.array([10, 20]))
    >>> faiss.vector_to_array(index.id_map)
    array([10, 20])
    """
    return np.array(v)


def rev_swig_ptr(ptr: Any, n: int) -> Array:
    """The first `n` numbers of what ``get_xb`` returns."""
    return np.asarray(ptr)[:n]
