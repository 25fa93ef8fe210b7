"""Operations run one by one, as they are written, on tensors."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import torch

from . import foreign

P = ParamSpec("P")
R = TypeVar("R")


def eager(function: Callable[P, R]) -> Callable[P, R]:
    """Neither compiled, which may fuse a product and a sum, nor under autocast.

    Compiled code calls ``torch.ops.embmath`` instead, which no compiler looks into. Arrays of other
    libraries come as tensors and results go back to the library.
    """

    @functools.wraps(function)
    def run(*args: P.args, **options: P.kwargs) -> R:
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            convert = foreign.way_back([*args, *options.values()])
            if convert is None:
                return function(*args, **options)
            result = function(
                *map(foreign.borrow, args),
                **{name: foreign.borrow(value) for name, value in options.items()},
            )
            return cast(R, foreign.give_back(result, convert))

    return cast(Callable[P, R], torch.compiler.disable(run))
