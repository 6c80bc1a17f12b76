"""A decoder that reads its own: one step of it, and what it starts from."""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from .._borrowed import AutocastScope, get_keras_mask
from ..cells.base import narrowed
from ..cells.checked import step_of
from ..cells.keras_style import as_cell
from ..checks import is_count, require, sizes
from ..engine.pure import purify
from . import reading
from .feedback import beside

Tree = Any


def stepped(
    decoder: Any,
    start: jax.Array,
    initial_state: Any,
    memory: Tree,
    memory_mask: Tree,
    known: Any,
    most: int,
) -> tuple[Callable[..., Any], Tree]:
    """A step, from inputs and states to outputs and states, and the first states.

    The states are the cell's, and of each row how many steps it has taken.
    """
    count = len(start)
    reading.known(known, (count, most), decoder.known_width if decoder.built else None)
    known = None if known is None else jnp.asarray(known)
    if not decoder.built:
        shapes = {
            "memory_shape": jax.tree.map(lambda a: sizes(a.shape), memory),
            "known_shape": None if known is None else known.shape,
        }
        decoder.build((count, 1, *start.shape[1:]), **shapes)
    first = start if decoder.embedding is None else decoder.embedding(start)
    x = beside(first, None if known is None else known[:, 0])
    job = decoder.rnn.prepare(
        x[:, None], initial_state, memory=memory, memory_mask=memory_mask
    )
    view, constants = as_cell(decoder.cell), job.constants

    def step(inputs: jax.Array, carried: Tree) -> tuple[jax.Array, Tree]:
        states, time = carried
        x = inputs if decoder.embedding is None else decoder.embedding(inputs)
        now = None if known is None else known[jnp.arange(count), time]
        x = view.project_inputs(beside(x, now), constants)
        y, states = step_of(decoder.cell, x, states, constants)
        y = narrowed(y, decoder.rnn.compute_dtype)
        return decoder.output_layer(y), (states, time + 1)

    carried = (job.states, jnp.zeros(count, "int32"))
    like = jax.ShapeDtypeStruct(start.shape, start.dtype)
    changed = purify(step, decoder, like, carried).changed
    require(
        not changed,
        "cell",
        "must leave its variables as they are where it is fed its own",
        [variable.path for variable in changed],
        "what changes from step to step is a state",
    )
    return step, carried


def rows(start: Any, initial_state: Any, memory: Tree, batch_size: int | None) -> int:
    """B, from the first of these that says it."""
    leaves = [*jax.tree.leaves(initial_state), *jax.tree.leaves(memory)]
    shapes = [np.shape(array)[:1] for array in (start, *leaves)]
    known = [shape[0] for shape in shapes if shape]
    count = known[0] if known else batch_size
    require(
        bool(known) or is_count(batch_size),
        "batch_size",
        "must be a positive integer where there is neither initial_state nor memory",
        repr(batch_size),
        "or pass a start token for each row",
    )
    require(
        batch_size in (None, count),
        "batch_size",
        f"must be that of start, initial_state and memory, {count}",
        repr(batch_size),
        "leave it out: they say it",
    )
    return int(count)  # pyright: ignore[reportArgumentType]


def scope(decoder: Any) -> Any:
    """As in a call of the layer, where arithmetic is narrower than weights."""
    if decoder.compute_dtype == decoder.variable_dtype:
        return contextlib.nullcontext()
    return AutocastScope(decoder.compute_dtype)


def alignments(states: dict[str, Any]) -> Any:
    """Shares ``(B, S)`` among the states by name; of several heads the mean."""
    shares = states["alignments"]
    return shares.mean(tuple(range(1, shares.ndim - 1)))


def covered(memory: Tree, memory_mask: Tree) -> Any:
    """The one mask of a memory that says what is to be covered, or None."""
    if memory_mask is None:
        memory_mask = jax.tree.map(get_keras_mask, memory)
    found = jax.tree.leaves(memory_mask)
    require(
        len(found) <= 1,
        "memory_mask",
        "must be one mask where there is a coverage_penalty",
        f"{len(found)} masks",
        "leave coverage_penalty out, or pass one memory",
    )
    return found[0] if found else None
