"""The old cells of images, and of groups of units."""

from typing import Any, ClassVar

from .. import cells
from ..arguments import Activation, Initializer
from ..checks import require
from .base import LSTMStateTuple, OldCell, Tree, package
from .cells import GatedOldCell
from .checkpoint import Held, columns
from .separate import SeparateOldCell


class _Convolved(GatedOldCell):
    """An LSTM of images; our cell is built at once, for the sizes are said."""

    ndims: ClassVar[int] = 0

    def __init__(
        self,
        conv_ndims: int,
        input_shape: Any,
        output_channels: int,
        kernel_shape: Any,
        use_bias: bool = True,
        skip_connection: bool = False,
        forget_bias: float = 1.0,
        initializers: Any = None,
        **kwargs: Any,
    ) -> None:
        del initializers  # nor did TensorFlow look at them
        require(
            len(input_shape) == conv_ndims + 1,
            "input_shape",
            f"must have {conv_ndims} sizes and the channels",
            tuple(input_shape),
            "leave the batch out",
        )
        options = {
            "forget_bias": forget_bias,
            "skip_connection": skip_connection,
            "use_bias": use_bias,
        }
        made = (conv_ndims, output_channels, tuple(kernel_shape), options)
        object.__setattr__(self, "made", (made, tuple(input_shape)))
        super().__init__(**kwargs)

    def make(self) -> Any:
        """Our cell."""
        (rank, filters, kernel, options), shape = self.__dict__["made"]
        cell = cells.ConvLSTMCell(
            rank,
            filters,
            kernel,
            padding="same",
            data_format="channels_last",
            unit_forget_bias=False,
            recurrent_initializer="glorot_uniform",
            dtype=self.dtype_policy,
            **options,
        )
        cell.build((None, *shape))
        return cell

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The inverse of `get_config`; `input_shape` is an argument like the others."""
        del custom_objects
        return cls(**config)

    @property
    def state_size(self) -> Any:
        """The sizes of both images."""
        shape = tuple(self.inner.state_size[0])
        return LSTMStateTuple(shape, shape)

    @property
    def output_size(self) -> Any:
        """The size of the output's image."""
        return tuple(self.inner.output_size)

    def build(self, inputs_shape: Tree) -> None:
        """Nothing is left to be made."""
        OldCell.build(self, inputs_shape)

    def own_entries(self) -> list[Held]:
        """Kernel and biases."""
        cell = self.inner
        at = columns(cell.gates, "icfo", cell.filters)
        kernel = Held("kernel", [cell.kernel, cell.recurrent_kernel], at)
        return [kernel, *([Held("biases", [cell.bias], at)] if cell.use_bias else [])]


@package
class ConvLSTMCell(_Convolved):
    """An LSTM whose products are convolutions.

    Args:
        conv_ndims: in how many dimensions it convolves, 1, 2 or 3.
        input_shape: the sizes of a step and its channels.
        output_channels: F, the channels of h and of c.
        kernel_shape: the sizes of the window.
        use_bias: default True.
        skip_connection: the output has the inputs behind h. TensorFlow's h had them,
            too, and was too wide for a loop.
        forget_bias: added to the forget gate at each step. Default 1.0.
        initializers: read by nobody, nor by TensorFlow.

    Now: ``unrolled.ConvLSTM2D(filters, kernel_size, padding="same")``, or
    `unrolled.ConvLSTMCell`.

    Source: ``tf.contrib.rnn.ConvLSTMCell`` of TensorFlow 1.15.
    """

    default_scope: ClassVar[str] = "conv_lstm_cell"


@package
class Conv1DLSTMCell(_Convolved):
    """`ConvLSTMCell` in one dimension: the same arguments but `conv_ndims`.

    Now: ``unrolled.ConvLSTM1D(filters, kernel_size, padding="same")``.

    Source: ``tf.contrib.rnn.Conv1DLSTMCell`` of TensorFlow 1.15.
    """

    default_scope: ClassVar[str] = "conv_1d_lstm_cell"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(1, **kwargs)


@package
class Conv2DLSTMCell(_Convolved):
    """`ConvLSTMCell` in two dimensions: the same arguments but `conv_ndims`.

    Now: ``unrolled.ConvLSTM2D(filters, kernel_size, padding="same")``.

    Source: ``tf.contrib.rnn.Conv2DLSTMCell`` of TensorFlow 1.15.
    """

    default_scope: ClassVar[str] = "conv_2d_lstm_cell"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(2, **kwargs)


@package
class Conv3DLSTMCell(_Convolved):
    """`ConvLSTMCell` in three dimensions: the same arguments but `conv_ndims`.

    Now: ``unrolled.ConvLSTM3D(filters, kernel_size, padding="same")``.

    Source: ``tf.contrib.rnn.Conv3DLSTMCell`` of TensorFlow 1.15.
    """

    default_scope: ClassVar[str] = "conv_3d_lstm_cell"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(3, **kwargs)


@package
class GLSTMCell(SeparateOldCell):
    """An LSTM in groups of units that do not see each other.

    Args:
        num_units: U.
        initializer: of the kernels. Default Glorot's, uniform.
        num_proj: P, the width of h after a projection; none by default.
        number_of_groups: K, which must divide D, U and P. Default 1.
        forget_bias: added to the forget gate at each step. Default 1.0.
        activation: of c on its way out. Default tanh.
        reuse: TensorFlow's; a cell here has its own weights.

    Now: ``unrolled.RNN(unrolled.GLSTMCell(units, groups=...))``.

    Source: ``tf.contrib.rnn.GLSTMCell`` of TensorFlow 1.15.
    """

    num_units: int
    initializer: Initializer = None
    num_proj: int | None = None
    number_of_groups: int = 1
    forget_bias: float = 1.0
    activation: Activation = "tanh"
    reuse: Any = None

    kind: ClassVar[Any] = cells.GLSTMCell

    def options(self) -> dict[str, Any]:
        """As given."""
        return {
            "groups": self.number_of_groups,
            "projection_size": self.num_proj,
            "forget_bias": self.forget_bias,
            "kernel_initializer": self.initializer,
            "recurrent_initializer": self.initializer,
        }

    def held(self) -> list[Held]:
        """A kernel for each group, a bias for each gate, and the projection."""
        cell, found = self.inner, []
        share = cell.units // self.number_of_groups
        both = [cell.kernel, cell.recurrent_kernel]
        whole = columns(cell.gates, "icfo", cell.units).reshape(4, -1, share)
        for group in range(self.number_of_groups):
            at = whole[:, group].reshape(-1)
            found.append(Held(f"group{group}/kernel", both, at))
        for gate, name in zip("icfo", "ijfo", strict=True):
            own = columns(cell.gates, gate, cell.units)
            found.append(Held(f"bias_{name}", [cell.bias], own))
        if self.num_proj:
            found.append(Held("projection/kernel", [cell.projection_kernel]))
        return found
