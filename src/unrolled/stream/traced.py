"""One step of a cell that has no compiled form: JAX compiles it, memory and all."""

import os
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from ..cells.base import constants_of
from ..cells.built import shapes_of
from ..cells.checked import checked
from ..cells.keras_style import as_cell
from ..cells.states import initial_states
from ..layers import memory as memories

Array = np.ndarray
Tree = Any


class CellStep:
    """A cell with its present weights and its memory, for a fixed number of rows.

    Args:
        cell: built; ours or Keras-style.
        rows: B.
        features: D.
        memory: tree of ``(B, ...)``, or None; projected once, here.
        memory_mask: as `RNN` takes it.

    Raises:
        ValueError: if the mask does not fit the memory.
    """

    def __init__(
        self, cell: Any, rows: int, features: int, memory: Tree, memory_mask: Any
    ) -> None:
        view = as_cell(cell)
        if memory is not None:
            memory = jax.tree.map(jnp.asarray, memory)
            memory_mask = memories.masks(memory, memory_mask)
        constants = constants_of(view, rows, False, memory, memory_mask)
        fresh = initial_states(view, rows, shapes_of(memory))
        states = jax.tree.map(jnp.asarray, fresh)
        self.fresh, form = jax.tree.flatten(states)

        def step(x: jax.Array, leaves: list[Any]) -> tuple[jax.Array, list[Any]]:
            before = jax.tree.unflatten(form, leaves)
            result = view.step(view.project_inputs(x, constants), before, constants)
            output, after = checked(cell, result, before)
            return output.astype(jnp.float32), jax.tree.leaves(after)

        x = jax.ShapeDtypeStruct((rows, features), jnp.float32)
        self._step = jax.jit(step).lower(x, self.fresh).compile()
        self._process = os.getpid()
        self._name = type(cell).__name__

    def __call__(self, x: Array, states: list[Array]) -> tuple[Array, list[Array]]:
        """The output, and the states after the step."""
        if os.getpid() != self._process:  # JAX would wait for ever
            raise RuntimeError(
                f"a stream must be made in the process that steps {self._name}, "
                "which JAX does, whose threads a forked child has not. Got one from "
                "before the fork: start the child with multiprocessing's 'spawn', and "
                "make the stream there."
            )
        output, after = self._step(x, states)
        return np.asarray(output), [np.asarray(state) for state in after]
