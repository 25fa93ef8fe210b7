"""`python -m benchmarks.compare`: run the comparison and print the table of ratios."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


def main() -> int:
    """Run pytest on this folder; its own statistics are hidden, ours say the same and more."""
    here = str(Path(__file__).parent)
    return pytest.main([here, "-q", "--benchmark-quiet", "-p", "no:cacheprovider", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
