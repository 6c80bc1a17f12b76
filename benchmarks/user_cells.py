"""Cells as users write them: with `unrolled.Cell`, in Keras's style, around others."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "jax"

import unrolled

import jax
import keras
from jax import numpy as jnp
from keras import ops


class Peephole(unrolled.Cell):
    """An LSTM whose gates see c (Gers and Schmidhuber, 2000)."""

    state_names = ("h", "c")

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = [units, units]
        self.output_size = units

    def build(self, input_shape):
        """Kernels of the gates i f g o; p_i, p_f, p_o (U,)."""
        u = self.units
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], 4 * u))
        self.recurrent = self.add_weight(name="r", shape=(self.output_size, 4 * u))
        self.bias = self.add_weight(name="bias", shape=(4 * u,))
        self.p_i, self.p_f, self.p_o = (
            self.add_weight(name=f"p_{gate}", shape=(u,)) for gate in "ifo"
        )

    def step(self, x, states, constants):
        """The formula; h = o * tanh(c) leaves."""
        del constants
        h, c = states
        z = x @ self.kernel.value + h @ self.recurrent.value + self.bias.value
        i, f, g, o = jnp.split(z, 4, axis=-1)
        i = jax.nn.sigmoid(i + self.p_i.value * c)
        f = jax.nn.sigmoid(f + self.p_f.value * c)
        c = f * c + i * jnp.tanh(g)
        h = jax.nn.sigmoid(o + self.p_o.value * c) * jnp.tanh(c)
        return h, [h, c]


class Projected(Peephole):
    """The same; what is carried and leaves is half as wide (Sak and others, 2014)."""

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        self.output_size = units // 2
        self.state_size = [units // 2, units]

    def build(self, input_shape):
        """P (U, U / 2) as well."""
        super().build(input_shape)
        shape = (self.units, self.output_size)
        self.projection = self.add_weight(name="projection", shape=shape)

    def step(self, x, states, constants):
        """What leaves is h = (o * tanh(c)) P."""
        h, (_, c) = super().step(x, states, constants)
        h = h @ self.projection.value
        return h, [h, c]


class Coupled(keras.layers.Layer):
    """An LSTM that forgets as much as it takes in: i = 1 - f."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.output_size = units
        self.state_size = [units, units]

    def build(self, input_shape):
        """Kernels of the gates f g o."""
        u = self.units
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], 3 * u))
        self.recurrent = self.add_weight(name="recurrent", shape=(u, 3 * u))
        self.bias = self.add_weight(name="bias", shape=(3 * u,))

    def call(self, inputs, states):
        """With c = f * c + (1 - f) * g."""
        h, c = states
        z = ops.matmul(inputs, self.kernel) + ops.matmul(h, self.recurrent) + self.bias
        f, g, o = ops.split(z, 3, axis=-1)
        f = ops.sigmoid(f)
        c = f * c + (1 - f) * ops.tanh(g)
        h = ops.sigmoid(o) * ops.tanh(c)
        return h, [h, c]


class Normalised(keras.layers.Layer):
    """An LSTM made of Keras's layers, normalised (Ba and others, 2016)."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.output_size = units
        self.state_size = [units, units]
        self.dense = keras.layers.Dense(4 * units)
        self.norm = keras.layers.LayerNormalization()
        self.norm_c = keras.layers.LayerNormalization()

    def build(self, input_shape):
        """The layers inside."""
        width, units = input_shape[-1], self.output_size
        self.dense.build((None, width + units))
        self.norm.build((None, 4 * units))
        self.norm_c.build((None, units))

    def call(self, inputs, states):
        """Norms of all gates at once, and of c where it leaves."""
        h, c = states
        z = self.norm(self.dense(ops.concatenate([inputs, h], axis=-1)))
        i, f, g, o = ops.split(z, 4, axis=-1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        h = ops.sigmoid(o) * ops.tanh(self.norm_c(c))
        return h, [h, c]


class MinimalGated(keras.layers.Layer):
    """One gate, that forgets and resets (Zhou and others, 2016)."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.state_size = self.output_size = units
        self.forget = keras.layers.Dense(units, activation="sigmoid")
        self.candidate = keras.layers.Dense(units, activation="tanh")

    def build(self, input_shape):
        """The layers inside."""
        for layer in (self.forget, self.candidate):
            layer.build((None, input_shape[-1] + self.output_size))

    def call(self, inputs, states):
        """So h = (1 - f) h + f tanh([x, f h] W)."""
        (h,) = states
        f = self.forget(ops.concatenate([inputs, h], axis=-1))
        new = self.candidate(ops.concatenate([inputs, f * h], axis=-1))
        h = (1 - f) * h + f * new
        return h, [h]


class Independent(unrolled.Cell):
    """Each unit sees itself alone (IndRNN: Li and others, 2018)."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.output_size = units
        self.state_size = [units]

    def build(self, input_shape):
        """W (D, U), u (U,), b (U,)."""
        units = self.output_size
        self.w = self.add_weight(name="w", shape=(input_shape[-1], units))
        self.u = self.add_weight(name="u", shape=(units,))
        self.b = self.add_weight(name="b", shape=(units,))

    def step(self, x, states, constants):
        """So h = relu(x W + u h + b)."""
        del constants
        h = jax.nn.relu(x @ self.w.value + self.u.value * states[0] + self.b.value)
        return h, [h]


class ResetBefore(keras.layers.Layer):
    """A GRU as first published: r acts on h before the product (Cho, 2014)."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.state_size = self.output_size = units

    def build(self, input_shape):
        """Kernels and recurrent kernels of z and r, and of the candidate."""
        d, u = input_shape[-1], self.output_size
        self.w = self.add_weight(name="w", shape=(d, 3 * u))
        self.r = self.add_weight(name="r", shape=(u, 2 * u))
        self.r_h = self.add_weight(name="r_h", shape=(u, u))
        self.b = self.add_weight(name="b", shape=(3 * u,))

    def call(self, inputs, states):
        """So h = z h + (1 - z) tanh(x W + (r h) R + b)."""
        h, u = states[0], self.output_size
        x = ops.matmul(inputs, self.w) + self.b
        z, r = ops.split(ops.sigmoid(x[:, : 2 * u] + ops.matmul(h, self.r)), 2, -1)
        new = ops.tanh(x[:, 2 * u :] + ops.matmul(r * h, self.r_h))
        h = z * h + (1 - z) * new
        return h, [h]


class FeedBack(unrolled.CellWrapper):
    """What a dense layer makes of h is concatenated to the next input."""

    def __init__(self, cell, operate, **kwargs):
        super().__init__(cell, **kwargs)
        self.operate = operate
        self.own_states = {"fed": operate.units}

    def build(self, input_shape):
        """For what the cell reads."""
        super().build((input_shape[0], input_shape[-1] + self.operate.units))
        self.operate.build((None, self.cell.output_size))

    def step(self, x, states, constants):
        """The cell's, with more to read."""
        states, own = self.split(states)
        x = jnp.concatenate([x, own["fed"]], axis=-1)
        h, states = super().step(x, states, constants)
        return h, self.join(states, {"fed": self.operate(h)})


class Attending(unrolled.CellWrapper):
    """The cell reads, beside x, what h finds in a memory (Bahdanau, 2015)."""

    def build(self, input_shape, memory_shape):
        """Projections of the entries and of h, and v."""
        width, units = memory_shape[-1], self.cell.output_size
        self.of_keys = self.add_weight(name="keys", shape=(width, units))
        self.of_query = self.add_weight(name="query", shape=(units, units))
        self.v = self.add_weight(name="v", shape=(units,))
        super().build((input_shape[0], input_shape[-1] + width))

    def get_constants(self, batch_size, training, memory, memory_mask):
        """The keys (B, S, U), once a sequence."""
        keys = memory @ self.of_keys.value
        inner = super().get_constants(batch_size, training)
        return {"cell": inner, "keys": keys, "memory": memory, "mask": memory_mask}

    def step(self, x, states, constants):
        """Look, and step."""
        query = states[0] @ self.of_query.value
        scores = jnp.tanh(constants["keys"] + query[:, None, :]) @ self.v.value
        scores = jnp.where(constants["mask"], scores, -1e9)
        weights = jax.nn.softmax(scores)
        found = jnp.einsum("bs,bsm->bm", weights, constants["memory"])
        x = jnp.concatenate([x, found], axis=-1)
        return super().step(x, states, constants["cell"])


class FormulaOfLSTM(unrolled.LSTMCell):
    """Of another class, and so without the kernel."""


class FormulaOfGRU(unrolled.GRUCell):
    """Of another class, and so without the kernel."""


class FormulaOfSimpleRNN(unrolled.SimpleRNNCell):
    """Of another class, and so without the kernel."""


LSTM = unrolled.LSTMCell
CELLS = {
    "peephole": Peephole,
    "peephole, projection": Projected,
    "coupled": Coupled,
    "layer norm": Normalised,
    "minimal gated": MinimalGated,
    "IndRNN": Independent,
    "GRU, reset before": ResetBefore,
    "zoneout": lambda units: unrolled.ZoneoutWrapper(LSTM(units), 0.1, seed=7),
    "two stacked": lambda u: unrolled.StackedRNNCells([LSTM(u), LSTM(u)]),
    "fed back": lambda u: FeedBack(LSTM(u), keras.layers.Dense(u, activation="tanh")),
    "attention": lambda units: Attending(LSTM(units)),
    "LSTM": LSTM,
    "GRU": unrolled.GRUCell,
    "SimpleRNN": unrolled.SimpleRNNCell,
    "LSTM by its formula": FormulaOfLSTM,
    "GRU by its formula": FormulaOfGRU,
    "SimpleRNN by its formula": FormulaOfSimpleRNN,
}
