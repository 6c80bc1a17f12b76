"""Attention that only moves forwards: Raffel's monotonic alignments."""

from dataclasses import field
from typing import Any, Literal

import jax
import keras
from jax import numpy as jnp

from ..arguments import KW_ONLY
from ..cells.base import Tree
from ..checks import require
from .additive import BahdanauAttention
from .mechanism import AttentionMechanism
from .multiplicative import LuongAttention

_MODES = ("parallel", "recursive", "hard")
Mode = Literal["parallel", "recursive", "hard"]


def safe_cumprod(x: jax.Array) -> jax.Array:
    """Of numbers from 0 to 1 the products of all before each: ``exp(cumsum(log x))``.

    Args:
        x: ``(..., S)``.

    Source: ``safe_cumprod`` of TensorFlow Addons 0.23, with ``exclusive=True``.
    """
    return jnp.exp(
        _before(jnp.log(jnp.clip(x, jnp.finfo(x.dtype).tiny, 1)), jnp.cumsum)
    )


def monotonic_attention(
    choose: jax.Array, previous: jax.Array, mode: Mode = "parallel"
) -> jax.Array:
    """The share of each entry of a memory, where one only moves forwards.

    Reading from the entry of the step before, one stops at entry s with probability
    ``choose_s``.

    Args:
        choose: ``(B, S)``, each from 0 to 1.
        previous: ``(B, S)``, the shares of the step before; at first all at entry 0.
        mode: ``"recursive"``, exact; ``"parallel"``, the same in closed form, of which
            entries are lost that one passes with a probability of 1e-10 and less; or
            ``"hard"``, exact where each of `choose` is 0 or 1.

    Returns:
        ``(B, S)``; a row sums to less than 1 where one may pass all entries.

    Raises:
        ValueError: if there is no such mode.

    Source: Raffel et al., 2017, arXiv:1704.00784; ``monotonic_attention`` of TensorFlow
    Addons 0.23.
    """
    _check_mode(mode)
    if mode == "hard":
        choose = choose * jnp.cumsum(previous, axis=-1)
        return choose * _before(1 - choose, jnp.cumprod)
    if mode == "parallel":
        passed = safe_cumprod(1 - choose)
        return (
            choose * passed * jnp.cumsum(previous / jnp.clip(passed, 1e-10, 1), axis=-1)
        )
    # q_s = (1 - choose_(s-1)) q_(s-1) + previous_s, by halves: S steps would be slow.
    ones = jnp.ones_like(choose[..., :1])
    passes = jnp.concatenate([ones, 1 - choose[..., :-1]], axis=-1)
    _, reached = jax.lax.associative_scan(_both, (passes, previous), axis=-1)
    return choose * reached


def _both(first: tuple, then: tuple) -> tuple:
    """Two maps ``q -> a q + b``, one after the other."""
    return first[0] * then[0], then[0] * first[1] + then[1]


def _before(x: jax.Array, cumulate: Any) -> jax.Array:
    """What is cumulated of all entries before each: of none, 0 or 1."""
    none = jnp.zeros_like(x[..., :1])
    none = none if cumulate is jnp.cumsum else none + 1
    return jnp.concatenate([none, cumulate(x[..., :-1], axis=-1)], axis=-1)


def _check_mode(mode: str) -> None:
    require(
        mode in _MODES,
        "mode",
        f"must be one of {_MODES}",
        repr(mode),
        '"parallel" trains fast, "hard" reads as one does in use',
    )


class Monotonic(AttentionMechanism):
    """Stops at entries of the memory, from left to right, in place of a softmax."""

    _: KW_ONLY
    sigmoid_noise: float = 0.0
    sigmoid_noise_seed: int | None = None
    score_bias_init: float = 0.0
    mode: Mode = "parallel"
    probability_fn: Any = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_mode(self.mode)
        require(
            self.sigmoid_noise >= 0,
            "sigmoid_noise",
            "must not be negative, a standard deviation",
            self.sigmoid_noise,
            "pass 0 for none",
        )
        if self.sigmoid_noise:
            self.seed_generator = keras.random.SeedGenerator(self.sigmoid_noise_seed)

    def build_score(self, query: int, keys: int) -> None:
        """Create what all scores are moved by."""
        super().build_score(query, keys)
        self.attention_score_bias = self.add_weight(
            name="attention_score_bias",
            shape=(),
            initializer=keras.initializers.Constant(self.score_bias_init),
        )

    def get_initial_state(self, batch_size: int, memory_shape: Tree) -> list[Any]:
        """All at the first entry."""
        first = jnp.arange(self.steps(memory_shape)) == 0
        shape = (batch_size, *first.shape)
        return [jnp.broadcast_to(first[None], shape).astype(self.state_dtype)]

    def score(self, query: jax.Array, keys: jax.Array, states: Tree) -> jax.Array:
        """The other mechanism's, moved."""
        score = super().score(query, keys, states)
        return score + jnp.asarray(self.attention_score_bias.value, score.dtype)

    def align(self, score: jax.Array, states: Tree, constants: Tree) -> jax.Array:
        """From the shares of the step before on."""
        if constants["training"] and self.sigmoid_noise:
            noise = keras.random.normal(
                score.shape, dtype=score.dtype, seed=self.seed_generator
            )
            score = score + self.sigmoid_noise * noise
        hard = self.mode == "hard"
        choose = (score > 0).astype(score.dtype) if hard else jax.nn.sigmoid(score)
        return monotonic_attention(choose, states[0], self.mode)


@keras.saving.register_keras_serializable("unrolled")
class BahdanauMonotonicAttention(Monotonic, BahdanauAttention):
    """Additive attention that only moves forwards along the memory.

    Scores are those of `BahdanauAttention`, moved by a weight r. From the entry of the
    step before on, one stops at an entry with probability ``sigmoid(score + r)``; the
    alignments are the probabilities that one stops there.

    Args:
        units: U, the width of q, k and v.
        normalize: as of `BahdanauAttention`. Default False.
        sigmoid_noise: standard deviation of noise that is added to scores in training,
            so that they learn to be far from 0. Default 0.
        sigmoid_noise_seed: of the noise.
        score_bias_init: r before training; negative for a long memory. Default 0.
        mode: how alignments are computed: ``"parallel"`` (default), fast;
            ``"recursive"``, exact also for probabilities near 0 and 1; or ``"hard"``,
            one entry or none a step, for use after training: no gradient goes through
            the choice.
        kernel_initializer: of v. Default ``"glorot_uniform"``.
        query_layer: as of `BahdanauAttention`.
        memory_layer: as of `BahdanauAttention`.

    Its state is ``alignments (B, S)``, all at the first entry at the beginning.

    Raises:
        ValueError: if an argument is none of these.

    Example:
        >>> import keras, unrolled
        >>> mechanism = unrolled.BahdanauMonotonicAttention(8, score_bias_init=-1.0)
        >>> cell = unrolled.AttentionCell(unrolled.GRUCell(4), mechanism)
        >>> x, memory = keras.ops.ones((2, 5, 3)), keras.ops.ones((2, 7, 6))
        >>> unrolled.RNN(cell)(x, memory=memory).shape
        (2, 6)

    Source: Raffel et al., 2017, arXiv:1704.00784; ``BahdanauMonotonicAttention`` of
    TensorFlow Addons 0.23, where noise is added outside training too.
    """


@keras.saving.register_keras_serializable("unrolled")
class LuongMonotonicAttention(Monotonic, LuongAttention):
    """Multiplicative attention that only moves forwards along the memory.

    As `BahdanauMonotonicAttention`, with the scores of `LuongAttention`.

    Args:
        units: U, the width of the keys; that of the query must be the same.
        scale: as of `LuongAttention`. Default False.
        sigmoid_noise: standard deviation of noise on scores in training. Default 0.
        sigmoid_noise_seed: of the noise.
        score_bias_init: what all scores are moved by, before training. Default 0.
        mode: ``"parallel"`` (default), ``"recursive"`` or ``"hard"``.
        memory_layer: as of `LuongAttention`.
        query_layer: as of `LuongAttention`.

    Its state is ``alignments (B, S)``, all at the first entry at the beginning.

    Raises:
        ValueError: if an argument is none of these.

    Example:
        >>> import keras, unrolled
        >>> mechanism = unrolled.LuongMonotonicAttention(4, mode="recursive")
        >>> cell = unrolled.AttentionCell(unrolled.GRUCell(4), mechanism)
        >>> x, memory = keras.ops.ones((2, 5, 3)), keras.ops.ones((2, 7, 6))
        >>> unrolled.RNN(cell)(x, memory=memory).shape
        (2, 6)

    Source: Raffel et al., 2017, arXiv:1704.00784; ``LuongMonotonicAttention`` of
    TensorFlow Addons 0.23, where noise is added outside training too.
    """
