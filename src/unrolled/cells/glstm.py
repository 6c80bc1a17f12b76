"""An LSTM in groups of units that do not see each other: GLSTM."""

from typing import Any, ClassVar

import jax
import keras
from jax import numpy as jnp

from ..arguments import KW_ONLY
from ..checks import require
from .gated import GatedCell, activate, of_all_groups


@keras.saving.register_keras_serializable("unrolled")
class GLSTMCell(GatedCell):
    """Two states, h and c; each group of units reads its share of x and of h.

    With K groups, each ``z_k = x_k @ W_k + h_k @ R_k``, joined again and ``b`` added,
    in the order i, c, f, o::

        c' = sigmoid(z_f + forget_bias) * c + sigmoid(z_i) * tanh(z_c)
        h' = (sigmoid(z_o) * act(c')) @ P, or without P

    Args:
        units: U, the width of c, and of h without a projection.
        activation: of c on its way out. Default tanh; the candidate's is always tanh.
        groups: K, which must divide D, U and P. Default 1: an LSTM.
        projection_size: P, the width of h, made of all groups by one matrix ``(U, P)``.
            Default None: no projection.
        forget_bias: added to the forget gate at each step, beside its bias. Default 1.

    The other arguments are those of `LSTMCell`. W is ``(D/K, 4*U)``, R ``(U/K, 4*U)``
    (or ``P/K`` rows), b ``(4*U,)``: a unit's column has the rows of its group.

    Raises:
        ValueError: if `groups` does not divide D, U or P.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.GLSTMCell(4, groups=2)
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 6))).shape
        (2, 4)

    Source: Kuchaiev and Ginsburg, 2017, arXiv:1703.10722; ``tf.contrib.rnn.GLSTMCell``.
    """

    gates: ClassVar[str] = "icfo"
    additive: ClassVar[bool] = True
    state_names: ClassVar[Any] = ("h", "c")

    _: KW_ONLY
    groups: int = 1
    projection_size: int | None = None
    forget_bias: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        size = self.projection_size
        require(
            size is None or (type(size) is int and size > 0),
            "projection_size",
            "must be a positive integer, the width of h, or None",
            repr(size),
            "pass for example projection_size=units // 2",
        )
        width = size or self.units
        self.state_size = [width, self.units]
        self.output_size = width
        self._share(self.units, "units")
        self._share(width, "projection_size")

    def _share(self, width: int, name: str) -> int:
        """Of so many numbers those of one group."""
        groups = self.groups
        require(
            type(groups) is int and groups > 0 and width % groups == 0,
            "groups",
            f"must be a positive integer that divides {name} = {width}",
            repr(groups),
            "pass groups=2 for two equal shares",
        )
        return width // groups

    def kernel_shape(self, features: int) -> tuple[int, ...]:
        """``(D/K, 4*U)``."""
        return (self._share(features, "features"), self.width)

    @property
    def recurrent_shape(self) -> tuple[int, ...]:
        """``(U/K, 4*U)``, or with P/K rows."""
        return self.kernel_shape(self.state_size[0])

    def make_weights(self, features: int) -> None:
        """Create the kernels, the bias, and the matrix of the projection."""
        super().make_weights(features)
        if self.projection_size:
            shape = (self.units, self.projection_size)
            self.projection_kernel = self.weight("projection_kernel", shape)

    def matmul(self, x: jax.Array, weight: Any) -> jax.Array:
        """Each group's numbers by the columns of its units."""
        columns = jnp.reshape(weight, (len(weight), 4, self.groups, -1))
        # A product for each group: one of all would have its axes moved about.
        multiply = super().matmul
        z = [
            multiply(part, columns[:, :, k].reshape(len(weight), -1))
            for k, part in enumerate(jnp.split(x, self.groups, axis=-1))
        ]
        return of_all_groups(z, 4)

    def combine(self, x: Any, h: jax.Array, states: list) -> tuple[jax.Array, list]:
        """Apply the formula above."""
        i, candidate, f, o = jnp.split(x + h, 4, axis=-1)
        f = f + self.forget_bias
        i, f, o = (jax.nn.sigmoid(gate) for gate in (i, f, o))
        c = f * states[1] + i * jnp.tanh(candidate)
        h = o * activate(self.activation, c)
        if self.projection_size:
            h = super().matmul(h, self.projection_kernel.value)
        return h, [h, c]
