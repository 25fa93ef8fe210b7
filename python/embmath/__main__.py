"""Entry point of ``python -m embmath``."""

import sys

from embmath._cli import main

if __name__ == "__main__":
    sys.exit(main())
