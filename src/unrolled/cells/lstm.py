"""Long short-term memory."""

from typing import Any, ClassVar

import jax
import keras
from jax import numpy as jnp

from .gated import (
    GateArguments,
    GatedCell,
    UnitsArguments,
    WeightArguments,
    activate,
)


class LSTMArguments(WeightArguments, GateArguments, UnitsArguments):
    """Arguments of `LSTMCell` and `LSTM`."""

    unit_forget_bias: bool = True


@keras.saving.register_keras_serializable("unrolled")
class LSTMCell(LSTMArguments, GatedCell):
    """Two states: the gated memory c, and h, which is also the output.

    With the pre-activations ``z = x @ W + h @ R + b`` in the order i, f, c, o::

        c' = sigmoid(z_f) * c + sigmoid(z_i) * tanh(z_c)
        h' = sigmoid(z_o) * tanh(c')

    Args:
        units: U, the width of h and of c.
        activation: of the candidate and of c on its way out. Default tanh.
        recurrent_activation: of the gates i, f, o. Default sigmoid.
        use_bias: add a bias. Default True.
        kernel_initializer: of W ``(D, 4*U)``. Default ``"glorot_uniform"``.
        recurrent_initializer: of R ``(U, 4*U)``. Default ``"orthogonal"``.
        bias_initializer: of b ``(4*U,)``. Default ``"zeros"``.
        unit_forget_bias: start the forget gate's bias at 1 (Jozefowicz, 2015).
        kernel_regularizer: and ``recurrent_``, ``bias_``: none by default.
        kernel_constraint: and ``recurrent_``, ``bias_``: none by default.
        dropout: share of the D features dropped, the same at every step.
        recurrent_dropout: share of h dropped on its way into the product.
        seed: of the dropout masks.

    Raises:
        ValueError: if `units` is not a positive integer.

    Source: Hochreiter and Schmidhuber, 1997; forget gate, Gers, 2000; weights as
    in ``keras.layers.LSTMCell``.
    """

    gates: ClassVar[str] = "ifco"
    additive: ClassVar[bool] = True
    state_names: ClassVar[Any] = ("h", "c")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.state_size = [self.units, self.units]

    def initial_bias(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Zeros, or what was asked for; ones for the forget gate."""
        bias = super().initial_bias(shape, dtype)
        if not self.unit_forget_bias:
            return bias
        return jnp.asarray(bias).at[self.units : 2 * self.units].set(1)

    def combine(self, x: Any, h: jax.Array, states: list) -> tuple[jax.Array, list]:
        """Apply the formula above."""
        i, f, candidate, o = jnp.split(x + h, 4, axis=-1)
        i, f, o = (activate(self.recurrent_activation, gate) for gate in (i, f, o))
        c = f * states[1] + i * activate(self.activation, candidate)
        h = o * activate(self.activation, c)
        return h, [h, c]
