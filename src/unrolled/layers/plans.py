"""What will run a layer, in a sentence: nothing is built, drawn or assigned for it."""

import copy
import random
from typing import Any

import jax
import keras
from jax import numpy as jnp

from .._borrowed import no_names_taken
from ..cells.base import constants_of, is_dims, shapes_of_constants
from ..cells.built import build_cell, shapes_of
from ..cells.keras_style import as_cell
from ..cells.states import initial_states
from ..checks import require
from ..engine import run
from ..engine.fuse import run as fuse
from ..engine.pure import purify
from ..engine.run import Job
from . import checks, levels

Tree = Any


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
    if fuse.refused():
        return f"the scan: {fused.rstrip('.')}."
    memory_shape = layer.memory_shape if memory_shape is None else memory_shape
    dtype = layer.compute_dtype  # of whatever floats a call is given
    rows = _rows(layer, input_shape)
    memory = _arrays(memory_shape, dtype, rows)
    shape = layer.step_shape if input_shape is None else _step_of(layer, input_shape)
    level = _built(layer, level, shape, memory_shape)
    if level is None:
        return "the scan or the native kernel; which is known once the layer is built."
    own, other = (
        _said(level, shape, memory, each, dtype, rows)
        for each in (training, not training)
    )
    if own.rstrip(".").startswith(other.rstrip(".")):
        return own
    when = "inference" if training else "training"
    return f"{own.rstrip('.')}; in {when}, {other}"


def _said(
    level: Any, step_shape: Tree, memory: Tree, training: bool, dtype: str, rows: int
) -> str:
    """What runs a layer's cell, and what each step changes."""
    view = as_cell(level.cell)
    x = _arrays(_with_rows(step_shape), dtype, rows, _STEPS)
    said: list[str] = []

    def trace(x: Tree, memory: Tree) -> None:
        states = initial_states(view, rows, shapes_of(memory))
        masks = _masks(memory)
        constants = constants_of(view, rows, training, memory, masks)

        def of_rows(rows: int) -> Tree:
            return shapes_of_constants(view, rows, training, memory, masks)

        job = Job(x, states, states, None, None, None, constants, of_rows)
        said.append(run.program(level, job))

    with keras.StatelessScope():
        jax.eval_shape(trace, x, memory)
    changed = changes(level.cell, step_shape, memory, training, rows)
    more = f"; each step changes {', '.join(changed)}" if changed else ""
    return f"{said[0].rstrip('.')}{more}."


def _step_of(layer: Any, input_shape: Tree) -> Tree:
    """The shape of one step of inputs, B apart."""
    at = layer.time_axis
    return jax.tree.map(
        lambda s: (*s[2:],) if at in (0, 1) else s, input_shape, is_leaf=is_dims
    )


def _built(layer: Any, level: Any, step_shape: Tree, memory_shape: Tree) -> Any:
    """The level, or, where it is not built, a twin of it that is."""
    if layer.built:
        return level
    classes = {type(each).__name__: type(each) for each in level.cell._flatten_layers()}
    shape = _with_rows(step_shape)
    drawn = random.getstate()  # of Keras's own seeds
    with no_names_taken(), keras.saving.custom_object_scope(classes):
        try:
            cell = copy.deepcopy(level.cell)
        except (TypeError, ValueError):  # its class does not say how to make it again
            return None
        try:
            build_cell(cell, shape, memory_shape)
        finally:
            random.setstate(drawn)
    given = {name: getattr(level, name) for name in levels.Level._fields}
    return levels.Level(**given | {"cell": cell})


_ROWS, _STEPS = 2, 3


def _rows(layer: Any, input_shape: Tree) -> int:
    """B, if it is known; some number otherwise."""
    if input_shape is None:
        return _ROWS
    shape = jax.tree.leaves(input_shape, is_leaf=is_dims)[0]
    rows = shape[1 if layer.time_axis == 0 else 0]
    return rows if isinstance(rows, int) else _ROWS


def _arrays(shapes: Tree, dtype: str, rows: int, *steps: int) -> Tree:
    """Arrays ``(B, ...)``, for whatever else is unknown of some size.

    Args:
        shapes: a tree of them.
        dtype: of all but one number a row, which is an id.
        rows: B.
        steps: in sequences of such arrays, how many.
    """

    def array(shape: tuple) -> jax.ShapeDtypeStruct:
        kind = dtype if len(shape) > 1 else "int32"
        sizes = (rows, *steps, *(n or 2 for n in shape[1:]))
        return jax.ShapeDtypeStruct(sizes, kind)

    return jax.tree.map(array, shapes, is_leaf=is_dims)


def _with_rows(step_shape: Tree) -> Tree:
    return jax.tree.map(lambda s: (None, *s), step_shape, is_leaf=is_dims)


def _masks(memory: Tree) -> Tree:
    """Masks of a memory's steps, (B, S), as a call may give them."""

    def mask(array: Any) -> Any:
        return jnp.ones(array.shape[:2], bool) if array.ndim > 2 else None

    return jax.tree.map(mask, memory)


def changes(
    cell: Any,
    step_shape: Tree,
    memory: Tree = None,
    training: bool = False,
    rows: int = 2,
) -> list[str]:
    """Names of the variables that a step of a built cell assigns.

    Args:
        cell: ours or Keras-style.
        step_shape: of one step's inputs, B apart.
        memory: a tree of arrays or their shapes ``(B, ...)``, or None.
        training: whether training is meant.
        rows: B.
    """
    view = as_cell(cell)
    found: list[str] = []
    dtype = getattr(cell, "compute_dtype", keras.config.floatx())
    x = _arrays(_with_rows(step_shape), dtype, rows)
    memory = _arrays(shapes_of(memory), dtype, rows)

    def trace(memory: Tree) -> None:
        states = initial_states(view, rows, shapes_of(memory))
        constants = constants_of(view, rows, training, memory, _masks(memory))

        def step(x: Tree, states: Tree) -> tuple[Tree, Tree]:
            return view.step(view.project_inputs(x, constants), states, constants)

        pure = purify(step, cell, x, states)
        found.extend(variable.name for variable in pure.changed)

    with keras.StatelessScope():
        jax.eval_shape(trace, memory)
    return found
