"""A GRU with attentional update gate."""

from typing import Any, ClassVar

import jax
import keras
from jax import numpy as jnp

from .gated import GateArguments, activate
from .paired import PairedCell


@keras.saving.register_keras_serializable("unrolled")
class AUGRUCell(GateArguments, PairedCell):
    """A GRU with attentional update gate: a score says how much a step may change.

    With ``a = x @ W + b`` and ``r = h @ R`` in the order u (update), r (reset), h
    (candidate), and the score s of the step::

        u = s * sigmoid(a_u + r_u)
        candidate = act(a_h + sigmoid(a_r + r_r) * r_h)
        h' = (1 - u) * h + u * candidate

    Inputs are a pair, the features ``(B, T, D)`` and the score ``(B, T, 1)``.

    Args:
        units: U, the width of h, which is also the output.
        activation: of the candidate. Default tanh.
        recurrent_activation: of the gates u and r. Default sigmoid.

    The other arguments are those of `LSTMCell`; W is ``(D, 3*U)``, R ``(U, 3*U)``, b
    ``(3*U,)``.

    Raises:
        ValueError: if `units` is not a positive integer.

    Example:
        >>> import keras, unrolled
        >>> layer = unrolled.RNN(unrolled.AUGRUCell(4))
        >>> score = keras.ops.full((2, 5, 1), 0.5)
        >>> layer((keras.ops.ones((2, 5, 3)), score)).shape
        (2, 4)

    Source: Zhou et al., 2018, arXiv:1809.03672 (DIEN). The authors' program differs
    from the paper: its gate is what stays, of which the score takes ``s * (1 - u)``
    away, and it resets h before the product.
    """

    gates: ClassVar[str] = "urh"
    pair: ClassVar[tuple[str, str]] = ("features", "score")

    def combine(self, x: Any, h: jax.Array, states: list) -> tuple[jax.Array, list]:
        """Apply the formula above."""
        z, score = x
        x_u, x_r, x_h = jnp.split(z, 3, axis=-1)
        h_u, h_r, h_h = jnp.split(h, 3, axis=-1)
        u, r = (activate(self.recurrent_activation, a) for a in (x_u + h_u, x_r + h_r))
        u = jnp.broadcast_to(score, u.shape) * u
        h = (1 - u) * states[0] + u * activate(self.activation, x_h + r * h_h)
        return h, [h]
