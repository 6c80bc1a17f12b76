"""The cell that neural architecture search found."""

from functools import partial
from typing import Any, ClassVar

import jax
import keras
from jax import numpy as jnp

from ..arguments import KW_ONLY, Initializer
from ..checks import require
from .gated import GatedCell, activate


@keras.saving.register_keras_serializable("unrolled")
class NASCell(GatedCell):
    """Two states: c, and h, which is also the output. Eight gates without names.

    With ``x @ W = a_0 .. a_7``, ``h @ R + b = r_0 .. r_7`` and ``z = a + r``::

        p = tanh(sigmoid(z_0) * relu(z_1))
        q = tanh(sigmoid(z_2) + relu(a_3 * r_3))
        s = tanh(tanh(z_4) * sigmoid(z_5))
        t = sigmoid(tanh(z_6) + sigmoid(z_7))
        c' = tanh(p + c) * q
        h' = tanh(c' * tanh(s + t))        then h' @ projection, if there is one

    Args:
        units: U, the width of c, and of h without a projection.
        activation: in place of each tanh. Default tanh.
        use_bias: add b, to the share of h. Default False.
        recurrent_initializer: of R ``(U, 8*U)``. Default ``"glorot_uniform"``.
        projection_size: P, the width of h: ``projection_kernel (U, P)``, R ``(P,
            8*U)``, drawn as W. Default None: U, without a projection.

    The other arguments are those of `LSTMCell`; W is ``(D, 8*U)``, b ``(8*U,)``.

    Raises:
        ValueError: if `units` or `projection_size` is not a positive integer.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.NASCell(4, projection_size=2)
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 3))).shape
        (2, 2)

    Source: Zoph and Le, 2017, arXiv:1611.01578; ``tf.contrib.rnn.NASCell`` and
    ``tfa.rnn.NASCell``.
    """

    gates: ClassVar[str] = "01234567"
    state_names: ClassVar[Any] = ("h", "c")

    use_bias: bool = False
    recurrent_initializer: Initializer = "glorot_uniform"
    _: KW_ONLY
    projection_size: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        size = self.projection_size
        require(
            size is None or (type(size) is int and size > 0),
            "projection_size",
            "must be a positive integer, the width of h, or None",
            repr(size),
            "pass for example projection_size=64",
        )
        self.output_size = size or self.units
        self.state_size = [self.output_size, self.units]

    def build(self, input_shape: Any) -> None:
        """Create the weights for inputs of ``(B, D)``."""
        super().build(input_shape)
        self.projection_kernel: Any = None
        if self.projection_size:
            shape = (self.units, self.projection_size)
            self.projection_kernel = self.weight("projection_kernel", shape)

    def _bias(self, row: int) -> jax.Array | None:
        """The bias belongs to the share of h: the two meet in a product, too."""
        return super()._bias(0) if row else None

    def combine(self, x: Any, h: jax.Array, states: list) -> tuple[jax.Array, list]:
        """Apply the formula above."""
        x, r = jnp.split(x, 8, axis=-1), jnp.split(h, 8, axis=-1)
        z = [a + b for a, b in zip(x, r, strict=True)]
        act, sigmoid = partial(activate, self.activation), jax.nn.sigmoid
        p = act(sigmoid(z[0]) * jax.nn.relu(z[1]))
        q = act(sigmoid(z[2]) + jax.nn.relu(x[3] * r[3]))
        s = act(act(z[4]) * sigmoid(z[5]))
        t = sigmoid(act(z[6]) + sigmoid(z[7]))
        c = act(p + states[1]) * q
        h = act(c * act(s + t))
        if self.projection_size:
            h = self.multiply(h, "projection_kernel", {}, "")
        return h, [h, c]
