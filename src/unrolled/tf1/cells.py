"""The old cells over ours: arguments, defaults, and what a checkpoint holds of them."""

from typing import Any, ClassVar

import keras

from .. import cells
from ..arguments import Activation, Initializer
from ..checks import require
from .base import LSTMStateTuple, OldCell, Tree, joined, package, parted
from .checkpoint import Held, columns, start


class GatedOldCell(OldCell):
    """An old cell over a `GatedCell`: its variables are kernels over ``[x, h]``."""

    # Of each pair of TensorFlow's variables, where it lies and which gates it has.
    matrices: ClassVar[dict[str, str]] = {}
    state_is_tuple = True

    def convert(self, name: str, value: Any) -> Any:
        """None stands for what TensorFlow took."""
        instead = {"activation": "tanh"}
        if name.endswith("initializer") and name != "bias_initializer":
            instead[name] = "glorot_uniform"
        return super().convert(name, instead.get(name) if value is None else value)

    def to_old(self, states: Tree) -> Tree:
        """One state alone; of two the tuple ``(c, h)``, or both in one array."""
        if len(states) == 1:
            return states[0]
        named = dict(zip(self.inner.state_names, states, strict=True))
        pair = LSTMStateTuple(named["c"], named["h"])
        return pair if self.state_is_tuple else joined(list(pair))

    def from_old(self, state: Tree) -> Tree:
        """The inverse."""
        names = self.inner.state_names
        if names is None or len(names) == 1:
            return [state]
        if self.state_is_tuple:
            pair = isinstance(state, (list, tuple)) and len(state) == 2
            require(
                pair,
                "state",
                "must be a pair, LSTMStateTuple(c, h)",
                type(state).__name__,
                "pass what zero_state or a driver returns",
            )
            c, h = state
        else:
            sizes = dict(zip(names, self.inner.state_shapes, strict=True))
            c, h = parted(state, [sizes[name].sizes[0] for name in ("c", "h")])
        return [{"c": c, "h": h}[name] for name in names]

    def own_entries(self) -> list[Held]:
        """Kernel and bias of each pair."""
        if not self.inner.built:
            return []
        cell, found = self.inner, []
        for scope, gates in self.matrices.items():
            at = columns(cell.gates, gates, cell.units)
            weights = [w for w in (cell.kernel, cell.recurrent_kernel) if w is not None]
            kernel, bias = self.called(scope)
            found.append(Held(kernel, weights, at))
            found.append(Held(bias, [cell.bias], at))
        return found

    def called(self, scope: str) -> tuple[str, str]:
        """What TensorFlow calls kernel and bias of a pair."""
        return f"{scope}kernel", f"{scope}bias"

    # The initializers of a pair; TensorFlow's names for the arguments differ.
    def drawn(self, scope: str) -> tuple[Any, Any]:
        """What TensorFlow draws kernel and bias of a pair with."""
        del scope
        kernel = (
            getattr(self, "initializer", None) or keras.initializers.GlorotUniform()
        )
        return kernel, keras.initializers.Zeros()

    def build(self, inputs_shape: Tree) -> None:
        """Make the weights, with what TensorFlow draws for them."""
        cell, features = self.inner, inputs_shape[-1]
        if not cell.built and features is not None:
            own = ("kernel", "recurrent", "bias")
            before = {name: getattr(cell, f"{name}_initializer") for name in own}
            pairs = [(self.drawn(s), gates) for s, gates in self.matrices.items()]
            kernels = [(draw[0], gates) for draw, gates in pairs]
            biases = [(draw[1], gates) for draw, gates in pairs]
            shared = (cell.gates, cell.units)
            rows = features + cell.recurrent_shape[0]
            cell.kernel_initializer = start(kernels, *shared, rows)
            cell.recurrent_initializer = start(kernels, *shared, rows, features)
            cell.bias_initializer = start(biases, *shared, 0)
            super().build(inputs_shape)
            for name, initializer in before.items():
                setattr(cell, f"{name}_initializer", initializer)
        super().build(inputs_shape)


@package
class BasicRNNCell(GatedOldCell):
    """``h' = act([x, h] @ kernel + bias)``.

    Args:
        num_units: U.
        activation: default tanh.
        reuse: TensorFlow's; a cell here has its own weights.

    Now: ``unrolled.SimpleRNN(units)``, or `unrolled.SimpleRNNCell`.

    Source: ``tf.nn.rnn_cell.BasicRNNCell`` of TensorFlow 1.15.
    """

    num_units: int
    activation: Activation = None
    reuse: Any = None

    matrices: ClassVar[dict[str, str]] = {"": "h"}

    def make(self) -> Any:
        """Our cell."""
        return cells.SimpleRNNCell(
            self.num_units, activation=self.activation, dtype=self.dtype_policy
        )


@package
class BasicLSTMCell(GatedOldCell):
    """An LSTM; `forget_bias` is added to the forget gate at each step.

    Args:
        num_units: U.
        forget_bias: default 1.0, beside the bias that is learnt.
        state_is_tuple: the state is ``LSTMStateTuple(c, h)``, or, if False, one array
            ``(B, 2*U)``.
        activation: default tanh.
        reuse: TensorFlow's; a cell here has its own weights.

    Now: ``unrolled.LSTM(units)``, or `unrolled.LSTMCell`.

    Example:
        >>> import keras
        >>> from unrolled import tf1
        >>> cell = tf1.BasicLSTMCell(4)
        >>> x = keras.ops.ones((2, 5, 3))
        >>> outputs, (c, h) = tf1.dynamic_rnn(cell, x, dtype="float32")
        >>> [array.shape for array in cell.get_weights()]
        [(7, 16), (16,)]

    Source: ``tf.nn.rnn_cell.BasicLSTMCell`` of TensorFlow 1.15.
    """

    num_units: int
    forget_bias: float = 1.0
    state_is_tuple: bool = True
    activation: Activation = None
    reuse: Any = None

    matrices: ClassVar[dict[str, str]] = {"": "icfo"}

    def make(self) -> Any:
        """Our cell."""
        return cells.LSTMCell(
            self.num_units,
            activation=self.activation,
            unit_forget_bias=False,
            forget_bias=self.forget_bias,
            dtype=self.dtype_policy,
        )


@package
class UGRNNCell(GatedOldCell):
    """One gate between keeping and renewing.

    Args:
        num_units: U.
        initializer: of the kernel. Default Glorot's, uniform.
        forget_bias: added to the gate at each step. Default 1.0.
        activation: default tanh.
        reuse: TensorFlow's; a cell here has its own weights.

    Now: ``unrolled.RNN(unrolled.UGRNNCell(units))``.

    Source: ``tf.contrib.rnn.UGRNNCell`` of TensorFlow 1.15.
    """

    num_units: int
    initializer: Initializer = None
    forget_bias: float = 1.0
    activation: Activation = "tanh"
    reuse: Any = None

    matrices: ClassVar[dict[str, str]] = {"": "gc"}

    def make(self) -> Any:
        """Our cell."""
        return cells.UGRNNCell(
            self.num_units,
            activation=self.activation,
            forget_bias=self.forget_bias,
            dtype=self.dtype_policy,
        )
