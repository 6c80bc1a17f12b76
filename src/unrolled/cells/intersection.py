"""One gate along time, one through depth: IntersectionRNN."""

from typing import Any, ClassVar

import jax
import keras
from jax import numpy as jnp

from ..arguments import KW_ONLY, Activation
from .gated import GatedCell, activate


@keras.saving.register_keras_serializable("unrolled")
class IntersectionRNNCell(GatedCell):
    """One state, h; the output y is none of the states. For deep stacks.

    With the pre-activations ``z = x @ W + h @ R + b`` in the order g (gate of the
    state), h (its candidate), d (gate of the output), y (its candidate)::

        g = sigmoid(z_g + forget_bias)
        d = sigmoid(z_d + forget_bias)
        h' = g * h + (1 - g) * act(z_h)
        y = d * x + (1 - d) * y_act(z_y)

    Where D is not U, as in the lowest cell of a stack, x is first made so wide:
    ``x @ W_in + b_in`` stands for x throughout.

    Args:
        units: U, the width of h and of the output.
        activation: of the state's candidate. Default tanh.
        forget_bias: added to both gates at each step, beside their bias. Default 1.0.
        y_activation: of the output's candidate. Default ``"relu"``.

    The other arguments are those of `LSTMCell`; W and R are ``(U, 4*U)``, b
    ``(4*U,)``, W_in ``(D, U)``, b_in ``(U,)``. `dropout` drops of what W multiplies.

    Raises:
        ValueError: if `units` is not a positive integer.

    Example:
        >>> import keras, unrolled
        >>> cells = [unrolled.IntersectionRNNCell(4) for _ in range(3)]
        >>> unrolled.RNN(cells)(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: Collins et al., 2017, arXiv:1611.09913;
    ``tf.contrib.rnn.IntersectionRNNCell``, which widens x if told ``num_in_proj``.
    """

    gates: ClassVar[str] = "ghdy"

    _: KW_ONLY
    forget_bias: float = 1.0
    y_activation: Activation = "relu"

    def build(self, input_shape: Any) -> None:
        """Create the weights for inputs of ``(B, D)``."""
        known = len(input_shape) == 2 and input_shape[-1] is not None
        super().build((None, self.units) if known else input_shape)
        self.input_kernel: Any = None
        self.input_bias: Any = None
        if input_shape[-1] != self.units:
            shape = (input_shape[-1], self.units)
            self.input_kernel = self.weight("input_kernel", shape)
            if self.use_bias:
                self.input_bias = self.weight("input_bias", (self.units,), "bias")

    @property
    def feature_sizes(self) -> tuple[int, ...]:
        """Dropout comes after what widens the inputs, and leaves the way past."""
        return (self.units,)

    def project_inputs(self, x: jax.Array, constants: dict) -> tuple[Any, Any]:
        """Their share of the gates, and the inputs, U wide."""
        if self.input_kernel is not None:
            x = self.multiply(x, "input_kernel", {}, "")
        if self.input_bias is not None:
            x = x + self.spread(self.input_bias, x)
        return super().project_inputs(x, constants), x.astype(self.state_dtype)

    def combine(self, x: Any, h: jax.Array, states: list) -> tuple[jax.Array, list]:
        """Apply the formula above."""
        z, x = x
        g, new, d, y = jnp.split(z + h, 4, axis=-1)
        g, d = (jax.nn.sigmoid(gate + self.forget_bias) for gate in (g, d))
        h = g * states[0] + (1 - g) * activate(self.activation, new)
        return d * x + (1 - d) * activate(self.y_activation, y), [h]
