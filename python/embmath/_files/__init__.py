"""One file an object: a safetensors file with checksums, replaced whole or not at all.

``layout`` places the tensors, ``header`` is the JSON that says so and its checks, ``sink`` streams
and checksums, ``atomic`` replaces a file, ``writer`` and ``reader`` are the two ends. Nothing here
knows what an index is, and nothing is ever unpickled.

The safetensors library reads these files, but neither writes nor reads them for us: it takes all
tensors as one piece of memory, cannot map a file for NumPy, and syncs nothing to the disk.
"""

from .layout import DTYPES, Path
from .reader import File, read
from .writer import Blocks, Tensor, pieces, write

__all__ = ["DTYPES", "Blocks", "File", "Path", "Tensor", "pieces", "read", "write"]
