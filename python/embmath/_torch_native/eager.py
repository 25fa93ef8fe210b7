"""Operations run one by one, as they are written."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import torch

P = ParamSpec("P")
R = TypeVar("R")


def eager(function: Callable[P, R]) -> Callable[P, R]:
    """Neither compiled, which may fuse a product and a sum, nor under autocast.

    Compiled code calls ``torch.ops.embmath`` instead, which no compiler looks into.
    """

    @functools.wraps(function)
    def run(*args: P.args, **options: P.kwargs) -> R:
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            return function(*args, **options)

    return cast(Callable[P, R], torch.compiler.disable(run))
