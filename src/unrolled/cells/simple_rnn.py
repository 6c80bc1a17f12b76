"""The simple recurrent network of Elman (1990)."""

from typing import Any, ClassVar

import jax
import keras

from .gated import UnitsArguments, WeightArguments, activate
from .normalised import NormalisationArguments, NormalisedCell


class SimpleRNNArguments(NormalisationArguments, WeightArguments, UnitsArguments):
    """Arguments of `SimpleRNNCell` and `SimpleRNN`."""


@keras.saving.register_keras_serializable("unrolled")
class SimpleRNNCell(SimpleRNNArguments, NormalisedCell):
    """``h' = act(x @ W + h @ R + b)``: one state, h, which is also the output.

    Args:
        units: U, the width of h.
        activation: of the new state. Default tanh.
        use_bias: add a bias. Default True.
        kernel_initializer: of W ``(D, U)``. Default ``"glorot_uniform"``.
        recurrent_initializer: of R ``(U, U)``. Default ``"orthogonal"``.
        bias_initializer: of b ``(U,)``. Default ``"zeros"``.
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

    Source: Elman, "Finding structure in time", 1990; weights as in
    ``keras.layers.SimpleRNNCell``.
    """

    gates: ClassVar[str] = "h"
    additive: ClassVar[bool] = True

    def combine(self, x: Any, h: jax.Array, states: list) -> tuple[jax.Array, list]:
        """Apply the formula above."""
        del states
        h = activate(self.activation, self.normal(0, x + h))
        return h, [h]
