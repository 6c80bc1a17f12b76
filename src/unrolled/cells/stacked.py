"""Several cells, one above the other, as one cell."""

from typing import Any

import jax
import keras

from ..arguments import Declared
from ..checks import require
from .base import Cell, Tree
from .keras_style import as_cell, check_cell


@keras.saving.register_keras_serializable("unrolled")
class StackedRNNCells(Declared, Cell):
    """At each step, each cell reads the output of the one below it.

    Args:
        cells: the cells, lowest first; ours or any Keras-style cell.

    Its states are a list with one entry, the cell's own states, for each cell.

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
    def output_size(self) -> Any:
        """The top cell's."""
        return output_size(self.cells[-1])

    @property
    def _parts(self) -> list[Any]:
        below = [self._step_shape, *((output_size(c),) for c in self.cells[:-1])]
        return [as_cell(c, s) for c, s in zip(self.cells, below, strict=True)]

    def build(self, input_shape: Any) -> None:
        """Build the cells, each for the output of the one below it."""
        self._step_shape = tuple(input_shape[1:])
        for cell in self.cells:
            build_cell(cell, input_shape)
            input_shape = (input_shape[0], output_size(cell))
        self.built = True

    def check_inputs(self, x: Tree) -> None:
        """As the lowest cell does."""
        if isinstance(self.cells[0], Cell):
            self.cells[0].check_inputs(x)

    def get_initial_state(self, batch_size: int) -> list[Tree]:
        """Each cell's own."""
        return [as_cell(c, ()).get_initial_state(batch_size) for c in self.cells]

    def get_constants(self, batch_size: int, training: bool) -> list[Tree]:
        """Each cell's own."""
        return [part.get_constants(batch_size, training) for part in self._parts]

    def project_inputs(self, x: Tree, constants: Tree) -> Tree:
        """The lowest cell's; the others read what is known only at the step."""
        return self._parts[0].project_inputs(x, constants[0])

    def step(self, x: Tree, states: Tree, constants: Tree) -> tuple[Tree, Tree]:
        """One step of every cell."""
        after = []
        for level, part in enumerate(self._parts):
            if level:
                x = part.project_inputs(x, constants[level])
            before = states[level]
            x, new = part.step(x, as_list(before), constants[level])
            structure = jax.tree.structure(before)
            after.append(jax.tree.unflatten(structure, jax.tree.leaves(new)))
        return x, after

    def get_config(self) -> dict[str, Any]:
        """The configurations of the cells."""
        cells = [keras.saving.serialize_keras_object(cell) for cell in self.cells]
        return {**super().get_config(), "cells": cells}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The inverse of `get_config`."""
        cells = [
            keras.saving.deserialize_keras_object(cell, custom_objects=custom_objects)
            for cell in config["cells"]
        ]
        return cls(**{**config, "cells": cells})


def as_list(states: Tree) -> list[Any]:
    """States as cells read them: always a list."""
    return list(states) if isinstance(states, (list, tuple)) else [states]


def output_size(cell: Any) -> Any:
    """The cell's ``output_size``, or the width of its first state."""
    size = getattr(cell, "output_size", None)
    if size is None:
        sizes = cell.state_size
        size = sizes[0] if isinstance(sizes, (list, tuple)) else sizes
    return size


def build_cell(cell: Any, step_shape: Any) -> None:
    """Build a cell and every layer inside it.

    Args:
        cell: ours or Keras-style.
        step_shape: ``(B, D)``; a tree of such shapes for nested inputs.
    """
    if not isinstance(cell, keras.layers.Layer):
        return
    if not cell.built:
        cell.build(step_shape)
        cell.built = True
    inner = cell._flatten_layers(include_self=False)
    if isinstance(cell, StackedRNNCells) or all(layer.built for layer in inner):
        return
    # Layers that the cell's own `build` left out are built by a symbolic step.
    shapes = jax.tree.map(lambda s: tuple(s), step_shape, is_leaf=is_shape)
    inputs = jax.tree.map(keras.KerasTensor, shapes, is_leaf=is_shape)
    states = jax.eval_shape(lambda: as_cell(cell, ()).get_initial_state(2))
    symbolic = jax.tree.map(
        lambda s: keras.KerasTensor((None, *s.shape[1:]), str(s.dtype)), states
    )
    cell(inputs, as_list(symbolic))


def is_shape(shape: Any) -> bool:
    """Whether this is one shape, not a tree of shapes."""
    return isinstance(shape, (list, tuple)) and all(
        isinstance(n, (int, type(None))) for n in shape
    )
