"""Attention: a cell looks into a memory at every step."""

from .additive import BahdanauAttention
from .cell import AttentionCell
from .mechanism import AttentionMechanism
from .monotonic import (
    BahdanauMonotonicAttention,
    LuongMonotonicAttention,
    monotonic_attention,
    safe_cumprod,
)
from .multiplicative import DotAttention, GeneralAttention, LuongAttention
from .probability import hardmax

__all__ = [
    "AttentionCell",
    "AttentionMechanism",
    "BahdanauAttention",
    "BahdanauMonotonicAttention",
    "DotAttention",
    "GeneralAttention",
    "LuongAttention",
    "LuongMonotonicAttention",
    "hardmax",
    "monotonic_attention",
    "safe_cumprod",
]
