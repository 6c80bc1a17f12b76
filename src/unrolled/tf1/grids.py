"""The ready-made grids of ``tf.contrib.grid_rnn``: 1, 2 or 3 dimensions.

All read the inputs and give h in dimension 0, which comes last in a step.
"""

from typing import Any, ClassVar

from .base import package
from .cells import BasicLSTMCell, BasicRNNCell
from .grid_rnn import AnyGrid
from .grus import GRUCell
from .lstms import LSTMCell


class ReadyGrid(AnyGrid):
    """A grid of cells of one kind."""

    kind: ClassVar[Any]
    # Arguments that the cells take too.
    handed_on: ClassVar[tuple[str, ...]] = ()

    def one(self) -> Any:
        """A cell of that kind."""
        given: Any = self
        options = {name: getattr(given, name) for name in self.handed_on}
        return self.kind(given.num_units, dtype=self.dtype_policy, **options)


@package
class Grid1BasicRNNCell(ReadyGrid):
    """A `GridRNNCell` of one dimension with `BasicRNNCell`.

    Args:
        num_units: U, the width of h.
        state_is_tuple: the state is a tuple with that of each recurrent dimension, or,
            if False, one array.
        output_is_tuple: the output is a tuple of one, or, if False, one array.

    Now: `unrolled.Grid1BasicRNNCell`.

    Source: ``tf.contrib.grid_rnn.Grid1BasicRNNCell`` of TensorFlow 1.15.
    """

    num_units: int
    state_is_tuple: bool = True
    output_is_tuple: bool = True

    num_dims: ClassVar[int] = 1
    kind: ClassVar[Any] = BasicRNNCell


@package
class Grid2BasicRNNCell(ReadyGrid):
    """A `GridRNNCell` of two dimensions with `BasicRNNCell`.

    Args:
        num_units: U, the width of h.
        tied: one cell for all dimensions. Default False.
        non_recurrent_fn: if given, dimension 0 has a layer of this activation in place
            of a cell. Default: none.
        state_is_tuple: the state is a tuple with that of each recurrent dimension, or,
            if False, one array.
        output_is_tuple: the output is a tuple of one, or, if False, one array.

    Now: `unrolled.Grid2BasicRNNCell`.

    Source: ``tf.contrib.grid_rnn.Grid2BasicRNNCell`` of TensorFlow 1.15.
    """

    num_units: int
    tied: bool = False
    non_recurrent_fn: Any = None
    state_is_tuple: bool = True
    output_is_tuple: bool = True

    num_dims: ClassVar[int] = 2
    kind: ClassVar[Any] = BasicRNNCell


@package
class Grid1BasicLSTMCell(ReadyGrid):
    """A `GridRNNCell` of one dimension with `BasicLSTMCell`.

    Args:
        num_units: U, the width of h.
        forget_bias: added to forget gates at each step. Default 1.0.
        state_is_tuple: the state is a tuple with that of each recurrent dimension, or,
            if False, one array.
        output_is_tuple: the output is a tuple of one, or, if False, one array.

    Now: `unrolled.Grid1BasicLSTMCell`.

    Source: ``tf.contrib.grid_rnn.Grid1BasicLSTMCell`` of TensorFlow 1.15.
    """

    num_units: int
    forget_bias: float = 1.0
    state_is_tuple: bool = True
    output_is_tuple: bool = True

    num_dims: ClassVar[int] = 1
    kind: ClassVar[Any] = BasicLSTMCell
    handed_on: ClassVar[tuple[str, ...]] = ("forget_bias",)


@package
class Grid2BasicLSTMCell(ReadyGrid):
    """A `GridRNNCell` of two dimensions with `BasicLSTMCell`.

    Args:
        num_units: U, the width of h.
        tied: one cell for all dimensions. Default False.
        non_recurrent_fn: if given, dimension 0 has a layer of this activation in place
            of a cell. Default: none.
        forget_bias: added to forget gates at each step. Default 1.0.
        state_is_tuple: the state is a tuple with that of each recurrent dimension, or,
            if False, one array.
        output_is_tuple: the output is a tuple of one, or, if False, one array.

    Now: `unrolled.Grid2BasicLSTMCell`.

    Source: ``tf.contrib.grid_rnn.Grid2BasicLSTMCell`` of TensorFlow 1.15.
    """

    num_units: int
    tied: bool = False
    non_recurrent_fn: Any = None
    forget_bias: float = 1.0
    state_is_tuple: bool = True
    output_is_tuple: bool = True

    num_dims: ClassVar[int] = 2
    kind: ClassVar[Any] = BasicLSTMCell
    handed_on: ClassVar[tuple[str, ...]] = ("forget_bias",)


@package
class Grid1LSTMCell(ReadyGrid):
    """A `GridRNNCell` of one dimension with `LSTMCell`.

    Args:
        num_units: U, the width of h.
        use_peepholes: let the gates see c. Default False.
        forget_bias: added to forget gates at each step. Default 1.0.
        state_is_tuple: the state is a tuple with that of each recurrent dimension, or,
            if False, one array.
        output_is_tuple: the output is a tuple of one, or, if False, one array.

    Now: `unrolled.Grid1LSTMCell`.

    Source: ``tf.contrib.grid_rnn.Grid1LSTMCell`` of TensorFlow 1.15.
    """

    num_units: int
    use_peepholes: bool = False
    forget_bias: float = 1.0
    state_is_tuple: bool = True
    output_is_tuple: bool = True

    num_dims: ClassVar[int] = 1
    kind: ClassVar[Any] = LSTMCell
    handed_on: ClassVar[tuple[str, ...]] = ("use_peepholes", "forget_bias")


@package
class Grid2LSTMCell(ReadyGrid):
    """A `GridRNNCell` of two dimensions with `LSTMCell`.

    Args:
        num_units: U, the width of h.
        tied: one cell for all dimensions. Default False.
        non_recurrent_fn: if given, dimension 0 has a layer of this activation in place
            of a cell. Default: none.
        use_peepholes: let the gates see c. Default False.
        forget_bias: added to forget gates at each step. Default 1.0.
        state_is_tuple: the state is a tuple with that of each recurrent dimension, or,
            if False, one array.
        output_is_tuple: the output is a tuple of one, or, if False, one array.

    Now: `unrolled.Grid2LSTMCell`.

    Source: ``tf.contrib.grid_rnn.Grid2LSTMCell`` of TensorFlow 1.15.
    """

    num_units: int
    tied: bool = False
    non_recurrent_fn: Any = None
    use_peepholes: bool = False
    forget_bias: float = 1.0
    state_is_tuple: bool = True
    output_is_tuple: bool = True

    num_dims: ClassVar[int] = 2
    kind: ClassVar[Any] = LSTMCell
    handed_on: ClassVar[tuple[str, ...]] = ("use_peepholes", "forget_bias")


@package
class Grid3LSTMCell(ReadyGrid):
    """A `GridRNNCell` of three dimensions with `LSTMCell`.

    Args:
        num_units: U, the width of h.
        tied: one cell for all dimensions. Default False.
        non_recurrent_fn: if given, dimension 0 has a layer of this activation in place
            of a cell. Default: none.
        use_peepholes: let the gates see c. Default False.
        forget_bias: added to forget gates at each step. Default 1.0.
        state_is_tuple: the state is a tuple with that of each recurrent dimension, or,
            if False, one array.
        output_is_tuple: the output is a tuple of one, or, if False, one array.

    Now: `unrolled.Grid3LSTMCell`.

    Source: ``tf.contrib.grid_rnn.Grid3LSTMCell`` of TensorFlow 1.15.
    """

    num_units: int
    tied: bool = False
    non_recurrent_fn: Any = None
    use_peepholes: bool = False
    forget_bias: float = 1.0
    state_is_tuple: bool = True
    output_is_tuple: bool = True

    num_dims: ClassVar[int] = 3
    kind: ClassVar[Any] = LSTMCell
    handed_on: ClassVar[tuple[str, ...]] = ("use_peepholes", "forget_bias")


@package
class Grid2GRUCell(ReadyGrid):
    """A `GridRNNCell` of two dimensions with `GRUCell`.

    Args:
        num_units: U, the width of h.
        tied: one cell for all dimensions. Default False.
        non_recurrent_fn: if given, dimension 0 has a layer of this activation in place
            of a cell. Default: none.
        state_is_tuple: the state is a tuple with that of each recurrent dimension, or,
            if False, one array.
        output_is_tuple: the output is a tuple of one, or, if False, one array.

    Now: `unrolled.Grid2GRUCell`.

    Source: ``tf.contrib.grid_rnn.Grid2GRUCell`` of TensorFlow 1.15.
    """

    num_units: int
    tied: bool = False
    non_recurrent_fn: Any = None
    state_is_tuple: bool = True
    output_is_tuple: bool = True

    num_dims: ClassVar[int] = 2
    kind: ClassVar[Any] = GRUCell
