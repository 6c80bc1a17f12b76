"""The loop of `dynamic_decode`: one program, which stops when all have finished."""

from typing import Any

import jax
from jax import numpy as jnp

from ..._borrowed import Tracer
from ...cells.signatures import takes
from ...checks import require
from ...engine.pure import Pure, purify
from .. import finishing
from ..raw import TensorArray

Tree = Any


def run(
    decoder: Any,
    finished: jax.Array,
    inputs: Tree,
    state: Tree,
    most: int | None,
    impute: bool,
    training: Any,
) -> tuple[Tree, Tree, jax.Array]:
    """Run a decoder.

    Args:
        decoder: a `Decoder` or `BaseDecoder`, initialized.
        finished: ``[B]``, before the first step.
        inputs: of the first step.
        state: before it.
        most: steps, if that is known.
        impute: whether rows that have finished keep their state and give zeros.
        training: whether dropout is on.

    Returns:
        Outputs, time first, the state, and the lengths.

    Raises:
        ValueError: if `most` is needed, or a step changes the form of what it returns.
    """
    before, state = _taken(state)
    named = {"training": training} if takes(decoder.step, "training") else {}

    def one(read: tuple, state: Tree) -> tuple[Tree, Tree]:
        time, inputs = read
        returned = decoder.step(time, inputs, state, **named)
        outputs, after, following, done = returned
        written, after = _taken(after)
        after = _like(state, after, "state", decoder)
        following = _like(inputs, following, "inputs", decoder)
        return (outputs, following, done, written), after

    time = jnp.zeros((), "int32")
    spec = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), (time, inputs)
    )
    pure = purify(one, decoder, spec, state)
    step = _Step(decoder, pure, impute)
    carry = {
        "time": time,
        "state": state,
        "inputs": inputs,
        "finished": finished,
        "lengths": jnp.zeros(finished.shape, "int32"),
        "variables": pure.variables,
    }
    last, emitted, count = finishing.run(step, carry, most, "decoding")
    if most is not None and not isinstance(count, Tracer):
        taken = int(count)
        emitted = jax.tree.map(lambda a: a[:taken], emitted)
    outputs, written = emitted
    return outputs, _put_back(last["state"], before, written), last["lengths"]


class _Step:
    """One step of a decoder: ``carry -> (carry, (outputs, what was written))``."""

    def __init__(self, decoder: Any, pure: Pure, impute: bool) -> None:
        self.decoder, self.pure, self.impute = decoder, pure, impute

    def __call__(self, carry: Tree) -> tuple[Tree, Tree]:
        time, done, lengths = carry["time"], carry["finished"], carry["lengths"]
        read = time, carry["inputs"]
        found, state, variables = self.pure.step(
            read, carry["state"], carry["variables"]
        )
        outputs, inputs, finished, written = found
        finished = jnp.asarray(finished).astype(bool)
        require(
            finished.shape == done.shape,
            "finished",
            f"must have shape {done.shape}, as initialize gave it",
            finished.shape,
            f"return it so from step of {type(self.decoder).__name__}",
        )
        own = getattr(state, "lengths", None)
        if not self.decoder.tracks_own_finished:
            own, finished = None, jnp.logical_or(finished, done)
        if own is None:
            lengths = jnp.where(done, lengths, jnp.broadcast_to(time + 1, done.shape))
        else:
            lengths = own.astype("int32")
        if self.impute:
            nothing = jax.tree.map(jnp.zeros_like, outputs)
            outputs = jax.tree.map(lambda a, b: _where(done, a, b), nothing, outputs)
            old = carry["state"]
            state = jax.tree.map(lambda a, b: _where(done, a, b), old, state)
        new = {
            "time": time + 1,
            "state": state,
            "inputs": inputs,
            "finished": finished,
            "lengths": lengths,
            "variables": variables,
        }
        return new, (outputs, written)


def _where(rows: jax.Array, yes: jax.Array, no: jax.Array) -> jax.Array:
    """`yes` in some rows; a number for all rows is the new one."""
    if not no.ndim:
        return no
    rows = rows.reshape(rows.shape + (1,) * (no.ndim - rows.ndim))
    return jnp.where(jnp.broadcast_to(rows, no.shape), yes, no)


def is_array_of_steps(node: Any) -> bool:
    """Whether this is a `TensorArray`, which JAX would look into."""
    return isinstance(node, TensorArray)


def _taken(state: Tree) -> tuple[list[Any], Tree]:
    """What `TensorArray`s in a state hold, and the state with empty ones.

    A loop's state has one form; what grows with time is emitted.
    """
    leaves, form = jax.tree.flatten(state, is_leaf=is_array_of_steps)
    held = [leaf for leaf in leaves if is_array_of_steps(leaf)]
    empty = [TensorArray() if is_array_of_steps(leaf) else leaf for leaf in leaves]
    values = [None if each.is_empty else each.stack() for each in held]
    return values, jax.tree.unflatten(form, empty)


def _put_back(state: Tree, before: list[Any], written: list[Any]) -> Tree:
    """The state with its `TensorArray`s: what they held, and what each step wrote."""
    leaves, form = jax.tree.flatten(state, is_leaf=is_array_of_steps)
    pairs = iter(zip(before, written, strict=True))

    def whole() -> TensorArray:
        old, new = next(pairs)
        if new is None:
            return TensorArray(old)
        # Of each step one: without the axis of those that a step wrote.
        new = new.reshape(-1, *new.shape[2:])
        return TensorArray(new if old is None else jnp.concatenate([old, new]))

    return jax.tree.unflatten(
        form, [whole() if is_array_of_steps(leaf) else leaf for leaf in leaves]
    )


def _like(old: Tree, new: Tree, name: str, decoder: Any) -> Tree:
    """What a step returned, if it has the form that it had before."""
    shapes = [list(map(jnp.shape, jax.tree.leaves(tree))) for tree in (old, new)]
    require(
        jax.tree.structure(old) == jax.tree.structure(new) and shapes[0] == shapes[1],
        name,
        f"must keep its form in step of {type(decoder).__name__}, {shapes[0]}",
        shapes[1],
        "return the structure and shapes that initialize gave",
    )
    return jax.tree.map(lambda a, b: jnp.asarray(b).astype(a.dtype), old, new)
