"""A step of whatever cell a decoder or wrapper is given: an old one, ours or Keras's.

States are in the form that the cell's owner knows: an LSTM's is ``(c, h)`` for an old
cell, and ``[h, c]`` for the others.
"""

from collections.abc import Callable
from typing import Any

import jax
import keras
from jax import numpy as jnp

from ...cells.base import Tree, constants_of
from ...cells.built import build_cell
from ...cells.checked import step_of
from ...cells.keras_style import as_cell, check_cell
from ...cells.signatures import takes
from ...cells.states import initial_states, plain
from ...checks import require
from ..base import OldCell, RNNCell
from ..drivers import ready
from ..raw import TensorArray


def check(cell: Any) -> None:
    """Raise unless this is a cell.

    Raises:
        ValueError: saying what it must have.
    """
    if not isinstance(cell, RNNCell):
        check_cell(cell)


def arrays(tree: Tree) -> Tree:
    """Arrays of JAX, in plain containers.

    Raises:
        ValueError: if they are those of a model's graph.
    """

    def one(leaf: Any) -> Any:
        require(
            not isinstance(leaf, keras.KerasTensor),
            "inputs",
            "must be arrays here",
            "Keras tensors of a model's graph",
            "call the decoder in the call of a keras.Model or layer of your own",
        )
        return jnp.asarray(leaf)

    return jax.tree.map(one, tree)


def map_arrays(function: Callable[[Any], Any], tree: Tree) -> Tree:
    """Of each array; a `TensorArray` stays as it is."""
    is_written = lambda leaf: isinstance(leaf, TensorArray)  # noqa: E731
    return jax.tree.map(
        lambda leaf: leaf if is_written(leaf) else function(leaf),
        tree,
        is_leaf=is_written,
    )


def rows_of(state: Tree) -> list[int]:
    """How many rows each array of a state has."""
    found: list[int] = []
    map_arrays(lambda a: found.append(a.shape[0]) if a.ndim else None, state)
    return found


def prepare(cell: Any, x: Tree) -> None:
    """Make the weights, for steps like `x`, where there are none."""
    spec = jax.tree.map(lambda a: jax.ShapeDtypeStruct((1, *a.shape[1:]), a.dtype), x)
    if isinstance(cell, RNNCell):
        ready(cell, spec)
        return
    with jax.ensure_compile_time_eval():
        build_cell(cell, jax.tree.map(lambda a: (None, *a.shape[1:]), spec))


def fresh(cell: Any, batch_size: int, dtype: Any) -> Tree:
    """The state of fresh sequences."""
    if isinstance(cell, RNNCell):
        return cell.zero_state(batch_size, dtype)
    states = initial_states(as_cell(cell), batch_size)
    return states if dtype is None else jax.tree.map(lambda s: s.astype(dtype), states)


def width(cell: Any) -> Any:
    """How wide the output is."""
    if isinstance(cell, RNNCell):
        return cell.output_size
    (size,) = as_cell(cell).output_shapes.sizes
    return size


def sizes(cell: Any) -> Tree:
    """Widths of the state, in its form."""
    if isinstance(cell, RNNCell):
        return cell.state_size
    return jax.tree.map(
        lambda s: s.sizes[0] if len(s.sizes) == 1 else s.sizes,
        as_cell(cell).state_shapes,
    )


def step(cell: Any, x: Tree, state: Tree, training: Any = None) -> tuple[Tree, Tree]:
    """The output and the state after it, in the form of the state before it."""
    if isinstance(cell, RNNCell) and not isinstance(cell, OldCell):
        named = {"training": training} if takes(cell.call, "training") else {}
        return cell(x, state, **named)
    inner = cell.as_ours() if isinstance(cell, OldCell) else cell
    view = as_cell(inner)
    if isinstance(cell, OldCell):
        states = cell.from_old(state)
    else:
        form = jax.tree.structure(view.state_shapes)
        leaves = jax.tree.leaves(plain(state))
        require(
            len(leaves) == form.num_leaves,
            "initial_state",
            f"must hold {form.num_leaves} state(s) of {type(cell).__name__}",
            len(leaves),
            "pass what the encoder's return_state=True gives",
        )
        states = jax.tree.unflatten(form, leaves)
    rows = jax.tree.leaves(x)[0].shape[0]
    constants = constants_of(view, rows, bool(training))
    projected = view.project_inputs(x, constants)
    output, after = step_of(inner, projected, states, constants)
    if isinstance(cell, OldCell):
        return output, cell.to_old(after)
    form = jax.tree.structure(plain(state))
    return output, jax.tree.unflatten(form, jax.tree.leaves(after))
