"""The drivers that took a list, an array for each step: the dynamic ones, stacked."""

from collections.abc import Sequence
from typing import Any

import jax
import keras
import numpy as np

from ..cells.base import Tree
from ..checks import require
from ..layers import numbers
from .base import RNNCell, check_cell
from .drivers import (
    below_scope,
    bidirectional_dynamic_rnn,
    dynamic_rnn,
    layer_by_layer,
)


def _check_list(inputs: Any) -> None:
    require(
        isinstance(inputs, (list, tuple)) and len(inputs) > 0,
        "inputs",
        "must be a list with an array (B, D) for each of T steps",
        type(inputs).__name__,
        "pass keras.ops.unstack(inputs, axis=1), or call the dynamic driver",
    )


def _stacked(inputs: Sequence[Tree]) -> Tree:
    """A list of T steps as one tree of ``(B, T, ...)``."""
    _check_list(inputs)
    numbers.check(list(inputs), "inputs")
    forms = [jax.tree.map(lambda a: tuple(np.shape(a)), step) for step in inputs]
    other = next((form for form in forms if form != forms[0]), None)
    require(
        other is None,
        "inputs",
        f"must have steps of one shape, {forms[0]}, as the first",
        other,
        "pad the batch or the features, and pass sequence_length for the time steps",
    )
    return jax.tree.map(lambda *steps: keras.ops.stack(steps, axis=1), *inputs)


def _listed(outputs: Tree, steps: int) -> list[Tree]:
    """The inverse."""
    leaves, form = jax.tree.flatten(outputs)
    parts = [keras.ops.unstack(leaf, num=steps, axis=1) for leaf in leaves]
    return [jax.tree.unflatten(form, step) for step in zip(*parts, strict=True)]


def static_rnn(
    cell: RNNCell,
    inputs: Sequence[Tree],
    initial_state: Tree = None,
    dtype: Any = None,
    sequence_length: Any = None,
    scope: Any = None,
    *,
    training: Any = None,
) -> tuple[list[Tree], Tree]:
    """`dynamic_rnn` over a list: ``(list of T outputs, state)``.

    The steps are stacked and run in one loop: T makes it no slower to compile.

    Args:
        cell: an old cell.
        inputs: T arrays ``(B, D)``, or trees of such.
        initial_state: in the old form. Default: zeros.
        dtype: as for `dynamic_rnn`.
        sequence_length: ``[B]``.
        scope: default ``"rnn"``.
        training: whether dropout is on.

    Now: as for `dynamic_rnn`; the steps need no list.

    Source: ``tf.nn.static_rnn`` of TensorFlow 1.15.
    """
    outputs, state = dynamic_rnn(
        cell,
        _stacked(inputs),
        sequence_length,
        initial_state,
        dtype,
        scope=scope,
        training=training,
    )
    return _listed(outputs, len(inputs)), state


def static_state_saving_rnn(
    cell: RNNCell,
    inputs: Sequence[Tree],
    state_saver: Any,
    state_name: Any,
    sequence_length: Any = None,
    scope: Any = None,
    *,
    training: Any = None,
) -> tuple[list[Tree], Tree]:
    """`static_rnn` from the states of a saver, which gets the last ones.

    Args:
        cell: an old cell.
        inputs: T arrays ``(B, D)``.
        state_saver: has ``state(name)`` and ``save_state(name, value)``; under ``jit``
            it has to keep them in variables of Keras.
        state_name: a name for each state, in the form that the state has.
        sequence_length: ``[B]``.
        scope: default ``"rnn"``.
        training: whether dropout is on.

    Now: ``unrolled.RNN(cell, stateful=True)``.

    Source: ``tf.nn.static_state_saving_rnn`` of TensorFlow 1.15.
    """
    check_cell("cell", cell)
    form = jax.tree.structure(cell.state_size)
    names = jax.tree.leaves(state_name)
    one = isinstance(state_name, str) == (form == jax.tree.structure(0))
    require(
        one and len(names) == form.num_leaves,
        "state_name",
        f"must have a name for each state, in the form of {cell.state_size}",
        repr(state_name),
        'for example ("c", "h") for an LSTM',
    )
    state = jax.tree.unflatten(form, [state_saver.state(name) for name in names])
    outputs, state = static_rnn(
        cell,
        inputs,
        state,
        sequence_length=sequence_length,
        scope=scope,
        training=training,
    )
    for name, value in zip(names, jax.tree.leaves(state), strict=True):
        state_saver.save_state(name, value)
    return outputs, state


# Its name before TensorFlow 1.0.
state_saving_rnn = static_state_saving_rnn


def static_bidirectional_rnn(
    cell_fw: RNNCell,
    cell_bw: RNNCell,
    inputs: Sequence[Tree],
    initial_state_fw: Tree = None,
    initial_state_bw: Tree = None,
    dtype: Any = None,
    sequence_length: Any = None,
    scope: Any = None,
    *,
    training: Any = None,
) -> tuple[list[Tree], Tree, Tree]:
    """`bidirectional_dynamic_rnn` over a list, outputs side by side.

    Args:
        cell_fw: the cell that reads forwards.
        cell_bw: the one that reads backwards.
        inputs: T arrays ``(B, D)``.
        initial_state_fw: of `cell_fw`.
        initial_state_bw: of `cell_bw`.
        dtype: of both cells.
        sequence_length: ``[B]``.
        scope: default ``"bidirectional_rnn"``.
        training: whether dropout is on.

    Returns:
        ``(list of T outputs, state_fw, state_bw)``.

    Now: ``unrolled.Bidirectional(layer, backward_layer=...)``.

    Source: ``tf.nn.static_bidirectional_rnn`` of TensorFlow 1.15.
    """
    both, states = bidirectional_dynamic_rnn(
        cell_fw,
        cell_bw,
        _stacked(inputs),
        sequence_length,
        initial_state_fw,
        initial_state_bw,
        dtype,
        scope=scope,
        training=training,
    )
    outputs = jax.tree.map(lambda *each: keras.ops.concatenate(each, axis=-1), *both)
    return _listed(outputs, len(inputs)), *states


def stack_bidirectional_rnn(
    cells_fw: Sequence[RNNCell],
    cells_bw: Sequence[RNNCell],
    inputs: Sequence[Tree],
    initial_states_fw: Sequence[Tree] | None = None,
    initial_states_bw: Sequence[Tree] | None = None,
    dtype: Any = None,
    sequence_length: Any = None,
    scope: Any = None,
    *,
    training: Any = None,
) -> tuple[list[Tree], tuple[Tree, ...], tuple[Tree, ...]]:
    """`stack_bidirectional_dynamic_rnn` over a list.

    Args:
        cells_fw: of each layer the cell that reads forwards.
        cells_bw: of each layer the one that reads backwards.
        inputs: T arrays ``(B, D)``.
        initial_states_fw: of each layer.
        initial_states_bw: of each layer.
        dtype: of all cells.
        sequence_length: ``[B]``.
        scope: default ``"stack_bidirectional_rnn"``.
        training: whether dropout is on.

    Returns:
        ``(list of T outputs, states_fw, states_bw)``, with a state for each layer.

    Now: `unrolled.Bidirectional` layers one after the other.

    Source: ``tf.contrib.rnn.stack_bidirectional_rnn`` of TensorFlow 1.15.
    """

    def one(place: int, below: Tree, states: tuple) -> tuple:
        return static_bidirectional_rnn(
            cells_fw[place],
            cells_bw[place],
            below,
            *states,
            dtype=dtype,
            sequence_length=sequence_length,
            scope=f"{path}/cell_{place}",
            training=training,
        )

    path = below_scope(scope, "stack_bidirectional_rnn")
    initial = (initial_states_fw, initial_states_bw)
    return layer_by_layer((cells_fw, cells_bw), initial, inputs, one)
