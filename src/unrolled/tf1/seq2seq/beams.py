"""Rows that are beams: repeated, and put together from the steps of a search."""

from typing import Any

import jax
import keras
from jax import numpy as jnp

from ..._borrowed import Tracer
from ...checks import require
from ...engine import stopping

Tree = Any


def tile_batch(t: Tree, multiplier: int, name: Any = None) -> Tree:
    """Each row `multiplier` times, its copies one after the other.

    Args:
        t: a tree of arrays ``(B, ...)``.
        multiplier: K, how often.
        name: read by nobody.

    Returns:
        The same tree, of ``(B * K, ...)``.

    Raises:
        ValueError: if K is not a positive integer, or a leaf has no rows.

    Now: nothing: `unrolled.search` and `unrolled.Decoder` repeat states themselves, and
    do not copy the memory.

    Example:
        >>> import numpy as np
        >>> from unrolled.tf1 import seq2seq
        >>> seq2seq.tile_batch(np.array([3, 5]), 2).tolist()
        [3, 3, 5, 5]

    Source: ``tile_batch`` of TensorFlow 1.15's contrib.seq2seq and of Addons 0.23.
    """
    del name
    require(
        isinstance(multiplier, int) and multiplier > 0,
        "multiplier",
        "must be a positive integer, the beam width",
        repr(multiplier),
        "pass the beam_width of the decoder",
    )

    def repeated(array: Any) -> Any:
        array = array if hasattr(array, "shape") else jnp.asarray(array)
        require(
            len(array.shape) > 0,
            "t",
            "must hold arrays (batch, ...)",
            "a number",
            "make an array of it, numpy.asarray(lengths) of a list",
        )
        return keras.ops.repeat(array, multiplier, axis=0)

    return jax.tree.map(repeated, t)


def gather_tree(
    step_ids: Any, parent_ids: Any, max_sequence_lengths: Any, end_token: Any
) -> jax.Array:
    """The tokens of each beam, from what was chosen at each step and by which beam.

    A beam is followed back from the last step of its row. From its first end token on,
    and past the row's length, there are end tokens.

    Args:
        step_ids: ``(T, B, K)``, the tokens chosen.
        parent_ids: ``(T, B, K)``, the beams of the step before that they go on from.
        max_sequence_lengths: ``(B,)``.
        end_token: the token that ends a beam.

    Returns:
        ``(T, B, K)``.

    Raises:
        ValueError: if shapes differ, or a parent is none of the K beams.

    Now: nothing: `unrolled.search` gives whole hypotheses.

    Example:
        >>> from unrolled.tf1 import seq2seq
        >>> ids, parents = [[[1, 2]], [[3, 4]]], [[[0, 0]], [[1, 1]]]
        >>> seq2seq.gather_tree(ids, parents, [2], 9)[:, 0].tolist()
        [[2, 2], [3, 4]]

    Source: ``gather_tree`` of TensorFlow 1.15's contrib.seq2seq and of Addons 0.23.
    """
    ids, parents = (jnp.asarray(a, "int32") for a in (step_ids, parent_ids))
    require(
        ids.ndim == 3 and ids.shape == parents.shape,
        "step_ids, parent_ids",
        "must have one shape, (time, batch, beams)",
        f"{ids.shape} and {parents.shape}",
        "pass predicted_ids and parent_ids of a time-major search",
    )
    steps, rows, width = ids.shape
    lengths = jnp.asarray(max_sequence_lengths, "int32")
    require(
        lengths.shape == (rows,),
        "max_sequence_lengths",
        f"must have shape (batch,) = {(rows,)}",
        lengths.shape,
        "pass the longest beam's length of each row",
    )
    lengths = jnp.minimum(lengths, steps)
    there = jnp.arange(steps, dtype="int32")[:, None] < jnp.broadcast_to(
        lengths, (steps, rows)
    )
    there = jnp.broadcast_to(there[..., None], ids.shape)
    parents = jnp.where(there, parents, 0)
    if not isinstance(parents, Tracer):
        found = int(parents.min(initial=0)), int(parents.max(initial=0))
        require(
            found[0] >= 0 and found[1] < width,
            "parent_ids",
            f"must be beams, from 0 to {width - 1}",
            f"{found[0]} to {found[1]}",
            "pass those of the same search",
        )

    def back(carry: tuple) -> tuple:
        time, at = carry
        here = there[time]
        chosen = jnp.take_along_axis(ids[time], at, axis=1)
        before = jnp.take_along_axis(parents[time], at, axis=1)
        return (time - 1, jnp.where(here, before, at)), chosen

    places = jnp.broadcast_to(jnp.arange(width, dtype="int32"), (rows, width))
    last = jnp.full((), steps - 1, "int32")
    _, found, _ = stopping.at_most(back, lambda carry: False, (last, places), steps)
    end = jnp.full_like(ids, end_token)
    tokens = jnp.where(there, jnp.flip(found, 0), end)
    over = jnp.cumsum((tokens == end).astype("int32"), axis=0) > 0
    return jnp.where(over, end, tokens)


def gather_tree_from_array(t: Any, parent_ids: Any, sequence_length: Any) -> jax.Array:
    """What was written at each step of a search, in the order of whole beams.

    Args:
        t: ``(T, B, K, ...)`` or ``(T, B * K, ...)``.
        parent_ids: ``(T, B, K)``.
        sequence_length: ``(B, K)``; past it a beam has what stood in its place.

    Returns:
        Of the shape of `t`.

    Now: ``record`` of `unrolled.search`.

    Source: ``gather_tree_from_array`` of TensorFlow Addons 0.23.
    """
    t, lengths = jnp.asarray(t), jnp.asarray(sequence_length, "int32")
    parents = jnp.asarray(parent_ids, "int32")
    steps, _, width = parents.shape
    places = jnp.broadcast_to(jnp.arange(width, dtype="int32"), parents.shape)
    found = gather_tree(places, parents, lengths.max(axis=1), width + 1)
    time = jnp.arange(steps, dtype="int32")[:, None, None]
    there = jnp.broadcast_to(time, parents.shape) < jnp.broadcast_to(
        lengths, parents.shape
    )
    found = jnp.where(there, found, places)
    flat = t.reshape(*parents.shape, -1)
    ordered = jnp.take_along_axis(flat, found[..., None], axis=2)
    return ordered.reshape(t.shape)
