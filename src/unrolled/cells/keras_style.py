"""Run any Keras-style cell through the contract of `Cell`."""

from typing import Any

import jax
import keras
from jax import numpy as jnp

from ..checks import require
from .base import Cell, Tree


def as_cell(cell: Any, step_shape: Any) -> Any:
    """The cell itself if it is a `Cell`, else a `KerasStyle` view of it."""
    return cell if isinstance(cell, Cell) else KerasStyle(cell, step_shape)


def check_cell(cell: Any) -> None:
    """Raise unless `cell` has what a Keras-style cell has.

    Raises:
        ValueError: if ``call`` or ``state_size`` is missing.
    """
    for attribute in ("call", "state_size"):
        require(
            attribute in dir(cell),
            "cell",
            f"must have `{attribute}`, as a Keras cell has",
            type(cell).__name__,
            "see 'Write your own cell' in the documentation",
        )


class KerasStyle:
    """A view of a Keras-style cell that speaks the contract of `Cell`.

    Args:
        cell: an object with ``state_size`` and
            ``call(inputs, states[, training]) -> (output, new_states)``.
        step_shape: shape of one step's input, the batch apart: ``(D,)``.
    """

    def __init__(self, cell: Any, step_shape: Any) -> None:
        self.cell = cell
        self.step_shape = step_shape

    def get_initial_state(self, batch_size: int) -> Tree:
        """The cell's own, or zeros of `state_size`."""
        own = getattr(self.cell, "get_initial_state", None)
        if own is not None:
            return own(batch_size=batch_size)
        dtype = getattr(self.cell, "compute_dtype", keras.config.floatx())

        def zeros(size: Any) -> Any:
            if isinstance(size, (list, tuple)):
                return [zeros(each) for each in size]
            return jnp.zeros((batch_size, size), dtype)

        return zeros(self.cell.state_size)

    def get_constants(self, batch_size: int, training: bool) -> dict[str, Any]:
        """The training flag, and the masks of cells that mix in Keras's dropout."""
        constants: dict[str, Any] = {"training": training}
        if training and hasattr(self.cell, "get_dropout_mask"):
            state = jax.tree.leaves(self.get_initial_state(batch_size))[0]
            inputs = jnp.zeros((batch_size, *self.step_shape), state.dtype)
            self._set_masks(None, None)
            constants["masks"] = (
                self.cell.get_dropout_mask(inputs),
                self.cell.get_recurrent_dropout_mask(state),
            )
            self._set_masks(None, None)
        return constants

    def project_inputs(self, x: Tree, constants: Tree) -> Tree:
        """Nothing is known of the cell's arithmetic: x itself."""
        del constants
        return x

    def step(self, x: Tree, states: Tree, constants: Tree) -> tuple[Tree, Tree]:
        """Call the cell."""
        call: Any = self.cell if callable(self.cell) else self.cell.call
        takes_training = getattr(self.cell, "_call_has_training_arg", False)
        kwargs = {"training": constants["training"]} if takes_training else {}
        masks = constants.get("masks")
        if masks is None:
            return call(x, states, **kwargs)
        try:
            self._set_masks(*masks)
            return call(x, states, **kwargs)
        finally:
            # The masks belong to this call; Keras's mixin would keep them.
            self._set_masks(None, None)

    def _set_masks(self, inputs: Any, recurrent: Any) -> None:
        self.cell._dropout_mask = inputs
        self.cell._recurrent_dropout_mask = recurrent
