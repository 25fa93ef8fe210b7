"""Many small objects at once, without the collector going through all others meanwhile."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """For lists of numbers, among which there is no garbage.

    Beside what importing sentence-transformers leaves in memory, 500,000 pairs take 0.08 s with
    the collector paused and 1.0 s without.
    """
    is_collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_collecting:
            gc.enable()
