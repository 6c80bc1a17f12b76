"""Gated recurrent unit."""

from typing import Any, ClassVar

import jax
import keras
from jax import numpy as jnp

from ..checks import require
from .gated import (
    GateArguments,
    UnitsArguments,
    WeightArguments,
    activate,
    dropped,
)
from .normalised import NormalisationArguments, NormalisedCell


class GRUArguments(
    NormalisationArguments, WeightArguments, GateArguments, UnitsArguments
):
    """Arguments of `GRUCell` and `GRU`."""

    reset_after: bool = True


@keras.saving.register_keras_serializable("unrolled")
class GRUCell(GRUArguments, NormalisedCell):
    """One state, h, which is also the output; gates z (update) and r (reset).

    With ``a = x @ W + b_0`` and ``z = sigmoid(a_z + ...)``, ``r`` likewise::

        candidate = tanh(a_h + r * (h @ R_h + b_1h))    reset_after=True
        candidate = tanh(a_h + (r * h) @ R_h)           reset_after=False
        h' = z * h + (1 - z) * candidate

    Args:
        units: U, the width of h.
        activation: of the candidate. Default tanh.
        recurrent_activation: of the gates z and r. Default sigmoid.
        use_bias: add a bias. Default True.
        kernel_initializer: of W ``(D, 3*U)``. Default ``"glorot_uniform"``.
        recurrent_initializer: of R ``(U, 3*U)``. Default ``"orthogonal"``.
        bias_initializer: of b, ``(2, 3*U)`` if `reset_after`, else ``(3*U,)``.
        reset_after: apply the reset gate after the recurrent product, as cuDNN
            does, and keep a second bias. Default True.
        kernel_regularizer: and ``recurrent_``, ``bias_``: none by default.
        kernel_constraint: and ``recurrent_``, ``bias_``: none by default.
        dropout: share of the D features dropped, the same at every step.
        recurrent_dropout: share of h dropped on its way into the product.
        seed: of the dropout masks.
        layer_norm: normalise each gate (``"gates"``), or x @ W and h @ R
            (``"products"``); see `NormalisedCell`. Default None.
        norm_epsilon: added to variances. Default 1e-3.
        weight_norm: learn the lengths of the weights' columns apart. Default False.

    Raises:
        ValueError: if `units` is not a positive integer.

    Source: Cho et al., 2014, arXiv:1406.1078 (version 1 resets after the product,
    version 3 before); weights as in ``keras.layers.GRUCell``.
    """

    gates: ClassVar[str] = "zrh"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.reset_after or self.layer_norm != "products",
            "reset_after",
            'must be True with layer_norm="products": h @ R is normalised as a whole',
            self.reset_after,
            'pass layer_norm="gates", or reset_after=True',
        )

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """Two rows, for the inputs and the state, if `reset_after`.

        One where gates are normalised, for it comes after their sum.
        """
        two = self.reset_after and self.layer_norm != "gates"
        return (2, self.width) if two else (self.width,)

    def combine(self, x: Any, h: jax.Array, states: list) -> tuple[jax.Array, list]:
        """Apply the formula above, with `reset_after`."""
        x_z, x_r, x_h = jnp.split(x, 3, axis=-1)
        h_z, h_r, h_h = jnp.split(h, 3, axis=-1)
        r = activate(self.recurrent_activation, self.normal(1, x_r + h_r))
        return self._mix(x_z + h_z, x_h + r * h_h, states[0])

    def step(self, x: Any, states: list, constants: dict) -> tuple[jax.Array, list]:
        """One step; without `reset_after` the candidate's product comes last."""
        if self.reset_after:
            return super().step(x, states, constants)
        x_z, x_r, x_h = jnp.split(x, 3, axis=-1)
        kernel = constants.get("recurrent_kernel", self.recurrent_kernel.value)
        h = dropped(states[0], constants.get("recurrent_mask"))
        gates, candidate = kernel[:, : 2 * self.units], kernel[:, 2 * self.units :]
        h_z, h_r = jnp.split(self.matmul(h, gates), 2, axis=-1)
        r = activate(self.recurrent_activation, self.normal(1, x_r + h_r))
        h_h = self.matmul(r * h, candidate)
        return self._mix(x_z + h_z, x_h + h_h, states[0])

    def _mix(self, z: Any, candidate: Any, h: Any) -> tuple[jax.Array, list]:
        z = activate(self.recurrent_activation, self.normal(0, z))
        h = z * h + (1 - z) * activate(self.activation, self.normal(2, candidate))
        return h, [h]
