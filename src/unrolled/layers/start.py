"""The states that a call of a recurrent layer starts from."""

from typing import Any

import jax
import keras
from jax import numpy as jnp

from ..cells.keras_style import as_cell
from ..cells.states import names_of, pack
from ..engine import carried
from .checks import check_states

Tree = Any


def check(cell: Any, initial_state: Tree, batch: Any) -> None:
    """Check what is handed in, also where it is symbolic.

    Raises:
        ValueError: if it does not fit the cell's states.
    """
    if initial_state is not None:
        shapes = as_cell(cell).state_shapes
        like = jax.tree.map(lambda s: keras.KerasTensor((batch, *s.sizes)), shapes)
        _packed(cell, initial_state, like)


def states(layer: Any, initial_state: Tree, fresh: Tree) -> Tree:
    """What is handed in, what the layer carries, or what is fresh.

    Args:
        layer: an `RNN`, built.
        initial_state: as its call takes it; what a wrapper inside carries itself may
            be left out.
        fresh: the states of fresh sequences.
    """
    if initial_state is not None:
        found = _packed(layer.cell, initial_state, fresh)
        check_states(found, fresh, layer.state_names)
    elif layer.stateful:
        found = carried.take(layer.states, jax.tree.leaves(fresh)[0].shape[0])
        found = pack(found, fresh, names_of(as_cell(layer.cell)), "carried states")
    else:
        return fresh
    return jax.tree.map(lambda s, f: jnp.asarray(s, f.dtype), found, fresh)


def _packed(cell: Any, given: Tree, like: Tree) -> Tree:
    view = as_cell(cell)
    return pack(view.complete(given, like), like, names_of(view))
