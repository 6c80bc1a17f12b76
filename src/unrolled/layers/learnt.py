"""An initial state that is learned: of each state one row, for the whole batch."""

from typing import Any

import jax
from jax import numpy as jnp

from ..cells.states import initial_states, names_of
from ..checks import require

Tree = Any


def weights(layer: Any, cell: Any, memory_shape: Tree) -> list[Any]:
    """Weights of `layer`, one for each state of `cell` that floats; None for others.

    They begin as what the cell itself begins with, and go by the states' names:
    ``initial_h``; in a stack ``initial_0_h``.

    Raises:
        ValueError: if no state of the cell can be learned.
    """
    values = jax.tree.leaves(initial_states(cell, 1, memory_shape))
    names = jax.tree_util.tree_leaves_with_path(names_of(cell))
    found = []
    for (path, name), value in zip(names, values, strict=True):
        if not jnp.issubdtype(value.dtype, jnp.floating):
            found.append(None)
            continue
        place = jax.tree_util.keystr(path[:-1], simple=True, separator="_")
        found.append(
            layer.add_weight(
                name=f"initial_{place}_{name}" if place else f"initial_{name}",
                shape=value.shape[1:],
                initializer=lambda shape, dtype, value=value: value[0].astype(dtype),
                autocast=False,
            )
        )
    require(
        any(weight is not None for weight in found),
        "learn_initial_state",
        "needs a state that holds floating point numbers",
        [str(value.dtype) for value in values],
        "leave it out",
    )
    return found


def states(learned: list[Any], fresh: Tree) -> Tree:
    """The states of fresh sequences, `fresh` but for those that are learned."""
    leaves, form = jax.tree.flatten(fresh)
    pairs = zip(learned, leaves, strict=True)
    return form.unflatten(
        leaf
        if weight is None
        else jnp.broadcast_to(weight.value.astype(leaf.dtype), leaf.shape)
        for weight, leaf in pairs
    )
