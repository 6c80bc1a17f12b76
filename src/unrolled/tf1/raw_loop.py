"""The loop of `raw_rnn` itself, over a cell of ours and arrays."""

from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp

from ..cells.base import Tree, constants_of
from ..cells.checked import in_words, step_of
from ..cells.keras_style import as_cell
from ..checks import require
from ..engine.pure import purify
from . import finishing


def whole(
    cell: Any, loop_fn: Any, first: tuple, most: int | None, training: Any
) -> tuple:
    """The loop, on arrays.

    Args:
        cell: one of ours, built.
        loop_fn: the user's, of our states.
        first: what its first call returned.
        most: steps.
        training: whether dropout is on.

    Returns:
        What was emitted, in how many steps, the last states, and the loop's.
    """
    finished, x, states, emit, loop_state = first
    step = _Step(cell, loop_fn, x, states, emit, bool(training))
    carry = {
        "time": jnp.zeros((), "int32"),
        "finished": _rows(finished, step.rows),
        "x": x,
        "state": states,
        # TensorFlow's surrogate for a loop without a state of its own.
        "loop_state": jnp.zeros((), "int32")
        if loop_state is None
        else jax.tree.map(array_of, loop_state),
        "variables": step.pure.variables,
    }
    last, emitted, steps = finishing.run(step, carry, most, "raw_rnn")
    after = None if loop_state is None else last["loop_state"]
    return emitted, steps, last["state"], after


class _Step:
    """One step of the cell, then `loop_fn`: ``carry -> (carry, emitted)``."""

    def __init__(
        self,
        cell: Any,
        loop_fn: Any,
        x: Tree,
        states: Tree,
        emit: Tree,
        training: bool,
    ) -> None:
        self.loop_fn = loop_fn
        view, self.rows = as_cell(cell), jax.tree.leaves(x)[0].shape[0]
        constants = constants_of(view, self.rows, training)

        def one(x: Tree, states: Tree) -> tuple[Tree, Tree]:
            return step_of(cell, view.project_inputs(x, constants), states, constants)

        spec = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), x)
        with in_words(cell):
            self.pure = purify(one, cell, spec, states)
        dtype = jax.tree.leaves(states)[0].dtype
        if emit is None:
            like = jax.tree.map(
                lambda s: jax.ShapeDtypeStruct((self.rows, *s.sizes), dtype),
                view.output_shapes,
            )
        else:
            like = jax.tree.map(
                lambda a: jax.ShapeDtypeStruct(
                    (self.rows, *jnp.shape(a)), array_of(a).dtype
                ),
                emit,
            )
        self.nothing = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), like)

    def __call__(self, carry: Tree) -> tuple[Tree, Tree]:
        output, states, variables = self.pure.step(
            carry["x"], carry["state"], carry["variables"]
        )
        time = carry["time"] + 1
        returned = self.loop_fn(time, output, states, carry["loop_state"])
        finished, x, states, emit, loop_state = returned
        if loop_state is None:
            loop_state = carry["loop_state"]
        done = carry["finished"]
        new = {
            "time": time,
            "finished": jnp.logical_or(done, _rows(finished, self.rows)),
            "x": _like(carry["x"], x, "next_input"),
            "state": _kept(done, carry["state"], states, "next_cell_state"),
            "loop_state": _like(carry["loop_state"], loop_state, "next_loop_state"),
            "variables": variables,
        }
        return new, _kept(done, self.nothing, emit, "emit_output")


def array_of(value: Any) -> Any:
    """An array as it is; numbers of Python in the dtypes of Keras."""
    if hasattr(value, "dtype"):
        return jnp.asarray(value)
    dtype = np.asarray(value).dtype
    return jnp.asarray(value, keras.config.floatx() if dtype.kind == "f" else None)


def _rows(finished: Any, rows: int) -> Any:
    shape = None if finished is None else jnp.shape(finished)
    require(
        shape in ((), (rows,)),
        "finished",
        f"must be one truth value, or one for each of {rows} rows",
        finished if shape is None else shape,
        "return for example time >= lengths",
    )
    return jnp.broadcast_to(jnp.asarray(finished).astype(bool), (rows,))


def _like(old: Tree, new: Tree, name: str) -> Tree:
    """What `loop_fn` returned, if it has the form that it had before."""
    before, after = jax.tree.structure(old), jax.tree.structure(new)
    shapes = [jax.tree.map(jnp.shape, tree) for tree in (old, new)]
    require(
        before == after and shapes[0] == shapes[1],
        name,
        f"must be returned by loop_fn in the form that it had before, {shapes[0]}",
        shapes[1],
        "return the same structure and shapes at every step",
    )
    return jax.tree.map(lambda a, b: jnp.asarray(b).astype(a.dtype), old, new)


def _kept(done: Any, old: Tree, new: Tree, name: str) -> Tree:
    """Rows that were done before this step keep what they had."""

    def choose(a: Any, b: Any) -> Any:
        rows = done.reshape(done.shape + (1,) * (a.ndim - 1))
        return jnp.where(jnp.broadcast_to(rows, a.shape), a, b) if a.ndim else b

    return jax.tree.map(choose, old, _like(old, new, name))
