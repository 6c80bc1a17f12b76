"""The layers people name: arguments only, the work is done by `RNN`."""

from typing import Any

import keras

from ..arguments import another, field
from ..cells.gru import GRUArguments, GRUCell
from ..cells.lstm import LSTMArguments, LSTMCell
from ..cells.simple_rnn import SimpleRNNArguments, SimpleRNNCell
from ..cells.stacked import StackedRNNCells
from . import levels
from .arguments import LayersArguments
from .rnn import RNN

__all__ = ["GRU", "LSTM", "SimpleRNN"]


def make_cell(make: Any, layer: Any, name: str) -> Any:
    """A cell with the arguments that it has in common with `layer`."""
    common = {each: getattr(layer, each) for each in make.argument_names()}
    return make(**common, name=name, **_kept(layer))


def _make_cells(make: Any, layer: Any, name: str) -> Any:
    """Such a cell, or a stack of `num_layers` of them."""
    levels.check(layer.num_layers, layer.layer_dropout)
    if layer.num_layers == 1:
        return make_cell(make, layer, name)
    if layer.layer_dropout:
        seed = _seed(layer, layer.num_layers)
        layer.layer_seed_generator = keras.random.SeedGenerator(seed)
    common = {each: getattr(layer, each) for each in make.argument_names()}
    cells = []
    for place in range(layer.num_layers):
        own = {key: another(each, place) for key, each in common.items()}
        own |= {"seed": _seed(layer, place), "name": f"{name}_{place}"}
        cells.append(make(**own, **_kept(layer)))
    return StackedRNNCells(cells, name=f"{name}s", **_kept(layer))


def _kept(layer: Any) -> dict[str, Any]:
    """Keras's own arguments, for a cell as for its layer."""
    return {"dtype": layer.dtype_policy, "trainable": layer.trainable}


def _seed(layer: Any, place: int) -> int | None:
    return None if layer.seed is None else layer.seed + place


@keras.saving.register_keras_serializable("unrolled")
class SimpleRNN(SimpleRNNArguments, LayersArguments, RNN):
    """`SimpleRNNCell` along the time axis.

    Args:
        units: U, the width of h: so many numbers per example and step.
        activation: of the new state. Default tanh.
        num_layers: how many layers, one above the other. States come and go layer by
            layer, or by name, ``{"0": {"h": h}, "1": ...}``. In `Bidirectional`
            each is bidirectional. Default 1.
        layer_dropout: share of numbers dropped between layers, new at each step.

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
        self.cell = _make_cells(SimpleRNNCell, self, "simple_rnn_cell")
        super().__post_init__()


@keras.saving.register_keras_serializable("unrolled")
class LSTM(LSTMArguments, LayersArguments, RNN):
    """`LSTMCell` along the time axis.

    Args:
        units: U, the width of h and of c: 2*U numbers per example, whatever the
            number of steps.
        activation: of the candidate and of c on its way out. Default tanh.
        recurrent_activation: of the gates i, f, o. Default sigmoid.
        num_layers: how many layers, one above the other. States come and go layer by
            layer, or by name, ``{"0": {"h": h, "c": c}, "1": ...}``. In `Bidirectional`
            each is bidirectional. Default 1.
        layer_dropout: share of numbers dropped between layers, new at each step.

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
        self.cell = _make_cells(LSTMCell, self, "lstm_cell")
        super().__post_init__()


@keras.saving.register_keras_serializable("unrolled")
class GRU(GRUArguments, LayersArguments, RNN):
    """`GRUCell` along the time axis.

    Args:
        units: U, the width of h: so many numbers per example and step.
        activation: of the candidate. Default tanh.
        recurrent_activation: of the gates z and r. Default sigmoid.
        num_layers: how many layers, one above the other. States come and go layer by
            layer, or by name, ``{"0": {"h": h}, "1": ...}``. In `Bidirectional`
            each is bidirectional. Default 1.
        layer_dropout: share of numbers dropped between layers, new at each step.

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
        self.cell = _make_cells(GRUCell, self, "gru_cell")
        super().__post_init__()
