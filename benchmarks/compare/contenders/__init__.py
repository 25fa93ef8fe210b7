"""Who takes part: one file per library, one decorated function per task.

The imports below only register; a library itself is imported when its contender is prepared.
Tables list contenders in this order.
"""

from benchmarks.compare.contenders import (  # noqa: I001  (the order of the tables)
    ours,
    with_numpy,
    with_torch,
    with_faiss,
    with_usearch,
    with_numkong,
    with_sklearn,
    with_turbovec,
)
from benchmarks.compare.contenders.registry import CONTENDERS, Contender, Prepared

__all__ = [
    "CONTENDERS",
    "Contender",
    "Prepared",
    "ours",
    "with_faiss",
    "with_numkong",
    "with_numpy",
    "with_sklearn",
    "with_torch",
    "with_turbovec",
    "with_usearch",
]
