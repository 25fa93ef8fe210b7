"""What the tests of codes on the disk share."""

from __future__ import annotations

import numpy as np

import embmath as em
from reference import assert_same

PRECISIONS = ("int8", "uint8", "int4", "binary", "ubinary", "float16", "bfloat16")
ARRAYS = ("data", "step", "minimum", "ranges", "offset")
CONVENTIONS = ("dim", "precision", "scope", "rounding", "bits", "layout", "signedness")


def assert_alike(actual: em.Codes, expected: em.Codes) -> None:
    """Every attribute, bit for bit."""
    for name in CONVENTIONS:
        assert getattr(actual, name) == getattr(expected, name), name
    for name in ARRAYS:
        have, want = getattr(actual, name), getattr(expected, name)
        if want is None:
            assert have is None, name
        else:
            assert_same(have, np.asarray(want))
    assert (actual.grid is None) == (expected.grid is None)
    if expected.grid is not None:
        for name in ("widths", "steps", "axes", "direction"):
            assert_same(getattr(actual.grid, name), getattr(expected.grid, name))
