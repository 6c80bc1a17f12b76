"""One gate between keeping and renewing: UGRNN."""

from typing import Any, ClassVar

import jax
import keras
from jax import numpy as jnp

from ..arguments import KW_ONLY
from .gated import GatedCell, activate


@keras.saving.register_keras_serializable("unrolled")
class UGRNNCell(GatedCell):
    """One state, h, which is also the output; one gate, g, says how much stays.

    With the pre-activations ``z = x @ W + h @ R + b`` in the order g, c::

        g = sigmoid(z_g + forget_bias)
        h' = g * h + (1 - g) * act(z_c)

    Args:
        units: U, the width of h.
        activation: of the candidate. Default tanh.
        forget_bias: added to the gate at each step, beside its bias. Default 1.0.

    The other arguments are those of `LSTMCell`; W is ``(D, 2*U)``, R ``(U, 2*U)``, b
    ``(2*U,)``.

    Raises:
        ValueError: if `units` is not a positive integer.

    Example:
        >>> import keras, unrolled
        >>> unrolled.RNN(unrolled.UGRNNCell(4))(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: Collins et al., 2017, arXiv:1611.09913; ``tf.contrib.rnn.UGRNNCell``.
    """

    gates: ClassVar[str] = "gc"
    additive: ClassVar[bool] = True

    _: KW_ONLY
    forget_bias: float = 1.0

    def combine(self, x: Any, h: jax.Array, states: list) -> tuple[jax.Array, list]:
        """Apply the formula above."""
        g, candidate = jnp.split(x + h, 2, axis=-1)
        g = jax.nn.sigmoid(g + self.forget_bias)
        h = g * states[0] + (1 - g) * activate(self.activation, candidate)
        return h, [h]
