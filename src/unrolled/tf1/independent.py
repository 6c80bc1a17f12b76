"""The old cells each unit of which reads its own state alone."""

from typing import Any, ClassVar

from .. import cells
from ..arguments import Activation, Initializer
from .base import package
from .checkpoint import Held, columns
from .separate import SeparateOldCell


def _independent(
    cell: Any, gates: str, prefix: str = "", first: str = "_w"
) -> list[Held]:
    """A kernel, the numbers of the states, and the bias, of some gates."""
    at = columns(cell.gates, gates, cell.units)
    return [
        Held(f"{prefix}kernel{first}", [cell.kernel], at),
        Held(f"{prefix}kernel_u", [cell.recurrent_kernel], at, lead=1),
        Held(f"{prefix}bias", [cell.bias], at),
    ]


@package
class IndRNNCell(SeparateOldCell):
    """Each unit reads its own state alone.

    Args:
        num_units: U.
        activation: default tanh.
        reuse: TensorFlow's; a cell here has its own weights.

    Now: ``unrolled.RNN(unrolled.IndRNNCell(units))``.

    Source: ``tf.contrib.rnn.IndRNNCell`` of TensorFlow 1.15.
    """

    num_units: int
    activation: Activation = None
    reuse: Any = None

    kind: ClassVar[Any] = cells.IndRNNCell

    def held(self) -> list[Held]:
        """``kernel_w``, ``kernel_u`` and the bias."""
        return _independent(self.inner, "h")


@package
class IndyLSTMCell(SeparateOldCell):
    """An LSTM each unit of which reads its own h alone.

    Args:
        num_units: U.
        forget_bias: added to the forget gate at each step. Default 1.0.
        activation: default tanh.
        reuse: TensorFlow's; a cell here has its own weights.
        kernel_initializer: of ``kernel_w``. Default Glorot's, uniform.
        bias_initializer: default zeros.

    Now: ``unrolled.RNN(unrolled.IndyLSTMCell(units))``.

    Source: ``tf.contrib.rnn.IndyLSTMCell`` of TensorFlow 1.15.
    """

    num_units: int
    forget_bias: float = 1.0
    activation: Activation = None
    reuse: Any = None
    kernel_initializer: Initializer = None
    bias_initializer: Initializer = None

    kind: ClassVar[Any] = cells.IndyLSTMCell

    def options(self) -> dict[str, Any]:
        """As given."""
        return {
            "forget_bias": self.forget_bias,
            "kernel_initializer": self.kernel_initializer,
            "bias_initializer": self.bias_initializer or "zeros",
        }

    def held(self) -> list[Held]:
        """``kernel_w``, ``kernel_u`` and the bias."""
        return _independent(self.inner, "icfo")


@package
class IndyGRUCell(SeparateOldCell):
    """A GRU each unit of which reads its own state alone.

    Args:
        num_units: U.
        activation: default tanh.
        reuse: TensorFlow's; a cell here has its own weights.
        kernel_initializer: of both kernels. Default Glorot's, uniform.
        bias_initializer: of both biases. Default: ones for the gates, zeros for the
            candidate.

    Now: ``unrolled.RNN(unrolled.IndyGRUCell(units))``.

    Source: ``tf.contrib.rnn.IndyGRUCell`` of TensorFlow 1.15.
    """

    num_units: int
    activation: Activation = None
    reuse: Any = None
    kernel_initializer: Initializer = None
    bias_initializer: Initializer = None

    kind: ClassVar[Any] = cells.IndyGRUCell

    def options(self) -> dict[str, Any]:
        """As given."""
        return {
            "kernel_initializer": self.kernel_initializer,
            "bias_initializer": self.bias_initializer,
        }

    def held(self) -> list[Held]:
        """A pair for the gates, one for the candidate."""
        cell = self.inner
        gates = _independent(cell, "rz", "gates/")
        return [*gates, *_independent(cell, "h", "candidate/", "")]
