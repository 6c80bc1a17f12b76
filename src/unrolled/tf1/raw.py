"""A loop of the user's own around a cell."""

from collections.abc import Callable
from typing import Any

import jax
import keras
from jax import numpy as jnp

from ..cells.base import Tree
from ..cells.checked import in_words
from ..cells.keras_style import as_cell
from ..cells.states import initial_states, names_of, pack
from ..checks import require
from ..layers import numbers
from ..layers.checks import check_states
from . import raw_graph
from .base import RNNCell, check_cell
from .drivers import below_scope, ready
from .raw_loop import array_of, whole


@jax.tree_util.register_pytree_node_class
class TensorArray:
    """What a loop wrote, such as what `raw_rnn` emitted: an array for each step.

    Args:
        values: ``(T, B, ...)``; None for nothing yet.
        steps: how many of them were written; zeros come after. Default: all.
    """

    def __init__(self, values: Any = None, steps: Any = None) -> None:
        self._values, self._steps = values, steps

    def tree_flatten(self) -> tuple[tuple, None]:
        """Its arrays, for JAX."""
        return (self._values, self._steps), None

    @classmethod
    def tree_unflatten(cls, _: None, parts: tuple) -> "TensorArray":
        """The inverse."""
        return cls(*parts)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written."""
        return self._values is None

    def write(self, index: Any, value: Any) -> "TensorArray":
        """One more; written behind the others, whatever the index."""
        del index
        value = jnp.asarray(value)[None]
        if self._values is not None:
            value = jnp.concatenate([self._values, value.astype(self._values.dtype)])
        return TensorArray(value)

    def stack(self) -> Any:
        """All of them, ``(T, B, ...)``."""
        return self._values

    def read(self, index: Any) -> Any:
        """That of one step, ``(B, ...)``."""
        return self._values[index]

    def concat(self) -> Any:
        """One after the other, ``(T * B, ...)``."""
        return keras.ops.reshape(self._values, (-1, *self._values.shape[2:]))

    def size(self) -> Any:
        """How many steps wrote one."""
        if self._steps is not None:
            return self._steps
        return 0 if self._values is None else self._values.shape[0]


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
    with time 0 and None for all else, to say what the cell reads and from which state
    (None: zeros); the emit_output of this call, without the batch, says the form of
    what is emitted (None: that of the output). Then it is called after each step of the
    cell. Rows that are finished keep their state and emit zeros; when all are, the loop
    ends.

    Where the first call returns Keras tensors, which a model's graph is made of, the
    loop becomes a layer of the model: `loop_fn` is called once more, on Keras tensors,
    and what it does by ``keras.ops`` and layers is the model's, and goes into its file.

    Args:
        cell: an old cell.
        loop_fn: see above; of arrays, to be traced: it decides by ``jnp.where``, and
            not by ``if``. In a model's graph by ``keras.ops``.
        parallel_iterations: read by nobody.
        swap_memory: read by nobody.
        scope: below which `tf1.load` finds the variables. Default ``"rnn"``.
        maximum_iterations: the most steps there can be. With it the loop has every
            derivative and runs inside ``jit``, ``fit`` and ``vmap``; what is emitted is
            then ``(maximum_iterations, B, ...)``, zeros after the end. Without it there
            are as many as there were steps. A model's graph needs it.
        training: whether dropout is on.

    Returns:
        ``(emitted, state, loop_state)``; of emitted ``.stack()`` is ``(T, B, ...)``.

    Raises:
        ValueError: if `maximum_iterations` is needed and was not given, or what
            `loop_fn` returns changes its form.

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
    cell.run_below(below_scope(scope, "rnn"))
    run = raw_graph.run if _is_symbolic(first) else _on_arrays
    emitted, steps, states, loop_state = run(
        cell, loop_fn, first, maximum_iterations, bool(training)
    )
    arrays = jax.tree.map(lambda values: TensorArray(values, steps), emitted)
    return arrays, cell.to_old(states), loop_state


def _on_arrays(
    cell: RNNCell, loop_fn: Any, first: tuple, most: int | None, training: bool
) -> tuple:
    finished, x, state, emit, loop_state = first
    x, rows = _inputs(x)
    # A state of whole numbers does not say in which dtype the cell computes.
    kinds = [jnp.asarray(leaf).dtype for leaf in jax.tree.leaves(state)]
    dtypes = [kind for kind in kinds if jnp.issubdtype(kind, jnp.floating)]
    ready(cell, x, dtypes[0] if dtypes else None)
    if state is None:
        state = cell.zero_state(rows)

    def of_ours(time: Any, output: Tree, states: Tree, loop_state: Tree) -> tuple:
        with in_words(loop_fn, "loop_fn"):
            found = _returned(loop_fn(time, output, cell.to_old(states), loop_state))
        require(
            not _is_symbolic(found),
            "loop_fn",
            "must return arrays, as at its first call",
            "Keras tensors of a model's graph",
            "let the first call read the model's tensors, too",
        )
        finished, x, state, emit, loop_state = found
        return finished, x, _states(cell, state, rows), emit, loop_state

    begun = (finished, x, _states(cell, state, rows), emit, loop_state)
    return whole(cell.as_ours(), of_ours, begun, most, training)


def _inputs(x: Tree) -> tuple[Tree, int]:
    """The first input of the cell, and how many rows it has."""
    numbers.check(x, "next_input")
    x = jax.tree.map(array_of, x)
    shapes = [a.shape for a in jax.tree.leaves(x)]
    require(
        all(shapes) and len({shape[0] for shape in shapes}) == 1,
        "next_input",
        "must be an array (batch, features), or a tree of such",
        shapes,
        "return what the cell reads at the first step",
    )
    return x, shapes[0][0]


def _states(cell: RNNCell, state: Tree, rows: int) -> Tree:
    """A state that `loop_fn` returned, as ours has it."""
    inner = as_cell(cell.as_ours())
    fresh, names = initial_states(inner, rows), names_of(inner)
    states = pack(cell.from_old(state), fresh, names, "next_cell_state")
    check_states(states, fresh, names)
    return jax.tree.map(lambda s, f: jnp.asarray(s, f.dtype), states, fresh)


def _is_symbolic(tree: Tree) -> bool:
    return any(isinstance(a, keras.KerasTensor) for a in jax.tree.leaves(tree))


def _returned(returned: Any) -> tuple:
    require(
        isinstance(returned, (tuple, list)) and len(returned) == 5,
        "loop_fn",
        "must return (finished, next_input, next_cell_state, emit_output, "
        "next_loop_state)",
        f"{len(returned)} values" if isinstance(returned, (tuple, list)) else returned,
        "pass None for a loop_state that is not there",
    )
    return tuple(returned)
