"""The old GRUs, of ``tf.nn.rnn_cell`` and ``tf.contrib``."""

from typing import Any, ClassVar

import jax
import keras
import numpy as np
from jax import numpy as jnp

from .. import cells
from ..arguments import Activation, Initializer
from .base import package
from .cells import GatedOldCell
from .checkpoint import Held, columns
from .separate import SeparateOldCell


class AnyGRU(GatedOldCell):
    """A GRU that resets h before its product; the gates' bias starts at 1."""

    matrices: ClassVar[dict[str, str]] = {"gates/": "rz", "candidate/": "h"}

    def make(self) -> Any:
        """Our cell."""
        given: Any = self
        return cells.GRUCell(
            given.num_units,
            activation=given.activation,
            reset_after=False,
            dtype=self.dtype_policy,
        )

    def drawn(self, scope: str) -> tuple[Any, Any]:
        """The gates begin open."""
        kernel = getattr(self, "kernel_initializer", None)
        bias = getattr(self, "bias_initializer", None)
        ones = keras.initializers.Ones() if scope == "gates/" else None
        return (
            kernel or keras.initializers.GlorotUniform(),
            bias or ones or keras.initializers.Zeros(),
        )


@package
class GRUCell(AnyGRU):
    """A GRU that resets h before its product; the gates' bias starts at 1.

    Args:
        num_units: U.
        activation: default tanh.
        reuse: TensorFlow's; a cell here has its own weights.
        kernel_initializer: of both kernels. Default Glorot's, uniform.
        bias_initializer: of both biases. Default: ones for the gates, zeros for the
            candidate.

    Now: ``unrolled.GRU(units, reset_after=False)``, or `unrolled.GRUCell`.

    Source: ``tf.nn.rnn_cell.GRUCell`` of TensorFlow 1.15.
    """

    num_units: int
    activation: Activation = None
    reuse: Any = None
    kernel_initializer: Initializer = None
    bias_initializer: Initializer = None


@package
class GRUBlockCell(AnyGRU):
    """A GRU that TensorFlow had written in C++; its variables have names of its own.

    Args:
        num_units: U.
        cell_size: an older name of that.
        reuse: TensorFlow's; a cell here has its own weights.

    Now: ``unrolled.GRU(units, reset_after=False)``.

    Source: ``tf.contrib.rnn.GRUBlockCell`` of TensorFlow 1.15.
    """

    num_units: int | None = None
    cell_size: int | None = None
    reuse: Any = None

    activation = "tanh"
    default_scope: ClassVar[str] = "gru_cell"

    def make(self) -> Any:
        """Our cell."""
        if self.num_units is None:
            self.num_units, self.cell_size = self.cell_size, None
        return super().make()

    def called(self, scope: str) -> tuple[str, str]:
        """By letters."""
        end = "ru" if scope == "gates/" else "c"
        return f"w_{end}", f"b_{end}"


@package
class GRUBlockCellV2(GRUBlockCell):
    """`GRUBlockCell` whose variables are called as those of `GRUCell`.

    Args:
        num_units: U.
        cell_size: an older name of that.
        reuse: TensorFlow's; a cell here has its own weights.

    Now: ``unrolled.GRU(units, reset_after=False)``.

    Source: ``tf.contrib.rnn.GRUBlockCellV2`` of TensorFlow 1.15.
    """

    def called(self, scope: str) -> tuple[str, str]:
        """As in `GRUCell`."""
        return GatedOldCell.called(self, scope)


@package
class OneGateBias(cells.GRUCell):
    """A GRU that resets h after its product, with one bias for each gate.

    ``bias (4*U,)``: of z, of r, of the candidate's share of x, of its share of h.
    """

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """A fourth for h."""
        return (4 * self.units,)

    def initial_bias(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """The gates begin open."""
        return jnp.asarray(np.arange(*shape) < 2 * self.units, dtype)

    @property
    def step_bias(self) -> jax.Array:
        """As a GRU with two rows adds it: none for the gates' share of h."""
        bias: Any = self.bias
        x, h = jnp.split(bias.value, [3 * self.units])
        return jnp.stack([x, jnp.pad(h, (2 * self.units, 0))])

    def _bias(self, row: int) -> jax.Array:
        return self.step_bias.astype(self.state_dtype)[row]


@package
class CudnnCompatibleGRUCell(SeparateOldCell):
    """A GRU that takes a trained ``CudnnGRU``: it resets h after its product.

    Args:
        num_units: U.
        reuse: TensorFlow's; a cell here has its own weights.
        kernel_initializer: of the kernels. Default Glorot's, uniform.

    Now: ``unrolled.GRU(units)``.

    Source: ``tf.contrib.cudnn_rnn.CudnnCompatibleGRUCell`` of TensorFlow 1.15.
    """

    num_units: int
    reuse: Any = None
    kernel_initializer: Initializer = None

    activation = "tanh"
    kind: ClassVar[Any] = OneGateBias

    def options(self) -> dict[str, Any]:
        """As given."""
        return {
            "kernel_initializer": self.kernel_initializer,
            "recurrent_initializer": self.kernel_initializer,
        }

    def held(self) -> list[Held]:
        """A pair for the gates; of the candidate one for x and one for h."""
        cell, units = self.inner, self.num_units
        gates, new = (columns(cell.gates, each, units) for each in ("rz", "h"))
        kernels = {"input_projection": cell.kernel}
        kernels["hidden_projection"] = cell.recurrent_kernel
        biases = {"input_projection": new, "hidden_projection": new + units}
        return [
            Held("gates/kernel", list(kernels.values()), gates),
            Held("gates/bias", [cell.bias], gates),
            *(Held(f"candidate/{n}/kernel", [w], new) for n, w in kernels.items()),
            *(Held(f"candidate/{n}/bias", [cell.bias], c) for n, c in biases.items()),
        ]
