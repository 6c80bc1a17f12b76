"""Convolutional layers: arguments only, the work is done by `RNN`."""

from typing import ClassVar

import keras

from ..arguments import field
from ..cells.conv import standardize
from ..cells.conv_gru import ConvGRUArguments, ConvGRUCell
from ..cells.conv_lstm import ConvLSTMArguments, ConvLSTMCell
from .named import make_cell
from .rnn import RNN


class ConvLSTM(ConvLSTMArguments, RNN):
    """`ConvLSTMCell` along the time axis, in as many dimensions as a subclass says."""

    rank: ClassVar[int]
    cell: ConvLSTMCell = field(init=False)

    def __post_init__(self) -> None:
        standardize(self)
        self.cell = make_cell(ConvLSTMCell, self, "conv_lstm_cell")
        super().__post_init__()


class ConvGRU(ConvGRUArguments, RNN):
    """`ConvGRUCell` along the time axis, in as many dimensions as a subclass says."""

    rank: ClassVar[int]
    cell: ConvGRUCell = field(init=False)

    def __post_init__(self) -> None:
        standardize(self)
        self.cell = make_cell(ConvGRUCell, self, "conv_gru_cell")
        super().__post_init__()


@keras.saving.register_keras_serializable("unrolled")
class ConvLSTM1D(ConvLSTM):
    """`ConvLSTMCell` over sequences of rows.

    Args:
        filters: F, the channels of a state.
        kernel_size: of the windows: a number, or one for each dimension.

    The other arguments are those of `ConvLSTMCell` and `RNN`; call arguments and
    returns are those of `RNN`, for sequences ``(B, T, W, C)``, with
    two states, h and c, each ``(B, W, F)``; `padding` and
    `strides` may make it smaller.

    Raises:
        ValueError: before any compute, if an argument does not fit.

    Example:
        >>> import keras, unrolled
        >>> layer = unrolled.ConvLSTM1D(4, 3, padding="same")
        >>> layer(keras.ops.ones((1, 3, 8, 2))).shape
        (1, 8, 4)

    Source: Shi et al., 2015, arXiv:1506.04214; ``keras.layers.ConvLSTM1D``.
    """

    rank: ClassVar[int] = 1


@keras.saving.register_keras_serializable("unrolled")
class ConvLSTM2D(ConvLSTM):
    """`ConvLSTMCell` over sequences of images.

    Args:
        filters: F, the channels of a state.
        kernel_size: of the windows: a number, or one for each dimension.

    The other arguments are those of `ConvLSTMCell` and `RNN`; call arguments and
    returns are those of `RNN`, for sequences ``(B, T, H, W, C)``, with
    two states, h and c, each ``(B, H, W, F)``; `padding` and
    `strides` may make it smaller.

    Raises:
        ValueError: before any compute, if an argument does not fit.

    Example:
        >>> import keras, unrolled
        >>> layer = unrolled.ConvLSTM2D(4, 3, padding="same")
        >>> layer(keras.ops.ones((1, 3, 8, 8, 2))).shape
        (1, 8, 8, 4)

    Source: Shi et al., 2015, arXiv:1506.04214; ``keras.layers.ConvLSTM2D``.
    """

    rank: ClassVar[int] = 2


@keras.saving.register_keras_serializable("unrolled")
class ConvLSTM3D(ConvLSTM):
    """`ConvLSTMCell` over sequences of volumes.

    Args:
        filters: F, the channels of a state.
        kernel_size: of the windows: a number, or one for each dimension.

    The other arguments are those of `ConvLSTMCell` and `RNN`; call arguments and
    returns are those of `RNN`, for sequences ``(B, T, L, H, W, C)``, with
    two states, h and c, each ``(B, L, H, W, F)``; `padding` and
    `strides` may make it smaller.

    Raises:
        ValueError: before any compute, if an argument does not fit.

    Example:
        >>> import keras, unrolled
        >>> layer = unrolled.ConvLSTM3D(4, 3, padding="same")
        >>> layer(keras.ops.ones((1, 3, 4, 4, 4, 2))).shape
        (1, 4, 4, 4, 4)

    Source: Shi et al., 2015, arXiv:1506.04214; ``keras.layers.ConvLSTM3D``.
    """

    rank: ClassVar[int] = 3


@keras.saving.register_keras_serializable("unrolled")
class ConvGRU1D(ConvGRU):
    """`ConvGRUCell` over sequences of rows. It resets before the product.

    Args:
        filters: F, the channels of a state.
        kernel_size: of the windows: a number, or one for each dimension.

    The other arguments are those of `ConvGRUCell` and `RNN`; call arguments and
    returns are those of `RNN`, for sequences ``(B, T, W, C)``, with
    one state, h ``(B, W, F)``; `padding` and
    `strides` may make it smaller.

    Raises:
        ValueError: before any compute, if an argument does not fit.

    Example:
        >>> import keras, unrolled
        >>> layer = unrolled.ConvGRU1D(4, 3, padding="same")
        >>> layer(keras.ops.ones((1, 3, 8, 2))).shape
        (1, 8, 4)

    Source: Ballas et al., 2016, arXiv:1511.06432.
    """

    rank: ClassVar[int] = 1


@keras.saving.register_keras_serializable("unrolled")
class ConvGRU2D(ConvGRU):
    """`ConvGRUCell` over sequences of images. It resets before the product.

    Args:
        filters: F, the channels of a state.
        kernel_size: of the windows: a number, or one for each dimension.

    The other arguments are those of `ConvGRUCell` and `RNN`; call arguments and
    returns are those of `RNN`, for sequences ``(B, T, H, W, C)``, with
    one state, h ``(B, H, W, F)``; `padding` and
    `strides` may make it smaller.

    Raises:
        ValueError: before any compute, if an argument does not fit.

    Example:
        >>> import keras, unrolled
        >>> layer = unrolled.ConvGRU2D(4, 3, padding="same")
        >>> layer(keras.ops.ones((1, 3, 8, 8, 2))).shape
        (1, 8, 8, 4)

    Source: Ballas et al., 2016, arXiv:1511.06432.
    """

    rank: ClassVar[int] = 2


@keras.saving.register_keras_serializable("unrolled")
class ConvGRU3D(ConvGRU):
    """`ConvGRUCell` over sequences of volumes. It resets before the product.

    Args:
        filters: F, the channels of a state.
        kernel_size: of the windows: a number, or one for each dimension.

    The other arguments are those of `ConvGRUCell` and `RNN`; call arguments and
    returns are those of `RNN`, for sequences ``(B, T, L, H, W, C)``, with
    one state, h ``(B, L, H, W, F)``; `padding` and
    `strides` may make it smaller.

    Raises:
        ValueError: before any compute, if an argument does not fit.

    Example:
        >>> import keras, unrolled
        >>> layer = unrolled.ConvGRU3D(4, 3, padding="same")
        >>> layer(keras.ops.ones((1, 3, 4, 4, 4, 2))).shape
        (1, 4, 4, 4, 4)

    Source: Ballas et al., 2016, arXiv:1511.06432.
    """

    rank: ClassVar[int] = 3
