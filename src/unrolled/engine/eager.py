"""Uncompiled calls: each program is compiled once, however often it is called.

JAX compiles a loop anew when it is handed new functions, and a step is made of the
cell's present attributes at every call. So it is traced at every call, which is quick,
and what comes of it is compiled only if no call before came to the same program.
"""

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import jax

from .._borrowed import Tracer, config, eval_jaxpr

Tree = Any
# As many compiled programs are kept; the least recently called goes first.
_MOST = 256
_LOCK = threading.Lock()
_PROGRAMS: OrderedDict[Any, Any] = OrderedDict()


def run(function: Callable[..., Tree], *args: Tree) -> Tree:
    """``function(*args)``; arrays that it closes over may change from call to call.

    Args:
        function: of arrays to arrays; pure. It may also do, while it is traced, what
            a call is to leave behind.
        *args: trees of arrays.
    """
    leaves, structure = jax.tree.flatten(args)
    traced = any(isinstance(leaf, Tracer) for leaf in leaves)
    if traced or config.jax_disable_jit:
        return function(*args)
    flat = lambda *leaves: function(*structure.unflatten(leaves))  # noqa: E731
    closed, shape = jax.make_jaxpr(flat, return_shape=True)(*leaves)
    pure = functools.partial(eval_jaxpr, closed.jaxpr)
    given = (list(closed.consts), *leaves)
    if any(isinstance(constant, Tracer) for constant in closed.consts):
        out = pure(*given)
    else:
        out = _compiled(pure, given)(*given)
    return jax.tree.unflatten(jax.tree.structure(shape), out)


def _compiled(pure: Callable[..., list[Any]], given: tuple[Any, ...]) -> Any:
    """`pure`, compiled for such arguments, or what was compiled from the same text."""
    lowered = jax.jit(pure).lower(*given)
    where = tuple(getattr(a, "sharding", None) for a in jax.tree.leaves(given))
    key = (lowered.as_text(), where)
    with _LOCK:
        found = _PROGRAMS.pop(key, None)
    found = found or lowered.compile()
    with _LOCK:
        _PROGRAMS[key] = found
        while len(_PROGRAMS) > _MOST:
            _PROGRAMS.popitem(last=False)
    return found
