"""Build a cell with all that is inside it, and find what its step gives."""

from collections.abc import Callable
from typing import Any

import jax
import keras
from jax import numpy as jnp

from .._borrowed import compute_output_spec, is_default
from ..checks import require
from .base import Tree, check_built, constants_of, is_dims, memory_arguments
from .checked import checked, in_words
from .keras_style import as_cell
from .signatures import takes, takes_more
from .states import initial_states


def build_cell(cell: Any, step_shape: Tree, memory_shape: Tree = None) -> None:
    """Build a cell and every layer inside it.

    Args:
        cell: ours or Keras-style.
        step_shape: ``(B, D)``; a tree of such shapes for nested inputs.
        memory_shape: a tree of ``(B, ...)``, or None.

    Raises:
        ValueError: if the cell must have a memory and there is none, or was built for
            steps of another shape.
    """
    require(
        memory_shape is not None or as_cell(cell).reads_memory != "must",
        "memory",
        f"must be given: {type(cell).__name__} reads it at every step",
        "none",
        "call the layer with memory=..., or build it with memory_shape=...",
    )
    if not isinstance(cell, keras.layers.Layer):
        return
    if cell.built:
        check_built(cell, step_shape)
    elif not is_default(cell.build):
        named = takes(cell.build, "memory_shape")
        cell.build(step_shape, **({"memory_shape": memory_shape} if named else {}))
        cell.built = True
    inside = cell._flatten_layers(include_self=False)
    if not all(layer.built for layer in inside):
        # Layers that no `build` made ready are built by a symbolic step.
        _step_symbolically(cell, step_shape, memory_shape)
    cell.built = True


def _step_symbolically(cell: Any, step_shape: Tree, memory_shape: Tree) -> None:
    def symbols(shapes: Tree) -> Tree:
        return jax.tree.map(_symbol, shapes, is_leaf=is_dims)

    view = as_cell(cell)
    # Of a memory of any length some is as good: weights have no such axis.
    memory_shape = jax.tree.map(
        lambda s: tuple(n or 2 for n in s), memory_shape, is_leaf=is_dims
    )
    states = jax.eval_shape(lambda: initial_states(view, 2, memory_shape))
    states = jax.tree.map(
        lambda s: keras.KerasTensor((None, *s.shape[1:]), str(s.dtype)), states
    )
    given = {}
    if memory_shape is not None and view.reads_memory != "no":
        given = memory_arguments(cell, symbols(memory_shape), None)
    # Not `cell(...)`: Keras cannot trace a call with further keywords. Nor would it
    # inside, where the call itself builds what it calls.
    for each in cell._flatten_layers(include_self=False):
        if is_default(each.build) and takes_more(each.call):
            each.built = True
    with in_words(cell), cell._open_name_scope():
        compute_output_spec(cell.call, symbols(step_shape), states, **given)


def _symbol(shape: Any) -> keras.KerasTensor:
    """One step's array, for any number of rows; a number alone for a row is an id."""
    dtype = "float32" if len(shape) > 1 else "int32"
    return keras.KerasTensor((None, *shape[1:]), dtype)


def step_shapes(cell: Any, *leading: Any) -> Tree:
    """The shapes of what the cell gives at a step, with these axes in front."""
    shapes = as_cell(cell).output_shapes
    return jax.tree.map(lambda shape: (*leading, *shape.sizes), shapes)


def shapes_of(memory: Tree) -> Tree:
    """The shapes of a memory's arrays; None where there is none."""
    return jax.tree.map(lambda array: tuple(array.shape), memory)


def step_spec(
    cell: Any,
    x: Tree,
    memory: Tree = None,
    masks: Callable[[Tree], Tree] = lambda _: None,
) -> tuple[Tree, Tree]:
    """Shapes and dtypes of a step's output and states; nothing is drawn or assigned.

    Args:
        cell: built; ours or Keras-style.
        x: one step's inputs, a tree of ``jax.ShapeDtypeStruct`` ``(B, ...)``.
        memory: a tree of such, or None.
        masks: gives the masks of a memory.
    """
    view = as_cell(cell)
    rows = jax.tree.leaves(x)[0].shape[0]

    def one(x: Tree, memory: Tree) -> tuple[Tree, Tree]:
        fresh = initial_states(view, rows, shapes_of(memory))
        states = jax.tree.map(jnp.asarray, fresh)
        constants = constants_of(view, rows, False, memory, masks(memory))
        with in_words(cell):
            result = view.step(view.project_inputs(x, constants), states, constants)
        return checked(cell, result, states)

    with keras.StatelessScope():
        return jax.eval_shape(one, x, memory)
