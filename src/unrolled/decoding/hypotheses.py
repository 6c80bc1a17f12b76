"""The loop of decoding: K hypotheses a row, until all have ended or there is no room.

It owns the only loop here; how tokens are proposed, scored and chosen is handed in.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import lax
from jax import numpy as jnp

from ..engine import eager
from .beam import Candidates, Score

Tree = Any


class Hypotheses(NamedTuple):
    """What the loop carries."""

    count: jax.Array  # steps taken
    last: jax.Array  # (B, K), the tokens that the next step reads
    tokens: jax.Array  # (B, K, T)
    lengths: jax.Array  # (B, K)
    finished: jax.Array  # (B, K)
    log_probs: jax.Array  # (B, K)
    scores: jax.Array  # (B, K)
    states: Tree  # (B, K, ...)
    coverage: Any  # (B, K, S), or None
    ancestors: Any  # (B, K, T), the place at each step; or None
    records: Tree  # (B, K, T, ...), or None


class Parts(NamedTuple):
    """What a step of the loop is made of; B rows each, K hypotheses side by side."""

    # Of hypotheses the log-probabilities (B, K, V) of each next token, NaN where there
    # are none, and the states after the step.
    propose: Callable[[Hypotheses], tuple[jax.Array, Tree]]
    score: Score
    # Of scores and log-probabilities (B, K, V): the hypothesis that each goes on from
    # (B, K), None where that is itself, and its token (B, K).
    choose: Callable[[jax.Array, jax.Array, Hypotheses], tuple[Any, jax.Array]]
    # The alignments (B, K, S) in the states, if coverage counts; and what is recorded.
    alignments: Callable[[Tree], jax.Array] | None
    record: Callable[[Tree], Tree] | None


def begin(
    parts: Parts,
    start: jax.Array,
    states: Tree,
    zero: jax.Array,
    *,
    width: int,
    room: int,
    end: int | None,
    different: int,
    reordered: bool,
) -> Hypotheses:
    """Before the first step.

    Args:
        parts: of the loop.
        start: the tokens that the first step reads, ``(B,)``.
        states: a tree of ``(B, ...)``; each hypothesis begins with them.
        zero: in the dtype of log-probabilities.
        width: K.
        room: T.
        end: the token that ends a hypothesis, and stands after its end.
        different: of so many hypotheses in a row only the first is there.
        reordered: whether hypotheses go on from others than themselves.
    """

    def many(array: jax.Array) -> jax.Array:
        shape = (array.shape[0], width, *array.shape[1:])
        return jnp.broadcast_to(array[:, None], shape)

    def nothing(like: Any, *axes: int) -> jax.Array:
        shape = (*like.shape[:2], *axes, *like.shape[2:])
        return jnp.zeros(shape, like.dtype)

    states, last = jax.tree.map(many, states), many(start)
    none = jnp.zeros(last.shape, "int32")
    there = jnp.arange(width) % different == 0
    log_probs = jnp.where(there, zero, -jnp.inf).astype(zero.dtype)
    log_probs = jnp.broadcast_to(log_probs, last.shape)
    coverage = records = None
    if parts.alignments is not None:
        coverage = nothing(jax.eval_shape(parts.alignments, states)).astype(zero.dtype)
    if parts.record is not None:
        like = jax.eval_shape(parts.record, states)
        records = jax.tree.map(lambda each: nothing(each, room), like)
    traced = reordered and records is not None
    return Hypotheses(
        count=jnp.zeros((), "int32"),
        last=last,
        tokens=nothing(none, room) + (end or 0),
        lengths=none,
        finished=none.astype(bool),
        log_probs=log_probs,
        scores=log_probs,
        states=states,
        coverage=coverage,
        ancestors=nothing(none, room) if traced else None,
        records=records,
    )


def decode(parts: Parts, first: Hypotheses, end: int | None) -> Hypotheses:
    """Take steps until every hypothesis is finished, or `first.tokens` is full."""
    room = first.tokens.shape[-1]

    def more(now: Hypotheses) -> jax.Array:
        return jnp.logical_and(now.count < room, jnp.logical_not(now.finished.all()))

    def whole(first: Hypotheses) -> Hypotheses:
        return lax.while_loop(more, lambda now: _step(parts, now, end), first)

    last = eager.run(whole, first)
    if last.ancestors is not None:
        records = jax.tree.map(lambda a: _traced(a, last.ancestors), last.records)
        last = last._replace(records=records)
    return last


def _step(parts: Parts, now: Hypotheses, end: int | None) -> Hypotheses:
    stop = end or 0  # what stands after the end
    done = now.finished
    log_probs, states = parts.propose(now)
    broken = jnp.logical_and(jnp.isnan(log_probs).any(-1), jnp.logical_not(done))
    only = jnp.where(jnp.arange(log_probs.shape[-1]) == stop, 0.0, -jnp.inf)
    only = jnp.broadcast_to(only.astype(log_probs.dtype), log_probs.shape)
    log_probs = jnp.where(done[..., None], only, log_probs)
    states = jax.tree.map(lambda old, new: _where(done, old, new), now.states, states)
    coverage = now.coverage
    if parts.alignments is not None:
        more = parts.alignments(states).astype(coverage.dtype)
        coverage = coverage + _where(done, jnp.zeros_like(more), more)

    total = now.log_probs[..., None] + log_probs
    scores = parts.score(Candidates(total, now.lengths, done, coverage))
    parents, tokens = parts.choose(scores, log_probs, now)

    def kept(tree: Tree) -> Tree:
        """Of each that goes on, what its parent has."""
        return (
            tree if parents is None else jax.tree.map(lambda a: pick(a, parents), tree)
        )

    def chosen(candidates: jax.Array) -> jax.Array:
        of_token = jnp.take_along_axis(kept(candidates), tokens[..., None], axis=-1)
        return of_token[..., 0]

    done, lengths = kept((done, now.lengths))
    total, scores = chosen(total), chosen(scores)
    # What is no number leaves nothing to choose by, and what is no token cannot be
    # chosen: the row ends, and says so.
    outside = jnp.logical_or(tokens < 0, tokens >= log_probs.shape[-1])
    broken = broken | jnp.isnan(scores) | outside
    broken = jnp.broadcast_to(broken.any(1, keepdims=True), done.shape)
    total, scores = (jnp.where(broken, jnp.nan, a) for a in (total, scores))
    # Without a possible token a hypothesis is over, too.
    over = done | broken | (total == -jnp.inf)
    tokens = jnp.where(over, stop, tokens).astype("int32")
    states, coverage = kept((states, coverage))
    at = (slice(None), slice(None), now.count)
    after = now._replace(
        count=now.count + 1,
        last=tokens,
        tokens=kept(now.tokens).at[at].set(tokens),
        lengths=lengths + jnp.where(over, 0, 1),
        finished=over if end is None else over | (tokens == end),
        log_probs=total,
        scores=scores,
        states=states,
        coverage=coverage,
    )
    if parts.record is None:
        return after
    own = jax.tree.map(
        lambda a: _where(over, jnp.zeros_like(a), a), parts.record(states)
    )
    after = after._replace(
        records=jax.tree.map(lambda rows, a: rows.at[at].set(a), now.records, own)
    )
    if now.ancestors is None:
        return after
    places = jnp.broadcast_to(jnp.arange(tokens.shape[1], dtype="int32"), tokens.shape)
    return after._replace(ancestors=kept(now.ancestors).at[at].set(places))


def in_order(found: Hypotheses, order: jax.Array) -> Hypotheses:
    """Hypotheses in another order, ``(B, K)``."""
    sorted_ = jax.tree.map(lambda a: pick(a, order), found._replace(count=None))
    return sorted_._replace(count=found.count)


def pick(array: jax.Array, places: jax.Array) -> jax.Array:
    """Of ``(B, K, ...)`` the hypotheses at ``(B, n)``."""
    return jax.vmap(lambda row, at: row[at])(array, places)


def _traced(rows: jax.Array, ancestors: jax.Array) -> jax.Array:
    """Of ``(B, K, T, ...)`` what each hypothesis's own ancestors had."""
    by_time = jax.vmap(lambda row, at: row[at], in_axes=(1, 1), out_axes=1)
    return jax.vmap(by_time)(rows, ancestors)


def _where(rows: jax.Array, yes: jax.Array, no: jax.Array) -> jax.Array:
    """`yes` for some hypotheses, ``[B, K]``, and `no` for others; ``(B, K, ...)``."""
    rows = rows.reshape(rows.shape + (1,) * (yes.ndim - rows.ndim))
    return jnp.where(jnp.broadcast_to(rows, yes.shape), yes, no)
