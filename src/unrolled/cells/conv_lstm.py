"""An LSTM whose products are convolutions."""

from typing import Any, ClassVar

import jax
import keras
from jax import numpy as jnp

from ..arguments import KW_ONLY
from ..checks import require
from .conv import ConvArguments, ConvCell
from .gated import GateArguments, WeightArguments, activate


class ConvLSTMArguments(WeightArguments, GateArguments, ConvArguments):
    """Arguments of `ConvLSTMCell` and of the layers."""

    unit_forget_bias: bool = True
    _: KW_ONLY
    forget_bias: float = 0.0
    skip_connection: bool = False


@keras.saving.register_keras_serializable("unrolled")
class ConvLSTMCell(ConvLSTMArguments, ConvCell):
    """An LSTM whose products are convolutions; h and c are images.

    With ``z = conv(x, W) + conv(h, R) + b`` in the order i, f, c, o::

        c' = sigmoid(z_f + forget_bias) * c + sigmoid(z_i) * tanh(z_c)
        h' = sigmoid(z_o) * tanh(c')

    Args:
        rank: in how many dimensions it convolves, 1, 2 or 3.
        filters: F, the channels of h and of c.
        kernel_size: of both windows: a number, or one for each dimension.
        strides: of the convolution of the inputs. Default 1.
        padding: of that convolution, ``"valid"`` or ``"same"``. Default ``"valid"``.
        data_format: ``"channels_last"`` or ``"channels_first"``. Default: Keras's.
        dilation_rate: of that convolution. Default 1.
        activation: of the candidate and of c on its way out. Default tanh.
        recurrent_activation: of the gates i, f, o. Default sigmoid.
        use_bias: add a bias. Default True.
        kernel_initializer: of W ``(*W, C, 4*F)``. Default ``"glorot_uniform"``.
        recurrent_initializer: of R ``(*W, F, 4*F)``. Default ``"orthogonal"``.
        bias_initializer: of b ``(4*F,)``. Default ``"zeros"``.
        unit_forget_bias: start the forget gate's bias at 1.
        forget_bias: added to the forget gate at each step, beside its bias, as in
            TensorFlow 1, where it is 1.0. Default 0.
        skip_connection: the output is h with the channels of the inputs behind its own.
        kernel_regularizer: and ``recurrent_``, ``bias_``: none by default.
        kernel_constraint: and ``recurrent_``, ``bias_``: none by default.
        dropout: share of the inputs dropped, the same at every step and for all gates.
        recurrent_dropout: share of h dropped on its way into the convolution.
        seed: of the dropout masks.

    Raises:
        ValueError: if an argument does not fit, or there is a `skip_connection` and h
            has another size than the inputs.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.ConvLSTMCell(2, 4, 3, padding="same")
        >>> unrolled.RNN(cell)(keras.ops.ones((1, 5, 8, 8, 3))).shape
        (1, 8, 8, 4)

    Source: Shi et al., 2015, arXiv:1506.04214, without its peepholes, as in
    ``keras.layers.ConvLSTM2D``; ``tf.contrib.rnn.ConvLSTMCell`` (`padding` ``"same"``,
    `forget_bias`, `skip_connection`; its h had the inputs in it, too wide for a loop).
    """

    gates: ClassVar[str] = "ifco"
    state_names: ClassVar[Any] = ("h", "c")

    @property
    def additive(self) -> bool:
        """With a skip connection the inputs themselves are read as well."""
        return not self.skip_connection

    def initial_bias(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Zeros, or what was asked for; ones for the forget gate."""
        bias = super().initial_bias(shape, dtype)
        if not self.unit_forget_bias:
            return bias
        return jnp.asarray(bias).at[self.units : 2 * self.units].set(1)

    def build(self, input_shape: Any) -> None:
        """Create the weights; with a skip connection the output is wider than h."""
        super().build(input_shape)
        if not self.skip_connection:
            return
        image = list(input_shape[1:])
        image[self.channels] = self.filters
        require(
            tuple(image) == tuple(self.output_size),
            "skip_connection",
            f"needs inputs as large as h, {tuple(self.output_size)} but for channels",
            f"steps of shape {tuple(input_shape)}",
            "pass padding='same' and strides=1",
        )
        image[self.channels] += input_shape[self.channels]
        self.output_size = tuple(image)

    def project_inputs(self, x: jax.Array, constants: dict) -> Any:
        """The convolution; with a skip connection the inputs beside it."""
        z = super().project_inputs(x, constants)
        return (z, x) if self.skip_connection else z

    def combine(self, x: Any, h: jax.Array, states: list) -> tuple[jax.Array, list]:
        """Apply the formula above."""
        x, skipped = x if self.skip_connection else (x, None)
        i, f, candidate, o = self.split(x + h, 4)
        gates = (i, f + self.forget_bias, o)
        i, f, o = (activate(self.recurrent_activation, gate) for gate in gates)
        c = f * states[1] + i * activate(self.activation, candidate)
        h = o * activate(self.activation, c)
        if skipped is None:
            return h, [h, c]
        both = [h, skipped.astype(h.dtype)]
        return jnp.concatenate(both, axis=self.channels), [h, c]
