"""Cells with few gates: MGU, MinimalRNN, CFN."""

from typing import Any, ClassVar

import jax
import keras
from jax import numpy as jnp

from ..arguments import Initializer
from .gated import GateArguments, GatedCell, activate, dropped, plus


@keras.saving.register_keras_serializable("unrolled")
class MGUCell(GateArguments, GatedCell):
    """Minimal gated unit: one state, h, which is also the output; one gate, f.

    With ``a = x @ W + b`` in the order f, h (candidate)::

        f = sigmoid(a_f + h @ R_f)
        h' = (1 - f) * h + f * act(a_h + (f * h) @ R_h)

    Args:
        units: U, the width of h.
        activation: of the candidate. Default tanh.
        recurrent_activation: of the gate. Default sigmoid.

    The other arguments are those of `LSTMCell`; W is ``(D, 2*U)``, R ``(U, 2*U)``, b
    ``(2*U,)``.

    Raises:
        ValueError: if `units` is not a positive integer.

    Example:
        >>> import keras, unrolled
        >>> unrolled.RNN(unrolled.MGUCell(4))(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: Zhou et al., 2016, arXiv:1603.09420.
    """

    gates: ClassVar[str] = "fh"

    def step(self, x: Any, states: list, constants: dict) -> tuple[jax.Array, list]:
        """Apply the formula above: the candidate's product comes after the gate."""
        x_f, x_h = jnp.split(x, 2, axis=-1)
        gate, candidate = jnp.split(self.recurrent_kernel.value, 2, axis=1)
        h = dropped(states[0], constants.get("recurrent_mask"))
        f = activate(self.recurrent_activation, x_f + self.matmul(h, gate))
        new = activate(self.activation, x_h + self.matmul(f * h, candidate))
        h = (1 - f) * states[0] + f * new
        return h, [h]


@keras.saving.register_keras_serializable("unrolled")
class MinimalRNNCell(GatedCell):
    """One state, h, which is also the output; one gate, u, says how much stays.

    ::

        v = act(x @ W)
        u = sigmoid(v @ V + h @ R + b)
        h' = u * h + (1 - u) * v

    Args:
        units: U, the width of h.
        activation: of what the inputs become. Default tanh.
        kernel_initializer: of W ``(D, U)`` and V ``(U, U)``. Default
            ``"glorot_uniform"``.
        recurrent_initializer: of R ``(U, U)``. Default ``"glorot_uniform"``.
        bias_initializer: of b ``(U,)``. Default ``"ones"``.

    The other arguments are those of `LSTMCell`.

    Raises:
        ValueError: if `units` is not a positive integer.

    Example:
        >>> import keras, unrolled
        >>> unrolled.RNN(unrolled.MinimalRNNCell(4))(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: Chen et al., 2018, arXiv:1806.05394;
    ``tensorflow.contrib.rnn.python.ops.rnn_cell.MinimalRNNCell``, which draws W, V and
    R as one matrix.
    """

    gates: ClassVar[str] = "u"

    recurrent_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "ones"

    def build(self, input_shape: Any) -> None:
        """Create the weights for inputs of ``(B, D)``."""
        super().build(input_shape)
        self.gate_kernel = self.weight("gate_kernel", (self.units, self.units))

    def project_inputs(self, x: jax.Array, constants: dict) -> tuple[Any, Any]:
        """What the inputs become, and its share of the gate."""
        v = self.multiply(x, "kernel", constants, "input_mask")
        v = activate(self.activation, v)
        return plus(self.multiply(v, "gate_kernel", {}, ""), self._bias(0)), v

    def combine(self, x: Any, h: jax.Array, states: list) -> tuple[jax.Array, list]:
        """Apply the formula above."""
        u, v = x
        u = jax.nn.sigmoid(u + h)
        h = u * states[0] + (1 - u) * v
        return h, [h]


@keras.saving.register_keras_serializable("unrolled")
class CFNCell(GatedCell):
    """Chaos-free network: one state, h, which is also the output.

    With ``a = x @ W`` in the order f (forget), i (input), c (candidate), and R and b
    for the two gates::

        f = sigmoid(a_f + h @ R_f + b_f)
        i = sigmoid(a_i + h @ R_i + b_i)
        h' = f * act(h) + (1 - i) * act(a_c)

    Args:
        units: U, the width of h.
        activation: of the state and of the candidate. Default tanh.
        recurrent_initializer: of R ``(U, 2*U)``. Default ``"glorot_uniform"``.
        bias_initializer: of b ``(2*U,)``. Default ``"ones"``.

    The other arguments are those of `LSTMCell`; W is ``(D, 3*U)``.

    Raises:
        ValueError: if `units` is not a positive integer.

    Example:
        >>> import keras, unrolled
        >>> unrolled.RNN(unrolled.CFNCell(4))(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: ``tensorflow.contrib.rnn.python.ops.rnn_cell.CFNCell``, which lets through
    ``1 - i`` of what is new where Laurent and von Brecht, 2017, arXiv:1612.06212, have
    i: a gate that starts open then keeps it out.
    """

    gates: ClassVar[str] = "fic"

    recurrent_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "ones"

    @property
    def recurrent_shape(self) -> tuple[int, ...]:
        """Of the two gates."""
        return (self.units, 2 * self.units)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """Of the two gates."""
        return (2 * self.units,)

    def _bias(self, row: int) -> jax.Array | None:
        """The bias where the gates are among the three columns."""
        bias = super()._bias(row)
        return bias if bias is None else jnp.pad(bias, (0, self.units))

    def combine(self, x: Any, h: jax.Array, states: list) -> tuple[jax.Array, list]:
        """Apply the formula above."""
        x_f, x_i, candidate = jnp.split(x, 3, axis=-1)
        h_f, h_i = jnp.split(h, 2, axis=-1)
        f, i = jax.nn.sigmoid(x_f + h_f), jax.nn.sigmoid(x_i + h_i)
        old, new = (activate(self.activation, a) for a in (states[0], candidate))
        h = f * old + (1 - i) * new
        return h, [h]
