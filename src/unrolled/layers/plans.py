"""What will run a layer, in a sentence: nothing is built, drawn or assigned for it."""

from typing import Any

import jax
import keras

from ..cells import GRUCell, LSTMCell, SimpleRNNCell
from ..cells.base import constants_of, is_dims
from ..cells.built import shapes_of
from ..cells.keras_style import as_cell
from ..cells.states import initial_states
from ..checks import require
from ..engine import run
from ..engine.pure import purify
from . import checks, levels

Tree = Any
_CHANGE_NOTHING = (SimpleRNNCell, LSTMCell, GRUCell)


def plan(layer: Any, input_shape: Tree, training: bool, memory_shape: Tree) -> str:
    """See `RNN.plan`."""
    said = _whole(layer, input_shape, training, memory_shape)
    if layer.num_layers > 1:
        said = f"each of {layer.num_layers} layers, one after the other: {said}"
    # The gradient is of another kind, whatever runs the layer.
    return f"{said.rstrip('.')}; {layer.windows}." if any(layer.windows) else said


def _whole(layer: Any, input_shape: Tree, training: bool, memory_shape: Tree) -> str:
    require(
        layer.built or input_shape is not None,
        "input_shape",
        "must be given for a layer that is not built, (batch, time steps, features)",
        f"none for '{layer.name}'",
        "for example plan((32, 10, 3))",
    )
    if input_shape is not None:
        symbols = jax.tree.map(checks.symbol, input_shape, is_leaf=is_dims)
        checks.check_sequences(symbols, layer.step_shape, layer.time_major)
        as_cell(layer.cell).check_inputs(symbols)
    level = levels.of(layer)[-1]
    fused = run.fused(level)
    if not isinstance(fused, str):
        steps = input_shape and input_shape[layer.time_axis]
        dropped = training and bool(level.cell.recurrent_dropout)
        # Any number of rows will do, and of steps while it is unknown.
        why = fused.refuses(1, steps or 1, False, dropped)
        if why:
            return f"the scan: {why}."
        learned = layer.learn_initial_state and fused.tf32 is None
        more = "; with resets, the scan, which restarts from what is learned"
        return f"{str(fused).rstrip('.')}{more}." if learned else str(fused)
    scan = f"the scan: {fused.rstrip('.')}"
    if type(level.cell) in _CHANGE_NOTHING:
        return f"{scan}."
    if not layer.built:
        # Asking a twin would draw seeds; and only `build` makes what a step changes.
        return f"{scan}; what each step changes is known once the layer is built."
    memory_shape = layer.memory_shape if memory_shape is None else memory_shape
    memory = jax.tree.map(_array, memory_shape, is_leaf=is_dims)
    own, other = (
        changes(layer.cell, layer.step_shape, memory, each)
        for each in (training, not training)
    )
    if own:
        scan += f"; each step changes {', '.join(own)}"
    if own != other:
        scan += f"; in {'inference' if training else 'training'} each step changes "
        scan += ", ".join(other) or "nothing"
    return f"{scan}."


_ROWS = 2


def _array(shape: tuple) -> jax.ShapeDtypeStruct:
    """An array of this shape, for some number of rows and whatever else is unknown."""
    kind = "float32" if len(shape) > 1 else "int32"
    return jax.ShapeDtypeStruct((_ROWS, *(n or 2 for n in shape[1:])), kind)


def changes(
    cell: Any, step_shape: Tree, memory: Tree = None, training: bool = False
) -> list[str]:
    """Names of the variables that a step of a built cell assigns.

    Args:
        cell: ours or Keras-style.
        step_shape: of one step's inputs, B apart.
        memory: a tree of arrays or their shapes ``(B, ...)``, or None.
        training: whether training is meant.
    """
    view = as_cell(cell)
    found: list[str] = []
    x = jax.tree.map(lambda s: _array((None, *s)), step_shape, is_leaf=is_dims)
    memory = jax.tree.map(lambda m: _array(tuple(m.shape)), memory)

    def trace(memory: Tree) -> None:
        states = initial_states(view, _ROWS, shapes_of(memory))
        constants = constants_of(view, _ROWS, training, memory)

        def step(x: Tree, states: Tree) -> tuple[Tree, Tree]:
            return view.step(view.project_inputs(x, constants), states, constants)

        pure = purify(step, cell, x, states)
        found.extend(variable.name for variable in pure.changed)

    with keras.StatelessScope():
        jax.eval_shape(trace, memory)
    return found
