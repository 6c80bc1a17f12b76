"""Several cells, one above the other, as one cell."""

from collections.abc import Mapping
from typing import Any

import jax
import keras
from jax import numpy as jnp

from ..arguments import KW_ONLY, Declared
from ..checks import require
from .base import Cell, Tree, constants_of, is_dims
from .built import build_cell, step_shapes
from .checked import step_of
from .keras_style import as_cell, check_cell
from .states import Shape, initial_states, is_tree, names_of


@keras.saving.register_keras_serializable("unrolled")
class StackedRNNCells(Declared, Cell):
    """At each step, each cell reads the output of the one below it.

    Args:
        cells: the cells, lowest first; ours or any Keras-style cell.
        skip_connections: connect the inputs to every cell, and every cell to the output
            (Graves, 2013, arXiv:1308.0850; Haiku's ``deep_rnn_with_skip_connections``):
            each cell above the lowest reads ``[x, y]``, the stack's inputs and the
            output of the one below side by side, and the stack's output is all cells'
            outputs side by side, the lowest first. Default False. To add what a cell
            reads to what it gives, put each in a `ResidualWrapper`.

    Its states are a list with one entry, the cell's own states, for each cell; by
    name, ``{"0": {"h": ..., "c": ...}, "1": ...}``. A memory goes to each cell that
    reads one.

    Raises:
        ValueError: if `cells` is empty or holds something that is no cell; or, with
            `skip_connections`, if what has to stand side by side cannot.

    Example:
        >>> import keras, unrolled
        >>> cells = [unrolled.LSTMCell(8), unrolled.GRUCell(4)]
        >>> stack = unrolled.StackedRNNCells(cells)
        >>> unrolled.RNN(stack)(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: ``keras.layers.StackedRNNCells``.
    """

    cells: list[Any]
    _: KW_ONLY
    skip_connections: bool = False

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
        """The top cell's; with skip connections the sum of all."""
        if not self.skip_connections:
            return as_cell(self.cells[-1]).output_size
        sizes = self.output_shapes.sizes
        return sizes if len(sizes) > 1 else sizes[0]

    @property
    def output_shapes(self) -> Tree:
        """The top cell's; with skip connections all side by side."""
        shapes = [as_cell(cell).output_shapes for cell in self.cells]
        if not self.skip_connections:
            return shapes[-1]
        return Shape(_side_by_side([getattr(s, "sizes", s) for s in shapes]))

    def build(self, input_shape: Tree, memory_shape: Tree = None) -> None:
        """Build the cells, each for what it reads."""
        read = input_shape
        for cell in self.cells:
            build_cell(cell, read, memory_shape)
            read = step_shapes(cell, None)
            if self.skip_connections:
                read = (None, *_side_by_side([_sizes(input_shape), _sizes(read)]))
        self.built = True

    def check_inputs(self, x: Tree) -> None:
        """As the lowest cell does."""
        as_cell(self.cells[0]).check_inputs(x)

    def get_initial_state(
        self, batch_size: int, memory_shape: Tree = None
    ) -> list[Tree]:
        """Each cell's own."""
        return [
            self._entry(cell, initial_states(as_cell(cell), batch_size, memory_shape))
            for cell in self.cells
        ]

    def complete(self, given: Tree, fresh: list[Tree]) -> Tree:
        """Each cell's own, where they are given cell by cell."""
        whole = zip(self.cells, fresh, strict=True)
        if isinstance(given, Mapping):
            each = {str(n): pair for n, pair in enumerate(whole)}
            return {
                place: _completed(*each[str(place)], states)
                if str(place) in each
                else states
                for place, states in given.items()
            }
        if not isinstance(given, (list, tuple)) or len(given) != len(fresh):
            return given
        return [_completed(*p, g) for p, g in zip(whole, given, strict=True)]

    def get_constants(
        self, batch_size: int, training: bool, **given: Any
    ) -> list[Tree]:
        """Each cell's own."""
        return [
            constants_of(as_cell(cell), batch_size, training, **given)
            for cell in self.cells
        ]

    def project_inputs(self, x: Tree, constants: Tree) -> Tree:
        """The lowest cell's, and the inputs themselves if the others read them too.

        What else these read is known only at the step.
        """
        lowest = as_cell(self.cells[0]).project_inputs(x, constants[0])
        return (lowest, x) if self.skip_connections else lowest

    def step(self, x: Tree, states: Tree, constants: Tree) -> tuple[Tree, Tree]:
        """One step of every cell."""
        x, inputs = x if self.skip_connections else (x, None)
        after, outputs = [], []
        levels = zip(self.cells, states, constants, strict=True)
        for level, (cell, before, own) in enumerate(levels):
            view = as_cell(cell)
            if level:
                below = outputs[-1] if inputs is None else _joined(inputs, outputs[-1])
                x = view.project_inputs(below, own)
            before = [before] if _is_bare(cell) else before
            output, new = step_of(cell, x, before, own)
            outputs.append(output)
            after.append(self._entry(cell, new))
        return outputs[-1] if inputs is None else _joined(*outputs), after


def _completed(cell: Any, fresh: Tree, given: Tree) -> Tree:
    """What is given for one cell; an array alone has nothing to add."""
    return as_cell(cell).complete(given, fresh) if is_tree(given) else given


def _joined(*parts: jax.Array) -> jax.Array:
    """Arrays side by side, in the dtype of the last."""
    return jnp.concatenate([p.astype(parts[-1].dtype) for p in parts], axis=-1)


def _sizes(shape: Tree) -> Tree:
    """The shape of one step, the batch apart; a tree of shapes as it is."""
    return tuple(shape[1:]) if is_dims(shape) else shape


def _side_by_side(shapes: list[Any]) -> tuple[int, ...]:
    """The shape of arrays side by side, the batch apart."""
    fit = all(map(is_dims, shapes)) and len({tuple(s[:-1]) for s in shapes}) == 1
    require(
        fit and all(shapes),
        "skip_connections",
        "must join arrays that differ in their last axis at most, (batch, ...) of",
        shapes,
        "flatten them, or wrap cells in ResidualWrapper",
    )
    return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))


def _is_bare(cell: Any) -> bool:
    """Whether a cell's one state stands in no list of its own, as in Keras."""
    if is_tree(cell.state_size):
        return False
    give = getattr(cell, "get_initial_state", None)
    return give is None or not is_tree(jax.eval_shape(lambda: give(batch_size=1)))
