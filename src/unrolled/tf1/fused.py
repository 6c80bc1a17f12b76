"""The old fused cells: a cell and its loop over time in one object."""

from typing import Any

import keras

from ..arguments import Declared
from ..cells.base import Tree
from ..checks import require
from .base import check_cell, package
from .drivers import along_time, below_scope
from .lstms import LSTMBlockCell


class FusedRNNCell(Declared, keras.layers.Layer):
    """What is called with all time steps: ``fused(inputs) -> (outputs, state)``.

    A subclass says in `run` how.

    Now: a layer, such as ``unrolled.RNN(cell, return_sequences=True)``.

    Source: ``tf.contrib.rnn.FusedRNNCell`` of TensorFlow 1.15.
    """

    def __post_init__(self) -> None:
        self.built = True  # weights are the cell's

    def run(
        self, inputs: Any, state: Tree, lengths: Any, backwards: bool, **given: Any
    ) -> tuple[Any, Tree]:
        """Outputs in the order of the inputs, both ``(T, B, ...)``, and the last state.

        Args:
            inputs: ``(T, B, D)``.
            state: the first, in the old form; None for zeros.
            lengths: ``[B]``, or None.
            backwards: whether a sequence is read from its end.
            **given: `dtype`, `scope` and `training`, as a driver takes them.
        """
        raise NotImplementedError

    # By itself no node of a model's graph, as little as a driver is.
    def __call__(
        self,
        inputs: Any,
        initial_state: Tree = None,
        dtype: Any = None,
        sequence_length: Any = None,
        scope: Any = None,
        *,
        training: Any = None,
    ) -> tuple[Any, Tree]:
        """Run it.

        Args:
            inputs: ``(T, B, D)``, or a list of T arrays ``(B, D)``.
            initial_state: in the old form. Default: zeros.
            dtype: as for `dynamic_rnn`.
            sequence_length: ``[B]``; past it outputs are zeros, and the state is the
                one that was reached there.
            scope: below which `tf1.load` finds the variables.
            training: whether dropout is on.

        Returns:
            ``(outputs, state)``, the outputs in a list where the inputs were.
        """
        listed = isinstance(inputs, list)
        outputs, state = self.run(
            keras.ops.stack(inputs) if listed else inputs,
            initial_state,
            sequence_length,
            False,
            dtype=dtype,
            scope=scope,
            training=training,
        )
        if listed:
            outputs = keras.ops.unstack(outputs, num=len(inputs))
        return outputs, state

    def get_weights(self) -> list[Any]:
        """Arrays as TensorFlow 1 has them."""
        return self.inside.get_weights()

    def set_weights(self, weights: Any) -> None:
        """The inverse of `get_weights`."""
        self.inside.set_weights(weights)

    @property
    def inside(self) -> Any:
        """What has the weights."""
        given: Any = self
        return given.cell


@package
class FusedRNNCellAdaptor(FusedRNNCell):
    """Any old cell and its loop.

    Args:
        cell: any old cell.
        use_dynamic_rnn: TensorFlow's; both are one loop here.

    Now: ``unrolled.RNN(cell, return_sequences=True, return_state=True,
    time_major=True, zero_output_for_mask=True)(inputs, lengths=sequence_length)``.

    Example:
        >>> import keras
        >>> from unrolled import tf1
        >>> fused = tf1.FusedRNNCellAdaptor(tf1.GRUCell(4))
        >>> x = keras.ops.ones((5, 2, 3))
        >>> outputs, state = fused(x, dtype="float32", sequence_length=[5, 2])
        >>> outputs.shape, state.shape
        ((5, 2, 4), (2, 4))

    Source: ``tf.contrib.rnn.FusedRNNCellAdaptor`` of TensorFlow 1.15.
    """

    cell: Any
    use_dynamic_rnn: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_cell("cell", self.cell)

    def run(
        self, inputs: Any, state: Tree, lengths: Any, backwards: bool, **given: Any
    ) -> tuple[Any, Tree]:
        """By our layer."""
        scope = below_scope(given.pop("scope"), self.default_scope)
        return along_time(
            self.cell,
            inputs,
            scope,
            state=state,
            lengths=lengths,
            backwards=backwards,
            time_major=True,
            **given,
        )

    default_scope = "rnn"


class _Alone(LSTMBlockCell):
    """A cell whose variables lie below no driver's scope; its own may be told."""

    @property
    def above(self) -> str:
        """Nothing."""
        return ""

    @property
    def scope_name(self) -> str:
        """What it was called with, or its name."""
        return self.kept.scope or str(self.name)


@package
class LSTMBlockFusedCell(FusedRNNCellAdaptor):
    """An LSTM and its loop, which TensorFlow had written in C++.

    Args:
        num_units: U.
        forget_bias: added to the forget gate at each step. Default 1.0.
        cell_clip: c is kept within plus and minus this. TensorFlow's gradient passes
            what was clipped; here it does not, as in `LSTMCell`.
        use_peephole: let the gates see c.
        reuse: TensorFlow's; a cell here has its own weights.
        name: of its scope, ``lstm_fused_cell`` if not told; TensorFlow called a second
            one ``lstm_fused_cell_1``.

    Now: ``unrolled.LSTM(units, return_sequences=True)``, which has a kernel of its own.

    Source: ``tf.contrib.rnn.LSTMBlockFusedCell`` of TensorFlow 1.15.
    """

    default_scope = ""

    def __init__(
        self,
        num_units: int,
        forget_bias: float = 1.0,
        cell_clip: float | None = None,
        use_peephole: bool = False,
        reuse: Any = None,
        dtype: Any = None,
        name: str = "lstm_fused_cell",
    ) -> None:
        del reuse
        options = (num_units, forget_bias, cell_clip, use_peephole)
        cell = _Alone(*options, name=name, dtype=dtype)
        super().__init__(cell, name=name, dtype=dtype)


@package
class TimeReversedFusedRNN(FusedRNNCell):
    """A fused cell that reads each sequence from its end.

    Outputs stand in the order of the inputs. Of a list that is read, TensorFlow turned
    all steps round, whatever the lengths, and so does this.

    Args:
        cell: a fused cell.

    Raises:
        ValueError: if it is another.

    Now: ``unrolled.RNN(cell, go_backwards=True, ...)``.

    Source: ``tf.contrib.rnn.TimeReversedFusedRNN`` of TensorFlow 1.15.
    """

    cell: Any

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            isinstance(self.cell, FusedRNNCell),
            "cell",
            "must be a fused cell",
            type(self.cell).__name__,
            "pass FusedRNNCellAdaptor(cell)",
        )

    def run(
        self, inputs: Any, state: Tree, lengths: Any, backwards: bool, **given: Any
    ) -> tuple[Any, Tree]:
        """The other way round."""
        return self.cell.run(inputs, state, lengths, not backwards, **given)

    def __call__(
        self,
        inputs: Any,
        initial_state: Tree = None,
        dtype: Any = None,
        sequence_length: Any = None,
        scope: Any = None,
        *,
        training: Any = None,
    ) -> tuple[Any, Tree]:
        """Run it."""
        given = (initial_state, dtype, sequence_length, scope)
        if not isinstance(inputs, list):
            return super().__call__(inputs, *given, training=training)
        outputs, state = self.cell(inputs[::-1], *given, training=training)
        return outputs[::-1], state
