"""What a function or method names: a cell is handed what its signatures ask for."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any


def parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The parameters of a function or method; ``self`` may be among them."""
    method = getattr(function, "__func__", None)
    return parameters_of(method) if method else inspect.signature(function).parameters


# Layers ask at every call. What is no method may hold a cell, and is not kept.
@functools.lru_cache(maxsize=1024)
def parameters_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The same of a function that holds no cell: kept."""
    return inspect.signature(function).parameters


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether the signature of `function` names the argument."""
    return name in parameters(function)


def takes_more(function: Callable[..., Any]) -> bool:
    """Whether `function` takes further keywords."""
    return any(p.kind is p.VAR_KEYWORD for p in parameters(function).values())
