"""Attention that only moves forwards, under its old names."""

from typing import Any, Literal

from ... import attention
from .mechanism import AttentionMechanism, Theirs, width_of


class _Bahdanau(Theirs, attention.BahdanauMonotonicAttention):
    pass


class _Luong(Theirs, attention.LuongMonotonicAttention):
    pass


class BahdanauMonotonicAttention(AttentionMechanism):
    """Additive attention that only moves forwards, over a memory that it holds.

    Args:
        units: U, the width of query and keys after their layers.
        memory: ``(B, S, M)``; or set it later, with `setup_memory`.
        memory_sequence_length: ``(B,)``, how many entries count. Default: all.
        normalize: as of `unrolled.BahdanauAttention`. Default False.
        sigmoid_noise: standard deviation of noise on the scores, which is added outside
            training too. Default 0.
        sigmoid_noise_seed: of the noise.
        score_bias_init: what scores are moved by, before training. Default 0.
        mode: ``"parallel"`` (default), ``"recursive"`` or ``"hard"``.
        kernel_initializer: of v. Default ``"glorot_uniform"``.
        num_units: the older name of `units`.
        query_layer: in place of the query's projection.
        memory_layer: in place of the memory's.
        **kwargs: as of `BahdanauAttention`.

    Raises:
        ValueError: if an argument is none of these.

    Now: `unrolled.BahdanauMonotonicAttention`, whose noise is off outside training.

    Source: ``BahdanauMonotonicAttention`` of TensorFlow 1.15's contrib.seq2seq and of
    Addons 0.23.
    """

    def __init__(
        self,
        units: int | None = None,
        memory: Any = None,
        memory_sequence_length: Any = None,
        normalize: bool = False,
        sigmoid_noise: float = 0.0,
        sigmoid_noise_seed: int | None = None,
        score_bias_init: float = 0.0,
        mode: Literal["parallel", "recursive", "hard"] = "parallel",
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
            "sigmoid_noise": sigmoid_noise,
            "sigmoid_noise_seed": sigmoid_noise_seed,
            "score_bias_init": score_bias_init,
            "mode": mode,
            "kernel_initializer": kernel_initializer,
        }
        given = {"memory": memory, "memory_sequence_length": memory_sequence_length}
        layers = {"query_layer": query_layer, "memory_layer": memory_layer}
        super().__init__(**given, **layers, **kwargs)

    def make(self, query_layer: Any, memory_layer: Any) -> Any:
        """Ours."""
        layers = {"query_layer": query_layer, "memory_layer": memory_layer}
        return _Bahdanau(**self._options, **layers, dtype=self.dtype_policy)


class LuongMonotonicAttention(AttentionMechanism):
    """Multiplicative attention that only moves forwards, over a memory that it holds.

    Args:
        units: U, the width of the keys; that of the query must be the same.
        memory: ``(B, S, M)``; or set it later, with `setup_memory`.
        memory_sequence_length: ``(B,)``, how many entries count. Default: all.
        scale: multiply scores by a weight. Default False.
        sigmoid_noise: as of `BahdanauMonotonicAttention`. Default 0.
        sigmoid_noise_seed: of the noise.
        score_bias_init: what scores are moved by, before training. Default 0.
        mode: ``"parallel"`` (default), ``"recursive"`` or ``"hard"``.
        num_units: the older name of `units`.
        memory_layer: in place of the memory's projection.
        **kwargs: as of `BahdanauAttention`.

    Raises:
        ValueError: if an argument is none of these.

    Now: `unrolled.LuongMonotonicAttention`, whose noise is off outside training.

    Source: ``LuongMonotonicAttention`` of TensorFlow 1.15's contrib.seq2seq and of
    Addons 0.23.
    """

    def __init__(
        self,
        units: int | None = None,
        memory: Any = None,
        memory_sequence_length: Any = None,
        scale: bool = False,
        sigmoid_noise: float = 0.0,
        sigmoid_noise_seed: int | None = None,
        score_bias_init: float = 0.0,
        mode: Literal["parallel", "recursive", "hard"] = "parallel",
        *,
        num_units: int | None = None,
        memory_layer: Any = None,
        **kwargs: Any,
    ) -> None:
        self._options = {
            "units": width_of(units, num_units),
            "scale": scale,
            "sigmoid_noise": sigmoid_noise,
            "sigmoid_noise_seed": sigmoid_noise_seed,
            "score_bias_init": score_bias_init,
            "mode": mode,
        }
        given = {"memory": memory, "memory_sequence_length": memory_sequence_length}
        super().__init__(**given, memory_layer=memory_layer, **kwargs)

    def make(self, query_layer: Any, memory_layer: Any) -> Any:
        """Ours."""
        del query_layer
        return _Luong(
            **self._options, memory_layer=memory_layer, dtype=self.dtype_policy
        )
