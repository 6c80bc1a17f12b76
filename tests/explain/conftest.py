"""Models that the explain tests share, each described once."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import json

from unrolled.explain.facts import describe as describing
from unrolled.explain.facts import recurrent
from unrolled.explain.facts.describe import describe

import keras
import numpy as np
import pytest

# Keras refuses a name with "/"; facts may still hold one, from any other source.
HOSTILE = "<script><img src=x onerror=alert(1)>"


def sequential(*layers, shape, name="model", dtype="float32"):
    keras.utils.set_random_seed(7)
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers], name=name)


def random(*shape, seed=3):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def quick(patch):
    """Describe without the experiments, where only trace and weights are at stake."""
    none = {"other_steps": [], "other_units": [], "other_features": []}
    patch.setattr(recurrent, "experiments", lambda *job, **more: lambda found: {})
    patch.setattr(recurrent.shapes, "variants", lambda *job, **more: lambda: {**none})
    patch.setattr(recurrent.shapes, "returns", lambda *job, **more: lambda: None)
    patch.setattr(describing, "judge", lambda facts: [])


@keras.saving.register_keras_serializable("explain_tests")
class Leaky(keras.layers.Layer):
    """A cell that nobody knows: two states of different widths."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units, self.state_size, self.output_size = units, [units, 2], units + 1

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], self.units), name="w")
        super().build(shape)

    def call(self, inputs, states):
        slow, last = states
        slow = 0.9 * slow + keras.ops.tanh(inputs @ self.w)
        last = 0.5 * last + inputs[:, :2]
        return keras.ops.concatenate([slow, last[:, :1]], -1), [slow, last]

    def get_config(self):
        return super().get_config() | {"units": self.units}


@pytest.fixture(scope="session")
def digits():
    """LSTM(128) over rows of 28 numbers, with a head."""
    layers = keras.layers.LSTM(128, name="lstm"), keras.layers.Dense(10)
    model = sequential(*layers, shape=(28, 28), name="digits")
    return model, random(28, 28), describe(model, random(28, 28))


@pytest.fixture(scope="session")
def reviews():
    """A masked stack of two Bidirectional layers on token ids, T unknown."""
    model = sequential(
        keras.layers.Embedding(30, 6, mask_zero=True),
        keras.layers.Bidirectional(keras.layers.GRU(5, return_sequences=True)),
        keras.layers.Bidirectional(keras.layers.LSTM(4)),
        shape=(None,),
        name="reviews",
        dtype="int32",
    )
    ids = np.array([[3, 7, 0, 9, 11, 2, 0, 0], [5, 1, 1, 2, 0, 0, 0, 0]])
    return model, ids, describe(model, ids)


@pytest.fixture(scope="session")
def seq2seq():
    """Encoder, nested model, and a decoder that starts from the encoder's state."""
    keras.utils.set_random_seed(7)
    source, target = (
        keras.Input((6, 3), name="source"),
        keras.Input((4, 2), name="target"),
    )
    _, h, c = keras.layers.LSTM(5, return_state=True, name="encoder")(source)
    decoder = keras.layers.LSTM(5, return_sequences=True, name="decoder")
    out = decoder(target, initial_state=[h, c])
    inside = keras.Sequential(
        [keras.Input((4, 5)), keras.layers.SimpleRNN(3)], name="inner"
    )
    model = keras.Model([source, target], inside(out), name="translate")
    sample = {"source": random(2, 6, 3), "target": random(2, 4, 2)}
    return model, sample, describe(model, sample)


@pytest.fixture(scope="session")
def hostile():
    """A custom cell under a hostile name, with NaN and infinity in the input."""
    layer = keras.layers.RNN(Leaky(3), name="rnn")
    model = sequential(layer, shape=(5, 4), name="odd")
    layer.name = model.name = f"{HOSTILE}\u202e"
    x = random(1, 5, 4)
    x[0, 2, 1], x[0, 3, 0] = np.nan, np.inf
    return model, x, describe(model, x)


def dumps(facts):
    return json.dumps(facts, allow_nan=False, sort_keys=True)


@pytest.fixture(scope="session")
def dense():
    """Facts of a model with no recurrent layer."""
    return describe(sequential(keras.layers.Dense(3), shape=(4,), name="dense"))
