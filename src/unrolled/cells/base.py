"""What a cell is.

Any Keras-style cell runs in `unrolled.RNN`: a layer with ``state_size`` and
``call(inputs, states[, training]) -> (output, new_states)``. A `Cell` says more of
itself, so that the share of a step that needs no state is computed for all T steps
at once, and random masks are drawn once a sequence.
"""

import functools
import inspect
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, ClassVar

import jax
import keras
from jax import numpy as jnp

from ..arguments import another
from ..checks import fits, require, sizes
from .signatures import parameters, parameters_of, takes, takes_more
from .states import (
    by_name,
    is_tree,
    names_of,
    output_shapes,
    pack,
    plain,
    state_shapes,
    zeros,
)

Tree = Any


class Cell(keras.layers.Layer):
    """A step function in parts. Subclass it, or use any Keras-style cell.

    A subclass sets ``state_size`` (the width of each state, in a list, tuple, named
    tuple or dict) and ``output_size``, and overrides either `project_inputs`,
    `project_state` and `combine`, or `step`. ``state_names`` may say what the states
    are called, in the form of ``state_size``: ``("h", "c")``.

    Example:
        >>> import unrolled
        >>> class Decay(unrolled.Cell):
        ...     state_size = [3]
        ...     output_size = 3
        ...
        ...     def step(self, x, states, constants):
        ...         y = 0.5 * states[0] + x
        ...         return y, [y]
        >>> unrolled.RNN(Decay())(keras.ops.ones((2, 4, 3))).shape
        (2, 3)
    """

    # One letter a gate, in the order of the weights' columns.
    gates: ClassVar[str] = ""

    # Whether `combine` reads no more than the sum of projected inputs and state.
    additive: ClassVar[bool] = False

    # What the states are called; see `unrolled.cells.states.names_of`.
    state_names: ClassVar[Any] = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """A cell that is built once: who holds it may build it again."""
        cell = super().__new__(cls, *args, **kwargs)
        build = cell.build

        @functools.wraps(build)
        def once(*args: Any, **kwargs: Any) -> None:
            if cell.built:
                check_built(cell, *args, **kwargs)
            else:
                build(*args, **kwargs)

        cell.build = once
        return cell

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As any Keras layer; built for the inputs and the memory.

        Keras would do so only if `call` had an argument for each of `build`.

        Raises:
            ValueError: if no states come: a cell is applied to one step.
        """
        require(
            len(args) + len(kwargs.keys() - {"training"}) > 1,
            "states",
            f"must be given: {type(self).__name__} is a cell, applied to one step",
            "none",
            "unrolled.RNN(cell)(x) applies it along time",
        )
        if not self.built and takes(self.build, "memory_shape"):
            given = inspect.signature(self.call).bind_partial(*args, **kwargs).arguments
            # While Keras traces a model for any batch, B is no number.
            inputs, memory = jax.tree.map(
                lambda a: sizes(a.shape),
                (next(iter(given.values())), given.get("memory")),
            )
            self.build(inputs, memory)
        return super().__call__(*args, **kwargs)

    @property
    def state_dtype(self) -> str:
        """What states are held in: float32 where the arithmetic is narrower."""
        narrow = ("float16", "bfloat16")
        return "float32" if self.compute_dtype in narrow else self.compute_dtype

    @property
    def state_shapes(self) -> Tree:
        """`state_size` as a tree of `unrolled.cells.states.Shape`."""
        return state_shapes(self.state_size)

    @property
    def output_shapes(self) -> Tree:
        """`output_size` as such a tree; if it is not said, the first state's shape."""
        return output_shapes(getattr(self, "output_size", None), self.state_shapes)

    @property
    def reads_memory(self) -> str:
        """How a step reads a memory: ``"no"``, ``"may"`` or ``"must"``."""
        uses = [memory_use(self, self.get_constants)]
        built_from = parameters_of(type(self).build).get("memory_shape")
        if built_from and built_from.default is inspect.Parameter.empty:
            uses.append("must")
        return most(uses)

    def check_inputs(self, x: Tree) -> None:
        """Raise a ValueError if a step cannot read `x`; only look at its dtype."""
        del x

    def get_initial_state(self, batch_size: int) -> Tree:
        """The states of a fresh sequence: zeros ``(B, width)``, like `state_size`.

        A cell with a state as long as the memory, such as a share for each of its
        entries, names the shapes here: ``get_initial_state(self, batch_size,
        memory_shape)``. In its `state_size` that length is None.
        """
        return zeros(self.state_size, batch_size, self.state_dtype)

    def complete(self, given: Tree, fresh: Tree) -> Tree:
        """States handed in, with those that may be left out: none, in a plain cell.

        Args:
            given: as a layer's `initial_state` takes them.
            fresh: the states of fresh sequences.
        """
        del fresh
        return given

    def get_constants(self, batch_size: int, training: bool) -> Tree:
        """What stays the same within one sequence: drawn once a call.

        A cell that reads a memory names it here: ``get_constants(self, batch_size,
        training, memory, memory_mask)``. What acts on the memory alone, such as a
        projection of it, is then computed once a sequence.

        Args:
            batch_size: B.
            training: whether dropout is on.

        Returns:
            Any tree; it is handed back to the other methods.
        """
        del batch_size, training
        return {}

    def project_inputs(self, x: jax.Array, constants: Tree) -> Tree:
        """The share of the step that needs no state.

        Args:
            x: ``(..., B, D)``, one step or many.
            constants: from `get_constants`.

        Returns:
            What `step` reads in place of x, with the same leading axes.
        """
        del constants
        return x

    def project_state(self, h: jax.Array, constants: Tree) -> jax.Array:
        """The recurrent product: ``(..., B, U)`` to ``(..., B, G*U)``."""
        raise NotImplementedError(
            f"{type(self).__name__} must define project_state and combine, or step."
        )

    def combine(
        self, x: Tree, h: jax.Array, states: list[jax.Array]
    ) -> tuple[Tree, list[jax.Array]]:
        """The pointwise rest of the step.

        Args:
            x: the projected inputs, ``(B, G*U)``.
            h: the projected state, ``(B, G*U)``.
            states: the states before the step, each ``(B, U)``.

        Returns:
            The output, and the states after the step.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define project_state and combine, or step."
        )

    def step(self, x: Tree, states: Tree, constants: Tree) -> tuple[Tree, Tree]:
        """One step from projected inputs."""
        return self.combine(x, self.project_state(states[0], constants), states)

    def add_weight(self, *args: Any, initializer: Any = None, **kwargs: Any) -> Any:
        """As of any Keras layer; an initializer draws other numbers for each weight."""
        made = self.undrawn(initializer)
        return super().add_weight(*args, initializer=made, **kwargs)

    def undrawn(self, initializer: Any) -> Any:
        """The initializer, or, if it drew a weight of the cell before, one like it."""
        if getattr(initializer, "seed", None) is None:
            return initializer
        before = self.__dict__.setdefault("_drawn_by", [])
        count = sum(each is initializer for each in before)
        before.append(initializer)
        return another(initializer, count)

    def matmul(self, x: jax.Array, weight: Any) -> jax.Array:
        """Multiply in the compute dtype, accumulate in the state dtype."""
        return jnp.matmul(
            x.astype(self.compute_dtype),
            jnp.asarray(weight, self.compute_dtype),
            preferred_element_type=self.state_dtype,
        )

    def call(
        self,
        inputs: Tree,
        states: Tree,
        training: bool = False,
        memory: Tree = None,
        memory_mask: Tree = None,
    ) -> tuple[Tree, Tree]:
        """One step, as a Keras cell: raw inputs ``(B, D)``, states as a list."""
        batch_size = jax.tree.leaves(inputs)[0].shape[0]
        constants = constants_of(self, batch_size, training, memory, memory_mask)
        x = self.project_inputs(inputs, constants)
        alone = not is_tree(states)
        states = [states] if alone else states
        like = jax.tree.map(
            lambda s: SimpleNamespace(shape=(batch_size, *s.sizes)), self.state_shapes
        )
        states = pack(states, like, names_of(self), "states")
        output, after = self.step(x, states, constants)
        output, after = jax.tree.map(self._narrowed, (output, after))
        return output, after[0] if alone and is_tree(after) else after

    def _narrowed(self, array: jax.Array) -> jax.Array:
        """Floating point in the compute dtype; anything else as it is."""
        return narrowed(array, self.compute_dtype)

    def named_states(self, states: Tree) -> dict[str, Any]:
        """States as a dict by name, nested as the cells are.

        Example:
            >>> import unrolled
            >>> sorted(unrolled.LSTMCell(2).named_states([1.0, 2.0]).items())
            [('c', 2.0), ('h', 1.0)]
        """
        return by_name(names_of(self), states)


def narrowed(array: Any, dtype: Any) -> Any:
    """Floating point in `dtype`; anything else, a counter or a key, as it is."""
    floating = jnp.issubdtype(array.dtype, jnp.floating)
    return array.astype(dtype) if floating else array


# --- who reads a memory ---


def memory_use(cell: Any, function: Callable[..., Any], name: str = "memory") -> str:
    """How `function` of a cell takes a memory: ``"no"``, ``"may"`` or ``"must"``.

    Further keywords count as naming it if a cell inside reads it. So for the mask.
    """
    named = parameters(function).get(name)
    if named is not None:
        return "must" if named.default is inspect.Parameter.empty else "may"
    if not takes_more(function) or not isinstance(cell, keras.layers.Layer):
        return "no"
    inside = cell._flatten_layers(include_self=False)
    return most(_use(each, name) for each in inside if hasattr(each, "state_size"))


def _use(cell: Any, name: str) -> str:
    ours = isinstance(cell, Cell) and type(cell).call is Cell.call
    reads = name == "memory" and ours
    return cell.reads_memory if reads else memory_use(cell, cell.call, name)


def memory_arguments(cell: Any, memory: Tree, memory_mask: Tree) -> dict[str, Any]:
    """Of a memory and its mask what a cell's ``call`` takes."""
    given = {"memory": memory, "memory_mask": memory_mask}
    return {k: v for k, v in given.items() if memory_use(cell, cell.call, k) != "no"}


def most(uses: Iterable[str]) -> str:
    """The strongest of some uses."""
    return max(uses, key=("no", "may", "must").index, default="no")


def constants_of(
    cell: Any,
    batch_size: Any,
    training: Any,
    memory: Tree = None,
    memory_mask: Tree = None,
) -> Tree:
    """What `get_constants` gives, called with what its signature names."""
    given = {"memory": memory, "memory_mask": memory_mask}
    if not takes_more(cell.get_constants):
        given = {k: v for k, v in given.items() if takes(cell.get_constants, k)}
    return cell.get_constants(batch_size, bool(training), **given)


def shapes_of_constants(
    cell: Any, rows: int, training: Any, memory: Tree = None, memory_mask: Tree = None
) -> Tree:
    """The shapes of what `constants_of` gives, with another number of rows.

    Nothing is drawn for it.
    """

    def with_rows(array: Any) -> Any:
        return jax.ShapeDtypeStruct((rows, *array.shape[1:]), array.dtype)

    given = jax.tree.map(with_rows, (memory, memory_mask))
    with keras.StatelessScope():
        return jax.eval_shape(
            lambda *memory: constants_of(cell, rows, training, *memory), *given
        )


def check_built(cell: Any, input_shape: Any, memory_shape: Any = None) -> None:
    """Check that a cell was built for steps of this shape.

    Raises:
        ValueError: if it was built for others.
    """
    del memory_shape
    before = built_for(cell)
    if before is None:
        return
    leaves = [jax.tree.leaves(s, is_leaf=is_dims) for s in (before, input_shape)]
    old, new = ([tuple(shape[1:]) for shape in shapes] for shapes in leaves)
    require(
        len(old) == len(new) and all(map(fits, old, new)),
        "cell",
        f"was built for steps of shape {before}",
        f"{input_shape} for {cell.name}",
        "give this input a cell of its own",
    )


def built_for(cell: Any) -> Any:
    """The shapes of the steps that a cell was built for; None where Keras has none."""
    config = cell.get_build_config() or {}
    return plain(next(iter(config.get("shapes_dict", config).values()), None))


def is_dims(shape: Any) -> bool:
    """Whether this is the shape of one array, not a tree of shapes."""
    return isinstance(shape, (list, tuple)) and all(
        isinstance(n, (int, type(None))) for n in shape
    )
