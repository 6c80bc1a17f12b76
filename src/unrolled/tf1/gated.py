"""The old cells of ``tf.contrib.rnn`` that are cells of their own here."""

from typing import Any, ClassVar

from .. import cells
from ..arguments import Activation, Initializer
from ..checks import require
from .base import Tree, package
from .checkpoint import Held, columns
from .separate import SeparateOldCell


@package
class IntersectionRNNCell(SeparateOldCell):
    """One gate along time, one through depth: for deep stacks.

    Args:
        num_units: U.
        num_in_proj: U in the lowest cell of a stack, whose inputs are not U wide.
        initializer: of the kernels. Default Glorot's, uniform.
        forget_bias: added to both gates at each step. Default 1.0.
        y_activation: of the output's candidate. Default ``"relu"``.
        reuse: TensorFlow's; a cell here has its own weights.

    Raises:
        ValueError: if `num_in_proj` is another width, or missing where it is needed, or
            there where it is not.

    Now: ``unrolled.RNN([unrolled.IntersectionRNNCell(units), ...])``.

    Source: ``tf.contrib.rnn.IntersectionRNNCell`` of TensorFlow 1.15.
    """

    num_units: int
    num_in_proj: int | None = None
    initializer: Initializer = None
    forget_bias: float = 1.0
    y_activation: Activation = "relu"
    reuse: Any = None

    activation = "tanh"
    kind: ClassVar[Any] = cells.IntersectionRNNCell

    def options(self) -> dict[str, Any]:
        """As given."""
        return {
            "forget_bias": self.forget_bias,
            "y_activation": self.y_activation,
            "kernel_initializer": self.initializer,
            "recurrent_initializer": self.initializer,
        }

    def build(self, inputs_shape: Tree) -> None:
        """Make the weights."""
        width, units = inputs_shape[-1], self.num_units
        wanted = None if width == units else units
        require(
            width is None or self.num_in_proj == wanted,
            "num_in_proj",
            f"must be {wanted} for inputs {width} wide",
            repr(self.num_in_proj),
            "pass num_units where inputs have another width, else nothing",
        )
        super().build(inputs_shape)

    def held(self) -> list[Held]:
        """The projection of the inputs, then one kernel and its bias."""
        cell = self.inner
        found = []
        if cell.input_kernel is not None:
            found.append(Held("in_projection/kernel", [cell.input_kernel]))
            found.append(Held("in_projection/bias", [cell.input_bias]))
        both = [cell.kernel, cell.recurrent_kernel]
        return [*found, Held("kernel", both), Held("bias", [cell.bias])]


@package
class NASCell(SeparateOldCell):
    """The cell that neural architecture search found.

    Args:
        num_units: U, the width of c.
        num_proj: P, the width of h after a projection; none by default.
        use_bias: add a bias to the share of h. Default False.
        reuse: TensorFlow's; a cell here has its own weights.

    Now: ``unrolled.RNN(unrolled.NASCell(units))``.

    Source: ``tf.contrib.rnn.NASCell`` of TensorFlow 1.15.
    """

    num_units: int
    num_proj: int | None = None
    use_bias: bool = False
    reuse: Any = None

    activation = "tanh"
    kind: ClassVar[Any] = cells.NASCell

    def options(self) -> dict[str, Any]:
        """As given."""
        return {"projection_size": self.num_proj, "use_bias": self.use_bias}

    def held(self) -> list[Held]:
        """Kernels apart, as here."""
        found = self.plain("recurrent_kernel", "kernel")
        found += self.plain("bias") if self.use_bias else []
        if self.num_proj:
            found.append(Held("projection_weights", [self.inner.projection_kernel]))
        return found


@package
class PhasedLSTMCell(SeparateOldCell):
    """An LSTM whose units open for a share of a period of their own.

    Inputs are a pair, the time ``(B, T, 1)`` and the features ``(B, T, D)``.

    Args:
        num_units: U.
        use_peepholes: let the gates see c, by matrices. Default False.
        leak: what a closed unit lets through. Default 0.001.
        ratio_on: share of its period for which a unit is open. Default 0.1.
        trainable_ratio_on: learn that share. Default True.
        period_init_min: and ``period_init_max``: between which periods begin.
        period_init_max: as well.
        reuse: TensorFlow's; a cell here has its own weights.

    Now: ``unrolled.RNN(unrolled.PhasedLSTMCell(units))``.

    Source: ``tf.contrib.rnn.PhasedLSTMCell`` of TensorFlow 1.15.
    """

    num_units: int
    use_peepholes: bool = False
    leak: float = 0.001
    ratio_on: float = 0.1
    trainable_ratio_on: bool = True
    period_init_min: float = 1.0
    period_init_max: float = 1000.0
    reuse: Any = None

    activation = "tanh"
    kind: ClassVar[Any] = cells.PhasedLSTMCell

    def options(self) -> dict[str, Any]:
        """As given."""
        names = ("use_peepholes", "leak", "ratio_on", "trainable_ratio_on")
        names = (*names, "period_init_min", "period_init_max")
        return {name: getattr(self, name) for name in names}

    def held(self) -> list[Held]:
        """A pair for i and f, for the candidate, and for o; what says when to open."""
        cell, found = self.inner, []
        pairs = {"mask_gates": "if", "new_input": "c", "output_gate": "o"}
        for scope, gates in pairs.items():
            at = columns(cell.gates, gates, cell.units)
            weights, each = [cell.kernel, cell.recurrent_kernel], [at, at]
            if self.use_peepholes and gates != "c":
                weights.append(cell.peephole_kernel)
                each.append(columns("ifo", gates, cell.units))
            found.append(Held(f"{scope}/kernel", weights, tuple(each)))
            found.append(Held(f"{scope}/bias", [cell.bias], at))
        rest = {"period": cell.period, "phase": cell.phase, "ratio_on": cell.share}
        return [*found, *(Held(name, [weight]) for name, weight in rest.items())]


@package
class SRUCell(SeparateOldCell):
    """A cell on whose state no weights act.

    Args:
        num_units: U.
        activation: default tanh.
        reuse: TensorFlow's; a cell here has its own weights.

    Now: ``unrolled.RNN(unrolled.SRUCell(units))``.

    Source: ``tf.contrib.rnn.SRUCell`` of TensorFlow 1.15.
    """

    num_units: int
    activation: Activation = None
    reuse: Any = None

    kind: ClassVar[Any] = cells.SRUCell

    def held(self) -> list[Held]:
        """As here."""
        return self.plain("kernel", "bias")


class _OfUnits(SeparateOldCell):
    """The cells whose width is called `units`, which came last."""

    def options(self) -> dict[str, Any]:
        """As given."""
        given: Any = self
        return {
            "kernel_initializer": given.kernel_initializer,
            "bias_initializer": given.bias_initializer,
        }

    @property
    def num_units(self) -> int:
        """The width under its older name."""
        given: Any = self
        return given.units


@package
class MinimalRNNCell(_OfUnits):
    """One gate between the state and what the inputs become.

    Args:
        units: U.
        activation: default tanh.
        kernel_initializer: default Glorot's, uniform.
        bias_initializer: default ones.

    Now: ``unrolled.RNN(unrolled.MinimalRNNCell(units))``.

    Source: ``MinimalRNNCell`` of TensorFlow 1.15's contrib.rnn, in
    ``tensorflow.contrib.rnn.python.ops.rnn_cell``.
    """

    units: int
    activation: Activation = "tanh"
    kernel_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "ones"

    kind: ClassVar[Any] = cells.MinimalRNNCell

    def held(self) -> list[Held]:
        """Three matrices in one."""
        cell = self.inner
        matrices = [cell.kernel, cell.gate_kernel, cell.recurrent_kernel]
        return [Held("kernel", matrices), *self.plain("bias")]


@package
class CFNCell(_OfUnits):
    """The chaos-free network.

    Args:
        units: U.
        activation: default tanh.
        kernel_initializer: default Glorot's, uniform.
        bias_initializer: default ones.

    Now: ``unrolled.RNN(unrolled.CFNCell(units))``.

    Source: ``CFNCell`` of TensorFlow 1.15's contrib.rnn, in
    ``tensorflow.contrib.rnn.python.ops.rnn_cell``.
    """

    units: int
    activation: Activation = "tanh"
    kernel_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "ones"

    kind: ClassVar[Any] = cells.CFNCell

    def held(self) -> list[Held]:
        """As here."""
        return self.plain("kernel", "recurrent_kernel", "bias")
