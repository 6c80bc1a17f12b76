"""Values that are fed back: a step's output, or a sample of it, is the next input."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp
from jax import random

from ..checks import require
from ..engine import stopping

Tree = Any


class Forecast(NamedTuple):
    """What a forecast gives; zeros after a row's end.

    values: ``(B, T, F)``, what was fed back.
    outputs: ``(B, T, ...)``, what the output layer gave: the values themselves, or the
        parameters of the distribution that they are samples of.
    lengths: ``(B,)``, the steps of each row.
    states: of the cell, each ``(B, ...)``, after a row's last step.
    """

    values: jax.Array
    outputs: jax.Array
    lengths: jax.Array
    states: Tree


def run(
    step: Callable[[jax.Array, Tree], tuple[jax.Array, Tree]],
    start: jax.Array,
    states: Tree,
    key: Any,
    sampler: Callable[..., Any] | None,
    until: Callable[..., Any] | None,
    most: int,
) -> Forecast:
    """Feed values back until every row is done, `most` steps at most.

    Args:
        step: ``(values, states) -> (outputs, states)``.
        start: what the first step reads, ``(B, F)``.
        states: a tree of ``(B, ...)``.
        key: of JAX, where there is a sampler.
        sampler: ``(outputs, key) -> values``; None where these are the same.
        until: ``(values, outputs) -> [B]``, whether this was a row's last step; None
            where all take `most`.
        most: T.
    """
    rows = len(start)

    def one(carry: tuple) -> tuple[tuple, Tree]:
        count, value, states, done, lengths = carry
        outputs, after = step(value, states)
        drawn = outputs if sampler is None else sampler(outputs, _of(key, count))
        drawn = _like(drawn, value)
        # A row that is done stays as it is, and tells nothing more.
        states = jax.tree.map(lambda o, n: _where(done, o, n), states, after)
        told = jax.tree.map(
            lambda a: _where(done, jnp.zeros_like(a), a), (drawn, outputs)
        )
        lengths = lengths + jnp.where(done, 0, 1)
        over = done
        if until is not None:
            over = done | _told(until(drawn, outputs), rows)
        return (count + 1, drawn, states, over, lengths), told

    def stop(carry: tuple) -> Any:
        return jnp.all(carry[3])

    none = jnp.zeros((), "int32")
    first = (none, start, states, jnp.zeros(rows, bool), jnp.zeros(rows, "int32"))
    last, told, _ = stopping.at_most(one, stop, first, most)
    values, outputs = jax.tree.map(lambda a: jnp.moveaxis(a, 0, 1), told)
    return Forecast(values, outputs, last[4], last[2])


def _of(key: Any, count: jax.Array) -> jax.Array:
    return random.fold_in(key, count)


def _told(ends: Any, rows: int) -> jax.Array:
    """Whether a row is done: what `until` gave, if it says that."""
    ends = np.asarray(ends) if isinstance(ends, bool) else ends
    shape, dtype = getattr(ends, "shape", None), getattr(ends, "dtype", None)
    require(
        shape in ((), (rows,)) and dtype == "bool",
        "until",
        f"must return truth values (batch,) = {(rows,)}",
        type(ends).__name__ if shape is None else f"{dtype} of shape {shape}",
        "for example lambda values, outputs: values[:, 0] > 1",
    )
    return jnp.broadcast_to(jnp.asarray(ends), (rows,))


def _like(values: Any, before: jax.Array) -> jax.Array:
    """What is fed back, in the dtype of what is read."""
    shape = getattr(values, "shape", None)
    require(
        shape == before.shape,
        "sampler",
        f"must give values like those that are read, {tuple(before.shape)}",
        type(values).__name__ if shape is None else f"shape {tuple(shape)}",
        "where the output layer gives the parameters of a distribution, pass a sampler "
        "that draws values from it",
    )
    return values.astype(before.dtype)


def _where(rows: jax.Array, yes: jax.Array, no: jax.Array) -> jax.Array:
    rows = rows.reshape(rows.shape + (1,) * (yes.ndim - 1))
    return jnp.where(jnp.broadcast_to(rows, yes.shape), yes, no.astype(yes.dtype))
