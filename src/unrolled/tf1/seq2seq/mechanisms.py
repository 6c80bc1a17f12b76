"""Bahdanau's and Luong's attention under their old names."""

from typing import Any

from ... import attention
from .mechanism import AttentionMechanism, Theirs, width_of


class _Bahdanau(Theirs, attention.BahdanauAttention):
    pass


class _Luong(Theirs, attention.LuongAttention):
    pass


class BahdanauAttention(AttentionMechanism):
    """Additive attention over a memory that it holds.

    Args:
        units: U, the width of query and keys after their layers.
        memory: ``(B, S, M)``; or set it later, with `setup_memory`.
        memory_sequence_length: ``(B,)``, how many entries count. Default: all.
        normalize: as of `unrolled.BahdanauAttention`. Default False.
        probability_fn: ``"softmax"``, ``"hardmax"`` or a function of scores ``(B,
            S)``. Default ``"softmax"``.
        kernel_initializer: of v. Default ``"glorot_uniform"``.
        num_units: the older name of `units`.
        query_layer: in place of the query's projection.
        memory_layer: in place of the memory's.
        **kwargs: ``score_mask_value``, ``custom_key_value_fn``, and what a Keras layer
            takes: ``name``, ``dtype``.

    Raises:
        ValueError: if there is no width, or memory and lengths do not fit.

    Now: `unrolled.BahdanauAttention`, whose memory comes with each call.

    Source: ``BahdanauAttention`` of TensorFlow 1.15's contrib.seq2seq and of Addons
    0.23.
    """

    def __init__(
        self,
        units: int | None = None,
        memory: Any = None,
        memory_sequence_length: Any = None,
        normalize: bool = False,
        probability_fn: Any = "softmax",
        *,
        kernel_initializer: Any = "glorot_uniform",
        num_units: int | None = None,
        query_layer: Any = None,
        memory_layer: Any = None,
        **kwargs: Any,
    ) -> None:
        self._options = {
            "units": width_of(units, num_units),
            "normalize": normalize,
            "probability_fn": probability_fn or "softmax",
            "kernel_initializer": kernel_initializer,
        }
        given = {"memory": memory, "memory_sequence_length": memory_sequence_length}
        layers = {"query_layer": query_layer, "memory_layer": memory_layer}
        super().__init__(**given, **layers, **kwargs)

    def make(self, query_layer: Any, memory_layer: Any) -> Any:
        """Ours."""
        layers = {"query_layer": query_layer, "memory_layer": memory_layer}
        return _Bahdanau(**self._options, **layers, dtype=self.dtype_policy)


class LuongAttention(AttentionMechanism):
    """Multiplicative attention over a memory that it holds.

    Args:
        units: U, the width of the keys; that of the query must be the same.
        memory: ``(B, S, M)``; or set it later, with `setup_memory`.
        memory_sequence_length: ``(B,)``, how many entries count. Default: all.
        scale: multiply scores by a weight. Default False.
        probability_fn: ``"softmax"``, ``"hardmax"`` or a function of scores ``(B,
            S)``. Default ``"softmax"``.
        num_units: the older name of `units`.
        memory_layer: in place of the memory's projection.
        **kwargs: as of `BahdanauAttention`.

    Raises:
        ValueError: if there is no width, or memory and lengths do not fit.

    Now: `unrolled.LuongAttention`, whose memory comes with each call.

    Source: ``LuongAttention`` of TensorFlow 1.15's contrib.seq2seq and of Addons 0.23.
    """

    def __init__(
        self,
        units: int | None = None,
        memory: Any = None,
        memory_sequence_length: Any = None,
        scale: bool = False,
        probability_fn: Any = "softmax",
        *,
        num_units: int | None = None,
        memory_layer: Any = None,
        **kwargs: Any,
    ) -> None:
        self._options = {
            "units": width_of(units, num_units),
            "scale": scale,
            "probability_fn": probability_fn or "softmax",
        }
        given = {"memory": memory, "memory_sequence_length": memory_sequence_length}
        super().__init__(**given, memory_layer=memory_layer, **kwargs)

    def make(self, query_layer: Any, memory_layer: Any) -> Any:
        """Ours."""
        del query_layer
        return _Luong(
            **self._options, memory_layer=memory_layer, dtype=self.dtype_policy
        )
