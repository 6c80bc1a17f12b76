"""Long short-term memory."""

from typing import Any, ClassVar

import jax
import keras
import numpy as np
from jax import numpy as jnp

from ..arguments import KW_ONLY, Declared
from ..checks import require
from .gated import (
    GateArguments,
    UnitsArguments,
    WeightArguments,
    activate,
)
from .normalised import NormalisationArguments, NormalisedCell, normalise


class LSTMOptions(Declared):
    """What makes other LSTMs of the textbook's."""

    _: KW_ONLY
    use_peepholes: bool = False
    couple_gates: bool = False
    forget_bias: float = 0.0
    cell_clip: float | None = None
    projection_size: int | None = None
    projection_clip: float | None = None


class LSTMArguments(
    LSTMOptions,
    NormalisationArguments,
    WeightArguments,
    GateArguments,
    UnitsArguments,
):
    """Arguments of `LSTMCell` and `LSTM`."""

    unit_forget_bias: bool = True


@keras.saving.register_keras_serializable("unrolled")
class LSTMCell(LSTMArguments, NormalisedCell):
    """Two states: the gated memory c, and h, which is also the output.

    With the pre-activations ``z = x @ W + h @ R + b`` in the order i, f, c, o::

        c' = sigmoid(z_f) * c + sigmoid(z_i) * tanh(z_c)
        h' = sigmoid(z_o) * tanh(c')

    The options add to it, in this order::

        z_f + forget_bias;  z_i + p_i * c,  z_f + p_f * c,  z_o + p_o * c'   peepholes
        sigmoid(z_i) = 1 - sigmoid(z_f); z has no i              couple_gates
        c' = state_gain * n(c') + state_shift                    layer_norm
        c' within -cell_clip and cell_clip
        h' = h' @ P, within -projection_clip and projection_clip

    Args:
        units: U, the width of c, and of h where it is not projected.
        activation: of the candidate and of c on its way out. Default tanh.
        recurrent_activation: of the gates i, f, o. Default sigmoid.
        use_bias: add a bias. Default True.
        kernel_initializer: of W ``(D, 4*U)``. Default ``"glorot_uniform"``.
        recurrent_initializer: of R ``(U, 4*U)``. Default ``"orthogonal"``.
        bias_initializer: of b ``(4*U,)``. Default ``"zeros"``.
        unit_forget_bias: start the forget gate's bias at 1 (Jozefowicz, 2015).
        use_peepholes: let the gates see c: ``peephole (3, U)`` in the order i, f, o.
        couple_gates: forget as much as is let in; W is ``(D, 3*U)``, gates f, c, o.
        forget_bias: added to the forget gate at each step, beside its bias. Default 0.
        cell_clip: the largest absolute value of c. Default None.
        projection_size: P, the width of h: ``projection_kernel (U, P)``, R ``(P,
            4*U)``. Default None: h is as wide as c.
        projection_clip: the largest absolute value of the projected h. Default None.
        kernel_regularizer: and ``recurrent_``, ``bias_``: none by default.
        kernel_constraint: and ``recurrent_``, ``bias_``: none by default.
        dropout: share of the D features dropped, the same at every step.
        recurrent_dropout: share of h dropped on its way into the product.
        seed: of the dropout masks.
        layer_norm: normalise each gate (``"gates"``), or x @ W and h @ R
            (``"products"``), and c; see `NormalisedCell`. Default None.
        norm_epsilon: added to variances. Default 1e-3.
        weight_norm: learn the lengths of the weights' columns apart. Default False.

    Raises:
        ValueError: if `units` or `projection_size` is not a positive integer, or a
            clip is not positive.

    Source: Hochreiter and Schmidhuber, 1997; forget gate, Gers, 2000; weights as
    in ``keras.layers.LSTMCell``. Options as in TensorFlow 1.15's ``LSTMCell``,
    ``CoupledInputForgetGateLSTMCell``, ``LayerNormLSTMCell`` and
    ``WeightNormLSTMCell``: peepholes, Gers and Schmidhuber, 2000; projection, Sak et
    al., 2014, arXiv:1402.1128; coupled gates, Greff et al., 2015, arXiv:1503.04069.
    """

    additive: ClassVar[bool] = True
    state_names: ClassVar[Any] = ("h", "c")
    # All but forget_bias, which is part of what a step adds, as any bias.
    options: ClassVar[tuple[str, ...]] = tuple(
        name for name in LSTMOptions.__annotations__ if name not in ("_", "forget_bias")
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("cell_clip", "projection_clip"):
            clip = getattr(self, name)
            require(
                clip is None or clip > 0,
                name,
                "must be positive, the largest absolute value, or None",
                repr(clip),
                f"pass for example {name}=3.0",
            )
        size = self.projection_size
        require(
            size is None
            or (isinstance(size, int) and not isinstance(size, bool) and size > 0),
            "projection_size",
            "must be a positive integer, the width of h, or None",
            repr(size),
            "pass for example projection_size=units // 2",
        )
        require(
            size is not None or self.projection_clip is None,
            "projection_clip",
            "clips a projected h, and there is no projection",
            repr(self.projection_clip),
            "pass projection_size too, or leave it out",
        )
        self.output_size = size or self.units
        self.state_size = [self.output_size, self.units]

    @property
    def gates(self) -> str:
        """In the order of the weights' columns."""
        return "fco" if self.couple_gates else "ifco"

    def initial_bias(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Zeros, or what was asked for; ones for the forget gate."""
        bias = super().initial_bias(shape, dtype)
        if not self.unit_forget_bias:
            return bias
        start = self.gates.index("f") * self.units
        return jnp.asarray(bias).at[start : start + self.units].set(1)

    @property
    def step_bias(self) -> jax.Array | None:
        """The bias, with `forget_bias` where the forget gate's is."""
        bias = super().step_bias
        if not self.forget_bias:
            return bias
        each = [self.forget_bias * (gate == "f") for gate in self.gates]
        more = jnp.asarray(np.repeat(each, self.units), self.state_dtype)
        return more if bias is None else bias.astype(self.state_dtype) + more

    def build(self, input_shape: Any) -> None:
        """Create the weights, and those of the options."""
        super().build(input_shape)
        self.peephole: Any = None
        if self.use_peepholes:
            shape = (len(self.gates) - 1, self.units)
            self.peephole = self.weight("peephole", shape)
        self.projection_kernel: Any = None
        if self.projection_size:
            shape = (self.units, self.projection_size)
            self.projection_kernel = self.weight("projection_kernel", shape)
            if self.weight_norm:
                width = self.projection_size
                self.projection_kernel_scale = self._ones("projection_scale", width)
        if self.layer_norm:
            self.state_gain = self._ones("state_gain", self.units)
            self.state_shift = self.add_weight(
                name="state_shift", shape=(self.units,), initializer="zeros"
            )

    @property
    def normalised_weights(self) -> list[str]:
        """The projection too."""
        more = ["projection_kernel"] if self.projection_size else []
        return [*super().normalised_weights, *more]

    def step(self, x: Any, states: list, constants: dict) -> tuple[jax.Array, list]:
        """Apply the formula above."""
        h = self.project_state(states[0], constants)
        return self._formula(x + h, states[1], constants)

    def combine(self, x: Any, h: jax.Array, states: list) -> tuple[jax.Array, list]:
        """Apply the formula above."""
        return self._formula(x + h, states[1], {})

    def _formula(self, z: Any, c: Any, constants: dict) -> tuple[jax.Array, list]:
        gates = dict(zip(self.gates, self.split(z), strict=True))
        f = self._open(gates["f"], "f", c)
        i = 1 - f if self.couple_gates else self._open(gates["i"], "i", c)
        c = f * c + i * activate(self.activation, gates["c"])
        if self.layer_norm:
            gain, shift = self.spread(self.state_gain, c), self.state_shift
            c = normalise(c, self.norm_epsilon) * gain + self.spread(shift, c)
        c = _clipped(c, self.cell_clip)
        h = self._open(gates["o"], "o", c) * activate(self.activation, c)
        if self.projection_size:
            h = self.multiply(h, "projection_kernel", constants, "")
            h = _clipped(h, self.projection_clip)
        return h, [h, c]

    def _open(self, z: Any, gate: str, c: Any) -> jax.Array:
        """How far a gate is open, which may see c."""
        if self.use_peepholes:
            row = self.gates.replace("c", "").index(gate)
            z = z + self.spread(self.peephole.value[row], c) * c
        return activate(self.recurrent_activation, z)


def _clipped(x: jax.Array, limit: float | None) -> jax.Array:
    return x if limit is None else jnp.clip(x, -limit, limit)
