"""LSTMs that walk along frequency inside each time step."""

from typing import ClassVar

import keras

from ..arguments import KW_ONLY
from ..checks import require
from .frequency import FrequencyCell


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
        num_frequency_blocks: N, how many windows there are: those that fit. Default:
            counted when the cell is built; until then it has the sizes of one.
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
            several blocks. Default: one block, counted when the cell is built; until
            then it has the sizes of one window.
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
