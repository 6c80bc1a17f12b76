"""Uncompiled calls: the second of a kind compiles nothing, and stays right."""

from concurrent.futures import ThreadPoolExecutor

import unrolled
from unrolled.engine import eager

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

B, T, D, U = 3, 5, 4, 4


class Derived(unrolled.LSTMCell):
    """No kernel is for it."""


class Scaled(keras.layers.Layer):
    """A cell of a user's: reads an attribute, and a function that closes over it."""

    state_size = output_size = D

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.scale = 2.0
        self.drop = keras.layers.Dropout(0.5)

    def build(self, shape):
        """One weight."""
        del shape
        self.w = self.add_weight(shape=(D, D), name="w")

    def call(self, x, states, training=False):
        """One step."""
        product = jax.jit(lambda h: h @ self.w.value)
        y = self.drop(self.scale * x + product(states[0]), training=training)
        return y, [y]


LAYERS = {
    "derived": lambda: unrolled.RNN(Derived(U)),
    "user": lambda: unrolled.RNN(Scaled()),
    "stack": lambda: unrolled.RNN([Derived(U), unrolled.GRUCell(U)]),
    "residual": lambda: unrolled.RNN(unrolled.ResidualWrapper(Derived(U))),
    "stateful": lambda: unrolled.RNN(Derived(U), stateful=True),
    "both": lambda: unrolled.Bidirectional(unrolled.RNN(Derived(U))),
    "sequences": lambda: unrolled.RNN(Derived(U), return_sequences=True),
    "fused": lambda: unrolled.LSTM(U),
    "fused both": lambda: unrolled.Bidirectional(unrolled.GRU(U)),
    "dropout": lambda: unrolled.LSTM(U, dropout=0.5, recurrent_dropout=0.5),
}


@pytest.mark.parametrize("given", ["nothing", "training", "mask", "lengths", "state"])
@pytest.mark.parametrize("kind", LAYERS)
def test_the_second_call_compiles_nothing(kind, given, rng, compilations):
    layer = LAYERS[kind]()
    x = rng.normal(size=(B, T, D)).astype("float32")
    layer.build(x.shape)
    count = len(jax.tree.leaves(layer.state_names))
    arguments = {
        "nothing": {},
        "training": {"training": True},
        "mask": {"mask": rng.random((B, T)) < 0.5},
        "lengths": {"lengths": np.array([1, 5, 2], "int32")},
        "state": {"initial_state": [jnp.ones((B, U))] * count},
    }[given]
    np.asarray(layer(x, **arguments))
    seed = int(rng.integers(1 << 30))
    jax.jit(lambda x: x + seed)(jnp.zeros((), "int32"))
    assert compilations  # they are heard
    compilations.clear()
    np.asarray(layer(x, **arguments))
    assert compilations == []


def test_weights_and_attributes_are_those_of_the_call(rng):
    cell = Scaled()
    layer = unrolled.RNN(cell, return_sequences=True)
    x = rng.normal(size=(B, T, D)).astype("float32")
    layer.build(x.shape)
    for scale in (2.0, 3.0, 2.0):
        cell.scale = scale
        w = rng.normal(size=(D, D)).astype("float32")
        cell.w.assign(w)
        h, law = np.zeros((B, D)), []
        for t in range(T):
            h = scale * x[:, t] + h @ w
            law.append(h)
        np.testing.assert_allclose(layer(x), np.stack(law, 1), rtol=1e-4, atol=1e-5)


def test_steps_run_one_by_one_where_jit_is_off(rng):
    """For whoever looks at numbers in a step."""
    layer = unrolled.RNN(Scaled())
    x = rng.normal(size=(B, T, D)).astype("float32")
    compiled = np.asarray(layer(x))
    with jax.disable_jit():
        np.testing.assert_allclose(layer(x), compiled, rtol=1e-5, atol=1e-6)


def test_gradients_with_respect_to_what_is_closed_over(rng):
    layer = unrolled.RNN(Derived(U))
    x = rng.normal(size=(B, T, D)).astype("float32")
    layer.build(x.shape)
    weights = [v.value for v in layer.trainable_variables]
    rest = [v.value for v in layer.non_trainable_variables]
    loss = lambda w: (layer.stateless_call(w, rest, x)[0] ** 2).sum()  # noqa: E731
    eagerly, compiled = jax.grad(loss)(weights), jax.jit(jax.grad(loss))(weights)
    for one, other in zip(eagerly, compiled, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_programs_are_shared_by_threads_and_bounded(monkeypatch):
    monkeypatch.setattr(eager, "_MOST", 3)

    def call(n):
        add = lambda x: x + n % 5  # noqa: E731
        return eager.run(add, jnp.zeros(2, "int32"))

    with ThreadPoolExecutor(4) as pool:
        for n, found in enumerate(pool.map(call, range(40))):
            np.testing.assert_array_equal(found, n % 5)
    assert len(eager._PROGRAMS) <= 3
