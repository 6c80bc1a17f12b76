"""One step of the old beam search, to the digit.

Its oddities: an end token does not count in the length that a candidate is divided by
when it is chosen, and does from the next step on; the coverage penalty reaches only
beams that were finished before; a finished beam goes on with the end token.
"""

from typing import Any, NamedTuple

import jax
from jax import lax
from jax import numpy as jnp

from ...checks import require
from ...decoding.hypotheses import pick
from .stepping import map_arrays
from .wrapper import AttentionWrapperState

Tree = Any


class BeamSearchDecoderState(NamedTuple):
    """What a `BeamSearchDecoder` carries.

    cell_state: the cell's, each ``(B, K, ...)``.
    log_probs: ``(B, K)``.
    finished: ``[B, K]``.
    lengths: ``(B, K)``, with the end token.
    accumulated_attention_probs: ``(B, K, S)`` if coverage counts, else ``()``.
    """

    cell_state: Any
    log_probs: Any
    finished: Any
    lengths: Any
    accumulated_attention_probs: Any


class BeamSearchDecoderOutput(NamedTuple):
    """What a step of a `BeamSearchDecoder` chose.

    scores: ``(B, T, K)``; with `output_all_scores` of all candidates ``(B, T, K, V)``.
    predicted_ids: ``(B, T, K)``, the tokens.
    parent_ids: ``(B, T, K)``, the beams of the step before that they go on from.
    """

    scores: Any
    predicted_ids: Any
    parent_ids: Any


class Penalties(NamedTuple):
    """Weights of the penalties; 0 for none."""

    length: float
    coverage: float


def beam_step(
    logits: jax.Array,
    cell_state: Tree,
    before: BeamSearchDecoderState,
    end_token: jax.Array,
    penalties: Penalties,
    all_scores: bool,
) -> tuple[BeamSearchDecoderOutput, BeamSearchDecoderState]:
    """Which candidates go on.

    Args:
        logits: ``(B, K, V)``.
        cell_state: after the step, each ``(B, K, ...)``.
        before: the step.
        end_token: of a beam.
        penalties: their weights.
        all_scores: give those of all candidates.
    """
    rows, width, vocabulary = logits.shape
    done, dtype = before.finished, before.log_probs.dtype
    ends = jnp.arange(vocabulary, dtype="int32") == end_token
    log_probs = jax.nn.log_softmax(logits).astype(dtype)
    only = jnp.where(ends, 0, jnp.finfo(dtype).min).astype(dtype)
    over = jnp.broadcast_to(done[..., None], logits.shape)
    log_probs = jnp.where(over, jnp.broadcast_to(only, logits.shape), log_probs)
    total = before.log_probs[..., None] + log_probs

    live = jnp.logical_not(over)
    counts = jnp.logical_and(live, jnp.broadcast_to(jnp.logical_not(ends), over.shape))
    lengths = before.lengths[..., None] + counts.astype(before.lengths.dtype)
    covered: Any = ()
    if penalties.coverage:
        found = attended(cell_state)
        found = jnp.where(jnp.broadcast_to(done[..., None], found.shape), 0, found)
        covered = before.accumulated_attention_probs + found
    scores = _scores(total, lengths, done, covered, penalties)

    best, places = lax.top_k(scores.reshape(rows, -1), width)
    parents, tokens = places // vocabulary, (places % vocabulary).astype("int32")
    chosen = jnp.take_along_axis(total.reshape(rows, -1), places, axis=1)
    done = pick(done, parents)
    lengths = pick(before.lengths, parents)
    after = BeamSearchDecoderState(
        cell_state=map_arrays(
            lambda a: pick(a, parents) if a.ndim > 1 else a, cell_state
        ),
        log_probs=chosen,
        finished=jnp.logical_or(done, tokens == end_token),
        lengths=lengths + jnp.logical_not(done).astype(lengths.dtype),
        accumulated_attention_probs=pick(covered, parents)
        if penalties.coverage
        else (),
    )
    shown = scores if all_scores else best
    return BeamSearchDecoderOutput(shown, tokens, parents.astype("int32")), after


def _scores(
    total: jax.Array,
    lengths: jax.Array,
    done: jax.Array,
    covered: Any,
    penalties: Penalties,
) -> jax.Array:
    """What candidates are worth; powers are taken in float32, as there."""
    scores = total
    if penalties.length:
        power = jnp.float32(penalties.length)
        penalty = (5 + lengths.astype("float32")) ** power / jnp.float32(6) ** power
        scores = scores / penalty.astype(scores.dtype)
    if penalties.coverage:
        # What has no share at all is taken for padding.
        covered = jnp.where(covered == 0, jnp.ones_like(covered), covered)
        each = jnp.log(jnp.minimum(covered, 1)).sum(-1)
        each = penalties.coverage * jnp.where(done, each, 0)
        each = jnp.broadcast_to(each[..., None], scores.shape)
        scores = scores + each.astype(scores.dtype)
    return scores


def attended(cell_state: Tree) -> jax.Array:
    """The alignments in a state; of several the mean.

    Raises:
        ValueError: if there are none.
    """
    several = isinstance(cell_state, (list, tuple)) and not isinstance(
        cell_state, AttentionWrapperState
    )
    states = cell_state if several else [cell_state]
    found = [
        _mean(jax.tree.leaves(state.alignments))
        for state in states
        if isinstance(state, AttentionWrapperState)
    ]
    require(
        bool(found),
        "coverage_penalty_weight",
        "must be 0 where no cell attends",
        "a state without alignments",
        "wrap the cell in AttentionWrapper, or leave it out",
    )
    return _mean(found)


def _mean(arrays: list[jax.Array]) -> jax.Array:
    return arrays[0] if len(arrays) == 1 else jnp.mean(jnp.stack(arrays, -1), -1)
