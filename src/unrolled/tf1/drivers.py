"""What ran a cell along time: each is our layer, called in the old form.

All take arrays, outside and inside ``jit`` and ``grad``; Keras tensors, and then the
weights are the model's; and what a layer of your own is called with. The cell keeps its
layer, so that a second call makes no weights.

Beside TensorFlow's arguments they take ``training``, which `unrolled.RNN` takes too.
`dtype` may be left out. TensorFlow's ``parallel_iterations`` and ``swap_memory`` are
read by nobody.
"""

from collections.abc import Sequence
from typing import Any

import jax
import keras
import numpy as np

from .._borrowed import call_context
from ..cells.base import Tree
from ..checks import require, sizes
from ..layers import numbers
from ..layers.checks import check_is_array
from .base import RNNCell, check_cell


def ready(cell: RNNCell, steps: Tree, dtype: Any = None) -> None:
    """Build a cell for steps of such shapes, in `dtype` if that is said.

    Args:
        cell: an old cell.
        steps: a tree of arrays or specs ``(B, ...)``, one step's.
        dtype: a driver's.
    """
    if dtype is not None:
        cell.settle(dtype)
    else:
        settle_like(cell, steps)
    if not cell.built:
        context = call_context()
        caller = None if context is None else context.entry_layer
        require(
            caller is None
            or any(
                part is cell or part is cell.as_ours()
                for part in caller._flatten_layers()
            ),
            "cell",
            f"must be kept by {type(caller).__name__}, which trains and saves its "
            "weights",
            f"a {type(cell).__name__} made while that is called",
            "make it once, in __init__: self.cell = ...",
        )
        # Weights are real also where what the cell reads is being traced.
        with jax.ensure_compile_time_eval():
            cell.build(jax.tree.map(lambda a: (None, *sizes(a.shape)[1:]), steps))
        cell.built = True


def settle_like(cell: RNNCell, arrays: Tree) -> None:
    """Give a cell float64 if these have it: a cell took the dtype of its inputs."""
    given = {str(leaf.dtype) for leaf in jax.tree.leaves(arrays)}
    double = jax.dtypes.canonicalize_dtype("float64") == "float64"
    if given == {"float64"} and double and not cell.is_settled:
        cell.settle("float64")


def along_time(
    cell: RNNCell,
    inputs: Tree,
    scope: str,
    *,
    lengths: Any = None,
    state: Tree = None,
    dtype: Any = None,
    time_major: bool = False,
    backwards: bool = False,
    training: Any = None,
) -> tuple[Tree, Tree]:
    """Outputs in the order of the inputs, and the last state in the old form."""
    check_is_array(inputs)
    numbers.check(inputs, "inputs")
    inputs = jax.tree.map(lambda a: a if hasattr(a, "dtype") else np.asarray(a), inputs)
    steps = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(
            (1, *sizes(a.shape)[2:]), keras.backend.standardize_dtype(a.dtype)
        ),
        inputs,
    )
    ready(cell, steps, dtype)
    cell.run_below(scope)
    given = {"lengths": lengths, "training": training}
    if state is not None:
        given["initial_state"] = cell.from_old(state)
    given = {name: value for name, value in given.items() if value is not None}
    layer = cell.layer(time_major, backwards, padded=lengths is not None)
    outputs, *states = layer(inputs, **given)
    if backwards:
        axis = 0 if time_major else 1
        outputs = jax.tree.map(lambda a: keras.ops.flip(a, axis), outputs)
    elif lengths is not None:
        # Without the mask that our layers attach: zeros past the end count in a loss.
        outputs = jax.tree.map(keras.ops.copy, outputs)
    return outputs, cell.to_old(states)


def below_scope(scope: Any, default: str) -> str:
    """A scope as a path."""
    return str(getattr(scope, "name", scope or default)).strip("/")


def dynamic_rnn(
    cell: RNNCell,
    inputs: Tree,
    sequence_length: Any = None,
    initial_state: Tree = None,
    dtype: Any = None,
    parallel_iterations: Any = None,
    swap_memory: bool = False,
    time_major: bool = False,
    scope: Any = None,
    *,
    training: Any = None,
) -> tuple[Tree, Tree]:
    """Run a cell along time: ``(outputs, state)``.

    Args:
        cell: an old cell.
        inputs: ``(B, T, D)``, or a tree of such.
        sequence_length: ``[B]``; past it outputs are zeros, and the state is the one
            that was reached there.
        initial_state: in the old form. Default: zeros.
        dtype: of a cell that has neither weights nor a dtype of its own.
        parallel_iterations: read by nobody.
        swap_memory: read by nobody.
        time_major: inputs and outputs are ``(T, B, D)``.
        scope: below which `tf1.load` finds the variables. Default ``"rnn"``.
        training: whether dropout is on.

    Now: ``unrolled.RNN(cell, return_sequences=True, return_state=True,
    zero_output_for_mask=True)(inputs, lengths=sequence_length)``.

    Example:
        >>> import keras
        >>> from unrolled import tf1
        >>> x = keras.ops.ones((2, 5, 3))
        >>> outputs, state = tf1.dynamic_rnn(tf1.GRUCell(4), x, sequence_length=[5, 2])
        >>> outputs.shape, state.shape
        ((2, 5, 4), (2, 4))

    Source: ``tf.nn.dynamic_rnn`` of TensorFlow 1.15.
    """
    del parallel_iterations, swap_memory
    check_cell("cell", cell)
    return along_time(
        cell,
        inputs,
        below_scope(scope, "rnn"),
        lengths=sequence_length,
        state=initial_state,
        dtype=dtype,
        time_major=time_major,
        training=training,
    )


def bidirectional_dynamic_rnn(
    cell_fw: RNNCell,
    cell_bw: RNNCell,
    inputs: Tree,
    sequence_length: Any = None,
    initial_state_fw: Tree = None,
    initial_state_bw: Tree = None,
    dtype: Any = None,
    parallel_iterations: Any = None,
    swap_memory: bool = False,
    time_major: bool = False,
    scope: Any = None,
    *,
    training: Any = None,
) -> tuple[tuple[Tree, Tree], tuple[Tree, Tree]]:
    """Run one cell forwards, another backwards.

    Args:
        cell_fw: the cell that reads forwards.
        cell_bw: the one that reads backwards, from each row's last valid step.
        inputs: as `dynamic_rnn` takes them; so are the others.
        sequence_length: ``[B]``.
        initial_state_fw: of `cell_fw`.
        initial_state_bw: of `cell_bw`.
        dtype: of both cells.
        parallel_iterations: read by nobody.
        swap_memory: read by nobody.
        time_major: inputs and outputs are ``(T, B, D)``.
        scope: default ``"bidirectional_rnn"``.
        training: whether dropout is on.

    Returns:
        ``((outputs_fw, outputs_bw), (state_fw, state_bw))``, all in the order of the
        inputs.

    Now: ``unrolled.Bidirectional(layer, merge_mode=None, backward_layer=...)``.

    Source: ``tf.nn.bidirectional_dynamic_rnn`` of TensorFlow 1.15.
    """
    del parallel_iterations, swap_memory
    scope = below_scope(scope, "bidirectional_rnn")
    cells = {"fw": (cell_fw, initial_state_fw), "bw": (cell_bw, initial_state_bw)}
    both = []
    for direction, (cell, state) in cells.items():
        check_cell(f"cell_{direction}", cell)
        both.append(
            along_time(
                cell,
                inputs,
                f"{scope}/{direction}",
                lengths=sequence_length,
                state=state,
                dtype=dtype,
                time_major=time_major,
                backwards=direction == "bw",
                training=training,
            )
        )
    (fw, state_fw), (bw, state_bw) = both
    return (fw, bw), (state_fw, state_bw)


def stack_bidirectional_dynamic_rnn(
    cells_fw: Sequence[RNNCell],
    cells_bw: Sequence[RNNCell],
    inputs: Tree,
    initial_states_fw: Sequence[Tree] | None = None,
    initial_states_bw: Sequence[Tree] | None = None,
    dtype: Any = None,
    sequence_length: Any = None,
    parallel_iterations: Any = None,
    time_major: bool = False,
    scope: Any = None,
    swap_memory: bool = False,
    *,
    training: Any = None,
) -> tuple[Tree, tuple[Tree, ...], tuple[Tree, ...]]:
    """Layers one above the other, each in both directions, their outputs side by side.

    Args:
        cells_fw: of each layer the cell that reads forwards.
        cells_bw: of each layer the one that reads backwards.
        inputs: as `dynamic_rnn` takes them; so are the others.
        initial_states_fw: of each layer.
        initial_states_bw: of each layer.
        dtype: of all cells.
        sequence_length: ``[B]``.
        parallel_iterations: read by nobody.
        time_major: inputs and outputs are ``(T, B, D)``.
        scope: default ``"stack_bidirectional_rnn"``.
        swap_memory: read by nobody.
        training: whether dropout is on.

    Returns:
        ``(outputs, states_fw, states_bw)``, with a state for each layer.

    Now: `unrolled.Bidirectional` layers one after the other.

    Source: ``tf.contrib.rnn.stack_bidirectional_dynamic_rnn`` of TensorFlow 1.15.
    """
    del parallel_iterations, swap_memory

    def one(place: int, below: Tree, states: tuple) -> tuple:
        outputs, after = bidirectional_dynamic_rnn(
            cells_fw[place],
            cells_bw[place],
            below,
            sequence_length,
            *states,
            dtype=dtype,
            time_major=time_major,
            scope=f"{path}/cell_{place}/bidirectional_rnn",
            training=training,
        )
        return keras.ops.concatenate(outputs, axis=-1), *after

    path = below_scope(scope, "stack_bidirectional_rnn")
    initial = (initial_states_fw, initial_states_bw)
    return layer_by_layer((cells_fw, cells_bw), initial, inputs, one)


def layer_by_layer(
    cells: Sequence[Sequence[RNNCell]], initial: Sequence[Any], inputs: Any, one: Any
) -> tuple[Any, tuple[Tree, ...], tuple[Tree, ...]]:
    """Layer after layer, ``one(place, inputs, states) -> (outputs, fw, bw)``."""
    lists = all(isinstance(each, (list, tuple)) for each in cells)
    got = [len(each) if lists else type(each).__name__ for each in cells]
    require(
        lists and len(cells[0]) == len(cells[1]) > 0,
        "cells_fw, cells_bw",
        "must be lists of as many cells, one or more",
        got,
        "pass one cell of each for each layer",
    )
    count = len(cells[0])
    for name, given in zip(("fw", "bw"), initial, strict=True):
        require(
            given is None or (isinstance(given, (list, tuple)) and len(given) == count),
            f"initial_states_{name}",
            f"must be a list of states, one for each of {count} layers",
            type(given).__name__,
            "pass None for zeros in all",
        )
    states = []
    for place in range(count):
        own = tuple(each[place] if each else None for each in initial)
        inputs, *after = one(place, inputs, own)
        states.append(after)
    fw, bw = zip(*states, strict=True)
    return inputs, fw, bw
