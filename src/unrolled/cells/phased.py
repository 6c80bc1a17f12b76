"""An LSTM that reads times: each unit is open for a share of a period of its own."""

import math
from typing import Any, ClassVar

import jax
import keras
from jax import numpy as jnp

from ..arguments import KW_ONLY
from ..checks import require
from .base import Tree
from .gated import activate
from .paired import PairedCell


@keras.saving.register_keras_serializable("unrolled")
class PhasedLSTMCell(PairedCell):
    """An LSTM whose units open for a share of a period of their own: it reads times.

    With the pre-activations ``z = x @ W + h @ R + b`` in the order i, f, c, o, and k
    the openness of each unit at the time t::

        c~ = sigmoid(z_f) * c + sigmoid(z_i) * act(z_c)
        h~ = sigmoid(z_o) * act(c~)
        c' = k * c~ + (1 - k) * c
        h' = k * h~ + (1 - k) * h

        cycle = ((t - phase) mod period) / period
        k = 2 * cycle / ratio_on         while cycle < ratio_on / 2
            2 - 2 * cycle / ratio_on     while cycle < ratio_on
            leak * cycle                 after that

    Inputs are a pair, the time ``(B, T, 1)`` and the features ``(B, T, D)``. Under
    ``mixed_bfloat16`` Keras rounds times that are floating point to 8 bits: pass whole
    ones there.

    Args:
        units: U, the width of h, which is also the output, and of c.
        activation: of the candidate and of c on its way out. Default tanh.
        use_peepholes: let i and f read c, and o read c~, by a matrix each, ``(U,
            3*U)`` together. Default False.
        leak: what a closed unit lets through, in training and after. Default 0.001.
        ratio_on: share of its period for which a unit is open, at first. Default 0.1.
        trainable_ratio_on: learn that share. Default True.
        period_init_min: and ``period_init_max``: between which the periods are drawn,
            uniform in their logarithm. Default 1.0 and 1000.0.

    The other arguments are those of `LSTMCell`; W is ``(D, 4*U)``, R ``(U, 4*U)``, b
    ``(4*U,)``, and period, phase and ratio_on are ``(U,)``.

    Raises:
        ValueError: if `units` is not a positive integer, `leak` or `ratio_on` is no
            share, or the periods are not positive.

    Example:
        >>> import keras, unrolled
        >>> time = keras.ops.cumsum(keras.ops.ones((2, 5, 1)), axis=1)
        >>> layer = unrolled.RNN(unrolled.PhasedLSTMCell(4))
        >>> layer((time, keras.ops.ones((2, 5, 3)))).shape
        (2, 4)

    Source: Neil et al., 2016, arXiv:1610.09513; ``tf.contrib.rnn.PhasedLSTMCell``. As
    there, peepholes are matrices, where the paper has vectors; the leak stays after
    training; and the gradient of the modulo reaches time and phase, but of the period
    only the division's.
    """

    gates: ClassVar[str] = "ifco"
    pair: ClassVar[tuple[str, str]] = ("time", "features")
    state_names: ClassVar[Any] = ("h", "c")

    _: KW_ONLY
    use_peepholes: bool = False
    leak: float = 0.001
    ratio_on: float = 0.1
    trainable_ratio_on: bool = True
    period_init_min: float = 1.0
    period_init_max: float = 1000.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.state_size = [self.units, self.units]
        for name, least in (("leak", 0.0), ("ratio_on", 1e-6)):
            share = getattr(self, name)
            require(
                least <= share <= 1,
                name,
                f"must be from {least:g} to 1, a share",
                repr(share),
                "leave it out for the usual one",
            )
        least, most = self.period_init_min, self.period_init_max
        require(
            0 < least <= most,
            "period_init_min",
            "must be above 0 and at most period_init_max",
            f"{least} and {most}",
            "pass about the shortest and the longest period of what is observed",
        )

    def build(self, input_shape: Tree) -> None:
        """Create the weights for a pair of ``(B, 1)`` and ``(B, D)``."""
        super().build(input_shape)
        units, least, most = self.units, self.period_init_min, self.period_init_max
        if self.use_peepholes:
            self.peephole_kernel = self.weight("peephole_kernel", (units, 3 * units))

        def vector(name: str, low: float, high: float, make: Any, **kwargs: Any) -> Any:
            draw = keras.initializers.RandomUniform(low, high)
            # Not in 16 bits: a period that is off by little is late by much, later on.
            return self.add_weight(
                name=name,
                shape=(units,),
                dtype=self.state_dtype,
                initializer=lambda shape, dtype: make(draw(shape, dtype=dtype)),
                autocast=False,
                **kwargs,
            )

        self.period = vector("period", math.log(least), math.log(most), jnp.exp)
        self.phase = vector("phase", 0, 1, lambda share: share * self.period.value)
        share, learnt = self.ratio_on, self.trainable_ratio_on
        self.share = vector("ratio_on", share, share, lambda a: a, trainable=learnt)

    def openness(self, time: jax.Array, like: jax.Array) -> jax.Array:
        """The k of the formula above, shaped as `like`, at times ``(B, 1)``."""
        weights = (self.period, self.phase, self.share)
        period, phase, share = (self.spread(weight, like) for weight in weights)
        shifted = jnp.broadcast_to(time, like.shape) - phase
        cycle = _modulo(shifted, jax.lax.stop_gradient(period)) / period
        up = 2 * cycle / share
        falling = jnp.where(cycle < share, 2 - up, self.leak * cycle)
        return jnp.where(cycle < 0.5 * share, up, falling)

    def combine(self, x: Any, h: jax.Array, states: list) -> tuple[jax.Array, list]:
        """Apply the formula above."""
        z, time = x
        gates, candidate, o = jnp.split(z + h, [2 * self.units, 3 * self.units], -1)
        if self.use_peepholes:
            weights = self.peephole_kernel.value[:, : 2 * self.units]
            gates = gates + self.matmul(states[1], weights)
        i, f = jnp.split(jax.nn.sigmoid(gates), 2, axis=-1)
        c = f * states[1] + i * activate(self.activation, candidate)
        if self.use_peepholes:
            weights = self.peephole_kernel.value[:, 2 * self.units :]
            o = o + self.matmul(c, weights)
        h = jax.nn.sigmoid(o) * activate(self.activation, c)
        k = self.openness(time, h)
        h, c = (
            k * new + (1 - k) * old for new, old in zip((h, c), states, strict=True)
        )
        return h, [h, c]


def _modulo(x: jax.Array, period: jax.Array) -> jax.Array:
    """As `jnp.mod`, which calls a function of C for each number.

    The period is in two parts, of half its digits each, and whole periods are taken off
    in two turns, many at once and then one by one, so that the multiples are exact: for
    as many periods as the dtype can count.
    """
    digits = jnp.finfo(period.dtype)
    half = digits.nmant // 2
    for many in (2.0**half, 1.0):
        whole = period * many
        high = jax.lax.reduce_precision(whole, digits.nexp, half)
        # Rounded, a quotient may be one too many, and what is left just past 0.
        count = jax.lax.stop_gradient(jnp.trunc(x / whole))
        x = (x - count * high) - count * (whole - high)
    # What is left has the sign of the period, which may be learnt below 0.
    return jnp.where(x * period < 0, x + period, x)
