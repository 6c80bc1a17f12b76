"""A cell that does something with h at every step: the code that claim 25 shows."""

import keras


class EveryStep(keras.layers.Layer):
    """Runs a cell and hands every step's h through a function of yours."""

    def __init__(self, cell, use, **kwargs):
        super().__init__(**kwargs)
        self.cell, self.use = cell, use
        self.state_size = cell.state_size
        if hasattr(cell, "get_initial_state"):  # else Keras starts from zeros
            self.get_initial_state = cell.get_initial_state

    def call(self, inputs, states):
        output, states = self.cell(inputs, states)
        return self.use(output), states  # here: h of this step, compiled with the loop
