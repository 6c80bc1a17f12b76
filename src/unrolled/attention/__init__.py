"""Attention: a cell looks into a memory at every step."""

from .additive import BahdanauAttention
from .cell import AttentionCell
from .location import LocationAttention
from .mechanism import AttentionMechanism
from .monotonic import (
    BahdanauMonotonicAttention,
    LuongMonotonicAttention,
    monotonic_attention,
    safe_cumprod,
)
from .multi_head import MultiHeadAttention
from .multiplicative import DotAttention, GeneralAttention, LuongAttention
from .probability import hardmax

__all__ = [
    "AttentionCell",
    "AttentionMechanism",
    "BahdanauAttention",
    "BahdanauMonotonicAttention",
    "DotAttention",
    "GeneralAttention",
    "LocationAttention",
    "LuongAttention",
    "LuongMonotonicAttention",
    "MultiHeadAttention",
    "hardmax",
    "monotonic_attention",
    "safe_cumprod",
]
