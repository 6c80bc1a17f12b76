"""A cell around a cell."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import keras

from ..arguments import Declared
from ..checks import require
from .base import Cell, Tree, constants_of
from .built import build_cell
from .checked import step_of
from .keras_style import as_cell, check_cell
from .states import initial_states, is_tree, names_of, plain, state_shapes, zeros


@keras.saving.register_keras_serializable("unrolled")
class CellWrapper(Declared, Cell):
    """Does what the cell inside does; a wrapper overrides the one method it changes.

    That is mostly `step`, which reads the inputs themselves, ``(B, D)``;
    ``super().step`` is the cell's. What a wrapper carries itself it names in
    ``own_states``, with the sizes; `split` and `join` part it from the cell's states.

    Args:
        cell: the cell inside: one of `unrolled`'s, any Keras-style cell, another
            wrapper, or a stack.

    Raises:
        ValueError: if `cell` is no cell.

    Example:
        >>> import keras, unrolled
        >>> class Doubled(unrolled.CellWrapper):
        ...     def step(self, x, states, constants):
        ...         output, states = super().step(x, states, constants)
        ...         return 2 * output, states
        >>> cell = Doubled(unrolled.LSTMCell(4))
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 3))).shape
        (2, 4)
    """

    cell: Any

    # States of the wrapper itself: their names and sizes.
    own_states: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        check_cell(self.cell)

    def join(self, states: Tree, own: Mapping[str, Any]) -> Tree:
        """The cell's states and the wrapper's own, in one container."""
        if not own:
            return states
        if isinstance(states, Mapping):
            both = sorted(set(states) & set(own))
            require(
                not both,
                "own_states",
                "must have names that no state of the cell inside has",
                both,
                "rename the wrapper's own state, or the cell's",
            )
            return {**states, **own}
        return [*states, *(own[name] for name in self.own_states)]

    def split(self, states: Tree) -> tuple[Tree, dict[str, Any]]:
        """The inverse of `join`."""
        inner = as_cell(self.cell).state_shapes
        if isinstance(inner, Mapping):
            own = {name: states[name] for name in self.own_states}
            return {name: states[name] for name in inner}, own
        count = len(inner)
        own = dict(zip(self.own_states, states[count:], strict=True))
        leaves = jax.tree.leaves(list(states[:count]))
        return jax.tree.unflatten(jax.tree.structure(inner), leaves), own

    @property
    def state_size(self) -> Any:
        """The cell's, and its own."""
        size = self.cell.state_size
        own = dict(self.own_states)
        return self.join(size if is_tree(size) else [size], own) if own else size

    @property
    def state_shapes(self) -> Tree:
        """The cell's, and its own."""
        own = dict(zip(self.own_states, self._own_shapes, strict=True))
        return self.join(as_cell(self.cell).state_shapes, own)

    @property
    def _own_shapes(self) -> list[Tree]:
        return state_shapes(list(self.own_states.values()))

    @property
    def state_names(self) -> Tree:
        """The cell's, and its own beside them."""
        own = {name: name for name in self.own_states}
        return self.join(names_of(as_cell(self.cell)), own)

    @property
    def output_size(self) -> Any:
        """The cell's."""
        return as_cell(self.cell).output_size

    @property
    def output_shapes(self) -> Tree:
        """The cell's."""
        return as_cell(self.cell).output_shapes

    def build(self, input_shape: Tree, memory_shape: Tree = None) -> None:
        """Build the cell; two states of one name are told of here."""
        names_of(self)
        build_cell(self.cell, input_shape, memory_shape)
        self.built = True

    def check_inputs(self, x: Tree) -> None:
        """As the cell."""
        as_cell(self.cell).check_inputs(x)

    def get_initial_state(self, batch_size: int, memory_shape: Tree = None) -> Tree:
        """The cell's, and zeros for its own."""
        own = zeros(list(self.own_states.values()), batch_size, self.state_dtype)
        own = dict(zip(self.own_states, own, strict=True))
        inner = initial_states(as_cell(self.cell), batch_size, memory_shape)
        return self.join(inner, own)

    def complete(self, given: Tree, fresh: Tree) -> Tree:
        """What is given, and of its own states those that are left out, as fresh.

        So what another layer returns goes into one with wrappers.
        """
        inner, own = self.split(fresh)
        view = as_cell(self.cell)
        if isinstance(given, Mapping):
            theirs = {name: s for name, s in given.items() if name not in own}
            mine = {name: given.get(name, s) for name, s in own.items()}
            return {**view.complete(theirs, inner), **mine}
        count = len(jax.tree.leaves(fresh)) - len(jax.tree.leaves(own))
        completed = view.complete(given, inner)
        if not own or len(jax.tree.leaves(completed)) != count:
            return given if own else completed
        row = completed if is_tree(completed) else [completed]
        return self.join(plain(row), own)

    def get_constants(self, batch_size: int, training: bool, **given: Any) -> Tree:
        """The cell's."""
        return constants_of(as_cell(self.cell), batch_size, training, **given)

    def step(self, x: Tree, states: Tree, constants: Tree) -> tuple[Tree, Tree]:
        """The cell's step, from inputs as they are and the cell's states."""
        view = as_cell(self.cell)
        x = view.project_inputs(x, constants)
        return step_of(self.cell, x, states, constants)


def choose(names: Tree, wanted: Mapping[str, Any], argument: str) -> list[Any]:
    """What `wanted` has for each state, in the order of leaves; None where nothing.

    Raises:
        ValueError: if `wanted` names what is no state.
    """
    known = jax.tree.leaves(names)
    unknown = sorted(set(wanted) - set(known))
    require(
        not unknown,
        argument,
        f"must name states of the cell, {sorted(set(known))}",
        unknown,
        "see the cell's state_names",
    )
    return [wanted.get(name) for name in known]
