"""The old names of ``tf.contrib.crf`` and ``tfa.text.crf``, over `unrolled.CRF`'s.

Lengths stand where ours take a mask. Where the old ones looked at no length, neither do
these: a sequence of length 0 is decoded as if it had one step, and where there is one
step in all, `crf_multitag_sequence_score` counts it.

Now: `unrolled.CRF`, and the functions ``crf_...`` of `unrolled`.
"""

from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from ..checks import require
from ..decoding import crf as ours

__all__ = [
    "crf_binary_score",
    "crf_constrained_decode",
    "crf_decode",
    "crf_filtered_inputs",
    "crf_log_likelihood",
    "crf_log_norm",
    "crf_multitag_sequence_score",
    "crf_sequence_score",
    "crf_unary_score",
    "viterbi_decode",
]

# What they had beside them, and what stands for it.
_INSTEAD = {
    "CrfForwardRnnCell": "crf_log_norm",
    "CrfDecodeForwardRnnCell": "crf_decode",
    "CrfDecodeBackwardRnnCell": "crf_decode",
    "crf_forward": "crf_log_norm",
    "crf_decode_forward": "crf_decode",
    "crf_decode_backward": "crf_decode",
}


def __getattr__(name: str) -> Any:
    """Say what stands for a name that is not here."""
    if name in _INSTEAD:
        raise AttributeError(f"unrolled.tf1.crf has no {name}: use {_INSTEAD[name]}.")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _mask(lengths: Any, steps: int, least: int = 0) -> jax.Array:
    lengths = jnp.maximum(jnp.asarray(lengths), least)
    return jnp.arange(steps, dtype=lengths.dtype)[None] < lengths[:, None]


def crf_sequence_score(
    inputs: Any, tag_indices: Any, sequence_lengths: Any, transition_params: Any
) -> jax.Array:
    """The score of a sequence of tags, ``(B,)``.

    Args:
        inputs: potentials ``(B, T, V)``.
        tag_indices: ids ``(B, T)``.
        sequence_lengths: ``(B,)``.
        transition_params: ``(V, V)``.

    Now: `unrolled.crf_score`.

    Source: ``tf.contrib.crf.crf_sequence_score`` of TensorFlow 1.15.
    """
    mask = _mask(sequence_lengths, jnp.shape(inputs)[1])
    return ours.crf_score(inputs, tag_indices, transition_params, mask)


def crf_unary_score(tag_indices: Any, sequence_lengths: Any, inputs: Any) -> jax.Array:
    """The share of the potentials in `crf_sequence_score`, ``(B,)``.

    Now: `unrolled.crf_score` with transitions of zeros.

    Source: ``tf.contrib.crf.crf_unary_score`` of TensorFlow 1.15.
    """
    count = jnp.shape(inputs)[2]
    none = np.zeros((count, count), "float32")
    return crf_sequence_score(inputs, tag_indices, sequence_lengths, none)


def crf_binary_score(
    tag_indices: Any, sequence_lengths: Any, transition_params: Any
) -> jax.Array:
    """The share of the transitions in `crf_sequence_score`, ``(B,)``.

    Now: `unrolled.crf_score` with potentials of zeros.

    Source: ``tf.contrib.crf.crf_binary_score`` of TensorFlow 1.15.
    """
    moves = jnp.asarray(transition_params)
    none = jnp.zeros((*jnp.shape(tag_indices), len(moves)), moves.dtype)
    return crf_sequence_score(none, tag_indices, sequence_lengths, moves)


def crf_log_norm(
    inputs: Any, sequence_lengths: Any, transition_params: Any
) -> jax.Array:
    """The logarithm of Z, ``(B,)``; arguments as of `crf_sequence_score`.

    Now: `unrolled.crf_log_norm`.

    Source: ``tf.contrib.crf.crf_log_norm`` of TensorFlow 1.15.
    """
    mask = _mask(sequence_lengths, jnp.shape(inputs)[1])
    return ours.crf_log_norm(inputs, transition_params, mask)


def crf_log_likelihood(
    inputs: Any, tag_indices: Any, sequence_lengths: Any, transition_params: Any = None
) -> tuple[jax.Array, Any]:
    """The log-likelihood of tags, ``(B,)``, and the transitions.

    Args:
        inputs: potentials ``(B, T, V)``.
        tag_indices: ids ``(B, T)``.
        sequence_lengths: ``(B,)``.
        transition_params: ``(V, V)``. It has to be given: there is no graph that would
            keep a variable made here.

    Raises:
        ValueError: if there are no transitions.

    Now: `unrolled.CRF` and `unrolled.CRFLoss`, or `unrolled.crf_log_likelihood`.

    Source: ``tf.contrib.crf.crf_log_likelihood`` of TensorFlow 1.15.
    """
    require(
        transition_params is not None,
        "transition_params",
        "must be an array or weight (tags, tags)",
        "None",
        "make it with add_weight in a layer of yours, or let unrolled.CRF keep it",
    )
    score = crf_sequence_score(inputs, tag_indices, sequence_lengths, transition_params)
    norm = crf_log_norm(inputs, sequence_lengths, transition_params)
    return score - norm, transition_params


def crf_multitag_sequence_score(
    inputs: Any, tag_bitmap: Any, sequence_lengths: Any, transition_params: Any
) -> jax.Array:
    """The logarithm of the sum over sequences of the tags marked, ``(B,)``.

    Args:
        inputs: potentials ``(B, T, V)``.
        tag_bitmap: bool ``(B, T, V)``.
        sequence_lengths: ``(B,)``.
        transition_params: ``(V, V)``.

    Now: `unrolled.crf_multitag_score`.

    Source: ``tf.contrib.crf.crf_multitag_sequence_score`` of TensorFlow 1.15.
    """
    steps = jnp.shape(inputs)[1]
    mask = _mask(sequence_lengths, steps, least=1 if steps == 1 else 0)
    return ours.crf_multitag_score(inputs, tag_bitmap, transition_params, mask)


def crf_filtered_inputs(inputs: Any, tag_bitmap: Any) -> jax.Array:
    """Potentials of -inf where a tag is not marked.

    Now: ``allowed`` of `unrolled.crf_decode`.

    Source: ``tfa.text.crf_filtered_inputs`` of TensorFlow Addons 0.23.
    """
    return ours.only(jnp.asarray(inputs), tag_bitmap)


def crf_decode(
    potentials: Any, transition_params: Any, sequence_length: Any
) -> tuple[jax.Array, jax.Array]:
    """The best tags, int32 ``(B, T)``, zeros past the end; and their scores ``(B,)``.

    Args:
        potentials: ``(B, T, V)``.
        transition_params: ``(V, V)``.
        sequence_length: ``(B,)``.

    Now: `unrolled.crf_decode`.

    Source: ``tf.contrib.crf.crf_decode`` of TensorFlow 1.15.
    """
    mask = _mask(sequence_length, jnp.shape(potentials)[1], least=1)
    return ours.crf_decode(potentials, transition_params, mask)


def crf_constrained_decode(
    potentials: Any, tag_bitmap: Any, transition_params: Any, sequence_length: Any
) -> tuple[jax.Array, jax.Array]:
    """`crf_decode` among the tags marked in `tag_bitmap`, bool ``(B, T, V)``.

    Now: `unrolled.crf_decode` with ``allowed``.

    Source: ``tfa.text.crf_constrained_decode`` of TensorFlow Addons 0.23.
    """
    filtered = crf_filtered_inputs(potentials, tag_bitmap)
    return crf_decode(filtered, transition_params, sequence_length)


def viterbi_decode(score: Any, transition_params: Any) -> tuple[list[int], float]:
    """The best tags of one sequence ``(T, V)``, as a list, and their score.

    Now: `unrolled.crf_decode`.

    Example:
        >>> import numpy as np
        >>> from unrolled import tf1
        >>> potentials = np.array([[1.0, 0.0], [0.0, 0.5]], "float32")
        >>> tf1.crf.viterbi_decode(potentials, 2 * np.eye(2, dtype="float32"))
        ([0, 0], 3.0)

    Source: ``tf.contrib.crf.viterbi_decode`` of TensorFlow 1.15.
    """
    tags, best = ours.crf_decode(jnp.asarray(score)[None], transition_params)
    return tags[0].tolist(), float(best[0])
