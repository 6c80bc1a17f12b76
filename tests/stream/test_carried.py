"""A stream of a stateful layer goes on from the state that the layer carries."""

import unrolled
from unrolled.engine import carried

import keras
import numpy as np
import pytest
from keras import layers

from .test_stream import B, D, T, engine, inputs, randomize, run  # noqa: F401

pytestmark = pytest.mark.keras_ranks


def stack(of):
    return [of.LSTMCell(4), of.GRUCell(3), of.SimpleRNNCell(6)]


KINDS = {
    "ours": lambda: unrolled.LSTM(4, stateful=True, return_sequences=True),
    "stock": lambda: layers.LSTM(4, stateful=True, return_sequences=True),
    "stock gru": lambda: layers.GRU(4, stateful=True, return_sequences=True),
    "our stack": lambda: unrolled.RNN(
        stack(unrolled), stateful=True, return_sequences=True
    ),
    "stock stack": lambda: layers.RNN(
        stack(layers), stateful=True, return_sequences=True
    ),
    "stepped by its call": lambda: unrolled.RNN(
        unrolled.ZoneoutWrapper(unrolled.LSTMCell(4), 0.2),
        stateful=True,
        return_sequences=True,
    ),
}


def model_of(*parts, rows=B):
    start = keras.Input((None, D), batch_size=rows)
    return randomize(keras.Sequential([start, *parts]))


def forget(layer):
    """What `reset_state` does; that of Keras fails for a stack."""
    for variable in carried.leaves(layer.states):
        variable.assign(np.zeros(variable.shape, "float32"))


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_where_the_layer_would(kind):
    model = model_of(
        KINDS[kind](), unrolled.GRU(3, return_sequences=True), layers.Dense(2)
    )
    x = inputs(B, 2 * T, D)
    model(x[:, :T])
    stream = unrolled.stream(model, batch_size=B)
    got = run(stream, x[:, T:])
    np.testing.assert_allclose(got, model(x[:, T:]), rtol=1e-5, atol=1e-6)
    stream.reset()  # a new sequence
    forget(model.layers[0])
    got = run(stream, x)
    np.testing.assert_allclose(got, model(x), rtol=1e-5, atol=1e-6)


def test_refresh_keeps_the_streams_own_states():
    layer = unrolled.GRU(4, stateful=True)
    model = model_of(layer)
    x = inputs(B, T, D)
    model(x)
    stream = unrolled.stream(model, batch_size=B)
    run(stream, x)
    states = stream.states[layer.name][0]
    stream.refresh()
    np.testing.assert_array_equal(stream.states[layer.name][0], states)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, B + 1])
def test_another_number_of_rows(kind, rows):
    layer = KINDS[kind]()
    model = model_of(layer)
    x = inputs(B, T, D)
    model(x)
    message = (
        f"'{layer.name}', which carries the states of {B} rows, where "
        rf"batch_size={rows}: pass batch_size={B} .*layer\.reset_state\(\)"
    )
    with pytest.raises(ValueError, match=message):
        unrolled.stream(model, batch_size=rows)
    forget(layer)
    stream = unrolled.stream(model, batch_size=rows)
    x = inputs(rows, T, D)
    alone = type(layer).from_config({**layer.get_config(), "stateful": False})
    same = model_of(alone, rows=None)
    same.set_weights(model.get_weights())
    np.testing.assert_allclose(run(stream, x), same(x), rtol=1e-5, atol=1e-6)
