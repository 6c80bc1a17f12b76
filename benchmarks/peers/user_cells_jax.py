"""Cells that users write, run by our layer or by Keras's."""

from __future__ import annotations

from types import SimpleNamespace

import unrolled

import jax
import keras
import numpy as np

from cases import UserCell
from peers import Ready
from peers.compiled import build as ready
from peers.user_cells import Given, given
from user_cells import CELLS


class Told(keras.layers.Layer):
    """A cell in Keras's `RNN`, which has no memory to hand on: it is put here."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell
        self.state_size, self.output_size = cell.state_size, cell.output_size
        self.constants = SimpleNamespace()

    def call(self, inputs, states):
        """The cell's step."""
        return self.cell.step(inputs, list(states), self.constants.now)


def run_cell(case: UserCell, found: Given, native: bool = True) -> tuple:
    """Our layer as a function of (x, weights, states), and its arrays."""
    cell = CELLS[case.cell](case.shape[3])
    layer = unrolled.RNN(cell, return_sequences=True)
    more = {} if found.memory is None else {"memory": found.memory}
    shapes = {f"{name}_shape": a.shape for name, a in more.items()}
    layer.build(found.x.shape, **shapes)
    frozen = [v.value for v in layer.non_trainable_variables]
    training = case.mode == "training"

    def forward(x, weights, states):
        weights, memory = weights
        options = {} if memory is None else {"memory": memory}
        options |= {} if memory is None else {"memory_mask": found.mask}
        with unrolled.kernels("here" if native else "off"):
            return layer.stateless_call(
                weights, frozen, x, initial_state=states, training=training, **options
            )[0]

    return forward, layer


def keras_cell(case: UserCell, found: Given) -> tuple:
    """The same with Keras's layer."""
    units = case.shape[3]
    cell = CELLS[case.cell](units)
    if case.cell == "two stacked":  # it takes stacks of its own alone
        each = [keras.layers.LSTMCell(units) for _ in cell.cells]
        cell = keras.layers.StackedRNNCells(each)
    rows, told = case.shape[0], found.memory is not None
    if told:
        cell.build(found.x[:, 0].shape, found.memory.shape)
        cell = Told(cell)
    layer = keras.layers.RNN(cell, return_sequences=True)
    layer.build(found.x.shape)
    frozen = [v.value for v in layer.non_trainable_variables]
    training = case.mode == "training"

    def forward(x, weights, states):
        weights, memory = weights
        if case.cell == "two stacked":
            states = [states[:2], states[2:]]
        if not told:
            return layer.stateless_call(
                weights, frozen, x, initial_state=states, training=training
            )[0]
        mapping = list(zip(layer.trainable_variables, weights, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            inner = cell.cell.get_constants(rows, training, memory, found.mask)
            cell.constants.now = inner
            return layer(x, initial_state=states)

    return forward, layer


def plan(cell: str, shape: tuple[int, ...]) -> str:
    """What our layer says will run it."""
    found = given(UserCell(cell, "forward", tuple(shape)))
    memory = None if found.memory is None else found.memory.shape
    layer = unrolled.RNN(CELLS[cell](shape[3]), return_sequences=True)
    return layer.plan(found.x.shape, memory_shape=memory)


def build(case: UserCell, make, **options) -> Ready:
    """Jit the forward pass, or it and all its gradients."""
    found = given(case)
    forward, layer = make(case, found, **options)
    weights = [jax.numpy.asarray(w) for w in found.weights]
    shapes = [tuple(v.shape) for v in layer.trainable_variables]
    assert shapes == [w.shape for w in weights], (shapes, case.cell)
    memory = None if found.memory is None else jax.numpy.asarray(found.memory)
    x, dy = (jax.numpy.asarray(a) for a in (found.x, found.dy))
    states = [jax.numpy.asarray(s) for s in found.states]
    made = ready(case.mode, forward, x, (weights, memory), states, dy)

    def results(result):
        if case.mode == "forward":
            return {"y": np.asarray(result)}
        y, (dx, (dweights, dmemory), dstates) = result
        named = {"y": y, "dx": dx}
        named |= {f"dweight{n}": a for n, a in enumerate(dweights)}
        named |= {f"dstate{n}": a for n, a in enumerate(dstates)}
        named |= {} if dmemory is None else {"dmemory": dmemory}
        return {name: np.asarray(a) for name, a in named.items()}

    return Ready(made.run, results)
