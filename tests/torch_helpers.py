"""What the tests of Torch operations share."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import reference

torch = pytest.importorskip("torch", reason="needs Torch")

MATRICES = ("cosine", "dot", "euclidean", "sqeuclidean", "manhattan")


def tensor(x):
    """A tensor of the same values; Torch takes neither bfloat16 nor negative strides from NumPy."""
    if not isinstance(x, np.ndarray):
        return x
    if x.dtype.name == "bfloat16":
        return torch.from_numpy(np.array(x).view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(np.array(x))


def array(t):
    if t.dtype == torch.bfloat16:
        return t.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return t.numpy()


def same(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        reference.assert_same(array(one), other)


def numbers(x):
    return np.where(np.isnan(x), 0, x).astype(x.dtype)
