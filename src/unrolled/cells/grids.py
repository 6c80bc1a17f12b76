"""The ready-made grids of TensorFlow 1's contrib.grid_rnn.

All read x and give h in dimension 0, which comes last in a step.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from ..arguments import Activation
from .grid_rnn import GridRNNCell
from .gru import GRUCell
from .lstm import LSTMCell
from .simple_rnn import SimpleRNNCell


def _grid(
    make: Callable[..., Any],
    num_dims: int,
    tied: bool = False,
    non_recurrent_activation: Activation = None,
    **kwargs: Any,
) -> GridRNNCell:
    return GridRNNCell(
        make(dtype=kwargs.get("dtype")),
        num_dims,
        priority_dims=0,
        non_recurrent_dims=None if non_recurrent_activation is None else 0,
        non_recurrent_activation=non_recurrent_activation or "relu",
        tied=tied,
        **kwargs,
    )


def _lstm(units: int, forget_bias: float, use_peepholes: bool = False) -> Any:
    """What makes an LSTM whose forget gate starts open by `forget_bias` alone."""
    return partial(
        LSTMCell,
        units,
        unit_forget_bias=False,
        forget_bias=forget_bias,
        use_peepholes=use_peepholes,
    )


def Grid1BasicRNNCell(units: int, **kwargs: Any) -> GridRNNCell:
    """A `GridRNNCell` of one dimension with a `SimpleRNNCell`.

    Args:
        units: U, the width of h.
        **kwargs: of any layer, such as ``name`` and ``dtype``.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.Grid1BasicRNNCell(4)
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: ``tf.contrib.grid_rnn.Grid1BasicRNNCell``, which does not carry its state
    through time either.
    """
    return _grid(partial(SimpleRNNCell, units), 1, **kwargs)


def Grid2BasicRNNCell(
    units: int,
    tied: bool = False,
    non_recurrent_activation: Activation = None,
    **kwargs: Any,
) -> GridRNNCell:
    """A `GridRNNCell` of two dimensions with `SimpleRNNCell`.

    Args:
        units: U, the width of each h.
        tied: one cell for both dimensions. Default False.
        non_recurrent_activation: if given, dimension 0 has a layer of this activation
            in place of a cell. Default None.
        **kwargs: of any layer, such as ``name`` and ``dtype``.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.Grid2BasicRNNCell(4, tied=True)
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: ``tf.contrib.grid_rnn.Grid2BasicRNNCell``.
    """
    make = partial(SimpleRNNCell, units)
    return _grid(make, 2, tied, non_recurrent_activation, **kwargs)


def Grid1BasicLSTMCell(
    units: int, forget_bias: float = 1.0, **kwargs: Any
) -> GridRNNCell:
    """A `GridRNNCell` of one dimension with an `LSTMCell`.

    Args:
        units: U, the width of h and of c.
        forget_bias: added to the forget gate at each step. Default 1.
        **kwargs: of any layer, such as ``name`` and ``dtype``.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.Grid1BasicLSTMCell(4)
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: ``tf.contrib.grid_rnn.Grid1BasicLSTMCell``, which does not carry its states
    through time either.
    """
    return _grid(_lstm(units, forget_bias), 1, **kwargs)


def Grid2BasicLSTMCell(
    units: int,
    tied: bool = False,
    non_recurrent_activation: Activation = None,
    forget_bias: float = 1.0,
    **kwargs: Any,
) -> GridRNNCell:
    """A `GridRNNCell` of two dimensions with `LSTMCell`.

    Args:
        units: U, the width of each h and c.
        tied: one cell for both dimensions. Default False.
        non_recurrent_activation: if given, dimension 0 has a layer of this activation
            in place of a cell. Default None.
        forget_bias: added to forget gates at each step. Default 1.
        **kwargs: of any layer, such as ``name`` and ``dtype``.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.Grid2BasicLSTMCell(4)
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: ``tf.contrib.grid_rnn.Grid2BasicLSTMCell``.
    """
    make = _lstm(units, forget_bias)
    return _grid(make, 2, tied, non_recurrent_activation, **kwargs)


def Grid1LSTMCell(
    units: int, use_peepholes: bool = False, forget_bias: float = 1.0, **kwargs: Any
) -> GridRNNCell:
    """A `Grid1BasicLSTMCell` that may have peepholes.

    Args:
        units: U, the width of h and of c.
        use_peepholes: let the gates see c. Default False.
        forget_bias: added to the forget gate at each step. Default 1.
        **kwargs: of any layer, such as ``name`` and ``dtype``.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.Grid1LSTMCell(4, use_peepholes=True)
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: ``tf.contrib.grid_rnn.Grid1LSTMCell``.
    """
    return _grid(_lstm(units, forget_bias, use_peepholes), 1, **kwargs)


def Grid2LSTMCell(
    units: int,
    tied: bool = False,
    non_recurrent_activation: Activation = None,
    use_peepholes: bool = False,
    forget_bias: float = 1.0,
    **kwargs: Any,
) -> GridRNNCell:
    """A `Grid2BasicLSTMCell` that may have peepholes.

    Args:
        units: U, the width of each h and c.
        tied: one cell for both dimensions. Default False.
        non_recurrent_activation: if given, dimension 0 has a layer of this activation
            in place of a cell. Default None.
        use_peepholes: let the gates see c. Default False.
        forget_bias: added to forget gates at each step. Default 1.
        **kwargs: of any layer, such as ``name`` and ``dtype``.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.Grid2LSTMCell(4, non_recurrent_activation="relu")
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: ``tf.contrib.grid_rnn.Grid2LSTMCell``.
    """
    make = _lstm(units, forget_bias, use_peepholes)
    return _grid(make, 2, tied, non_recurrent_activation, **kwargs)


def Grid3LSTMCell(
    units: int,
    tied: bool = False,
    non_recurrent_activation: Activation = None,
    use_peepholes: bool = False,
    forget_bias: float = 1.0,
    **kwargs: Any,
) -> GridRNNCell:
    """A `GridRNNCell` of three dimensions with `LSTMCell`.

    Args:
        units: U, the width of each h and c.
        tied: one cell for all dimensions. Default False.
        non_recurrent_activation: if given, dimension 0 has a layer of this activation
            in place of a cell. Default None.
        use_peepholes: let the gates see c. Default False.
        forget_bias: added to forget gates at each step. Default 1.
        **kwargs: of any layer, such as ``name`` and ``dtype``.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.Grid3LSTMCell(4)
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: ``tf.contrib.grid_rnn.Grid3LSTMCell``.
    """
    make = _lstm(units, forget_bias, use_peepholes)
    return _grid(make, 3, tied, non_recurrent_activation, **kwargs)


def Grid2GRUCell(
    units: int,
    tied: bool = False,
    non_recurrent_activation: Activation = None,
    **kwargs: Any,
) -> GridRNNCell:
    """A `GridRNNCell` of two dimensions with `GRUCell`, which resets h before R.

    Args:
        units: U, the width of each h.
        tied: one cell for both dimensions. Default False.
        non_recurrent_activation: if given, dimension 0 has a layer of this activation
            in place of a cell. Default None.
        **kwargs: of any layer, such as ``name`` and ``dtype``.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.Grid2GRUCell(4)
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: ``tf.contrib.grid_rnn.Grid2GRUCell``, where biases of gates start at 1.
    """
    make = partial(GRUCell, units, reset_after=False)
    return _grid(make, 2, tied, non_recurrent_activation, **kwargs)
