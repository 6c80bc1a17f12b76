"""What a second call costs, and that it sees what changed in a cell since the first."""

import unrolled

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

from ...core import need_core
from .layers import CELLS, B, D, T, U, made

pytestmark = [pytest.mark.keras_ranks, need_core]


@pytest.mark.parametrize("kind", CELLS)
def test_the_second_call_compiles_nothing(kind, compilations):
    f = made(kind)
    first = np.asarray(f.layer(**f.called(f.given)))
    compilations.clear()
    second = np.asarray(f.layer(**f.called(f.given)))
    assert compilations == []
    np.testing.assert_array_equal(second, first)
    fewer = {name: each[:1] for name, each in f.given.items()}
    assert np.isfinite(np.asarray(f.layer(**f.called(fewer)))).all()
    assert compilations  # of another shape


@pytest.mark.parametrize("kind", CELLS)
def test_the_second_gradient_compiles_nothing(kind, compilations):
    f = made(kind)
    gradient = jax.grad(f.loss, (0, 1))
    jax.block_until_ready(gradient(f.weights, f.given))
    compilations.clear()
    jax.block_until_ready(gradient(f.weights, f.given))
    assert compilations == []
    fewer = {name: each[:2] for name, each in f.given.items()}
    jax.block_until_ready(gradient(f.weights, fewer))
    assert compilations


@pytest.mark.parametrize("kind", ["peephole", "Keras's layers"])
def test_the_second_predict_compiles_nothing(kind, compilations, rng):
    layer = unrolled.RNN(CELLS[kind](U))
    model = keras.Sequential([keras.Input((T, D)), layer, keras.layers.Dense(1)])
    assert layer.plan().startswith("the native kernel ")
    x = rng.normal(size=(B, T, D)).astype("float32")
    first = model.predict(x, verbose=0)
    assert compilations
    compilations.clear()
    np.testing.assert_array_equal(model.predict(x, verbose=0), first)
    assert compilations == []


class Attributes(unrolled.Cell):
    """Reads what is no variable: a number, an array, a function."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.output_size, self.state_size = units, [units]
        self.factor, self.activation = 0.5, jnp.tanh
        self.gains = np.ones(units, "float32")
        self.traces = 0

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], self.output_size)
        )

    def step(self, x, states, constants):
        del constants
        self.traces += 1
        z = x @ self.kernel.value + self.factor * states[0]
        h = self.activation(z * self.gains)
        return h, [h]


CHANGES = {
    "factor": [0.25, -1.5],
    "gains": [np.linspace(-1, 2, U, dtype="float32"), np.full(U, 3, "float32")],
    "activation": [jax.nn.sigmoid, jax.nn.relu, lambda z: z],
}


@pytest.mark.parametrize("name", CHANGES)
def test_an_attribute_that_changed_is_honoured(name, compilations, rng):
    layer = unrolled.RNN(Attributes(U), return_sequences=True)
    x = jnp.asarray(rng.normal(size=(B, T, D)), "float32")
    value = jax.value_and_grad(lambda x: (layer(x) ** 2).sum())
    seen, original = [np.asarray(layer(x))], getattr(layer.cell, name)
    assert layer.plan().startswith("the native kernel ")
    for changed in CHANGES[name]:
        compilations.clear()
        setattr(layer.cell, name, changed)
        seen.append(np.asarray(layer(x)))
        # An array is an operand: for others there is a program already.
        assert bool(compilations) == (name != "gains")
        compilations.clear()
        np.testing.assert_array_equal(layer(x), seen[-1])
        assert compilations == []
        found = value(x)
        with unrolled.kernels("off"):
            np.testing.assert_allclose(layer(x), seen[-1], rtol=2e-5, atol=2e-6)
            for one, other in zip(found, value(x), strict=True):
                np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)
    assert len({each.tobytes() for each in seen}) == 1 + len(CHANGES[name])
    setattr(layer.cell, name, original)
    compilations.clear()
    np.testing.assert_array_equal(layer(x), seen[0])
    assert compilations == []  # what was made is known by what was traced


def test_how_often_a_step_is_traced_by_a_second_call(rng):
    """For what it changes, and as it is; for any number of rows at its first call."""
    layer = unrolled.RNN(Attributes(U))
    x = jnp.asarray(rng.normal(size=(B, T, D)), "float32")
    layer(x)
    layer.cell.traces = 0
    layer(x)
    assert 0 < layer.cell.traces <= 2
