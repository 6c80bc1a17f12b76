"""Several cells, one above the other, as one cell."""

from typing import Any

import jax
import keras

from ..arguments import Declared
from ..checks import require
from .base import Cell, Tree, constants_of
from .built import build_cell, step_shapes
from .checked import step_of
from .keras_style import as_cell, check_cell
from .states import initial_states, is_tree, names_of


@keras.saving.register_keras_serializable("unrolled")
class StackedRNNCells(Declared, Cell):
    """At each step, each cell reads the output of the one below it.

    Args:
        cells: the cells, lowest first; ours or any Keras-style cell.

    Its states are a list with one entry, the cell's own states, for each cell; by
    name, ``{"0": {"h": ..., "c": ...}, "1": ...}``. A memory goes to each cell that
    reads one.

    Raises:
        ValueError: if `cells` is empty or holds something that is no cell.

    Example:
        >>> import keras, unrolled
        >>> cells = [unrolled.LSTMCell(8), unrolled.GRUCell(4)]
        >>> stack = unrolled.StackedRNNCells(cells)
        >>> unrolled.RNN(stack)(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: ``keras.layers.StackedRNNCells``.
    """

    cells: list[Any]

    def __post_init__(self) -> None:
        require(
            isinstance(self.cells, (list, tuple)) and len(self.cells) > 0,
            "cells",
            "must be a list of one cell or more",
            repr(self.cells),
            "for example [LSTMCell(64), LSTMCell(64)]",
        )
        for cell in self.cells:
            check_cell(cell)

    @property
    def state_size(self) -> list[Any]:
        """Each cell's own."""
        return [cell.state_size for cell in self.cells]

    @property
    def state_shapes(self) -> list[Tree]:
        """Each cell's own, in the form that its states have."""
        return [self._entry(cell, as_cell(cell).state_shapes) for cell in self.cells]

    @property
    def state_names(self) -> list[Any]:
        """Each cell's own; a state that stands alone is called by its cell's place."""
        return [
            str(place) if _is_bare(cell) else names_of(as_cell(cell))
            for place, cell in enumerate(self.cells)
        ]

    def _entry(self, cell: Any, states: Tree) -> Tree:
        """States of a cell as they stand among the others'."""
        return states[0] if _is_bare(cell) else states

    @property
    def output_size(self) -> Any:
        """The top cell's."""
        return as_cell(self.cells[-1]).output_size

    @property
    def output_shapes(self) -> Tree:
        """The top cell's."""
        return as_cell(self.cells[-1]).output_shapes

    def build(self, input_shape: Tree, memory_shape: Tree = None) -> None:
        """Build the cells, each for the output of the one below it."""
        for cell in self.cells:
            build_cell(cell, input_shape, memory_shape)
            input_shape = step_shapes(cell, None)
        self.built = True

    def check_inputs(self, x: Tree) -> None:
        """As the lowest cell does."""
        as_cell(self.cells[0]).check_inputs(x)

    def get_initial_state(self, batch_size: int) -> list[Tree]:
        """Each cell's own."""
        return [
            self._entry(cell, initial_states(as_cell(cell), batch_size))
            for cell in self.cells
        ]

    def get_constants(
        self, batch_size: int, training: bool, **given: Any
    ) -> list[Tree]:
        """Each cell's own."""
        return [
            constants_of(as_cell(cell), batch_size, training, **given)
            for cell in self.cells
        ]

    def project_inputs(self, x: Tree, constants: Tree) -> Tree:
        """The lowest cell's; the others read what is known only at the step."""
        return as_cell(self.cells[0]).project_inputs(x, constants[0])

    def step(self, x: Tree, states: Tree, constants: Tree) -> tuple[Tree, Tree]:
        """One step of every cell."""
        after = []
        levels = zip(self.cells, states, constants, strict=True)
        for level, (cell, before, own) in enumerate(levels):
            view = as_cell(cell)
            if level:
                x = view.project_inputs(x, own)
            before = [before] if _is_bare(cell) else before
            x, new = step_of(cell, x, before, own)
            after.append(self._entry(cell, new))
        return x, after


def _is_bare(cell: Any) -> bool:
    """Whether a cell's one state stands in no list of its own, as in Keras."""
    if is_tree(cell.state_size):
        return False
    give = getattr(cell, "get_initial_state", None)
    return give is None or not is_tree(jax.eval_shape(lambda: give(batch_size=1)))
