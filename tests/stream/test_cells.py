"""Cells of the user's in a stream, and a memory that is handed over once."""

import unrolled

import keras
import numpy as np
import pytest
from jax import numpy as jnp

from .. import record

B, T, D, U, S = 2, 5, 3, 4, 6
pytestmark = pytest.mark.keras_ranks


class Reader(unrolled.CellWrapper):
    """Feeds the cell the mean of the memory's entries that count, projected."""

    def build(self, input_shape, memory_shape):
        self.projection = self.add_weight(shape=(memory_shape[-1], U), name="p")
        super().build((input_shape[0], input_shape[-1] + U))

    def get_constants(self, batch_size, training, memory, memory_mask):
        if memory_mask is None:
            memory_mask = jnp.ones(memory.shape[:2], bool)
        weights = memory_mask.astype(memory.dtype)
        weights = weights / weights.sum(-1, keepdims=True)
        mean = jnp.einsum("bs,bsm->bm", weights, memory) @ self.projection.value
        return {"cell": super().get_constants(batch_size, training), "mean": mean}

    def step(self, x, states, constants):
        x = jnp.concatenate([x, constants["mean"]], -1)
        return super().step(x, states, constants["cell"])


def _draw(rng, *shape):
    return rng.normal(size=shape).astype("float32")


def _every_step(stream, x):
    return np.stack([stream.step(x[:, t]) for t in range(x.shape[1])], 1)


def _hold(ours, law, name):
    record.hold("values", "float32", ours, np.asarray(law, "float64"), name)


def test_a_cell_of_ones_own_is_stepped(rng):
    layer = unrolled.RNN(
        unrolled.ResidualWrapper(unrolled.GRUCell(D)), return_sequences=True
    )
    x = _draw(rng, B, T, D)
    y = layer(x)
    stream = unrolled.stream(layer, batch_size=B)
    _hold(_every_step(stream, x), y, "residual in a stream")
    stream.reset([1])
    _hold(stream.step(x[:, 0])[1], y[1, 0], "a row that was reset")


def test_a_stack_with_skip_connections_is_stepped_as_one_cell(rng):
    cells = [unrolled.LSTMCell(U), unrolled.GRUCell(2)]
    stack = unrolled.StackedRNNCells(cells, skip_connections=True)
    layer = unrolled.RNN(stack, return_sequences=True)
    x = _draw(rng, B, T, D)
    y = layer(x)
    stream = unrolled.stream(layer, batch_size=B)
    _hold(_every_step(stream, x), y, "skip connections in a stream")


def test_states_are_read_set_and_kept_by_refresh(rng):
    layer = unrolled.RNN(unrolled.ZoneoutWrapper(unrolled.LSTMCell(U), 0.2))
    x = _draw(rng, B, T, D)
    layer(x)
    stream = unrolled.stream(layer, batch_size=B)
    stream.step(x[:, 0])
    kept = stream.states
    assert [state.shape for state in kept[layer.name]] == [(B, U), (B, U)]
    second = stream.step(x[:, 1])
    stream.states = kept
    np.testing.assert_array_equal(stream.step(x[:, 1]), second)
    stream.states = kept
    layer.set_weights([2 * w for w in layer.get_weights()])
    np.testing.assert_array_equal(stream.step(x[:, 1]), second)
    stream.states = kept
    stream.refresh()
    assert np.abs(stream.step(x[:, 1]) - second).max() > 1e-3


def test_the_memory_is_handed_over_once(rng):
    layer = unrolled.RNN(Reader(unrolled.LSTMCell(U)), return_sequences=True)
    x, memory = _draw(rng, B, T, D), _draw(rng, B, S, 2)
    mask = np.arange(S) < np.array([[2], [S]])
    y = layer(x, memory=memory, memory_mask=mask)
    stream = unrolled.stream(layer, batch_size=B, memory=memory, memory_mask=mask)
    _hold(_every_step(stream, x), y, "memory in a stream")
    stream.reset()
    _hold(_every_step(stream, x), y, "memory after a reset")


def test_the_memory_is_an_input_of_the_model(rng):
    sequences, memory = keras.Input((None, D)), keras.Input((S, 2))
    y = unrolled.RNN(Reader(unrolled.GRUCell(U)), return_sequences=True)(
        sequences, memory=memory
    )
    y = unrolled.LSTM(U, return_sequences=True)(y)
    model = keras.Model([sequences, memory], keras.layers.Dense(2)(y))
    x, m = _draw(rng, B, T, D), _draw(rng, B, S, 2)
    stream = unrolled.stream(model, batch_size=B, memory=m)
    _hold(_every_step(stream, x), model.predict_on_batch([x, m]), "model with memory")


class Counts(keras.layers.Layer):
    state_size = 1
    output_size = 1

    def build(self, _):
        self.calls = self.add_weight(shape=(), trainable=False, name="calls")

    def call(self, inputs, states):
        self.calls.assign(self.calls + 1.0)
        return inputs[:, :1] + states[0], [states[0]]


class Two(unrolled.Cell):
    state_size = 1

    @property
    def output_size(self):
        return {"a": 1, "b": 1}

    def step(self, x, states, constants):
        del constants
        return {"a": x[:, :1], "b": states[0]}, states


def _called(layer, **given):
    layer(np.ones((B, T, D), "float32"), **given)
    return layer


MEMORY = np.ones((B, S, 2), "float32")


@pytest.mark.parametrize(
    ("make", "given", "words"),
    [
        (lambda: unrolled.RNN(Counts()), {}, "changes calls"),
        (lambda: unrolled.RNN(Two()), {}, "not one row of numbers"),
        (
            lambda: unrolled.RNN(unrolled.ResidualWrapper(unrolled.GRUCell(D))),
            {"weights": "int8"},
            "leave weights at float32",
        ),
        (lambda: unrolled.LSTM(U), {"memory": MEMORY}, "a cell that reads one"),
    ],
    ids=["variables", "tree", "storage", "memory"],
)
def test_what_cannot_be_stepped_is_refused_by_name(make, given, words):
    layer = _called(make())
    with pytest.raises(ValueError, match=r"Got .*: ") as caught:
        unrolled.stream(layer, batch_size=B, **given)
    assert words in str(caught.value)
    assert layer.name in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "memory must be given"),
        ({"memory": MEMORY[:1]}, "batch size of sequences, 2"),
        ({"memory": MEMORY, "memory_mask": np.ones((B, S + 1))}, "memory_mask must"),
    ],
    ids=["none", "rows", "mask"],
)
def test_a_memory_that_does_not_fit(given, words):
    layer = _called(unrolled.RNN(Reader(unrolled.GRUCell(U))), memory=MEMORY)
    with pytest.raises(ValueError, match=words):
        unrolled.stream(layer, batch_size=B, **given)
