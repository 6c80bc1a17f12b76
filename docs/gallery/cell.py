import unrolled

import keras
import numpy as np


class Leaky(unrolled.Cell):
    """``h' = (1 - a) * h + a * tanh(x W + h R)``: a pace for each unit."""

    state_size, state_names, output_size = [12], ["h"], 12

    def build(self, input_shape):
        self.W = self.add_weight(shape=(input_shape[-1], 12), name="W")
        self.R = self.add_weight(shape=(12, 12), name="R")
        self.pace = self.add_weight(shape=(12,), name="a")

    def step(self, x, states, constants):
        a = keras.ops.sigmoid(self.pace)
        new = keras.ops.tanh(x @ self.W + states[0] @ self.R)
        h = (1 - a) * states[0] + a * new
        return h, [h]


x = np.random.default_rng(0).normal(size=(500, 20, 3)).astype("float32")
y = x[:, -5:, 0].sum(axis=1)  # the last five steps count
layers = [unrolled.RNN(Leaky(), name="leaky"), keras.layers.Dense(1)]
model = keras.Sequential([keras.Input((20, 3)), *layers])
model.compile(keras.optimizers.Adam(0.01), "mse")
model.fit(x, y, epochs=20, verbose=0)
unrolled.explain(model, x[0]).save("cell.html")
