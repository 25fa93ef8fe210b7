"""Operators, functions and modules for Torch: gradients, ``torch.compile``, ``vmap``, autocast.

Importing this registers ``torch.ops.embmath.*``; ``import embmath`` alone imports no Torch.

>>> import torch
>>> import embmath.torch as emt
>>> x = torch.tensor([[3.0, 4.0]], requires_grad=True)
>>> emt.similarity(x, torch.eye(2), "dot").sum().backward()
>>> x.grad
tensor([[1., 1.]])
"""

from . import autograd as _autograd
from . import batching as _batching
from . import fakes as _fakes
from . import ops as _ops
from .functions import dequantize, normalize, quantize, search, similarity, similarity_pairwise
from .modules import CosineSimilarity, Normalize, Search, Similarity

# In this order: what an operator is, what it would return, its gradients, its batches.
_ops.register()
_fakes.register()
_autograd.register()
_batching.register()
_ops.register_autocast()

__all__ = [
    "CosineSimilarity",
    "Normalize",
    "Search",
    "Similarity",
    "dequantize",
    "normalize",
    "quantize",
    "search",
    "similarity",
    "similarity_pairwise",
]
