"""The old sequence-to-sequence names over ours: contrib.seq2seq's, and Addons'.

``from unrolled.tf1 import seq2seq`` in place of ``tf.contrib.seq2seq`` or
``tfa.seq2seq``. Both took much the same; where a class took other arguments, both forms
are there, and the class says so.

Now: an `unrolled.AttentionCell` in an `unrolled.Decoder`, or an `unrolled.Seq2Seq`.
"""

from ..raw import TensorArray
from .basic import BasicDecoder, BasicDecoderOutput
from .beam_search import BeamSearchDecoder, FinalBeamSearchDecoderOutput
from .beam_step import BeamSearchDecoderOutput, BeamSearchDecoderState
from .beams import gather_tree, gather_tree_from_array, tile_batch
from .decoder import BaseDecoder, Decoder, dynamic_decode
from .functions import hardmax, monotonic_attention, safe_cumprod
from .generating import (
    GreedyEmbeddingSampler,
    InferenceSampler,
    SampleEmbeddingSampler,
)
from .helpers import (
    CustomHelper,
    GreedyEmbeddingHelper,
    Helper,
    InferenceHelper,
    SampleEmbeddingHelper,
    ScheduledEmbeddingTrainingHelper,
    ScheduledOutputTrainingHelper,
    TrainingHelper,
)
from .losses import SequenceLoss, sequence_loss
from .mechanism import AttentionMechanism
from .mechanisms import BahdanauAttention, LuongAttention
from .monotonic import BahdanauMonotonicAttention, LuongMonotonicAttention
from .samplers import CustomSampler, Sampler, TrainingSampler
from .scheduled import (
    ScheduledEmbeddingTrainingSampler,
    ScheduledOutputTrainingSampler,
)
from .wrapper import AttentionWrapper, AttentionWrapperState

__all__ = [
    "AttentionMechanism",
    "AttentionWrapper",
    "AttentionWrapperState",
    "BahdanauAttention",
    "BahdanauMonotonicAttention",
    "BaseDecoder",
    "BasicDecoder",
    "BasicDecoderOutput",
    "BeamSearchDecoder",
    "BeamSearchDecoderOutput",
    "BeamSearchDecoderState",
    "CustomHelper",
    "CustomSampler",
    "Decoder",
    "FinalBeamSearchDecoderOutput",
    "GreedyEmbeddingHelper",
    "GreedyEmbeddingSampler",
    "Helper",
    "InferenceHelper",
    "InferenceSampler",
    "LuongAttention",
    "LuongMonotonicAttention",
    "SampleEmbeddingHelper",
    "SampleEmbeddingSampler",
    "Sampler",
    "ScheduledEmbeddingTrainingHelper",
    "ScheduledEmbeddingTrainingSampler",
    "ScheduledOutputTrainingHelper",
    "ScheduledOutputTrainingSampler",
    "SequenceLoss",
    "TensorArray",
    "TrainingHelper",
    "TrainingSampler",
    "dynamic_decode",
    "gather_tree",
    "gather_tree_from_array",
    "hardmax",
    "monotonic_attention",
    "safe_cumprod",
    "sequence_loss",
    "tile_batch",
]
