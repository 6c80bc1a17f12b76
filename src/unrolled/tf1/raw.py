"""A loop of the user's own around a cell."""

from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp

from ..cells.base import Tree, constants_of
from ..cells.checked import in_words, step_of
from ..cells.keras_style import as_cell
from ..cells.states import initial_states, names_of, pack
from ..checks import require
from ..engine import stopping
from ..engine.pure import purify
from ..layers import numbers
from ..layers.checks import check_states
from .base import RNNCell, check_cell
from .drivers import below_scope, ready


class TensorArray:
    """What `raw_rnn` emitted: an array for each step.

    Args:
        values: ``(T, B, ...)``.
        steps: how many of them were emitted; zeros come after.
    """

    def __init__(self, values: Any, steps: Any) -> None:
        self._values, self._steps = values, steps

    def stack(self) -> Any:
        """All of them, ``(T, B, ...)``."""
        return self._values

    def read(self, index: Any) -> Any:
        """That of one step, ``(B, ...)``."""
        return self._values[index]

    def concat(self) -> Any:
        """One after the other, ``(T * B, ...)``."""
        return self._values.reshape(-1, *self._values.shape[2:])

    def size(self) -> Any:
        """How many steps emitted one."""
        return self._steps


def raw_rnn(
    cell: RNNCell,
    loop_fn: Callable[..., tuple],
    parallel_iterations: Any = None,
    swap_memory: bool = False,
    scope: Any = None,
    *,
    maximum_iterations: int | None = None,
    training: bool = False,
) -> tuple[Tree, Tree, Tree]:
    """Run a cell in a loop of one's own, which stops on data: compiled, as the others.

    ``loop_fn(time, cell_output, cell_state, loop_state)`` returns ``(finished,
    next_input, next_cell_state, emit_output, next_loop_state)``. It is called first
    with time 0 and None for all else, to say what the cell reads and from which state;
    the emit_output of this call, without the batch, says the form of what is emitted
    (None: that of the output). Then it is called after each step of the cell. Rows that
    are finished keep their state and emit zeros; when all are, the loop ends.

    Args:
        cell: an old cell.
        loop_fn: see above; of arrays, to be traced: it decides by ``jnp.where``, and
            not by ``if``.
        parallel_iterations: read by nobody.
        swap_memory: read by nobody.
        scope: below which `tf1.load` finds the variables. Default ``"rnn"``.
        maximum_iterations: the most steps there can be. With it the loop has every
            derivative and runs inside ``jit``, ``fit`` and ``vmap``; what is emitted is
            then ``(maximum_iterations, B, ...)``, zeros after the end. Without it there
            are as many as there were steps.
        training: whether dropout is on.

    Returns:
        ``(emitted, state, loop_state)``; of emitted ``.stack()`` is ``(T, B, ...)``.

    Raises:
        ValueError: if `maximum_iterations` is needed and was not given, what `loop_fn`
            returns changes its form, or it decides on values by Python's ``if``.

    Now: a cell that feeds itself, or ``jax.lax.while_loop``.

    Example:
        >>> import jax.numpy as jnp
        >>> from unrolled import tf1
        >>> cell = tf1.GRUCell(3)
        >>> def loop_fn(time, output, state, loop_state):
        ...     if output is None:
        ...         state = cell.zero_state(2, "float32")
        ...     finished = time >= jnp.array([4, 2])
        ...     return finished, jnp.ones((2, 1)), state, output, None
        >>> emitted, state, _ = tf1.raw_rnn(cell, loop_fn)
        >>> emitted.stack().shape
        (4, 2, 3)

    Source: ``tf.nn.raw_rnn`` of TensorFlow 1.15.
    """
    del parallel_iterations, swap_memory
    check_cell("cell", cell)
    require(
        maximum_iterations is None
        or (type(maximum_iterations) is int and maximum_iterations > 0),
        "maximum_iterations",
        "must be a positive integer, the most steps there can be",
        repr(maximum_iterations),
        "leave it out where nothing bounds them",
    )
    require(
        callable(loop_fn),
        "loop_fn",
        "must be a function (time, cell_output, cell_state, loop_state)",
        repr(loop_fn),
        "see the docstring for what it returns",
    )
    first = _returned(loop_fn(jnp.zeros((), "int32"), None, None, None))
    finished, x, state, emit, loop_state = first
    x, rows = _inputs(x)
    # A state of whole numbers does not say in which dtype the cell computes.
    kinds = [jnp.asarray(leaf).dtype for leaf in jax.tree.leaves(state)]
    dtypes = [kind for kind in kinds if jnp.issubdtype(kind, jnp.floating)]
    ready(cell, x, dtypes[0] if dtypes else None)
    cell.run_below(below_scope(scope, "rnn"))
    state = _state(cell, state, rows)
    step = _Step(cell, loop_fn, x, state, emit, bool(training))
    carry = {
        "time": jnp.zeros((), "int32"),
        "finished": _rows(finished, step.rows),
        "x": x,
        "state": state,
        # TensorFlow's surrogate for a loop without a state of its own.
        "loop_state": jnp.zeros((), "int32")
        if loop_state is None
        else jax.tree.map(_array, loop_state),
        "variables": step.pure.variables,
    }
    stop = lambda carry: jnp.all(carry["finished"])  # noqa: E731
    if maximum_iterations is None:
        require(
            not stopping.is_traced(step, carry),
            "maximum_iterations",
            "must be given where raw_rnn is differentiated or compiled (grad, jit, "
            "vmap, fit): a loop that stops on data has no gradient, and what it emits "
            "no size",
            "None",
            "pass the most steps there can be",
        )
        last, emitted, steps = stopping.until(step, stop, carry)
    else:
        last, emitted, steps = stopping.at_most(step, stop, carry, maximum_iterations)
    step.pure.finish(last["variables"])
    arrays = jax.tree.map(lambda values: TensorArray(values, steps), emitted)
    return arrays, last["state"], None if loop_state is None else last["loop_state"]


class _Step:
    """One step of the cell, then `loop_fn`: ``carry -> (carry, emitted)``."""

    def __init__(
        self,
        cell: RNNCell,
        loop_fn: Any,
        x: Tree,
        state: Tree,
        emit: Tree,
        training: bool,
    ) -> None:
        self.cell, self.loop_fn = cell, loop_fn
        inner = cell.as_ours()
        view, rows = as_cell(inner), jax.tree.leaves(x)[0].shape[0]
        self.rows = rows
        constants = constants_of(view, rows, training)

        def one(x: Tree, states: Tree) -> tuple[Tree, Tree]:
            return step_of(inner, view.project_inputs(x, constants), states, constants)

        spec = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), x)
        with in_words(inner):
            self.pure = purify(one, inner, spec, cell.from_old(state))
        dtype = jax.tree.leaves(state)[0].dtype
        if emit is None:
            like = jax.tree.map(
                lambda s: jax.ShapeDtypeStruct((rows, *s.sizes), dtype),
                view.output_shapes,
            )
        else:
            like = jax.tree.map(
                lambda a: jax.ShapeDtypeStruct((rows, *jnp.shape(a)), _array(a).dtype),
                emit,
            )
        self.nothing = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), like)

    def __call__(self, carry: Tree) -> tuple[Tree, Tree]:
        states = self.cell.from_old(carry["state"])
        output, states, variables = self.pure.step(
            carry["x"], states, carry["variables"]
        )
        after, time = self.cell.to_old(states), carry["time"] + 1
        with in_words(self.loop_fn, "loop_fn"):
            returned = self.loop_fn(time, output, after, carry["loop_state"])
        finished, x, state, emit, loop_state = _returned(returned)
        if loop_state is None:
            loop_state = carry["loop_state"]
        done = carry["finished"]
        new = {
            "time": time,
            "finished": jnp.logical_or(done, _rows(finished, self.rows)),
            "x": _like(carry["x"], x, "next_input"),
            "state": _kept(
                done,
                carry["state"],
                _state(self.cell, state, self.rows),
                "next_cell_state",
            ),
            "loop_state": _like(carry["loop_state"], loop_state, "next_loop_state"),
            "variables": variables,
        }
        return new, _kept(done, self.nothing, emit, "emit_output")


def _returned(returned: Any) -> tuple:
    require(
        isinstance(returned, (tuple, list)) and len(returned) == 5,
        "loop_fn",
        "must return (finished, next_input, next_cell_state, emit_output, "
        "next_loop_state)",
        f"{len(returned)} values" if isinstance(returned, (tuple, list)) else returned,
        "pass None for a loop_state that is not there",
    )
    symbolic = [
        a for a in jax.tree.leaves(returned) if isinstance(a, keras.KerasTensor)
    ]
    require(
        not symbolic,
        "loop_fn",
        "must return arrays",
        "Keras tensors of a model's graph",
        "call raw_rnn in the `call` of a layer of your own",
    )
    return tuple(returned)


def _array(value: Any) -> Any:
    """An array as it is; numbers of Python in the dtypes of Keras."""
    if hasattr(value, "dtype"):
        return jnp.asarray(value)
    dtype = np.asarray(value).dtype
    return jnp.asarray(value, keras.config.floatx() if dtype.kind == "f" else None)


def _inputs(x: Tree) -> tuple[Tree, int]:
    """The first input of the cell, and how many rows it has."""
    numbers.check(x, "next_input")
    x = jax.tree.map(_array, x)
    shapes = [a.shape for a in jax.tree.leaves(x)]
    require(
        all(shapes) and len({shape[0] for shape in shapes}) == 1,
        "next_input",
        "must be an array (batch, features), or a tree of such",
        shapes,
        "return what the cell reads at the first step",
    )
    return x, shapes[0][0]


def _state(cell: RNNCell, state: Tree, rows: int) -> Tree:
    """A state that `loop_fn` returned, as the cell has it."""
    inner = as_cell(cell.as_ours())
    fresh, name = initial_states(inner, rows), "next_cell_state"
    states = pack(cell.from_old(state), fresh, names_of(inner), name)
    check_states(states, fresh, names_of(inner))
    return cell.to_old(
        jax.tree.map(lambda s, f: jnp.asarray(s, f.dtype), states, fresh)
    )


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
