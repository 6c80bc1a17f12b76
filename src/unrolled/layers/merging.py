"""How the outputs of two directions become one, and in which order states come."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from jax import numpy as jnp

from ..cells.base import is_dims
from ..checks import fits, require

Tree = Any


def outputs(
    mode: str | None, merge: Callable[..., Any], forward: Tree, backward: Tree
) -> list[Tree]:
    """Both outputs, or one in which each pair is ``merge(mode, forward, backward)``.

    Raises:
        ValueError: if the two cannot be merged.
    """
    if mode is None:
        return [forward, backward]
    forms = [jax.tree.structure(each, is_leaf=is_dims) for each in (forward, backward)]
    require(
        forms[0] == forms[1],
        "merge_mode",
        "can merge only outputs of the same structure",
        f"{forms[0]} and {forms[1]}",
        "pass merge_mode=None to have both apart",
    )
    one = lambda *pair: merge(mode, *pair)  # noqa: E731
    return [jax.tree.map(one, forward, backward, is_leaf=is_dims)]


def shape(mode: str, forward: tuple, backward: tuple) -> tuple:
    """The shape of one merged output."""
    apart = mode == "concat"
    alike = slice(-1) if apart else slice(None)
    require(
        fits(forward[alike], backward[alike]),
        "merge_mode",
        f"{mode!r} needs outputs of both directions of one shape",
        f"{forward} and {backward}",
        "make both layers as wide, or pass merge_mode=None",
    )
    return (*forward[:-1], forward[-1] + backward[-1]) if apart else forward


def arrays(mode: str, forward: jax.Array, backward: jax.Array) -> jax.Array:
    """One merged output."""
    shape(mode, forward.shape, backward.shape)
    if mode == "concat":
        return jnp.concatenate([forward, backward], axis=-1)
    if mode == "mul":
        return forward * backward
    total = forward + backward
    return total / 2 if mode == "ave" else total


def states(forward: Sequence, backward: Sequence, layers: int) -> list[Any]:
    """The states of both directions in a row: of each layer forward, then backward."""
    found = []
    for place in range(layers):
        for own in (forward, backward):
            each = len(own) // layers
            found += own[place * each : (place + 1) * each]
    return found


def halves(given: Any, layers: int, argument: str = "initial_state") -> list[Any]:
    """The inverse: what each direction starts from; None for its own.

    Raises:
        ValueError: if `given` does not hold as many states for each.
    """
    if given is None:
        return [None, None]
    if isinstance(given, Mapping):
        require(
            set(given) == {"forward", "backward"},
            argument,
            "given by name must have the names ['forward', 'backward']",
            sorted(map(str, given)),
            "pass the states of each direction under its name",
        )
        return [given["forward"], given["backward"]]
    each = len(given) // (2 * layers)
    require(
        len(given) == 2 * layers * each,
        argument,
        "must hold as many states for each direction"
        if layers == 1
        else f"must hold as many states for each direction of {layers} layers",
        f"{len(given)} states",
        "pass the forward states, then the backward ones"
        if layers == 1
        else "pass those of the first layer, forward and backward, then of the next",
    )
    parts = [given[at : at + each] for at in range(0, len(given), each or 1)]
    return [[s for part in parts[way::2] for s in part] or None for way in (0, 1)]
