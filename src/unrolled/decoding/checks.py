"""Checks of what a search is called with, before any compute."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from .._borrowed import Tracer
from ..checks import is_count, is_number, require

Tree = Any


def max_steps(most: int) -> None:
    """Check how many steps there can be."""
    require(
        is_count(most),
        "max_steps",
        "must be a positive integer, the most steps there can be",
        repr(most),
        "it is the room that results have",
    )


def begins(start: Any) -> None:
    """Check what the first step reads."""
    require(
        _are_tokens(start) and np.ndim(start) <= 1,
        "start",
        "must be a token, a whole number, or one for each row (batch,)",
        _kind(start),
        "it is what the first step reads; tokens that must come first are a prefix",
    )


def lengths(
    start: Any, end: int | None, most: int, min_length: int, prefix: Any
) -> None:
    """Check where a hypothesis begins, and how long it may become."""
    max_steps(most)
    begins(start)
    require(
        end is None or (is_number(end) and _are_tokens(end) and end >= 0),
        "end",
        "must be a token, a whole number, or None",
        repr(end),
        "leave it out where nothing ends a hypothesis",
    )
    require(
        is_count(min_length + 1 if is_number(min_length) else None)
        and min_length <= most,
        "min_length",
        f"must be a whole number from 0 to max_steps, {most}",
        repr(min_length),
        "so many tokens come before the end token",
    )
    require(
        min_length == 0 or end is not None,
        "min_length",
        "needs an end token",
        "end=None",
        "pass end=..., or leave it out: all hypotheses take max_steps",
    )
    if prefix is None:
        return
    require(
        _are_tokens(prefix)
        and np.ndim(prefix) == 2
        and 0 < np.shape(prefix)[1] <= most,
        "prefix",
        f"must hold tokens (batch, P) with P of at most max_steps, {most}",
        _kind(prefix),
        "pad shorter ones with -1",
    )


def chosen(beam_width: int, sampler: Any, groups: int, diversity: float) -> None:
    """Check how candidates are chosen."""
    require(
        is_count(beam_width),
        "beam_width",
        "must be a positive integer, the number of hypotheses of a row",
        repr(beam_width),
        "1 is greedy",
    )
    require(
        sampler is None or callable(sampler),
        "sampler",
        "must be a function (logits, key) -> tokens",
        repr(sampler),
        "for example unrolled.sampler(top_k=40)",
    )
    require(
        is_count(groups) and beam_width % groups == 0,
        "groups",
        f"must divide beam_width, {beam_width}",
        repr(groups),
        "each group has as many hypotheses as the others",
    )
    require(
        sampler is None or groups == 1,
        "groups",
        "are of beam search; samples differ by themselves",
        f"{groups} beside a sampler",
        "leave one of the two out",
    )
    require(
        is_number(diversity) and (diversity == 0 or (diversity > 0 and groups > 1)),
        "diversity_penalty",
        "must be positive, and needs groups=2 or more",
        f"{diversity} with groups={groups}",
        "it is what a candidate loses to groups before its own",
    )


def penalties(length: float, coverage: float, alignments: Any, repeated: float) -> None:
    """Check what scores and logits lose."""
    for name, penalty in (("length_penalty", length), ("coverage_penalty", coverage)):
        require(
            is_number(penalty),
            name,
            "must be a number",
            repr(penalty),
            "0 is none",
        )
    require(
        coverage == 0 or alignments is not None,
        "alignments",
        "must be given for a coverage_penalty: a function of the states",
        "None",
        'for example alignments=lambda states: states["alignments"]',
    )
    require(
        is_number(repeated) and repeated > 0,
        "repetition_penalty",
        "must be a positive number",
        repr(repeated),
        "1 is none, and above 1 repeated tokens are less likely",
    )


def functions(**given: Any) -> None:
    """Check that what is to be called can be, or is None."""
    for name, function in given.items():
        require(
            function is None or callable(function),
            name,
            "must be a function",
            repr(function)[:60],
            f"its documentation says what {name} is called with, and returns",
        )


def of_states(
    record: Any, alignments: Any, states: Tree, rows: int, memory_mask: Any
) -> None:
    """Check what these functions give of states: arrays of so many rows."""
    described = lambda t: jax.tree.map(lambda a: f"{a.dtype}{list(a.shape)}", t)  # noqa: E731
    if record is not None:
        found = _shapes("record", record, states)
        require(
            all(a.shape[:1] == (rows,) for a in jax.tree.leaves(found)),
            "record",
            f"must return arrays (batch, ...), with a batch of {rows}",
            described(found),
            "return what each row has, such as states[-1]",
        )
    if alignments is not None:
        found = _shapes("alignments", alignments, states)
        steps = np.shape(memory_mask)[1:] if memory_mask is not None else None
        shape = getattr(found, "shape", ())
        require(
            len(shape) == 2 and shape[0] == rows and steps in (None, shape[1:]),
            "alignments",
            "must return one array (batch, memory steps)"
            + (f", of {steps[0]} steps as memory_mask has them" if steps else ""),
            described(found),
            "return the shares of the memory that the last step had",
        )


def _shapes(name: str, function: Callable[..., Any], states: Tree) -> Tree:
    """What a function of the states gives, if these are arrays."""
    found: list[Any] = []
    jax.eval_shape(lambda s: found.append(function(s)), states)
    leaves = jax.tree.leaves(found)
    require(
        all(hasattr(leaf, "shape") for leaf in leaves),
        name,
        "must return arrays (batch, ...)",
        [type(leaf).__name__ for leaf in leaves],
        "return what each row has, such as states[-1]",
    )
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), found[0])


def rows(states: Tree, start: Any, prefix: Any, memory_mask: Any) -> int:
    """B, which all of them have."""
    require(
        memory_mask is None or np.ndim(memory_mask) == 2,
        "memory_mask",
        "must have shape [batch, memory steps]",
        _kind(memory_mask),
        "true where an entry is to be covered",
    )
    shapes = [a.shape for a in jax.tree.leaves(states)]
    if np.ndim(start):
        shapes.append(np.shape(start))
    require(
        bool(shapes) and all(shapes),
        "states",
        "must hold arrays (batch, ...)",
        f"shapes {shapes}" if shapes else "none",
        "give a number that is the same for all rows one row each; where a step has no "
        "states, pass jnp.zeros((batch, 0))",
    )
    shapes += [np.shape(a) for a in (prefix, memory_mask) if a is not None]
    found = {shape[0] for shape in shapes}
    require(
        len(found) == 1,
        "states",
        "must have one row for each sequence, as start, prefix and memory_mask",
        f"shapes {shapes}",
        "pass (batch, ...), not repeated for beams: the search does that",
    )
    return found.pop()


def step(
    step: Callable[..., Any],
    start: jax.Array,
    states: Tree,
    memory: Tree,
    end: Any,
    prefix: Any,
) -> jax.ShapeDtypeStruct:
    """What a step gives: logits of this shape, and states like those before."""
    returned = jax.eval_shape(step, start, states, memory)
    require(
        isinstance(returned, (tuple, list)) and len(returned) == 2,
        "step",
        "must return (logits, states)",
        type(returned).__name__,
        "return both, the states in the form in which they came",
    )
    logits, after = returned
    require(
        getattr(logits, "ndim", None) == 2
        and logits.shape[0] == len(start)
        and logits.shape[1] > 0
        and jnp.issubdtype(logits.dtype, jnp.floating),
        "step",
        f"must return logits (batch, vocabulary) = ({len(start)}, V)",
        jax.tree.map(lambda a: f"{a.dtype}{list(a.shape)}", logits),
        "it is written for the rows of start, whatever the beam width",
    )
    old, new = (
        jax.tree.map(lambda a: f"{a.dtype}{list(a.shape)}", t) for t in (states, after)
    )
    require(
        old == new,
        "step",
        f"must return states like those before it, {old}",
        new,
        "cast them in the step, or hand in what it returns",
    )
    require(
        end is None or end < logits.shape[1],
        "end",
        f"must be below the number of logits, {logits.shape[1]}",
        end,
        "it is one of the tokens that logits are of",
    )
    traced = prefix is None or isinstance(prefix, Tracer)
    largest = -1 if traced else int(np.asarray(prefix).max(initial=-1))
    require(
        largest < logits.shape[1],
        "prefix",
        f"must hold tokens below the number of logits, {logits.shape[1]}",
        largest,
        "only what logits are of can come first",
    )
    return logits


def adjusted(logits: Any, before: jax.Array) -> jax.Array:
    """What `adjust_logits` gave, if it is like what it was given."""
    require(
        getattr(logits, "shape", None) == before.shape
        and jnp.issubdtype(logits.dtype, jnp.floating),
        "adjust_logits",
        f"must return logits (batch, vocabulary) = {before.shape}",
        _returned(logits),
        "return them all, -inf where a token is forbidden",
    )
    return logits.astype(before.dtype)


def drawn(tokens: Any, rows: int) -> jax.Array:
    """What a sampler gave, if these are tokens."""
    require(
        getattr(tokens, "shape", None) == (rows,)
        and jnp.issubdtype(tokens.dtype, jnp.integer),
        "sampler",
        f"must return tokens, whole numbers (batch,) = {(rows,)}",
        _returned(tokens),
        "one for each row of logits",
    )
    return tokens


def not_compiled(arrays: Tree) -> None:
    """Inside ``jit`` chance would be one number for ever."""
    require(
        not any(isinstance(a, Tracer) for a in jax.tree.leaves(arrays)),
        "seed",
        "must be given inside jit",
        "None",
        "pass a whole number, or a key of JAX as an argument of what is compiled",
    )


def _returned(value: Any) -> str:
    if not hasattr(value, "shape"):
        return type(value).__name__
    return f"{value.dtype} of shape {value.shape}"


def _are_tokens(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    try:
        dtype = np.asarray(value).dtype if dtype is None else dtype
    except ValueError:  # rows of several lengths
        return False
    return bool(jnp.issubdtype(dtype, jnp.integer))


def _kind(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return repr(value)[:60]
    return f"shape {np.shape(value)}" if np.ndim(value) else repr(value)
