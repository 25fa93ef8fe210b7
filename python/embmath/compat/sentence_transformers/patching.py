"""Putting the functions here in the place of those of sentence-transformers."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeVar

from .metrics import SimilarityFunction

Model = TypeVar("Model")
Function = Callable[..., Any]

_PEER = "sentence_transformers"
# Where versions 3 to 6 define what is replaced.
_HOMES = ("util", "util.quantization", "quantization")


def install(model: Model) -> Model:
    """Have a model compare embeddings with the functions here.

    ``model.similarity`` and ``model.similarity_pairwise`` then take int8 embeddings too, and the
    evaluators that use them follow.

    Parameters
    ----------
    model : SentenceTransformer, SparseEncoder or MultiVectorEncoder
        Changed; setting its `similarity_fn_name` undoes that.

    Returns
    -------
    the same model

    Raises
    ------
    TypeError
        For what is no such model.
    """
    name = getattr(model, "similarity_fn_name", None)
    if name is None:
        raise TypeError(f"model: expected a SentenceTransformer, got {type(model).__name__}")
    which = SimilarityFunction(getattr(name, "value", name))
    changed: Any = model
    changed._similarity = SimilarityFunction.to_similarity_fn(which)
    changed._similarity_pairwise = SimilarityFunction.to_similarity_pairwise_fn(which)
    return model


@contextmanager
def patched(*modules: ModuleType) -> Iterator[None]:
    """Within a ``with`` block, sentence-transformers' functions are those here.

    Everywhere in sentence-transformers where they are known by name, its evaluators and models made
    within the block included.

    Parameters
    ----------
    *modules : module
        Others that imported the functions by name.

    Raises
    ------
    ImportError
        Without sentence-transformers.

    Notes
    -----
    All threads see the change. What a function has as a default argument stays what it was.
    """
    ours = _own_functions()
    originals = {id(theirs): ours[name] for name, theirs in _peer_functions(ours)}
    loaded = [each for name, each in sys.modules.items() if name.split(".")[0] == _PEER]
    undo: list[tuple[ModuleType, str, Function]] = []
    try:
        for module in (*loaded, *modules):
            for name, value in list(vars(module).items()):
                if id(value) in originals:
                    undo.append((module, name, value))
                    setattr(module, name, originals[id(value)])
        yield
    finally:
        for module, name, value in undo:
            setattr(module, name, value)


def _own_functions() -> dict[str, Function]:
    package = sys.modules[__package__]
    own = {name: getattr(package, name) for name in package.__all__}
    return {
        name: value
        for name, value in own.items()
        if inspect.isfunction(value) and value.__module__ != __name__
    }


def _peer_functions(names: dict[str, Function]) -> Iterator[tuple[str, Function]]:
    importlib.import_module(_PEER)
    for home in _HOMES:
        if importlib.util.find_spec(f"{_PEER}.{home}") is None:
            continue
        module = importlib.import_module(f"{_PEER}.{home}")
        yield from ((name, vars(module)[name]) for name in names if name in vars(module))
