"""One step of a cell that has no compiled form: JAX compiles it, memory and all."""

import os

import jax
import numpy as np

from .opened import Opened

Array = np.ndarray


class CellStep:
    """A step of a cell, compiled by JAX.

    Args:
        cell: what to step.
    """

    def __init__(self, cell: Opened) -> None:
        self.fresh, constants = cell.fresh, cell.constants
        step = jax.jit(lambda x, states: cell.step(x, states, constants))
        self._step = step.lower(cell.x, self.fresh).compile()
        self._process = os.getpid()
        self._name = type(cell.cell).__name__

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
