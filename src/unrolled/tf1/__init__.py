"""The old names of TensorFlow 1 (``tf.nn``, ``tf.contrib.rnn``) over ours.

``from unrolled import tf1`` in place of both; ``tf1.crf``, ``tf1.legacy_seq2seq`` and
``tf1.seq2seq`` in place of ``tf.contrib``'s; see "Coming from TensorFlow 1".
"""

from typing import Any

from . import crf, legacy_seq2seq, seq2seq
from .base import LSTMStateTuple, RNNCell
from .candidates import (
    log_uniform_candidate_sampler,
    nce_loss,
    sampled_softmax_loss,
)
from .cells import (
    BasicLSTMCell,
    BasicRNNCell,
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
from .frequency import (
    BidirectionalGridLSTMCell,
    GridLSTMCell,
    TimeFreqLSTMCell,
)
from .fused import (
    FusedRNNCell,
    FusedRNNCellAdaptor,
    LSTMBlockFusedCell,
    TimeReversedFusedRNN,
)
from .gated import (
    CFNCell,
    IntersectionRNNCell,
    MinimalRNNCell,
    NASCell,
    PhasedLSTMCell,
    SRUCell,
)
from .grid_rnn import GridRNNCell
from .grids import (
    Grid1BasicLSTMCell,
    Grid1BasicRNNCell,
    Grid1LSTMCell,
    Grid2BasicLSTMCell,
    Grid2BasicRNNCell,
    Grid2GRUCell,
    Grid2LSTMCell,
    Grid3LSTMCell,
)
from .grus import CudnnCompatibleGRUCell, GRUBlockCell, GRUBlockCellV2, GRUCell
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
from .ntm import NTMCell, NTMControllerState
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
    "BidirectionalGridLSTMCell",
    "CFNCell",
    "Conv1DLSTMCell",
    "Conv2DLSTMCell",
    "Conv3DLSTMCell",
    "ConvLSTMCell",
    "CoupledInputForgetGateLSTMCell",
    "CudnnCompatibleGRUCell",
    "CudnnCompatibleLSTMCell",
    "DeviceWrapper",
    "DropoutWrapper",
    "EmbeddingWrapper",
    "FusedRNNCell",
    "FusedRNNCellAdaptor",
    "GLSTMCell",
    "GRUBlockCell",
    "GRUBlockCellV2",
    "GRUCell",
    "Grid1BasicLSTMCell",
    "Grid1BasicRNNCell",
    "Grid1LSTMCell",
    "Grid2BasicLSTMCell",
    "Grid2BasicRNNCell",
    "Grid2GRUCell",
    "Grid2LSTMCell",
    "Grid3LSTMCell",
    "GridLSTMCell",
    "GridRNNCell",
    "HighwayWrapper",
    "IndRNNCell",
    "IndyGRUCell",
    "IndyLSTMCell",
    "InputProjectionWrapper",
    "IntersectionRNNCell",
    "LSTMBlockCell",
    "LSTMBlockFusedCell",
    "LSTMCell",
    "LSTMStateTuple",
    "LayerNormBasicLSTMCell",
    "LayerNormLSTMCell",
    "MinimalRNNCell",
    "MultiRNNCell",
    "NASCell",
    "NTMCell",
    "NTMControllerState",
    "OutputProjectionWrapper",
    "PhasedLSTMCell",
    "RNNCell",
    "ResidualWrapper",
    "SRUCell",
    "TensorArray",
    "TimeFreqLSTMCell",
    "TimeReversedFusedRNN",
    "UGRNNCell",
    "WeightNormLSTMCell",
    "bidirectional_dynamic_rnn",
    "crf",
    "dynamic_rnn",
    "legacy_seq2seq",
    "load",
    "log_uniform_candidate_sampler",
    "nce_loss",
    "raw_rnn",
    "sampled_softmax_loss",
    "seq2seq",
    "stack_bidirectional_dynamic_rnn",
    "stack_bidirectional_rnn",
    "state_saving_rnn",
    "static_bidirectional_rnn",
    "static_rnn",
    "static_state_saving_rnn",
]

# What TensorFlow 1 had beside them, and what stands for it.
_INSTEAD = {
    "CompiledWrapper": "nothing: every cell is compiled",
    "LSTMBlockWrapper": "unrolled.LSTM(units, return_sequences=True)",
    "LayerRNNCell": "tf1.RNNCell",
    "best_effort_input_batch_size": "inputs.shape[0]",
    "rnn_cell": "tf1 itself",
    "transpose_batch_time": "keras.ops.swapaxes(inputs, 0, 1)",
}


def __getattr__(name: str) -> Any:
    """Say what stands for a name that is not here."""
    if name in _INSTEAD:
        raise AttributeError(f"unrolled.tf1 has no {name}: use {_INSTEAD[name]}.")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
