"""Attention that also goes by where it looked before: Chorowski's."""

from typing import Any

import jax
import keras
from jax import numpy as jnp

from ..arguments import KW_ONLY
from ..cells.affine import check_positive
from ..cells.base import Tree
from .additive import BahdanauAttention


@keras.saving.register_keras_serializable("unrolled")
class LocationAttention(BahdanauAttention):
    """Additive attention that sees where it looked at the step before.

    ``score_s = v . tanh(q + k_s + f_s @ W_f + b)``, where f ``(B, S, F)`` is what F
    filters along the memory make of the alignments of the step before.

    Args:
        units: U, the width of q, k and v.
        normalize: as of `BahdanauAttention`. Default False.
        filters: F. Default 32.
        kernel_size: how many neighbouring entries a filter reads. Default 31.
        cumulative: filter the sum of all alignments so far, as Tacotron 2 does.
            Default False.
        kernel_initializer: of v, the filters and W_f. Default ``"glorot_uniform"``.
        query_layer: as of `BahdanauAttention`.
        memory_layer: as of `BahdanauAttention`.
        probability_fn: as of `AttentionMechanism`. Default ``"softmax"``.

    Its states are ``alignments (B, S)`` and, if `cumulative`, ``cumulated (B, S)``.

    Raises:
        ValueError: if a size is not a positive integer.

    Example:
        >>> import keras, unrolled
        >>> mechanism = unrolled.LocationAttention(8, filters=4, kernel_size=3)
        >>> cell = unrolled.AttentionCell(unrolled.GRUCell(4), mechanism)
        >>> x, memory = keras.ops.ones((2, 5, 3)), keras.ops.ones((2, 7, 6))
        >>> unrolled.RNN(cell)(x, memory=memory).shape
        (2, 6)

    Source: Chorowski et al., 2015, arXiv:1506.07503; cumulative as in Shen et al.,
    2018, arXiv:1712.05884.
    """

    _: KW_ONLY
    filters: int = 32
    kernel_size: int = 31
    cumulative: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(filters=self.filters, kernel_size=self.kernel_size)

    @property
    def state_size(self) -> list[Any]:
        """A share for each entry, and where wanted the sum of all before."""
        return [(None,)] * (1 + self.cumulative)

    @property
    def state_names(self) -> tuple[str, ...]:
        """Theirs."""
        return ("alignments", "cumulated")[: 1 + self.cumulative]

    def get_initial_state(self, batch_size: int, memory_shape: Tree) -> list[Any]:
        """Zeros."""
        return super().get_initial_state(batch_size, memory_shape) * (
            1 + self.cumulative
        )

    def build_score(self, query: int, keys: int) -> None:
        """Create the filters too, W_f and b."""
        super().build_score(query, keys)
        shapes = {
            "filters_kernel": (self.kernel_size, 1, self.filters),
            "location_kernel": (self.filters, keys),
            "location_bias": (keys,),
        }
        for name, shape in shapes.items():
            make = "zeros" if name.endswith("bias") else self.kernel_initializer
            setattr(
                self, name, self.add_weight(name=name, shape=shape, initializer=make)
            )

    def hidden(self, query: jax.Array, keys: jax.Array, states: Any) -> jax.Array:
        """With what the filters see."""
        seen = jax.lax.conv_general_dilated(
            states[-1][..., None],
            jnp.asarray(self.filters_kernel.value, self.state_dtype),
            window_strides=(1,),
            padding="SAME",
            dimension_numbers=("NWC", "WIO", "NWC"),
        )
        bias = jnp.asarray(self.location_bias.value, self.state_dtype)
        query = query + jnp.broadcast_to(bias[None], query.shape)
        location = self.matmul(seen, self.location_kernel.value)
        return super().hidden(query, keys, states) + location

    def after(self, alignments: jax.Array, states: Tree) -> Tree:
        """The alignments, and their sum."""
        if not self.cumulative:
            return [alignments]
        return [alignments, states[1] + alignments]
