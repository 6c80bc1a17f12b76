"""From logits to tokens: what is drawn, searched and fed back, and losses."""

from .crf import (
    crf_decode,
    crf_log_likelihood,
    crf_log_norm,
    crf_multitag_score,
    crf_score,
)
from .crf_layer import CRF, CRFLoss
from .decoder import Decoder
from .losses import SequenceLoss, sequence_loss
from .metrics import Perplexity, TokenAccuracy
from .sampled import Candidates, log_uniform_candidates, nce_loss, sampled_softmax_loss
from .sampled_dense import NCELoss, SampledDense, SampledSoftmaxLoss
from .samplers import sampler
from .search import search

__all__ = [
    "CRF",
    "CRFLoss",
    "Candidates",
    "Decoder",
    "NCELoss",
    "Perplexity",
    "SampledDense",
    "SampledSoftmaxLoss",
    "SequenceLoss",
    "TokenAccuracy",
    "crf_decode",
    "crf_log_likelihood",
    "crf_log_norm",
    "crf_multitag_score",
    "crf_score",
    "log_uniform_candidates",
    "nce_loss",
    "sampled_softmax_loss",
    "sampler",
    "search",
    "sequence_loss",
]
