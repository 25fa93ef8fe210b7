"""Being what other libraries find when they say ``import faiss``."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_OURS = __name__.rpartition(".")[0]


def install() -> None:
    """Have every later ``import faiss`` in this process give this module.

    For libraries that import FAISS themselves, where it is not installed: call it before they are
    imported, since some look for FAISS then.

    Raises
    ------
    RuntimeError
        If FAISS has been imported already, and others may hold its objects.

    Examples
    --------
    >>> from embmath.compat import faiss
    >>> faiss.install()  # doctest: +SKIP
    >>> import datasets  # finds FAISS, which is not installed  # doctest: +SKIP
    """
    if sys.modules.get("faiss", sys.modules[_OURS]) is not sys.modules[_OURS]:
        raise RuntimeError(
            "faiss: FAISS has been imported already (call install() first, or use patched() "
            "around the calls that are to find this module)"
        )
    sys.modules["faiss"] = sys.modules[_OURS]


@contextmanager
def patched() -> Iterator[None]:
    """Within a ``with`` block, ``import faiss`` gives this module, FAISS imported before or not.

    For functions that import FAISS when they are called, as those of ``datasets`` do.
    """
    before = sys.modules.get("faiss")
    sys.modules["faiss"] = sys.modules[_OURS]
    try:
        yield
    finally:
        if before is None:
            del sys.modules["faiss"]
        else:
            sys.modules["faiss"] = before
