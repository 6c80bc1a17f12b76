"""Attention that scores by a product of query and key: Luong's, dot and general."""

from typing import Any

import jax
import keras
from jax import numpy as jnp

from ..arguments import KW_ONLY
from ..cells.affine import check_positive
from ..checks import require
from .mechanism import AttentionMechanism, dense


@keras.saving.register_keras_serializable("unrolled")
class DotAttention(AttentionMechanism):
    """Dot-product attention: ``score_s = query . key_s``.

    Args:
        scale: multiply scores by a weight g, 1 before training. Default False.
        query_layer: as of `AttentionMechanism`. Default: none.
        memory_layer: as of `AttentionMechanism`. Default: none.
        probability_fn: as of `AttentionMechanism`. Default ``"softmax"``.

    Its state is ``alignments (B, S)``.

    Raises:
        ValueError: if query and keys differ in width.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.AttentionCell(unrolled.GRUCell(6), unrolled.DotAttention())
        >>> x, memory = keras.ops.ones((2, 5, 3)), keras.ops.ones((2, 7, 6))
        >>> unrolled.RNN(cell)(x, memory=memory).shape
        (2, 6)

    Source: "dot" of Luong et al., 2015, arXiv:1508.04025.
    """

    _: KW_ONLY
    scale: bool = False

    def build_score(self, query: int, keys: int) -> None:
        """Create g, if scores are scaled."""
        require(
            query == keys,
            "query",
            f"must be as wide as the keys of {type(self).__name__}, {keys}",
            query,
            self._on_width(query),
        )
        if self.scale:
            self.attention_g = self.add_weight(
                name="attention_g", shape=(), initializer="ones"
            )

    def _on_width(self, query: int) -> str:
        return f"use LuongAttention({query}), which projects the memory"

    def score(self, query: jax.Array, keys: jax.Array, states: Any) -> jax.Array:
        """The formula above."""
        del states
        score = jnp.einsum("bu,bsu->bs", query, keys)
        if not self.scale:
            return score
        return jnp.asarray(self.attention_g.value, score.dtype) * score


@keras.saving.register_keras_serializable("unrolled")
class LuongAttention(DotAttention):
    """Multiplicative attention: ``score_s = query . (memory_s @ W_k)``.

    Args:
        units: U, the width of the keys; that of the query, Q, must be the same.
        scale: multiply scores by a weight g, 1 before training. Default False.
        memory_layer: in place of W_k, a Keras layer ``(B, S, M)`` to ``(B, S, U)``.
        query_layer: a layer that the query goes through first. Default: none.
        probability_fn: as of `AttentionMechanism`. Default ``"softmax"``.

    Its state is ``alignments (B, S)``.

    Raises:
        ValueError: if `units` is not a positive integer, or not the query's width.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.AttentionCell(
        ...     unrolled.LSTMCell(4), unrolled.LuongAttention(4), 5
        ... )
        >>> x, memory = keras.ops.ones((2, 5, 3)), keras.ops.ones((2, 7, 6))
        >>> unrolled.RNN(cell)(x, memory=memory).shape
        (2, 5)

    Source: "general" of Luong et al., 2015, arXiv:1508.04025; ``LuongAttention`` of
    TensorFlow Addons 0.23.
    """

    units: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(units=self.units)
        self.memory_layer = self.memory_layer or dense(self, self.units, "memory_layer")

    def _on_width(self, query: int) -> str:
        return f"pass units={query}, the width of the cell's output"


@keras.saving.register_keras_serializable("unrolled")
class GeneralAttention(DotAttention):
    """Multiplicative attention over the memory as it is: ``(query @ W) . memory_s``.

    What `LuongAttention` gives, without keys beside the memory, and for a query of any
    width: better where the memory is long, and steps are few.

    Args:
        scale: multiply scores by a weight g, 1 before training. Default False.
        query_layer: in place of W, a Keras layer ``(B, Q)`` to ``(B, M)``.
        memory_layer: a layer that makes the keys. Default: none.
        probability_fn: as of `AttentionMechanism`. Default ``"softmax"``.

    Its state is ``alignments (B, S)``.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.AttentionCell(
        ...     unrolled.GRUCell(4), unrolled.GeneralAttention()
        ... )
        >>> x, memory = keras.ops.ones((2, 5, 3)), keras.ops.ones((2, 7, 6))
        >>> unrolled.RNN(cell)(x, memory=memory).shape
        (2, 6)

    Source: "general" of Luong et al., 2015, arXiv:1508.04025.
    """

    def build_layers(self, query: int, memory: int) -> tuple[int, int]:
        """Make W, as wide as the memory."""
        self.query_layer = self.query_layer or dense(self, memory, "query_layer")
        return super().build_layers(query, memory)
