"""The old names of TensorFlow 1 (``tf.nn``, ``tf.contrib.rnn``) over ours.

``from unrolled import tf1`` in place of both; see "Coming from TensorFlow 1".
"""

from typing import Any

from .base import LSTMStateTuple, RNNCell
from .cells import (
    BasicLSTMCell,
    BasicRNNCell,
    GRUBlockCell,
    GRUBlockCellV2,
    GRUCell,
    UGRNNCell,
)
from .convolved import (
    Conv1DLSTMCell,
    Conv2DLSTMCell,
    Conv3DLSTMCell,
    ConvLSTMCell,
    GLSTMCell,
)
from .drivers import (
    bidirectional_dynamic_rnn,
    dynamic_rnn,
    stack_bidirectional_dynamic_rnn,
)
from .gated import (
    CFNCell,
    IntersectionRNNCell,
    MinimalRNNCell,
    NASCell,
    PhasedLSTMCell,
    SRUCell,
)
from .independent import IndRNNCell, IndyGRUCell, IndyLSTMCell
from .lists import (
    stack_bidirectional_rnn,
    state_saving_rnn,
    static_bidirectional_rnn,
    static_rnn,
    static_state_saving_rnn,
)
from .loading import load
from .lstms import (
    CoupledInputForgetGateLSTMCell,
    CudnnCompatibleLSTMCell,
    LayerNormBasicLSTMCell,
    LayerNormLSTMCell,
    LSTMBlockCell,
    LSTMCell,
    WeightNormLSTMCell,
)
from .raw import TensorArray, raw_rnn
from .scoped import (
    AttentionCellWrapper,
    EmbeddingWrapper,
    InputProjectionWrapper,
    OutputProjectionWrapper,
)
from .wrappers import (
    DeviceWrapper,
    DropoutWrapper,
    HighwayWrapper,
    MultiRNNCell,
    ResidualWrapper,
)

__all__ = [
    "AttentionCellWrapper",
    "BasicLSTMCell",
    "BasicRNNCell",
    "CFNCell",
    "Conv1DLSTMCell",
    "Conv2DLSTMCell",
    "Conv3DLSTMCell",
    "ConvLSTMCell",
    "CoupledInputForgetGateLSTMCell",
    "CudnnCompatibleLSTMCell",
    "DeviceWrapper",
    "DropoutWrapper",
    "EmbeddingWrapper",
    "GLSTMCell",
    "GRUBlockCell",
    "GRUBlockCellV2",
    "GRUCell",
    "HighwayWrapper",
    "IndRNNCell",
    "IndyGRUCell",
    "IndyLSTMCell",
    "InputProjectionWrapper",
    "IntersectionRNNCell",
    "LSTMBlockCell",
    "LSTMCell",
    "LSTMStateTuple",
    "LayerNormBasicLSTMCell",
    "LayerNormLSTMCell",
    "MinimalRNNCell",
    "MultiRNNCell",
    "NASCell",
    "OutputProjectionWrapper",
    "PhasedLSTMCell",
    "RNNCell",
    "ResidualWrapper",
    "SRUCell",
    "TensorArray",
    "UGRNNCell",
    "WeightNormLSTMCell",
    "bidirectional_dynamic_rnn",
    "dynamic_rnn",
    "load",
    "raw_rnn",
    "stack_bidirectional_dynamic_rnn",
    "stack_bidirectional_rnn",
    "state_saving_rnn",
    "static_bidirectional_rnn",
    "static_rnn",
    "static_state_saving_rnn",
]

# What TensorFlow 1 had beside them, and what stands for it.
_INSTEAD = {
    "BidirectionalGridLSTMCell": "unrolled.BidirectionalGridLSTMCell in unrolled.RNN",
    "CompiledWrapper": "nothing: every cell is compiled",
    "CudnnCompatibleGRUCell": "unrolled.GRUCell(units), reset_after=True",
    "FusedRNNCell": "unrolled.LSTM(units)",
    "FusedRNNCellAdaptor": "tf1.static_rnn(cell, inputs)",
    "GridLSTMCell": "unrolled.RNN(unrolled.GridLSTMCell(...))",
    "LSTMBlockFusedCell": "unrolled.LSTM(units, return_sequences=True)",
    "LSTMBlockWrapper": "unrolled.LSTM(units, return_sequences=True)",
    "LayerRNNCell": "tf1.RNNCell",
    "NTMCell": "unrolled.RNN(unrolled.NTMCell(...))",
    "TimeFreqLSTMCell": "unrolled.RNN(unrolled.TimeFreqLSTMCell(...))",
    "TimeReversedFusedRNN": "unrolled.RNN(cell, go_backwards=True)",
    "best_effort_input_batch_size": "inputs.shape[0]",
    "rnn_cell": "tf1 itself",
    "transpose_batch_time": "keras.ops.swapaxes(inputs, 0, 1)",
}


def __getattr__(name: str) -> Any:
    """Say what stands for a name that is not here."""
    if name in _INSTEAD:
        raise AttributeError(f"unrolled.tf1 has no {name}: use {_INSTEAD[name]}.")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
