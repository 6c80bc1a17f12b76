"""A cell of any class, made ready to be stepped: its states, its memory, its step."""

import functools
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from ..cells.base import constants_of, shapes_of_constants
from ..cells.built import shapes_of
from ..cells.checked import checked, in_words
from ..cells.keras_style import as_cell
from ..cells.states import initial_states
from ..engine.run import arrays_of
from ..layers import memory as memories

Array = np.ndarray
Tree = Any


class Opened:
    """A cell with its present weights and its memory, for a fixed number of rows.

    Args:
        cell: built; ours or Keras-style.
        rows: B.
        features: D.
        memory: tree of ``(B, ...)``, or None; projected once, here.
        memory_mask: as `RNN` takes it.

    Attributes:
        x: the shape of a step's input.
        fresh: the states of fresh sequences, flat.
        constants: the arrays that every step reads.

    Raises:
        ValueError: if the mask does not fit the memory.
    """

    def __init__(
        self, cell: Any, rows: int, features: int, memory: Tree, memory_mask: Any
    ) -> None:
        self.cell, self._view = cell, as_cell(cell)
        if memory is not None:
            memory = jax.tree.map(jnp.asarray, memory)
            memory_mask = memories.masks(memory, memory_mask)
        given = {"training": False, "memory": memory, "memory_mask": memory_mask}
        constants = constants_of(self._view, rows, **given)
        self.constants, self._whole = arrays_of(constants)
        self._of_rows = functools.partial(shapes_of_constants, self._view, **given)
        fresh = initial_states(self._view, rows, shapes_of(memory))
        states = jax.tree.map(jnp.asarray, fresh)
        self.fresh, self._form = jax.tree.flatten(states)
        self.x = jax.ShapeDtypeStruct((rows, features), jnp.float32)

    def shapes(self, rows: int) -> list[Any]:
        """Those of the constants, with so many rows."""
        return self._whole.arrays(self._of_rows(rows))

    def step(
        self, x: jax.Array, states: list[Any], constants: list[Any]
    ) -> tuple[jax.Array, list[Any]]:
        """The output, float32, and the states after the step."""
        before, whole = self._form.unflatten(states), self._whole(constants)
        with in_words(self.cell):
            projected = self._view.project_inputs(x, whole)
            result = self._view.step(projected, before, whole)
        output, after = checked(self.cell, result, before)
        pairs = zip(jax.tree.leaves(after), states, strict=True)
        return output.astype(jnp.float32), [new.astype(old.dtype) for new, old in pairs]
