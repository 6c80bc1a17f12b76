"""The old LSTMs, of ``tf.nn.rnn_cell`` and ``tf.contrib.rnn``: options of one cell."""

from typing import Any, ClassVar

from .. import cells
from ..arguments import Activation, Initializer
from ..checks import require
from .base import package
from .cells import GatedOldCell
from .checkpoint import Held, Unread, columns

_SCOPES = {"i": "input", "c": "transform", "f": "forget", "o": "output"}
# contrib.layers.layer_norm's.
_EPSILON = 1e-12


class AnyLSTM(GatedOldCell):
    """An LSTM with options of ours.

    A subclass says which, and what TensorFlow called its variables, in the order in
    which it made them.
    """

    order: ClassVar[str] = "icfo"
    kernel: ClassVar[str] = "kernel"
    bias: ClassVar[str] = "bias"
    diagonals: ClassVar[dict[str, str]] = {
        "f": "w_f_diag",
        "i": "w_i_diag",
        "o": "w_o_diag",
    }
    projection: ClassVar[str] = "projection/kernel"
    matrices: ClassVar[dict[str, str]] = {"": "icfo"}

    def options(self) -> dict[str, Any]:
        """Arguments of our cell."""
        raise NotImplementedError

    def make(self) -> Any:
        """Our cell."""
        given: Any = self
        for name, usual in (("norm_gain", 1.0), ("norm_shift", 0.0)):
            value = getattr(self, name, usual)
            require(
                value == usual,
                name,
                f"must be {usual}, where it begins here",
                repr(value),
                "assign the cell's weights after build",
            )
        return cells.LSTMCell(
            given.num_units,
            activation=given.activation,
            unit_forget_bias=False,
            norm_epsilon=_EPSILON,
            dtype=self.dtype_policy,
            **self.options(),
        )

    def own_entries(self) -> list[Any]:
        """Kernel and bias, and what the options add."""
        cell = self.inner
        if not cell.built:
            return []
        at = columns(cell.gates, self.order, cell.units)
        found: list[Any] = [Held(self.kernel, [cell.kernel, cell.recurrent_kernel], at)]
        if cell.weight_norm:
            scales = [cell.kernel_scale, cell.recurrent_kernel_scale]
            found += [Held(f"norm_{n}", [s], at) for n, s in enumerate(scales)]
        # Where gates are normalised TensorFlow makes a bias that nothing reads.
        if self.bias:
            held = Held(self.bias, [cell.bias], at)
            found.append(Unread(self.bias, at.shape) if cell.layer_norm else held)
        for gate in self.order if cell.layer_norm else "":
            own = columns(cell.gates, gate, cell.units)
            found.append(Held(f"{_SCOPES[gate]}/gamma", [cell.gain], own))
            found.append(Held(f"{_SCOPES[gate]}/beta", [cell.bias], own))
        if cell.use_peepholes:
            seen = cell.gates.replace("c", "")
            found += [
                Held(name, [cell.peephole], row=seen.index(gate))
                for gate, name in self.diagonals.items()
            ]
        if cell.layer_norm:
            found.append(Held("state/gamma", [cell.state_gain]))
            found.append(Held("state/beta", [cell.state_shift]))
        if cell.projection_size:
            found.append(Held(self.projection, [cell.projection_kernel]))
            if cell.weight_norm:
                scale = cell.projection_kernel_scale
                found.append(Held("projection/norm_0", [scale]))
        return found


def _projected(cell: Any) -> dict[str, Any]:
    """Options of a cell with ``num_proj``, which other cells have too."""
    return {
        "use_peepholes": cell.use_peepholes,
        "projection_size": cell.num_proj,
        # TensorFlow does not look at the clip of what is not projected.
        "projection_clip": cell.proj_clip if cell.num_proj else None,
        "forget_bias": float(cell.forget_bias),
        "cell_clip": getattr(cell, "cell_clip", None),
    }


@package
class LSTMCell(AnyLSTM):
    """An LSTM with peepholes, clips and a projection.

    Args:
        num_units: U, the width of c.
        use_peepholes: let the gates see c: ``w_i_diag``, ``w_f_diag``, ``w_o_diag``.
        cell_clip: c is kept within plus and minus this.
        initializer: of the matrices. Default Glorot's, uniform.
        num_proj: P, the width of h after a projection; none by default.
        proj_clip: h is kept within plus and minus this after the projection.
        num_unit_shards: TensorFlow's; nothing is sharded here.
        num_proj_shards: as well.
        forget_bias: added to the forget gate at each step. Default 1.0.
        state_is_tuple: the state is ``LSTMStateTuple(c, h)``, or, if False, one array.
        activation: default tanh.
        reuse: TensorFlow's; a cell here has its own weights.

    Now: ``unrolled.LSTMCell(units, use_peepholes=..., cell_clip=...,
    projection_size=..., projection_clip=..., forget_bias=...)``.

    Source: ``tf.nn.rnn_cell.LSTMCell`` of TensorFlow 1.15.
    """

    num_units: int
    use_peepholes: bool = False
    cell_clip: float | None = None
    initializer: Initializer = None
    num_proj: int | None = None
    proj_clip: float | None = None
    num_unit_shards: Any = None
    num_proj_shards: Any = None
    forget_bias: float = 1.0
    state_is_tuple: bool = True
    activation: Activation = None
    reuse: Any = None

    def options(self) -> dict[str, Any]:
        """As given."""
        return _projected(self)


@package
class CudnnCompatibleLSTMCell(AnyLSTM):
    """An LSTM that takes a trained ``CudnnLSTM``: nothing is added to its forget gate.

    Args:
        num_units: U.
        reuse: TensorFlow's; a cell here has its own weights.

    Now: ``unrolled.LSTM(units)``.

    Source: ``tf.contrib.cudnn_rnn.CudnnCompatibleLSTMCell`` of TensorFlow 1.15.
    """

    num_units: int
    reuse: Any = None

    activation = "tanh"

    def options(self) -> dict[str, Any]:
        """None."""
        return {}


@package
class LSTMBlockCell(AnyLSTM):
    """An LSTM that TensorFlow had written in C++.

    Args:
        num_units: U.
        forget_bias: added to the forget gate at each step. Default 1.0.
        cell_clip: c is kept within plus and minus this. TensorFlow's gradient passes
            what was clipped; here it does not, as in `LSTMCell`.
        use_peephole: let the gates see c.
        reuse: TensorFlow's; a cell here has its own weights.

    Now: ``unrolled.LSTM(units)``, which has a kernel of its own.

    Source: ``tf.contrib.rnn.LSTMBlockCell`` of TensorFlow 1.15.
    """

    num_units: int
    forget_bias: float = 1.0
    cell_clip: float | None = None
    use_peephole: bool = False
    reuse: Any = None

    activation = "tanh"
    default_scope: ClassVar[str] = "lstm_cell"
    diagonals: ClassVar[dict[str, str]] = {
        "i": "w_i_diag",
        "f": "w_f_diag",
        "o": "w_o_diag",
    }

    def options(self) -> dict[str, Any]:
        """As given; -1 was no clip, too."""
        clip = self.cell_clip
        return {
            "forget_bias": self.forget_bias,
            "cell_clip": clip if clip is not None and clip > 0 else None,
            "use_peepholes": self.use_peephole,
        }


@package
class CoupledInputForgetGateLSTMCell(AnyLSTM):
    """An LSTM that lets in as much as it forgets.

    Args:
        num_units: U, the width of c.
        use_peepholes: let the gates see c: ``W_F_diag``, ``W_O_diag``.
        initializer: of the matrices. Default Glorot's, uniform.
        num_proj: P, the width of h after a projection; none by default.
        proj_clip: h is kept within plus and minus this after the projection.
        num_unit_shards: TensorFlow's; a checkpoint of more than one is not read.
        num_proj_shards: as well.
        forget_bias: added to the forget gate at each step. Default 1.0.
        state_is_tuple: the state is ``LSTMStateTuple(c, h)``, or, if False, one array.
        activation: default tanh.
        reuse: TensorFlow's; a cell here has its own weights.
        layer_norm: normalise each gate, and c. Default False.
        norm_gain: where gains begin, 1.0.
        norm_shift: where shifts begin, 0.0.

    Now: ``unrolled.LSTMCell(units, couple_gates=True, layer_norm="gates", ...)``.

    Source: ``tf.contrib.rnn.CoupledInputForgetGateLSTMCell`` of TensorFlow 1.15.
    """

    num_units: int
    use_peepholes: bool = False
    initializer: Initializer = None
    num_proj: int | None = None
    proj_clip: float | None = None
    num_unit_shards: int = 1
    num_proj_shards: int = 1
    forget_bias: float = 1.0
    state_is_tuple: bool = True
    activation: Activation = "tanh"
    reuse: Any = None
    layer_norm: bool = False
    norm_gain: float = 1.0
    norm_shift: float = 0.0

    order: ClassVar[str] = "cfo"
    matrices: ClassVar[dict[str, str]] = {"": "cfo"}
    kernel: ClassVar[str] = "W_0"
    bias: ClassVar[str] = "B"
    diagonals: ClassVar[dict[str, str]] = {"f": "W_F_diag", "o": "W_O_diag"}
    projection: ClassVar[str] = "W_P_0"

    def options(self) -> dict[str, Any]:
        """As given."""
        norm = "gates" if self.layer_norm else None
        return {**_projected(self), "couple_gates": True, "layer_norm": norm}


@package
class LayerNormBasicLSTMCell(AnyLSTM):
    """An LSTM whose gates and c are normalised.

    Args:
        num_units: U.
        forget_bias: added to the forget gate at each step. Default 1.0.
        input_size: read by nobody.
        activation: default tanh.
        layer_norm: default True; without it there is a bias.
        norm_gain: where gains begin, 1.0.
        norm_shift: where shifts begin, 0.0.
        dropout_keep_prob: 1.0; the dropout of the candidate is not here.
        dropout_prob_seed: its seed.
        reuse: TensorFlow's; a cell here has its own weights.

    Raises:
        ValueError: if `dropout_keep_prob` is less than 1.

    Now: ``unrolled.LSTMCell(units, layer_norm="gates")``.

    Source: ``tf.contrib.rnn.LayerNormBasicLSTMCell`` of TensorFlow 1.15.
    """

    num_units: int
    forget_bias: float = 1.0
    input_size: Any = None
    activation: Activation = "tanh"
    layer_norm: bool = True
    norm_gain: float = 1.0
    norm_shift: float = 0.0
    dropout_keep_prob: float = 1.0
    dropout_prob_seed: int | None = None
    reuse: Any = None

    @property
    def bias(self) -> str:
        """Shifts stand for it where gates are normalised."""
        return "" if self.layer_norm else "bias"

    def options(self) -> dict[str, Any]:
        """As given."""
        require(
            self.dropout_keep_prob == 1.0,
            "dropout_keep_prob",
            "must be 1.0: this dropout, of the candidate, is not here",
            repr(self.dropout_keep_prob),
            "use unrolled.LSTMCell(units, layer_norm='gates', recurrent_dropout=...)",
        )
        norm = "gates" if self.layer_norm else None
        return {"forget_bias": self.forget_bias, "layer_norm": norm}


@package
class LayerNormLSTMCell(AnyLSTM):
    """`LSTMCell` whose gates and c may be normalised.

    Args:
        num_units: U, the width of c.
        use_peepholes: let the gates see c.
        cell_clip: c is kept within plus and minus this.
        initializer: of the matrices. Default Glorot's, uniform.
        num_proj: P, the width of h after a projection; none by default.
        proj_clip: h is kept within plus and minus this after the projection.
        forget_bias: added to the forget gate at each step. Default 1.0.
        activation: default tanh.
        layer_norm: default False, as in TensorFlow.
        norm_gain: where gains begin, 1.0.
        norm_shift: where shifts begin, 0.0.
        reuse: TensorFlow's; a cell here has its own weights.

    Now: ``unrolled.LSTMCell(units, layer_norm="gates", ...)``.

    Source: ``LayerNormLSTMCell`` of TensorFlow 1.15's contrib.rnn, in
    ``tensorflow.contrib.rnn.python.ops.rnn_cell``.
    """

    num_units: int
    use_peepholes: bool = False
    cell_clip: float | None = None
    initializer: Initializer = None
    num_proj: int | None = None
    proj_clip: float | None = None
    forget_bias: float = 1.0
    activation: Activation = None
    layer_norm: bool = False
    norm_gain: float = 1.0
    norm_shift: float = 0.0
    reuse: Any = None

    def options(self) -> dict[str, Any]:
        """As given."""
        norm = "gates" if self.layer_norm else None
        return {**_projected(self), "layer_norm": norm}


@package
class WeightNormLSTMCell(AnyLSTM):
    """`LSTMCell` that learns the lengths of its weights' columns apart.

    Args:
        num_units: U, the width of c.
        norm: default True.
        use_peepholes: let the gates see c.
        cell_clip: c is kept within plus and minus this.
        initializer: of the matrices. Default Glorot's, uniform.
        num_proj: P, the width of h after a projection; none by default.
        proj_clip: h is kept within plus and minus this after the projection.
        forget_bias: added to the forget gate at each step. Default 1.
        activation: default tanh.
        reuse: TensorFlow's; a cell here has its own weights.

    Now: ``unrolled.LSTMCell(units, weight_norm=True, ...)``.

    Source: ``WeightNormLSTMCell`` of TensorFlow 1.15's contrib.rnn, in
    ``tensorflow.contrib.rnn.python.ops.rnn_cell``.
    """

    num_units: int
    norm: bool = True
    use_peepholes: bool = False
    cell_clip: float | None = None
    initializer: Initializer = None
    num_proj: int | None = None
    proj_clip: float | None = None
    forget_bias: float = 1
    activation: Activation = None
    reuse: Any = None

    default_scope: ClassVar[str] = "wn_lstm_cell/wn_lstm_cell"

    def options(self) -> dict[str, Any]:
        """As given."""
        return {**_projected(self), "weight_norm": self.norm}
