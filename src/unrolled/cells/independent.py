"""Cells whose units read their own state alone: IndRNN, IndyLSTM, IndyGRU."""

from typing import Any, ClassVar

import jax
import keras
from jax import numpy as jnp

from ..arguments import KW_ONLY, Initializer
from .gated import GatedCell, activate, dropped


class IndependentCell(GatedCell):
    """The recurrent weights are a vector ``(G*U,)``: a number for each gate of a unit.

    Args:
        recurrent_initializer: None: uniform between -1 and 1, as in TensorFlow.
    """

    recurrent_initializer: Initializer = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.recurrent_initializer is None:
            self.recurrent_initializer = keras.initializers.RandomUniform(-1.0, 1.0)

    @property
    def recurrent_shape(self) -> tuple[int, ...]:
        """One number a column."""
        return (self.width,)

    def project_state(self, h: jax.Array, constants: dict) -> jax.Array:
        """``(..., B, U)`` to ``(..., B, G*U)``, unit by unit."""
        h = dropped(h, constants.get("recurrent_mask"))
        wide = jnp.tile(h, len(self.gates))
        return wide * self.spread(self.recurrent_kernel, wide)


@keras.saving.register_keras_serializable("unrolled")
class IndRNNCell(IndependentCell):
    """``h' = act(x @ W + r * h + b)``: each unit reads its own state alone.

    Args:
        units: U, the width of h, which is also the output.
        activation: of the new state. Default tanh, as in TensorFlow; the paper has
            ``"relu"``.
        recurrent_initializer: of r ``(U,)``. Default uniform between -1 and 1.

    The other arguments are those of `LSTMCell`; W is ``(D, U)``, b ``(U,)``.

    Raises:
        ValueError: if `units` is not a positive integer.

    Example:
        >>> import keras, unrolled
        >>> unrolled.RNN(unrolled.IndRNNCell(4))(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: Li et al., 2018, arXiv:1803.04831; ``tf.contrib.rnn.IndRNNCell``.
    """

    gates: ClassVar[str] = "h"
    additive: ClassVar[bool] = True

    def combine(self, x: Any, h: jax.Array, states: list) -> tuple[jax.Array, list]:
        """Apply the formula above."""
        del states
        h = activate(self.activation, x + h)
        return h, [h]


@keras.saving.register_keras_serializable("unrolled")
class IndyLSTMCell(IndependentCell):
    """An LSTM each unit of which reads its own h alone.

    With the pre-activations ``z = x @ W + r * h + b`` in the order i, c, f, o, h
    once for each::

        c' = sigmoid(z_f + forget_bias) * c + sigmoid(z_i) * act(z_c)
        h' = sigmoid(z_o) * act(c')

    Args:
        units: U, the width of h and of c.
        activation: of the candidate and of c on its way out. Default tanh.
        recurrent_initializer: of r ``(4*U,)``. Default uniform between -1 and 1.
        forget_bias: added to the forget gate at each step, beside its bias. Default
            1.0.

    The other arguments are those of `LSTMCell`; W is ``(D, 4*U)``, b ``(4*U,)``.

    Raises:
        ValueError: if `units` is not a positive integer.

    Example:
        >>> import keras, unrolled
        >>> unrolled.RNN(unrolled.IndyLSTMCell(4))(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: Gonnet and Deselaers, 2019, arXiv:1903.08023;
    ``tf.contrib.rnn.IndyLSTMCell``.
    """

    gates: ClassVar[str] = "icfo"
    additive: ClassVar[bool] = True
    state_names: ClassVar[Any] = ("h", "c")

    _: KW_ONLY
    forget_bias: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.state_size = [self.units, self.units]

    def combine(self, x: Any, h: jax.Array, states: list) -> tuple[jax.Array, list]:
        """Apply the formula above."""
        i, candidate, f, o = jnp.split(x + h, 4, axis=-1)
        i, f, o = map(jax.nn.sigmoid, (i, f + self.forget_bias, o))
        c = f * states[1] + i * activate(self.activation, candidate)
        h = o * activate(self.activation, c)
        return h, [h, c]


@keras.saving.register_keras_serializable("unrolled")
class IndyGRUCell(IndependentCell):
    """A GRU each unit of which reads its own state alone.

    With ``a = x @ W + b`` in the order r (reset), z (update), h (candidate)::

        r = sigmoid(a_r + r_r * h)
        z = sigmoid(a_z + r_z * h)
        h' = z * h + (1 - z) * act(a_h + r_h * (r * h))

    Args:
        units: U, the width of h, which is also the output.
        activation: of the candidate. Default tanh.
        recurrent_initializer: of r_r, r_z, r_h ``(3*U,)``. Default uniform between -1
            and 1.
        bias_initializer: of b ``(3*U,)``. Default ones for the gates, zeros for the
            candidate.

    The other arguments are those of `LSTMCell`; W is ``(D, 3*U)``.

    Raises:
        ValueError: if `units` is not a positive integer.

    Example:
        >>> import keras, unrolled
        >>> unrolled.RNN(unrolled.IndyGRUCell(4))(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: ``tf.contrib.rnn.IndyGRUCell``, after arXiv:1803.04831 and arXiv:1406.1078.
    """

    gates: ClassVar[str] = "rzh"

    bias_initializer: Initializer = None

    def initial_bias(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Gates that are open at first, unless something else was asked for."""
        if self.bias_initializer is not None:
            return super().initial_bias(shape, dtype)
        return jnp.ones(shape, dtype).at[2 * self.units :].set(0)

    def combine(self, x: Any, h: jax.Array, states: list) -> tuple[jax.Array, list]:
        """Apply the formula above."""
        x_r, x_z, x_h = jnp.split(x, 3, axis=-1)
        h_r, h_z, h_h = jnp.split(h, 3, axis=-1)
        r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
        candidate = activate(self.activation, x_h + r * h_h)
        h = z * states[0] + (1 - z) * candidate
        return h, [h]
