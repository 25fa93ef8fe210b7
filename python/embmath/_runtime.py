"""What runs, where, and on how many threads."""

import platform
from typing import Any

import numpy as np

from . import _arguments, _arrays, _core, _device
from ._search import _METRICS

__version__: str = _core.version()

# A forced instruction set that does not exist here is an error now, not at the first search.
_core.check_forced_isa()


def isas() -> tuple[str, ...]:
    """Instruction sets this CPU can run, best last.

    ``EMBMATH_FORCE_ISA`` chooses another than the best. Results do not depend on it.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> em.isas()[0]
    'scalar'
    """
    return tuple(_core.available_isas())


def metrics() -> tuple[str, ...]:
    """Names of the metrics that :func:`search` takes.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> em.metrics()[:2]
    ('cosine', 'dot')
    """
    return _METRICS


def dtypes() -> tuple[str, ...]:
    """Names of the element types that embeddings may have.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> "bfloat16" in em.dtypes()
    True
    """
    return _arrays.EMBEDDING_DTYPES


def set_num_threads(n: int | None) -> None:
    """Set the number of threads that calls use by default.

    Parameters
    ----------
    n : int or None
        None: back to the environment's rules (see :func:`get_num_threads`).

    Raises
    ------
    TypeError, ValueError
        If `n` is not an integer, or below 1.

    Examples
    --------
    >>> em.set_num_threads(2)
    >>> em.get_num_threads()
    2
    >>> em.set_num_threads(None)
    """
    _core.set_default_threads(
        0 if n is None else _arguments.integer("n", n, at_least=1, at_most=_arguments.MAX_THREADS)
    )


def get_num_threads() -> int:
    """Number of threads that calls use by default.

    The first that is set: :func:`set_num_threads`, ``EMBMATH_NUM_THREADS``, ``OMP_NUM_THREADS``,
    else the smaller of the CPUs this process may run on and its cgroup's quota.

    Returns
    -------
    int

    Examples
    --------
    >>> em.get_num_threads() >= 1
    True
    """
    return int(_core.default_threads()[0])


def info() -> dict[str, Any]:
    """Version, instruction set, threads and build facts, for bug reports and logs.

    Returns
    -------
    dict
        JSON-serialisable.

    Examples
    --------
    >>> em.info()["isa"] in em.isas()
    True
    """
    threads, source = _core.default_threads()
    return {
        "version": __version__,
        "isa": _core.active_isa(),
        "isas": list(isas()),
        "threads": threads,
        "threads_source": source,
        "available_memory": _core.available_memory(),
        "metrics": list(metrics()),
        "dtypes": list(dtypes()),
        "compiler": _core.compiler(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        **_device.info(),
        "machine": platform.machine(),
        "system": platform.system(),
    }
