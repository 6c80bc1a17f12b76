"""A linear-chain conditional random field: functions of potentials and transitions.

A sequence of tags ``y`` has the score ``sum_t potentials[t, y_t] + sum_t
transitions[y_(t-1), y_t]``, and the probability ``exp(score) / Z``, where Z sums over
all sequences. A masked step is as if it were not there: the chain goes on over it.

Shapes: V is the number of tags.
"""

from functools import wraps
from typing import Any

import jax
from jax import numpy as jnp

from ..checks import require
from ..engine.loop import unroll
from .losses import of_ids, precise


def crf_log_likelihood(
    potentials: Any, tags: Any, transitions: Any, mask: Any = None
) -> jax.Array:
    """The logarithm of the probability of tags: `crf_score` less `crf_log_norm`.

    Args:
        potentials: ``(B, T, V)``, what each step says of each tag.
        tags: ids ``(B, T)``; what they are at masked steps is not read.
        transitions: ``(V, V)``, from one tag (row) to the next (column).
        mask: bool ``(B, T)``, of any pattern. Default: all steps count.

    Returns:
        ``(B,)``; 0 for a row that is masked wholly, NaN for one with a tag that is not
        among 0 ... V - 1.

    Raises:
        ValueError: if shapes do not fit.

    Example:
        >>> import numpy as np, unrolled
        >>> potentials, tags = np.zeros((1, 2, 3), "float32"), [[0, 1]]
        >>> found = unrolled.crf_log_likelihood(potentials, tags, np.zeros((3, 3)))
        >>> print(f"{float(found[0]):.4f}")  # one of nine
        -2.1972

    Source: Lafferty et al., 2001; ``tfa.text.crf_log_likelihood``.
    """
    score = crf_score(potentials, tags, transitions, mask)
    return score - crf_log_norm(potentials, transitions, mask)


def crf_score(
    potentials: Any, tags: Any, transitions: Any, mask: Any = None
) -> jax.Array:
    """The score of tags, ``(B,)``; arguments as of `crf_log_likelihood`.

    Raises:
        ValueError: if shapes do not fit.

    Example:
        >>> import numpy as np, unrolled
        >>> transitions = np.array([[1.0, 2.0], [3.0, 4.0]], "float32")
        >>> unrolled.crf_score(np.ones((1, 3, 2)), [[0, 1, 1]], transitions).tolist()
        [9.0]

    Source: ``tfa.text.crf_sequence_score``.
    """
    potentials, transitions, mask = checked(potentials, transitions, mask)
    tags = jnp.asarray(tags)
    require(
        tags.shape == mask.shape,
        "tags",
        f"must be ids of shape {mask.shape}",
        tags.shape,
        "pass the id of one tag for each step",
    )
    return _score(potentials, tags, transitions, mask)


def crf_log_norm(potentials: Any, transitions: Any, mask: Any = None) -> jax.Array:
    """Log Z, ``(B,)``: of the sum over all sequences; 0 for a row masked wholly.

    Its gradient by the potentials is the probability of each tag at each step.
    Arguments as of `crf_log_likelihood`.

    Raises:
        ValueError: if shapes do not fit.

    Example:
        >>> import jax, numpy as np, unrolled
        >>> norm = lambda p: unrolled.crf_log_norm(p, np.zeros((2, 2))).sum()
        >>> jax.grad(norm)(np.zeros((1, 3, 2), "float32"))[0, 0].tolist()
        [0.5, 0.5]

    Source: ``tfa.text.crf_log_norm``.
    """
    return _log_norm(*checked(potentials, transitions, mask))


def crf_multitag_score(
    potentials: Any, allowed: Any, transitions: Any, mask: Any = None
) -> jax.Array:
    """The logarithm of the sum over all sequences of allowed tags, ``(B,)``.

    Less `crf_log_norm` it is the log-likelihood of labels that leave a choice. A row
    with a step where nothing is allowed has -inf.

    Args:
        potentials: ``(B, T, V)``.
        allowed: bool ``(B, T, V)``.
        transitions: ``(V, V)``.
        mask: bool ``(B, T)``.

    Raises:
        ValueError: if shapes do not fit.

    Example:
        >>> import numpy as np, unrolled
        >>> allowed = np.array([[[1, 1], [0, 1]]], bool)
        >>> potentials = np.zeros((1, 2, 2), "float32")
        >>> found = unrolled.crf_multitag_score(potentials, allowed, np.zeros((2, 2)))
        >>> print(f"{float(found[0]):.4f}")  # log 2
        0.6931

    Source: ``tfa.text.crf_multitag_sequence_score``.
    """
    potentials, transitions, mask = checked(potentials, transitions, mask)
    return _log_norm(only(potentials, allowed), transitions, mask)


def crf_decode(
    potentials: Any, transitions: Any, mask: Any = None, allowed: Any = None
) -> tuple[jax.Array, jax.Array]:
    """The sequence of the highest score (Viterbi), and its score.

    Args:
        potentials: ``(B, T, V)``.
        transitions: ``(V, V)``.
        mask: bool ``(B, T)``.
        allowed: bool ``(B, T, V)``, tags to choose from. Default: all.

    Returns:
        Tags, int32 ``(B, T)``, 0 at masked steps; and scores ``(B,)``. A row for which
        nothing is allowed has the score -inf.

    Raises:
        ValueError: if shapes do not fit.

    Example:
        >>> import numpy as np, unrolled
        >>> potentials = np.array([[[1.0, 0.0], [0.0, 0.5]]], "float32")
        >>> stay = np.array([[2.0, 0.0], [0.0, 2.0]], "float32")
        >>> tags, score = unrolled.crf_decode(potentials, stay)
        >>> tags.tolist(), score.tolist()
        ([[0, 0]], [3.0])

    Source: ``tfa.text.crf_decode``, ``crf_constrained_decode``.
    """
    potentials, transitions, mask = checked(potentials, transitions, mask)
    if allowed is not None:
        potentials = only(potentials, allowed)
    return _decode(potentials, transitions, mask)


def checked(potentials: Any, transitions: Any, mask: Any) -> tuple[jax.Array, ...]:
    """The three as arrays of one floating dtype, and of bools.

    Raises:
        ValueError: if the shapes do not fit.
    """
    potentials, transitions = precise(potentials), jnp.asarray(transitions)
    require(
        potentials.ndim == 3 and potentials.shape[1] > 0 and potentials.shape[2] > 0,
        "potentials",
        "must have shape (batch, time, tags), with one step and one tag or more",
        potentials.shape,
        "add the axis that is missing, potentials[None] for one sequence",
    )
    rows, length, count = potentials.shape
    require(
        transitions.shape == (count, count),
        "transitions",
        f"must have shape (tags, tags) = {(count, count)}",
        transitions.shape,
        "pass a number for each pair of tags, from the row to the column",
    )
    mask = jnp.ones((rows, length), bool) if mask is None else jnp.asarray(mask)
    require(
        mask.shape == (rows, length),
        "mask",
        f"must have shape (batch, time) = {(rows, length)}",
        mask.shape,
        "pass jnp.arange(T) < lengths[:, None] for lengths",
    )
    return potentials, transitions.astype(potentials.dtype), mask.astype(bool)


def only(potentials: jax.Array, allowed: Any) -> jax.Array:
    """Potentials of -inf where a tag is not allowed.

    Raises:
        ValueError: if `allowed` does not say it of each.
    """
    allowed = jnp.asarray(allowed)
    require(
        allowed.shape == potentials.shape,
        "allowed",
        f"must have shape {potentials.shape}, that of the potentials",
        allowed.shape,
        "pass True for each tag that is allowed at a step",
    )
    return jnp.where(allowed.astype(bool), potentials, -jnp.inf)


def with_ends(
    potentials: jax.Array, start: jax.Array, end: jax.Array, mask: jax.Array
) -> jax.Array:
    """Potentials, with `start` at a row's first step that counts, `end` at its last."""
    count = mask.shape[1]
    first = jnp.argmax(mask, axis=1)
    last = count - 1 - jnp.argmax(mask[:, ::-1], axis=1)
    at_first, at_last = (
        jax.nn.one_hot(place, count, dtype=potentials.dtype)[..., None]
        for place in (first, last)
    )
    return potentials + at_first * start[None, None] + at_last * end[None, None]


def _traced_once(function: Any) -> Any:
    """Compiled by itself where nothing around it is."""
    return wraps(function)(jax.jit(function))


@_traced_once
def _score(potentials: Any, tags: Any, transitions: Any, mask: Any) -> jax.Array:
    tags = jnp.where(mask, tags, 0)
    own = of_ids(potentials, tags)
    tags = tags.astype("int32")
    # The step that counts before each one, if there is one.
    steps = jnp.broadcast_to(jnp.arange(mask.shape[1])[None], mask.shape)
    before = jax.lax.cummax(jnp.where(mask, steps, -1), axis=1)[:, :-1]
    come_from = jnp.take_along_axis(tags, jnp.maximum(before, 0), axis=1)
    linked = mask[:, 1:] & (before >= 0)
    moves = jnp.where(linked, transitions[come_from, tags[:, 1:]], 0)
    return jnp.sum(jnp.where(mask, own, 0), axis=1) + jnp.sum(moves, axis=1)


@_traced_once
def _log_norm(potentials: Any, transitions: Any, mask: Any) -> jax.Array:
    @jax.checkpoint  # (B, V, V) of each step are made again, not kept
    def step(x: Any, state: Any, _: Any) -> Any:
        alpha, begun = state
        joined = _log_sum_exp(alpha[:, :, None] + transitions[None], axis=1)
        alpha = x + jnp.where(begun[:, None], joined, 0)
        return (), (alpha, jnp.ones_like(begun)), ()

    alpha, begun = unroll(
        step, potentials, _nothing(potentials), mask=mask, keep_outputs=False
    ).states
    return jnp.where(begun, _log_sum_exp(alpha, axis=1), 0)


@_traced_once
def _decode(potentials: Any, transitions: Any, mask: Any) -> tuple:
    def forwards(x: Any, state: Any, _: Any) -> Any:
        best, begun = state
        scores = best[:, :, None] + transitions[None]
        before = jnp.argmax(scores, axis=1).astype("int32")
        best = x + jnp.where(begun[:, None], jnp.max(scores, axis=1), 0)
        return before, (best, jnp.ones_like(begun)), ()

    def backwards(before: Any, tag: Any, _: Any) -> Any:
        return tag, jnp.take_along_axis(before, tag[:, None], axis=1)[:, 0], ()

    run = unroll(forwards, potentials, _nothing(potentials), mask=mask)
    best, begun = run.states
    last = jnp.argmax(best, axis=1).astype("int32")
    tags = unroll(
        backwards, run.outputs, last, mask=mask, reverse=True, zero_masked=True
    ).outputs
    return tags[:, ::-1], jnp.where(begun, jnp.max(best, axis=1), 0)


def _nothing(potentials: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Before the first step: no scores, and of no row has a step been seen."""
    rows, _, count = potentials.shape
    return jnp.zeros((rows, count), potentials.dtype), jnp.zeros(rows, bool)


def _log_sum_exp(a: jax.Array, axis: int) -> jax.Array:
    """Of nothing but -inf it is -inf, with a gradient of zeros."""
    top = jax.lax.stop_gradient(jnp.max(a, axis=axis, keepdims=True))
    top = jnp.where(jnp.isfinite(top), top, 0)
    total = jnp.sum(jnp.exp(a - top), axis=axis)
    some = total > 0
    found = jnp.log(jnp.where(some, total, 1)) + jnp.squeeze(top, axis)
    return jnp.where(some, found, -jnp.inf)
