"""Cells as users write them: Keras style, awkward on purpose, and with a memory."""

import unrolled

import jax
import keras
from jax import numpy as jnp
from keras import ops


class Projected(keras.layers.Layer):
    """A cell whose first state is c, not its output; output narrower than state."""

    def __init__(self, units=4, width=2, **kwargs):
        """Hold c of `units` numbers, emit `width` of them."""
        super().__init__(**kwargs)
        self.units, self.width = units, width
        self.state_size = [units]
        self.output_size = width

    def build(self, input_shape):
        """W (D, U), P (U, width)."""
        self.w = self.add_weight(shape=(input_shape[-1], self.units), name="w")
        self.p = self.add_weight(shape=(self.units, self.width), name="p")

    def call(self, inputs, states):
        """c' = tanh(x W + c); y = c' P."""
        c = ops.tanh(ops.matmul(inputs, self.w) + states[0])
        return ops.matmul(c, self.p), [c]


class CellThenHidden(keras.layers.Layer):
    """States (c, h), output h: the order of TensorFlow 1."""

    def __init__(self, units=4, **kwargs):
        """Both states are `units` wide."""
        super().__init__(**kwargs)
        self.units = units
        self.state_size = [units, units]
        self.output_size = units

    def build(self, input_shape):
        """W (D, U)."""
        self.w = self.add_weight(shape=(input_shape[-1], self.units), name="w")

    def call(self, inputs, states):
        """c' = c / 2 + x W; h' = tanh(c') + h / 4."""
        c = 0.5 * states[0] + ops.matmul(inputs, self.w)
        h = ops.tanh(c) + 0.25 * states[1]
        return h, [c, h]


class Outer(keras.layers.Layer):
    """A matrix for a state: a fast-weight memory."""

    def __init__(self, units=3, **kwargs):
        """The state is (units, units)."""
        super().__init__(**kwargs)
        self.units = units
        self.state_size = [(units, units)]
        self.output_size = units

    def get_initial_state(self, batch_size=None):
        """Zeros (B, U, U)."""
        return [ops.zeros((batch_size, self.units, self.units))]

    def build(self, input_shape):
        """W (D, U)."""
        self.w = self.add_weight(shape=(input_shape[-1], self.units), name="w")

    def call(self, inputs, states):
        """M' = M / 2 + v v^T; y = M' v."""
        v = ops.tanh(ops.matmul(inputs, self.w))
        memory = 0.5 * states[0] + v[:, :, None] * v[:, None, :]
        return ops.sum(memory * v[:, None, :], axis=-1), [memory]


class Noisy(keras.layers.Layer):
    """Holds other layers, each with state of its own."""

    def __init__(self, units=4, kinds=("dropout", "noise", "norm"), **kwargs):
        """Apply `kinds` to x before the step."""
        super().__init__(**kwargs)
        self.units = units
        self.state_size = [units]
        self.output_size = units
        make = {
            "dropout": lambda: keras.layers.Dropout(0.5, seed=1),
            "noise": lambda: keras.layers.GaussianNoise(0.1, seed=2),
            "norm": lambda: keras.layers.BatchNormalization(momentum=0.9),
        }
        self.kinds = list(kinds)
        self.parts = [make[kind]() for kind in kinds]

    def build(self, input_shape):
        """W (D, U), and the parts."""
        self.w = self.add_weight(shape=(input_shape[-1], self.units), name="w")
        for part in self.parts:
            part.build(input_shape)

    def call(self, inputs, states, training=False):
        """h' = tanh(parts(x) W + h)."""
        for part in self.parts:
            inputs = part(inputs, training=training)
        h = ops.tanh(ops.matmul(inputs, self.w) + states[0])
        return h, [h]

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "units": self.units, "kinds": self.kinds}


@keras.saving.register_keras_serializable("users")
class Attending(unrolled.Cell):
    """h' = tanh(x W + h R + what h finds in the memory by dot products)."""

    def __init__(self, units=4, **kwargs):
        """Hold h of `units` numbers."""
        super().__init__(**kwargs)
        self.units = self.output_size = units
        self.state_size = [units]

    def build(self, input_shape, memory_shape):
        """W (D, U), R (U, U), and the projection of the memory (M, U)."""
        width = {"W": input_shape[-1], "R": self.units, "keys": memory_shape[-1]}
        for name, rows in width.items():
            setattr(self, name, self.add_weight(name=name, shape=(rows, self.units)))

    def get_constants(self, batch_size, training, memory, memory_mask):
        """The keys (B, S, U), once a sequence."""
        del batch_size, training
        return memory @ self.keys.value, memory_mask

    def project_inputs(self, x, constants):
        """The share that needs no state."""
        del constants
        return x @ self.W.value

    def step(self, x, states, constants):
        """Look into the memory with h."""
        (h,), (keys, mask) = states, constants
        scores = jnp.einsum("bu,bsu->bs", h, keys)
        scores = scores if mask is None else jnp.where(mask, scores, -1e9)
        found = jnp.einsum("bs,bsu->bu", jax.nn.softmax(scores), keys)
        h = jnp.tanh(x + h @ self.R.value + found)
        return h, [h]


@keras.saving.register_keras_serializable("users")
class Attend(unrolled.CellWrapper):
    """Hands what h finds in the memory to the cell inside, beside the inputs."""

    def build(self, input_shape, memory_shape):
        """Build the projection of the memory, and the cell for wider inputs."""
        units = self.cell.output_size
        self.keys = self.add_weight(name="keys", shape=(memory_shape[-1], units))
        super().build((input_shape[0], input_shape[-1] + units))

    def get_constants(self, batch_size, training, memory, memory_mask):
        """The cell's, and the keys (B, S, U)."""
        inner = super().get_constants(batch_size, training)
        return inner, memory @ self.keys.value, memory_mask

    def step(self, x, states, constants):
        """Find, and step."""
        inner, keys, mask = constants
        scores = jnp.einsum("bu,bsu->bs", jax.tree.leaves(states)[0], keys)
        scores = scores if mask is None else jnp.where(mask, scores, -1e9)
        found = jnp.einsum("bs,bsu->bu", jax.nn.softmax(scores), keys)
        return super().step(jnp.concatenate([x, found], -1), states, inner)


@keras.saving.register_keras_serializable("users")
class Looks(keras.layers.Layer):
    """Keras style: the mean of the memory, where it counts, beside x and h."""

    def __init__(self, units=4, **kwargs):
        """A layer inside, without a `build`."""
        super().__init__(**kwargs)
        self.state_size = self.output_size = units
        self.dense = keras.layers.Dense(units, use_bias=False)

    def call(self, inputs, states, memory=None, memory_mask=None):
        """h' = tanh([x, h, mean] W)."""
        weight = ops.ones_like(memory[..., :1])
        if memory_mask is not None:
            weight = weight * ops.cast(memory_mask[..., None], weight.dtype)
        mean = ops.sum(memory * weight, 1) / ops.sum(weight, 1)
        h = ops.tanh(self.dense(ops.concatenate([inputs, states[0], mean], -1)))
        return h, [h]


class Hands(keras.layers.Layer):
    """Keras style: whatever else it is given, it hands on to the cell inside."""

    def __init__(self, cell, **kwargs):
        """States and output are the cell's."""
        super().__init__(**kwargs)
        self.cell = cell
        self.state_size, self.output_size = cell.state_size, cell.output_size

    def call(self, inputs, states, **kwargs):
        """The cell's."""
        return self.cell(inputs, states, **kwargs)


class Peephole(unrolled.Cell):
    """An LSTM whose gates see c."""

    state_names = ("h", "c")

    def __init__(self, units=4, **kwargs):
        """Hold h and c of `units` numbers."""
        super().__init__(**kwargs)
        self.units = self.output_size = units
        self.state_size = [units, units]

    def build(self, input_shape):
        """W (D, 4 U), R (U, 4 U), b (4 U,), and p_i, p_f, p_o (U,)."""
        u = self.units
        self.W = self.add_weight(name="W", shape=(input_shape[-1], 4 * u))
        self.R = self.add_weight(name="R", shape=(u, 4 * u))
        self.b = self.add_weight(name="b", shape=(4 * u,))
        self.p_i, self.p_f, self.p_o = (
            self.add_weight(name=f"p_{gate}", shape=(u,)) for gate in "ifo"
        )

    def step(self, x, states, constants):
        """As Gers and Schmidhuber wrote it (2000)."""
        del constants
        h, c = states
        z = x @ self.W.value + h @ self.R.value + self.b.value
        i, f, g, o = jnp.split(z, 4, axis=-1)
        i = jax.nn.sigmoid(i + self.p_i.value * c)
        f = jax.nn.sigmoid(f + self.p_f.value * c)
        c = f * c + i * jnp.tanh(g)
        h = jax.nn.sigmoid(o + self.p_o.value * c) * jnp.tanh(c)
        return h, [h, c]


class Normalised(keras.layers.Layer):
    """A cell made of Keras's layers."""

    def __init__(self, units=4, activation="tanh", **kwargs):
        """Hold h of `units` numbers."""
        super().__init__(**kwargs)
        self.state_size = self.output_size = units
        self.dense = keras.layers.Dense(units, dtype=self.dtype_policy)
        self.norm = keras.layers.LayerNormalization(dtype=self.dtype_policy)
        self.activation = keras.activations.get(activation)

    def build(self, input_shape):
        """The layers inside."""
        self.dense.build((None, input_shape[-1] + self.output_size))
        self.norm.build((None, self.output_size))

    def call(self, inputs, states):
        """h' = tanh(norm([x, h] W + b)) + h / 2."""
        z = self.dense(ops.concatenate([inputs, states[0]], axis=-1))
        h = self.activation(self.norm(z)) + 0.5 * states[0]
        return h, [h]
