"""Attention with several heads over a memory: the Transformer's."""

from dataclasses import field
from typing import Any

import jax
import keras
from jax import numpy as jnp

from ..arguments import KW_ONLY, Initializer
from ..cells.affine import check_positive
from ..cells.base import Tree
from .mechanism import AttentionMechanism


@keras.saving.register_keras_serializable("unrolled")
class MultiHeadAttention(AttentionMechanism):
    """Looks into a memory with several heads, each with projections of its own.

    Of head h, with ``q = query @ W_q + b_q``, ``k_s = memory_s @ W_k + b_k`` and
    ``v_s = memory_s @ W_v + b_v``::

        alignments = probability_fn(q . k_s / sqrt(K))
        context = the heads' sum_s alignments_s v_s, side by side, @ W_o + b_o

    The weights are those of ``keras.layers.MultiHeadAttention``, in its order.

    Args:
        num_heads: H.
        key_dim: K, the width of a head's queries and keys.
        value_dim: V, the width of its values. Default: K.
        use_bias: add the biases. Default True.
        output_dim: the width of the context. Default: that of the query.
        kernel_initializer: of all weights but biases. Default ``"glorot_uniform"``.
        probability_fn: as of `AttentionMechanism`. Default ``"softmax"``.

    Its state is ``alignments (B, H, S)``.

    Raises:
        ValueError: if a size is not a positive integer.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.AttentionCell(
        ...     unrolled.GRUCell(4), unrolled.MultiHeadAttention(2, 8)
        ... )
        >>> x, memory = keras.ops.ones((2, 5, 3)), keras.ops.ones((2, 7, 6))
        >>> unrolled.RNN(cell)(x, memory=memory).shape
        (2, 4)

    Source: Vaswani et al., 2017, arXiv:1706.03762; ``keras.layers.MultiHeadAttention``.
    """

    num_heads: int
    key_dim: int
    value_dim: int | None = None
    use_bias: bool = True
    _: KW_ONLY
    output_dim: int | None = None
    kernel_initializer: Initializer = "glorot_uniform"
    # Each head has its own projections.
    query_layer: Any = field(init=False)
    memory_layer: Any = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        optional = {"value_dim": self.value_dim, "output_dim": self.output_dim}
        check_positive(
            num_heads=self.num_heads,
            key_dim=self.key_dim,
            **{name: size for name, size in optional.items() if size is not None},
        )

    @property
    def state_size(self) -> list[Any]:
        """Shares of each head."""
        return [(self.num_heads, None)]

    def get_initial_state(self, batch_size: int, memory_shape: Tree) -> list[Any]:
        """No shares."""
        shape = (batch_size, self.num_heads, self.steps(memory_shape))
        return [jnp.zeros(shape, self.state_dtype)]

    def build_layers(self, query: int, memory: int) -> tuple[int, int]:
        """Create the weights."""
        heads, value = self.num_heads, self.value_dim or self.key_dim
        self.width = self.output_dim or query
        for name, rows, columns in (
            ("query", (query,), (heads, self.key_dim)),
            ("key", (memory,), (heads, self.key_dim)),
            ("value", (memory,), (heads, value)),
            ("output", (heads, value), (self.width,)),
        ):
            parts = {"kernel": (*rows, *columns)}
            parts |= {"bias": columns} if self.use_bias else {}
            for kind, shape in parts.items():
                make = self.kernel_initializer if kind == "kernel" else "zeros"
                weight = self.add_weight(
                    name=f"{name}_{kind}", shape=shape, initializer=make
                )
                setattr(self, f"{name}_{kind}", weight)
        return self.key_dim, self.key_dim

    def _projected(self, name: str, x: jax.Array, rows: int) -> jax.Array:
        """``x @ kernel + bias``, axes of heads in one; the kernel has so many rows."""
        kernel = getattr(self, f"{name}_kernel").value
        z = self.matmul(x, kernel.reshape(rows, -1))
        if not self.use_bias:
            return z
        bias = jnp.asarray(getattr(self, f"{name}_bias").value, z.dtype).reshape(-1)
        return z + jnp.broadcast_to(bias, z.shape)

    def prepare(self, memory: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Keys ``(B, H, S, K)`` and values ``(B, H, S, V)``."""
        batch, steps, width = memory.shape
        sizes = {"key": self.key_dim, "value": self.value_dim or self.key_dim}
        keys, values = (
            jnp.swapaxes(
                self._projected(name, memory, width).reshape(
                    batch, steps, self.num_heads, size
                ),
                1,
                2,
            )
            for name, size in sizes.items()
        )
        return keys, values

    def project_inputs(self, x: jax.Array, constants: Tree) -> jax.Array:
        """All heads' queries, side by side."""
        del constants
        return self._projected("query", x, x.shape[-1])

    def score(self, query: jax.Array, keys: jax.Array, states: Tree) -> jax.Array:
        """Of each head, ``(B, H, S)``."""
        del states
        query = query.reshape(-1, self.num_heads, self.key_dim)
        return jnp.einsum("bhk,bhsk->bhs", query, keys) * self.key_dim**-0.5

    def find(self, alignments: jax.Array, values: jax.Array) -> jax.Array:
        """What all heads found, projected."""
        found = jnp.einsum("bhs,bhsv->bhv", alignments, values)
        found = found.reshape(found.shape[0], found.shape[1] * found.shape[2])
        return self._projected("output", found, found.shape[-1])
