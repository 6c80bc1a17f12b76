"""LSTMs that walk along frequency inside each time step."""

from typing import Any, ClassVar

import jax
import keras
from jax import numpy as jnp

from ..arguments import KW_ONLY
from ..checks import require
from .gated import GatedCell, activate, dropped


class FrequencyCell(GatedCell):
    """What LSTMs along time and frequency share: windows, weights and the formula.

    The features of a step are cut into windows, each some features further than the one
    before it, in one block or several. Within a block one LSTM goes from window to
    window; each window has a state of its own along time.
    """

    # How many memories c a window has: along time and, apart from it, along frequency.
    memories: ClassVar[int]

    _: KW_ONLY
    feature_size: int
    num_frequency_blocks: Any
    frequency_skip: int = 1
    start_freqindex_list: Any = None
    end_freqindex_list: Any = None
    use_peepholes: bool = False
    couple_gates: bool = False
    forget_bias: float = 1.0
    cell_clip: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_windows()
        self.state_size = [self.units] * len(self.state_names)
        self.output_size = self.units * self.memories * len(self.state_names) // 2

    def _check_windows(self) -> None:
        for name in ("feature_size", "frequency_skip"):
            _check_count(name, getattr(self, name), "a number of features")
        for count in self.counts:
            _check_count("num_frequency_blocks", count, "how many windows a block has")
        names = ("start_freqindex_list", "end_freqindex_list")
        lists = {name: getattr(self, name) for name in names}
        whole = len(self.counts) == 1 and not any(lists.values())
        for name, given in lists.items():
            require(
                whole or (given is not None and len(given) == len(self.counts)),
                name,
                "must say of each block of num_frequency_blocks="
                f"{self.num_frequency_blocks} at which feature it starts, or ends",
                given,
                "pass both lists, or neither for one block of all features",
            )
        require(
            self.cell_clip is None or self.cell_clip > 0,
            "cell_clip",
            "must be positive, the largest absolute value, or None",
            repr(self.cell_clip),
            "pass for example cell_clip=3.0",
        )

    @property
    def state_names(self) -> tuple[str, ...]:
        """By block, window and kind: ``b0_f2_h``."""
        return tuple(
            f"{label}_f{place}_{kind}"
            for label, starts in self.blocks
            for place in range(len(starts))
            for kind in "hc"
        )

    @property
    def counts(self) -> list[int]:
        """How many windows each block has."""
        given = self.num_frequency_blocks
        return list(given) if isinstance(given, (list, tuple)) else [given]

    @property
    def blocks(self) -> list[tuple[str, list[int]]]:
        """Of each block its name and where its windows start, in the order of steps."""
        first = self.start_freqindex_list or [0]
        skip = self.frequency_skip
        return [
            (f"b{n}", [start + place * skip for place in range(count)])
            for n, (start, count) in enumerate(zip(first, self.counts, strict=True))
        ]

    @property
    def gates(self) -> str:
        """In the order of the weights' columns."""
        return "ico" if self.couple_gates else "icfo"

    @property
    def sets(self) -> int:
        """How many sets of gates have weights of their own."""
        return self.memories

    @property
    def width(self) -> int:
        """Of all gates of all sets."""
        return self.sets * len(self.gates) * self.units

    def make_weights(self, features: int) -> None:
        """Create the weights of each block."""
        self._check_features(features)
        needed: list[tuple[str, str, tuple[int, ...]]] = [
            ("kernel", "kernel", (self.feature_size, self.width)),
            ("recurrent_kernel", "recurrent", (2 * self.units, self.width)),
        ]
        if self.use_bias:
            needed.append(("bias", "bias", (self.width,)))
        if self.use_peepholes:
            seeing = len(self.gates) - 1
            shape = (self.sets, seeing, self.memories, self.units)
            needed.append(("peephole", "kernel", shape))
        for label, _ in self.blocks:
            for name, role, shape in needed:
                weight = self.weight(f"{label}_{name}", shape, role)
                setattr(self, f"{label}_{name}", weight)

    def _check_features(self, features: int) -> None:
        size, skip = self.feature_size, self.frequency_skip
        ends = self.end_freqindex_list or [features]
        starts = self.start_freqindex_list or [0]
        for start, end, count in zip(starts, ends, self.counts, strict=True):
            fitting = (end - start - size) // skip + 1
            require(
                fitting == count and start >= 0 and end <= features,
                "num_frequency_blocks",
                f"must be how many windows of feature_size={size}, {skip} apart, fit "
                f"into features {start} to {end} of {features}: {fitting}",
                count,
                "change it, the windows or the features",
            )

    def project_inputs(self, x: jax.Array, constants: dict) -> list[list[jax.Array]]:
        """Of each window of each block, ``(..., B, W)``."""
        x = dropped(jnp.asarray(x, self.state_dtype), constants.get("input_mask"))
        starts = [start for _, starts in self.blocks for start in starts]
        before = max(0, -min(starts))
        after = max(0, max(starts) + self.feature_size - x.shape[-1])
        x = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(before, after)])

        def projected(label: str, start: int) -> jax.Array:
            window = x[..., before + start : before + start + self.feature_size]
            z = self.multiply(window, f"{label}_kernel", {}, "")
            bias = getattr(self, f"{label}_bias") if self.use_bias else None
            return z if bias is None else z + self.spread(bias, z)

        return [
            [projected(label, start) for start in starts]
            for label, starts in self.blocks
        ]

    def step(self, x: list, states: list, constants: dict) -> tuple[jax.Array, list]:
        """Go from window to window within each block."""
        given = zip(states[::2], states[1::2], strict=True)
        outputs, after = [], []
        for (label, _), windows in zip(self.blocks, x, strict=True):
            below = [jnp.zeros_like(states[0])] * 2
            for z in windows:
                h_time, c_time = next(given)
                h = [
                    dropped(each, constants.get("recurrent_mask"))
                    for each in (h_time, below[0])
                ]
                h = jnp.concatenate(h, axis=-1)
                z = z + self.multiply(h, f"{label}_recurrent_kernel", {}, "")
                c = [c_time, below[1]][: self.memories]
                h, c = self._window(label, z, c)
                below = [h[-1], c[-1]]
                outputs += h
                after += [h[0], c[0]]
        return jnp.concatenate(outputs, axis=-1), after

    def _window(self, label: str, z: jax.Array, c: list) -> tuple[list, list]:
        """The LSTM at one window: h and c along time and, apart, along frequency."""
        count = len(self.gates)
        parts = jnp.split(z, self.sets * count, axis=-1)
        sets = [
            dict(zip(self.gates, parts[n * count :], strict=False))
            for n in range(self.sets)
        ]

        def opened(gate: str, n: int, seen: list) -> jax.Array:
            own = n % self.sets
            z = sets[own][gate]
            if self.use_peepholes:
                row = self.gates.replace("c", "").index(gate)
                weights = getattr(self, f"{label}_peephole").value[own, row]
                for k, memory in enumerate(seen):
                    z = z + self.spread(weights[k], memory) * memory
            return jax.nn.sigmoid(z + self.forget_bias if gate == "f" else z)

        def renewed(n: int) -> jax.Array:
            i = opened("i", n, c)
            f = 1 - i if self.couple_gates else opened("f", n, c)
            new = f * c[n] + i * activate(self.activation, sets[n % self.sets]["c"])
            limit = self.cell_clip
            return new if limit is None else jnp.clip(new, -limit, limit)

        places = range(self.memories)
        new = [renewed(n) for n in places]
        h = [opened("o", n, new) * activate(self.activation, new[n]) for n in places]
        return h, new

    @property
    def matrices(self) -> list[Any]:
        """None by which a file of another layer could be told."""
        return []

    load_own_variables = keras.layers.Layer.load_own_variables


def _check_count(name: str, value: Any, meaning: str) -> None:
    require(
        isinstance(value, int) and not isinstance(value, bool) and value > 0,
        name,
        f"must be a positive integer, {meaning}",
        repr(value),
        f"pass for example {name}=2",
    )


@keras.saving.register_keras_serializable("unrolled")
class TimeFreqLSTMCell(FrequencyCell):
    """An LSTM that reads each window of the features beside what it gave for the last.

    Of window n, with ``z = x_n @ W + [h_n, h'_(n-1)] @ R + b`` in the order i, c, f, o
    (``h'_(-1) = 0``)::

        c_n' = sigmoid(z_f + forget_bias) * c_n + sigmoid(z_i) * tanh(z_c)
        h_n' = sigmoid(z_o) * tanh(c_n')

    The output holds the h' of all windows, ``(B, N*U)``. States: ``b0_f0_h``,
    ``b0_f0_c``, ``b0_f1_h`` ..., of block 0 and window 0, 1 ...

    Args:
        units: U, the width of each h and c.
        activation: of the candidate and of c on its way out. Default tanh.
        feature_size: features in a window.
        num_frequency_blocks: N, how many windows there are: those that fit.
        frequency_skip: features from the start of a window to that of the next.
            Default 1.
        start_freqindex_list: of each block, its first feature; num_frequency_blocks is
            then a list too. Blocks have weights of their own. Default: one block.
        end_freqindex_list: of each block, the feature after its last.
        use_peepholes: let gates see c; i and f before the step, o after it.
            Default False.
        couple_gates: forget as much as is let in; W is ``(feature_size, 3*U)``, gates
            i, c, o. Default False.
        forget_bias: added to the forget gate at each step, beside its bias. Default 1.
        cell_clip: the largest absolute value of c. Default None.

    The other arguments are those of `LSTMCell`; W, ``b0_kernel``, is ``(feature_size,
    4*U)``, R, ``b0_recurrent_kernel``, is ``(2*U, 4*U)``, b ``(4*U,)``.

    Raises:
        ValueError: if the windows do not cover the features as said.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.TimeFreqLSTMCell(
        ...     4, feature_size=8, frequency_skip=4, num_frequency_blocks=3
        ... )
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 16))).shape
        (2, 12)

    Source: Sainath and Li, "Modeling time-frequency patterns with LSTM vs.
    convolutional architectures for LVCSR tasks", 2016;
    ``tf.contrib.rnn.TimeFreqLSTMCell``, which counts the windows itself, has one block,
    and declares the sizes of one window.
    """

    memories: ClassVar[int] = 1


@keras.saving.register_keras_serializable("unrolled")
class GridLSTMCell(FrequencyCell):
    """At each window of the features an LSTM along time and one along frequency.

    Of window n, k being time or frequency, with ``z = x_n @ W + [h_n, m] @ R + b``, for
    each k in the order i, c, f, o::

        c_k' = sigmoid(z_kf + forget_bias) * c_k + sigmoid(z_ki) * tanh(z_kc)
        h_k' = sigmoid(z_ko) * tanh(c_k')

    Along time, h_n and c_time are states of the window. Along frequency, m and c_freq
    are what window n - 1 gave, h_freq' and c_freq', and zeros for the first. The output
    holds h_time' and h_freq' of all windows, ``(B, N*2*U)``. States: ``b0_f0_h``,
    ``b0_f0_c``, ``b0_f1_h`` ..., of block 0 and window 0, 1 ...

    Args:
        units: U, the width of each h and c.
        activation: of the candidate and of c on its way out. Default tanh.
        feature_size: features in a window.
        num_frequency_blocks: N, how many windows there are: those that fit. A list for
            several blocks.
        frequency_skip: features from the start of a window to that of the next.
            Default 1.
        start_freqindex_list: of each block, its first feature. Blocks have weights of
            their own. Default: one block, all features.
        end_freqindex_list: of each block, the feature after its last.
        use_peepholes: let gates see both c; i and f before the step, o after it.
            Default False.
        couple_gates: forget as much as is let in, ``1 - sigmoid(z_i)``; gates i, c, o.
            Default False.
        forget_bias: added to forget gates at each step, beside their bias. Default 1.
        cell_clip: the largest absolute value of c. Default None.
        share_time_frequency_weights: the same gates along time and along frequency.
            Default False.

    The other arguments are those of `LSTMCell`; W, ``b0_kernel``, is ``(feature_size,
    8*U)``, time first, R, ``b0_recurrent_kernel``, is ``(2*U, 8*U)``, b ``(8*U,)``;
    where weights are shared, half as wide.

    Raises:
        ValueError: if the windows do not cover the features as said.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.GridLSTMCell(
        ...     4, feature_size=8, frequency_skip=4, num_frequency_blocks=3
        ... )
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 16))).shape
        (2, 24)

    Source: Kalchbrenner et al., 2015, arXiv:1507.01526; peepholes, Sainath and Li,
    2016; ``tf.contrib.rnn.GridLSTMCell``.
    """

    memories: ClassVar[int] = 2

    _: KW_ONLY
    share_time_frequency_weights: bool = False

    @property
    def sets(self) -> int:
        """One if time and frequency share it, else one of each."""
        return 1 if self.share_time_frequency_weights else 2


@keras.saving.register_keras_serializable("unrolled")
class BidirectionalGridLSTMCell(GridLSTMCell):
    """A `GridLSTMCell` up along frequency, and another down; both forwards in time.

    The output holds what the one gives and then what the other gives, in the order in
    which it meets the windows: ``(B, 2*N*2*U)``. Names of states and weights begin with
    ``fwd_`` or ``bwd_``: ``bwd_b0_f0_h`` is of the last window.

    Args:
        units: U, the width of each h and c.
        backward_slice_offset: by how many features the windows on the way down lie
            further up; beyond the ends there are zeros. Default 0.

    The other arguments are those of `GridLSTMCell`.

    Raises:
        ValueError: if the windows do not cover the features as said.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.BidirectionalGridLSTMCell(
        ...     4, feature_size=8, frequency_skip=4, num_frequency_blocks=3
        ... )
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 16))).shape
        (2, 48)

    Source: ``tf.contrib.rnn.BidirectionalGridLSTMCell``.
    """

    _: KW_ONLY
    backward_slice_offset: int = 0

    def __post_init__(self) -> None:
        require(
            type(self.backward_slice_offset) is int,
            "backward_slice_offset",
            "must be an integer, a number of features",
            repr(self.backward_slice_offset),
            "leave it out for 0",
        )
        super().__post_init__()

    @property
    def blocks(self) -> list[tuple[str, list[int]]]:
        """Those of each direction."""
        up, offset = super().blocks, self.backward_slice_offset
        down = [
            (label, [start + offset for start in reversed(starts)])
            for label, starts in up
        ]
        both = {"fwd": up, "bwd": down}
        return [
            (f"{way}_{label}", starts)
            for way, each in both.items()
            for label, starts in each
        ]
