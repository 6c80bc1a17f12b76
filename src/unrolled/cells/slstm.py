"""The scalar LSTM of xLSTM."""

from typing import Any, ClassVar

import jax
import keras
from jax import numpy as jnp

from ..arguments import KW_ONLY
from ..checks import require
from .gated import GatedCell, activate, dropped, of_all_groups


@keras.saving.register_keras_serializable("unrolled")
class SLSTMCell(GatedCell):
    """An LSTM with exponential gates, a normaliser n and a stabiliser m.

    With the pre-activations ``z = x @ W + h @ R + b`` in the order i, f, c, o, the
    gates ``i = exp(z_i)`` and ``f = sigmoid(z_f)`` or ``exp(z_f)``::

        m' = max(log f + m, z_i)
        i' = exp(z_i - m')
        f' = exp(log f + m - m')
        c' = f' * c + i' * act(z_c)
        n' = f' * n + i'
        h' = sigmoid(z_o) * c' / n'

    h, which is also the output, does not depend on m, which keeps the exponentials
    small. Where n is 0 a sequence is fresh, and ``m' = z_i``: m is then that of nothing
    seen, minus infinity.

    Args:
        units: U, the width of h, c, n and m.
        activation: of the candidate. Default tanh.
        heads: K. R is block-diagonal: each head, ``U / K`` units, reads its own h
            alone. Default 1.
        exponential_forget: f is the exponential of z_f, not its sigmoid. Default
            False.

    The other arguments are those of `LSTMCell`; W is ``(D, 4*U)``, R ``(K, U/K,
    4*U/K)``, b ``(4*U,)``.

    Raises:
        ValueError: if `units` is not a positive integer, or no multiple of `heads`.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.SLSTMCell(4, heads=2)
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: Beck et al., 2024, arXiv:2405.04517, section 2.2 and appendix A.
    """

    gates: ClassVar[str] = "ifco"
    additive: ClassVar[bool] = True
    state_names: ClassVar[Any] = ("h", "c", "n", "m")

    _: KW_ONLY
    heads: int = 1
    exponential_forget: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.state_size = [self.units] * 4
        require(
            type(self.heads) is int and self.heads > 0 and not self.units % self.heads,
            "heads",
            f"must be a positive integer that divides units = {self.units}",
            repr(self.heads),
            "for example units=64, heads=4",
        )

    @property
    def recurrent_shape(self) -> tuple[int, ...]:
        """A block for each head."""
        size = self.units // self.heads
        return (self.heads, size, 4 * size)

    def project_state(self, h: jax.Array, constants: dict) -> jax.Array:
        """``(..., B, U)`` to ``(..., B, 4*U)``, head by head."""
        h = dropped(h, constants.get("recurrent_mask"))
        parts = jnp.split(h, self.heads, axis=-1)
        kernels = self.recurrent_kernel.value
        return of_all_groups(
            [self.matmul(*pair) for pair in zip(parts, kernels, strict=True)], 4
        )

    def combine(self, x: Any, h: jax.Array, states: list) -> tuple[jax.Array, list]:
        """Apply the formula above."""
        i, f, candidate, o = jnp.split(x + h, 4, axis=-1)
        _, c, n, m = states
        kept = (f if self.exponential_forget else jax.nn.log_sigmoid(f)) + m
        kept = jnp.where(n == 0, -jnp.inf, kept)
        m = jnp.maximum(kept, i)
        i, f = jnp.exp(i - m), jnp.exp(kept - m)
        c = f * c + i * activate(self.activation, candidate)
        n = f * n + i
        h = jax.nn.sigmoid(o) * (c / n)
        return h, [h, c, n, m]
