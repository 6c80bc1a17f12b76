"""Attention that scores by a small network: Bahdanau's."""

from typing import Any

import jax
import keras
from jax import numpy as jnp

from ..arguments import KW_ONLY, Initializer
from ..cells.affine import check_positive
from ..checks import require
from .mechanism import AttentionMechanism, dense


@keras.saving.register_keras_serializable("unrolled")
class BahdanauAttention(AttentionMechanism):
    """Additive attention: ``score_s = v . tanh(q + k_s)``.

    With ``q = query @ W_q`` and ``k_s = memory_s @ W_k``. Normalised, v is ``g v /
    |v|``, and b is added inside tanh.

    Args:
        units: U, the width of q, k and v.
        normalize: learn the length g of v apart from its direction, and b. Default
            False.
        kernel_initializer: of v. Default ``"glorot_uniform"``.
        query_layer: in place of W_q, a Keras layer ``(B, Q)`` to ``(B, U)``.
        memory_layer: in place of W_k, a Keras layer ``(B, S, M)`` to ``(B, S, U)``.
            ``keras.layers.Identity()`` leaves query or memory as it is.
        probability_fn: as of `AttentionMechanism`. Default ``"softmax"``.

    Its state is ``alignments (B, S)``.

    Raises:
        ValueError: if `units` is not a positive integer, or a layer in place of a
            projection gives another width.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.AttentionCell(
        ...     unrolled.GRUCell(4), unrolled.BahdanauAttention(8)
        ... )
        >>> x, memory = keras.ops.ones((2, 5, 3)), keras.ops.ones((2, 7, 6))
        >>> unrolled.RNN(cell)(x, memory=memory).shape
        (2, 6)

    Source: Bahdanau et al., 2015, arXiv:1409.0473; normalised as in Salimans and
    Kingma, 2016, arXiv:1602.07868; ``BahdanauAttention`` of TensorFlow Addons 0.23.
    """

    units: int
    normalize: bool = False
    _: KW_ONLY
    kernel_initializer: Initializer = "glorot_uniform"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(units=self.units)
        self.query_layer = self.query_layer or dense(self, self.units, "query_layer")
        self.memory_layer = self.memory_layer or dense(self, self.units, "memory_layer")

    def build_score(self, query: int, keys: int) -> None:
        """Create v, and where it is normalised g and b."""
        require(
            query == keys == self.units,
            "units",
            f"must be the width that query_layer and memory_layer give, {self.units}",
            f"{query} and {keys}",
            "give both layers this width",
        )
        add = self.add_weight
        self.attention_v = add(
            name="attention_v", shape=(keys,), initializer=self.kernel_initializer
        )
        if self.normalize:
            length = keras.initializers.Constant((1 / keys) ** 0.5)
            self.attention_g = add(name="attention_g", shape=(), initializer=length)
            self.attention_b = add(
                name="attention_b", shape=(keys,), initializer="zeros"
            )

    def score(self, query: jax.Array, keys: jax.Array, states: Any) -> jax.Array:
        """The formula above."""
        v = jnp.asarray(self.attention_v.value, query.dtype)
        if self.normalize:
            g, b = (
                jnp.asarray(weight.value, query.dtype)
                for weight in (self.attention_g, self.attention_b)
            )
            v = g * v * jax.lax.rsqrt(jnp.sum(v**2))
            query = query + jnp.broadcast_to(b[None], query.shape)
        hidden = self.hidden(query, keys, states)
        return jnp.einsum("bsu,u->bs", jnp.tanh(hidden), v)

    def hidden(self, query: jax.Array, keys: jax.Array, states: Any) -> jax.Array:
        """What tanh is taken of, ``(B, S, U)``."""
        del states
        return keys + query[:, None]
