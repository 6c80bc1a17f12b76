"""Greedy decoding, sampling and beam search with a step of the user's own."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import numpy as jnp
from jax import random

from . import checks
from .beam import gnmt, go_on
from .hypotheses import Hypotheses, Parts, begin, decode, in_order
from .keys import key_of
from .samplers import Sampler, repeated_less

Tree = Any


class Found(NamedTuple):
    """What a search gives: K hypotheses a row, the best first.

    tokens: ``(B, K, T)``, without the start token; the end token after the end, or
        zeros where there is none.
    lengths: ``(B, K)``, tokens with the end token.
    finished: ``[B, K]``, whether it came to its end before there was no more room.
    scores: ``(B, K)``, what they are in order of; the log-probability, with penalties.
    log_probs: ``(B, K)``, of all its tokens.
    states: each ``(B, K, ...)``, after the step that gave the last token.
    records: what `record` gave at each step, ``(B, K, T, ...)``; zeros after the end.
    """

    tokens: jax.Array
    lengths: jax.Array
    finished: jax.Array
    scores: jax.Array
    log_probs: jax.Array
    states: Tree
    records: Tree


def search(
    step: Callable[[jax.Array, Tree, Tree], tuple[jax.Array, Tree]],
    states: Tree,
    memory: Tree = None,
    *,
    start: Any,
    end: int | None = None,
    max_steps: int,
    beam_width: int = 1,
    sampler: Sampler | None = None,
    seed: Any = None,
    length_penalty: float = 0.0,
    coverage_penalty: float = 0.0,
    alignments: Callable[[Tree], jax.Array] | None = None,
    memory_mask: Any = None,
    groups: int = 1,
    diversity_penalty: float = 0.0,
    repetition_penalty: float = 1.0,
    min_length: int = 0,
    prefix: Any = None,
    adjust_logits: Callable[..., jax.Array] | None = None,
    record: Callable[[Tree], Tree] | None = None,
) -> Found:
    """Find the tokens that a decoder gives: greedily, by sampling or by beam search.

    The step is written for B rows, whatever K is: it is run over K hypotheses a row by
    ``jax.vmap``, on an axis that states have and the memory has not. Nothing need be
    repeated K times, and it may close over arrays ``(B, ...)``. All of it is one
    compiled loop, inside ``jit`` or not, that stops once every hypothesis has ended.

    Args:
        step: ``(tokens, states, memory) -> (logits, states)``, of tokens ``(B,)`` to
            logits ``(B, V)``; pure.
        states: before the first step, a tree of ``(B, ...)``.
        memory: handed to every step as it is.
        start: the token that the first step reads, or one for each row, ``(B,)``.
        end: the token that ends a hypothesis. Default None: all take `max_steps`.
        max_steps: T, the most tokens there can be, the end token too.
        beam_width: K, how many hypotheses a row has. Default 1: greedy.
        sampler: draws tokens, ``(logits, key) -> tokens``, as `unrolled.sampler` makes
            it. The K hypotheses are then drawn one apart from the other, and stay in
            the order in which they were drawn. Default None: the best are kept.
        seed: of the sampler: a whole number, a key of JAX or a Keras ``SeedGenerator``.
            Default None: another each time, after ``keras.utils.set_random_seed`` the
            same.
        length_penalty: alpha of GNMT: scores are log-probabilities divided by
            ``((5 + length) / 6) ** alpha``. Default 0, none.
        coverage_penalty: beta of GNMT: what is added for entries of the memory, each
            ``beta * log(min(sum of its alignments, 1))``. Default 0, none.
        alignments: gives the alignments ``(B, S)`` in the states, for the above.
        memory_mask: ``[B, S]``, the entries that are to be covered. Default: all.
        groups: in how many groups the hypotheses are searched for, each avoiding what
            those before it chose. Default 1.
        diversity_penalty: what a candidate loses for each hypothesis of a group before
            that chose its token at the same step. It decides what goes on, and is no
            part of the scores. Default 0.
        repetition_penalty: divides positive logits of tokens that were given before,
            and multiplies negative ones. Default 1, none.
        min_length: so many tokens come before the end token. Default 0.
        prefix: tokens that must come first, ``(B, P)``; -1 leaves a place open.
        adjust_logits: ``(logits, tokens, count) -> logits``, for constraints: of
            log-probabilities ``(B, V)`` and the tokens ``(B, T)`` of which `count` are
            there. What it gives is taken as it is; ``-inf`` forbids a token.
        record: what to tell of the states after each step, such as alignments: a
            function to a tree of ``(B, ...)``. It follows the hypotheses.

    Returns:
        A named tuple of ``tokens`` ``(B, K, T)``, ``lengths``, ``finished``, ``scores``
        and ``log_probs`` ``(B, K)``, ``states`` ``(B, K, ...)`` and ``records``
        ``(B, K, T, ...)``; hypotheses are in the order of their scores, best first.
        Where there are fewer than K, or all tokens were forbidden, the score is
        ``-inf``; a row whose logits or alignments were NaN, or whose sampler gave what
        is no token, ends there, with scores NaN.

    Raises:
        ValueError: if an argument does not fit the others, or what `step` gives.

    Example:
        >>> import jax, unrolled
        >>> from jax import numpy as jnp
        >>> table = jnp.log(jnp.array([[.1, .5, .4], [.6, .2, .2], [.1, .1, .8]]))
        >>> def step(tokens, states, memory):
        ...     return table[tokens], states
        >>> found = unrolled.search(
        ...     step, jnp.zeros((1, 0)), start=0, end=2, max_steps=4, beam_width=3
        ... )
        >>> found.tokens[0].tolist()
        [[2, 2, 2, 2], [1, 0, 2, 2], [1, 0, 1, 0]]
        >>> found.lengths[0].tolist()
        [1, 3, 4]

    Source: GNMT, Wu et al., 2016; diverse groups of Vijayakumar et al., 2016.
    """
    checks.functions(
        step=step, alignments=alignments, adjust_logits=adjust_logits, record=record
    )
    checks.lengths(start, end, max_steps, min_length, prefix)
    checks.chosen(beam_width, sampler, groups, diversity_penalty)
    checks.penalties(length_penalty, coverage_penalty, alignments, repetition_penalty)
    states = jax.tree.map(jnp.asarray, states)
    rows = checks.rows(states, start, prefix, memory_mask)
    start = jnp.broadcast_to(jnp.asarray(start, "int32"), (rows,))
    logits = checks.step(step, start, states, memory, end, prefix)
    alignments = alignments if coverage_penalty else None
    checks.of_states(record, alignments, states, rows, memory_mask)
    prefix = None if prefix is None else jnp.asarray(prefix, "int32")
    memory_mask = None if memory_mask is None else jnp.asarray(memory_mask).astype(bool)
    key = None if sampler is None else key_of(seed, (start, states))

    def propose(now: Hypotheses) -> tuple[jax.Array, Tree]:
        logits, states = _hypotheses_of(step)(now.last, now.states, memory)
        if repetition_penalty != 1:
            seen = _given_before(now, logits.shape[-1])
            logits = repeated_less(logits, seen, repetition_penalty)
        logits = jax.nn.log_softmax(logits.astype(_wide(logits.dtype)))
        if adjust_logits is not None:
            logits = _hypotheses_of(adjust)(logits, now.tokens, now.count)
        return _allowed(logits, now.count, end, min_length, prefix), states

    def choose(scores: jax.Array, logits: jax.Array, now: Hypotheses) -> tuple:
        if sampler is None or key is None:
            return go_on(scores, now.finished, groups, diversity_penalty)
        keys = random.split(random.fold_in(key, now.count), beam_width)
        return None, jax.vmap(draw, in_axes=(1, 0), out_axes=1)(logits, keys)

    def adjust(logits: jax.Array, tokens: jax.Array, count: jax.Array) -> jax.Array:
        given: Any = adjust_logits
        return checks.adjusted(given(logits, tokens, count), logits)

    def draw(logits: jax.Array, key: jax.Array) -> jax.Array:
        given: Any = sampler
        return checks.drawn(given(logits, key), rows)

    parts = Parts(
        propose,
        gnmt(length_penalty, coverage_penalty, memory_mask),
        choose,
        _each(alignments) if alignments is not None else None,
        _each(record) if record is not None else None,
    )
    apart = sampler is not None
    first = begin(
        parts,
        start,
        states,
        jnp.zeros((), _wide(logits.dtype)),
        width=beam_width,
        room=max_steps,
        end=end,
        # Where all begin alike, but one of each group would be a copy of it.
        different=1 if apart else beam_width // groups,
        reordered=not apart and beam_width > 1,
    )
    last = decode(parts, first, end)
    if groups > 1:
        last = in_order(last, jnp.argsort(-last.scores, axis=1))
    return Found(*(getattr(last, name) for name in Found._fields))


def _hypotheses_of(function: Callable[..., Any]) -> Any:
    """What is written for B rows, of arrays ``(B, K, ...)``; the last is the same."""
    return jax.vmap(function, in_axes=(1, 1, None), out_axes=1)


def _each(function: Any) -> Any:
    return jax.vmap(function, in_axes=1, out_axes=1)


def _wide(dtype: Any) -> Any:
    """At least float32: log-probabilities are added up."""
    return jnp.float64 if dtype == jnp.float64 else jnp.float32


def _given_before(now: Hypotheses, vocabulary: int) -> jax.Array:
    """Which tokens ``[B, K, V]`` a hypothesis holds."""
    rows, width, room = now.tokens.shape
    there = jnp.broadcast_to(jnp.arange(room) < now.count, now.tokens.shape)
    # Out of the vocabulary is nowhere.
    tokens = jnp.where(there, now.tokens, vocabulary)
    row, place = jnp.ogrid[:rows, :width]
    seen = jnp.zeros((rows, width, vocabulary), bool)
    return seen.at[row[..., None], place[..., None], tokens].set(True, mode="drop")


def _allowed(
    logits: jax.Array, count: jax.Array, end: int | None, least: int, prefix: Any
) -> jax.Array:
    """Forbid what may not come yet, and all but what must."""
    tokens = jnp.arange(logits.shape[-1])
    allowed = jnp.ones(len(tokens), bool)
    if least:
        allowed = jnp.logical_or(tokens != end, count >= least)
    allowed = jnp.broadcast_to(allowed, logits.shape)
    if prefix is not None:
        places = prefix.shape[1]
        forced = prefix[:, jnp.minimum(count, places - 1)]
        is_forced = jnp.logical_and(forced >= 0, count < places)
        same = forced[:, None] == tokens[None]
        allowed = jnp.where(
            jnp.broadcast_to(is_forced[:, None, None], logits.shape),
            jnp.broadcast_to(same[:, None], logits.shape),
            allowed,
        )
    return jnp.where(allowed, logits, -jnp.inf)
