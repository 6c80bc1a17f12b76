"""The layers people name: arguments only, the work is done by `RNN`."""

from typing import Any

import keras

from ..arguments import field
from ..cells.gru import GRUArguments, GRUCell
from ..cells.lstm import LSTMArguments, LSTMCell
from ..cells.simple_rnn import SimpleRNNArguments, SimpleRNNCell
from .rnn import RNN

__all__ = ["GRU", "LSTM", "SimpleRNN"]


def make_cell(make: Any, layer: Any, name: str) -> Any:
    """A cell with the arguments that it has in common with `layer`."""
    common = {each: getattr(layer, each) for each in make.argument_names()}
    return make(
        **common, name=name, dtype=layer.dtype_policy, trainable=layer.trainable
    )


@keras.saving.register_keras_serializable("unrolled")
class SimpleRNN(SimpleRNNArguments, RNN):
    """`SimpleRNNCell` along the time axis.

    Args:
        units: U, the width of h: so many numbers per example and step.
        activation: of the new state. Default tanh.

    The other arguments are those of `SimpleRNNCell` and `RNN`; call arguments and
    returns are those of `RNN`, with one state, h ``(B, U)``.

    Raises:
        ValueError: before any compute, if an argument does not fit.

    Example:
        >>> import keras, unrolled
        >>> unrolled.SimpleRNN(8)(keras.ops.ones((2, 5, 3))).shape
        (2, 8)

    Source: Elman, 1990; ``keras.layers.SimpleRNN``.
    """

    cell: SimpleRNNCell = field(init=False)

    def __post_init__(self) -> None:
        self.cell = make_cell(SimpleRNNCell, self, "simple_rnn_cell")
        super().__post_init__()


@keras.saving.register_keras_serializable("unrolled")
class LSTM(LSTMArguments, RNN):
    """`LSTMCell` along the time axis.

    Args:
        units: U, the width of h and of c: 2*U numbers per example, whatever the
            number of steps.
        activation: of the candidate and of c on its way out. Default tanh.
        recurrent_activation: of the gates i, f, o. Default sigmoid.

    The other arguments are those of `LSTMCell` and `RNN`; call arguments and
    returns are those of `RNN`, with two states, h and c, each ``(B, U)``.

    Raises:
        ValueError: before any compute, if an argument does not fit.

    Example:
        >>> import keras, unrolled
        >>> layer = unrolled.LSTM(8, return_sequences=True, return_state=True)
        >>> y, h, c = layer(keras.ops.ones((2, 5, 3)))
        >>> y.shape, h.shape, c.shape
        ((2, 5, 8), (2, 8), (2, 8))

    Source: Hochreiter and Schmidhuber, 1997; ``keras.layers.LSTM``.
    """

    cell: LSTMCell = field(init=False)

    def __post_init__(self) -> None:
        self.cell = make_cell(LSTMCell, self, "lstm_cell")
        super().__post_init__()


@keras.saving.register_keras_serializable("unrolled")
class GRU(GRUArguments, RNN):
    """`GRUCell` along the time axis.

    Args:
        units: U, the width of h: so many numbers per example and step.
        activation: of the candidate. Default tanh.
        recurrent_activation: of the gates z and r. Default sigmoid.

    The other arguments are those of `GRUCell` and `RNN`; call arguments and
    returns are those of `RNN`, with one state, h ``(B, U)``.

    Raises:
        ValueError: before any compute, if an argument does not fit.

    Example:
        >>> import keras, unrolled
        >>> unrolled.GRU(8, reset_after=False)(keras.ops.ones((2, 5, 3))).shape
        (2, 8)

    Source: Cho et al., 2014; ``keras.layers.GRU``.
    """

    cell: GRUCell = field(init=False)

    def __post_init__(self) -> None:
        self.cell = make_cell(GRUCell, self, "gru_cell")
        super().__post_init__()
