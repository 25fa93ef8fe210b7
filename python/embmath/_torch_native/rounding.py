"""Arithmetic that rounds the same way on every device."""

import torch
from torch import Tensor

_SPLIT = 2.0**27 + 1  # halves of a float64, whose products are exact (Dekker 1971)


def powers_of_two(exponent: Tensor) -> Tensor:
    """Exact, unlike exp2 on some devices; exponents between -1022 and 1023."""
    return ((exponent.to(torch.int64) + 1023) << 52).view(torch.float64)


def times_power(values: Tensor, exponent: Tensor) -> Tensor:
    """Times powers of two as large as 2**1100, in two steps that do not overflow."""
    half = exponent // 2
    return values * powers_of_two(half) * powers_of_two(exponent - half)


def sqrt(x: Tensor) -> Tensor:
    """The float64 nearest to the root; Torch's own is one off now and then (vector libraries).

    root + (m - root**2) / (2 root) with the exact residual is the root to 100 bits, and no root of
    a float64 is so close to the middle of two that this could round to the wrong one.
    """
    mantissa, exponent = torch.frexp(x)
    is_odd = exponent.to(torch.int64) & 1
    m = mantissa * (1 + is_odd)  # 1/2 to 2
    root = m.sqrt()
    high = root * _SPLIT
    high = high - (high - root)
    low = root - high
    residual = ((m - high * high) - 2 * high * low) - low * low
    root = root + residual / (2 * root)
    found = root * powers_of_two((exponent.to(torch.int64) - is_odd) // 2)
    return torch.where((x > 0) & x.isfinite(), found, x.sqrt())


def narrow(values: Tensor, dtype: torch.dtype) -> Tensor:
    """float64 as the kernels round it: to float32, and from there to 16 bits."""
    return values if dtype == torch.float64 else values.float().to(dtype)


def round_once(x: Tensor, dtype: torch.dtype) -> Tensor:
    """To 16 bits without a second rounding: float64 through the odd float32 beside it."""
    if x.dtype != torch.float64:
        return x.to(dtype, copy=True)
    near = x.float()
    bits = near.view(torch.int32)
    is_beyond = near.double().abs() > x.abs()
    odd = torch.where(is_beyond, bits - 1, bits) | 1
    is_inexact = (near.double() != x) & ~x.isnan()
    return torch.where(is_inexact, odd, bits).view(torch.float32).to(dtype)
