"""A GRU whose products are convolutions."""

from typing import Any, ClassVar

import jax
import keras
from jax import numpy as jnp

from .conv import ConvArguments, ConvCell
from .gated import GateArguments, WeightArguments, activate, dropped


class ConvGRUArguments(WeightArguments, GateArguments, ConvArguments):
    """Arguments of `ConvGRUCell` and of the layers."""


@keras.saving.register_keras_serializable("unrolled")
class ConvGRUCell(ConvGRUArguments, ConvCell):
    """A GRU whose products are convolutions; h is an image. Resets before the product.

    With ``a = conv(x, W) + b`` and ``u = conv(h, R)``, in the order z, r, h::

        z, r = sigmoid(a_z + u_z), sigmoid(a_r + u_r)
        candidate = tanh(a_h + conv(r * h, R_h))
        h' = z * h + (1 - z) * candidate

    Args:
        rank: in how many dimensions it convolves, 1, 2 or 3.
        filters: F, the channels of h.
        kernel_size: of both windows: a number, or one for each dimension.
        activation: of the candidate. Default tanh.
        recurrent_activation: of the gates z and r. Default sigmoid.

    The other arguments are those of `ConvLSTMCell`, those about the forget gate and
    the skip connection apart; W is ``(*W, C, 3*F)``, R ``(*W, F, 3*F)``, b ``(3*F,)``.

    Raises:
        ValueError: if an argument does not fit.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.ConvGRUCell(2, 4, 3, padding="same")
        >>> unrolled.RNN(cell)(keras.ops.ones((1, 5, 8, 8, 3))).shape
        (1, 8, 8, 4)

    Source: Ballas et al., 2016, arXiv:1511.06432, whose z is 1 - z here, as in
    `GRUCell`, and which has no bias.
    """

    gates: ClassVar[str] = "zrh"

    def step(self, x: Any, states: list, constants: dict) -> tuple[jax.Array, list]:
        """Apply the formula above."""
        x_z, x_r, x_h = self.split(x, 3)
        kernel = jnp.asarray(self.recurrent_kernel.value)
        gates, candidate = jnp.split(kernel, [2 * self.units], axis=-1)
        h = dropped(states[0], constants.get("recurrent_mask"))
        h_z, h_r = self.split(self.convolve(h, gates), 2)
        z = activate(self.recurrent_activation, x_z + h_z)
        r = activate(self.recurrent_activation, x_r + h_r)
        new = activate(self.activation, x_h + self.convolve(r * h, candidate))
        h = z * states[0] + (1 - z) * new
        return h, [h]
