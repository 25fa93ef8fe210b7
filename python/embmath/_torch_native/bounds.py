"""How far a matrix product may be from the canonical score, whatever the device did to compute it.

A product of rows is summed in unknown order, perhaps of truncated inputs (TF32, bfloat16: global
settings of the caller's, which are read here and never changed), perhaps with truncating adders
(tensor cores). For n terms and unit roundoff u any order of rounded operations stays within
gamma_n = n u / (1 - n u) of sum |q_j x_j| <= |q| |x| (Higham 2002, section 3.1); twice u stands for
adders that truncate, 16 terms more for splits and for the norms, and n 2**-70 for subnormals
that a device flushes to zero (at most n 2**-122): rows are scaled so that both lengths are at least
1/2, or 2**-24 where a row holds nothing but subnormals.
"""

import torch

# What a float32 loses before it is multiplied, for each setting of Torch; chopped, not rounded.
_INPUT_ERRORS = {"ieee": 0.0, "none": 0.0, "tf32": 2.0**-10, "bf16": 2.0**-7}
_LEGACY = {"highest": "ieee", "high": "tf32", "medium": "bf16"}


def matmul_precision(device: torch.device) -> str:
    """How the caller lets float32 matrices be multiplied: a key of the table, or the coarsest."""
    backend = torch.backends.cuda if device.type == "cuda" else torch.backends.mkldnn
    found = [
        getattr(part, "fp32_precision", "none")
        for part in (getattr(backend, "matmul", None), backend, torch.backends)
    ]
    if not hasattr(torch.backends, "fp32_precision"):  # before Torch 2.9
        found = [_LEGACY.get(torch.get_float32_matmul_precision(), "bf16")]
    mode = next((mode for mode in found if mode != "none"), "none")
    return mode if mode in _INPUT_ERRORS else "bf16"


def dot_error(n_cols: int, dtype: torch.dtype, precision: str) -> float:
    """Error of a product of rows of length 1, against the canonical dot product."""
    canonical = (n_cols + 16) * 2.0**-52
    if dtype == torch.float64:
        return 3 * canonical
    cut = _INPUT_ERRORS[precision]
    # Both rows are rounded to unit length in float32, the inverse lengths too; so is the sum of the
    # product and this bound.
    rounding = 6 * 2.0**-24
    growth = (n_cols + 16) * 2.0**-23
    if growth > 0.25:
        return float("inf")
    return (
        (1 + cut) ** 2 * (1 + growth / (1 - growth)) - 1 + rounding + canonical + n_cols * 2.0**-70
    )


def sum_error(n_cols: int, dtype: torch.dtype) -> float:
    """Relative error of a sum of non-negative terms, no matrix product."""
    unit = 2.0**-52 if dtype == torch.float64 else 2.0**-23
    growth = (n_cols + 16) * unit
    return growth / (1 - growth) + (n_cols + 16) * 2.0**-52 if growth <= 0.25 else float("inf")
