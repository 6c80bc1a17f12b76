"""Cells whose gates read the inputs alone: SRU, minGRU, minLSTM.

No weights act on the state, so that all products are taken before the time loop.
"""

from typing import Any, ClassVar

import jax
import keras
from jax import numpy as jnp

from ..arguments import Activation
from .gated import GatedCell, activate


@keras.saving.register_keras_serializable("unrolled")
class SRUCell(GatedCell):
    """One state, c, which no weights act on; the output is none of the states.

    With ``z = x @ W`` in the order c (candidate), f (forget), r (reset), x (the way
    past the state)::

        f = sigmoid(z_f + b_f)
        r = sigmoid(z_r + b_r)
        c' = f * c + (1 - f) * z_c
        output = r * act(c') + (1 - r) * z_x

    Args:
        units: U, the width of c and of the output.
        activation: of c on its way out. Default tanh.

    The other arguments are those of `LSTMCell`, those about the recurrent kernel
    without meaning; W is ``(D, 4*U)``, b ``(2*U,)``.

    Raises:
        ValueError: if `units` is not a positive integer, or `recurrent_dropout` is
            not 0.

    Example:
        >>> import keras, unrolled
        >>> unrolled.RNN(unrolled.SRUCell(4))(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: Lei et al., 2017, arXiv:1709.02755, version 1;
    ``tensorflow.contrib.rnn.python.ops.rnn_cell.SRUCell``.
    """

    gates: ClassVar[str] = "cfrx"
    additive: ClassVar[bool] = True
    recurrent_shape: ClassVar[Any] = None
    state_names: ClassVar[Any] = ("c",)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """Of the two gates."""
        return (2 * self.units,)

    def _bias(self, row: int) -> jax.Array | None:
        """The bias where the gates are among the four columns."""
        bias = super()._bias(row)
        return bias if bias is None else jnp.pad(bias, self.units)

    def combine(self, x: Any, h: jax.Array, states: list) -> tuple[jax.Array, list]:
        """Apply the formula above."""
        del h
        candidate, f, r, past = jnp.split(x, 4, axis=-1)
        f, r = jax.nn.sigmoid(f), jax.nn.sigmoid(r)
        c = f * states[0] + (1 - f) * candidate
        return r * activate(self.activation, c) + (1 - r) * past, [c]


@keras.saving.register_keras_serializable("unrolled")
class MinGRUCell(GatedCell):
    """One state, h, which is also the output, and which no weights act on.

    With ``a = x @ W + b`` in the order z (update), h (candidate)::

        z = sigmoid(a_z)
        h' = (1 - z) * h + z * act(a_h)

    Args:
        units: U, the width of h.
        activation: of the candidate. Default ``"linear"``, as in section 3.1 of the
            paper; its appendix has ``a + 0.5 if a >= 0 else sigmoid(a)``.

    The other arguments are those of `LSTMCell`, those about the recurrent kernel
    without meaning; W is ``(D, 2*U)``, b ``(2*U,)``.

    Raises:
        ValueError: if `units` is not a positive integer, or `recurrent_dropout` is
            not 0.

    Example:
        >>> import keras, unrolled
        >>> unrolled.RNN(unrolled.MinGRUCell(4))(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: Feng et al., 2024, arXiv:2410.01201. Its z is the share of what is new,
    not, as in `GRUCell`, of what stays.
    """

    gates: ClassVar[str] = "zh"
    additive: ClassVar[bool] = True
    recurrent_shape: ClassVar[Any] = None

    activation: Activation = "linear"

    def combine(self, x: Any, h: jax.Array, states: list) -> tuple[jax.Array, list]:
        """Apply the formula above."""
        del h
        z, candidate = jnp.split(x, 2, axis=-1)
        z = jax.nn.sigmoid(z)
        h = (1 - z) * states[0] + z * activate(self.activation, candidate)
        return h, [h]


@keras.saving.register_keras_serializable("unrolled")
class MinLSTMCell(GatedCell):
    """One state, h, which is also the output, and which no weights act on.

    With ``a = x @ W + b`` in the order f (forget), i (input), h (candidate)::

        f, i = sigmoid(a_f), sigmoid(a_i)
        h' = f / (f + i) * h + i / (f + i) * act(a_h)

    Args:
        units: U, the width of h.
        activation: of the candidate. Default ``"linear"``, as in section 3.2 of the
            paper; its appendix has ``a + 0.5 if a >= 0 else sigmoid(a)``.

    The other arguments are those of `LSTMCell`, those about the recurrent kernel
    without meaning; W is ``(D, 3*U)``, b ``(3*U,)``.

    Raises:
        ValueError: if `units` is not a positive integer, or `recurrent_dropout` is
            not 0.

    Example:
        >>> import keras, unrolled
        >>> unrolled.RNN(unrolled.MinLSTMCell(4))(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: Feng et al., 2024, arXiv:2410.01201, with length independence.
    """

    gates: ClassVar[str] = "fih"
    additive: ClassVar[bool] = True
    recurrent_shape: ClassVar[Any] = None

    activation: Activation = "linear"

    def combine(self, x: Any, h: jax.Array, states: list) -> tuple[jax.Array, list]:
        """Apply the formula above."""
        del h
        f, i, candidate = jnp.split(x, 3, axis=-1)
        # f / (f + i) from the logarithms of both, which are never 0 / 0.
        share = jax.nn.sigmoid(jax.nn.log_sigmoid(f) - jax.nn.log_sigmoid(i))
        candidate = activate(self.activation, candidate)
        h = share * states[0] + (1 - share) * candidate
        return h, [h]
