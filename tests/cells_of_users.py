"""Cells as users write them: Keras style, awkward on purpose."""

import keras
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
