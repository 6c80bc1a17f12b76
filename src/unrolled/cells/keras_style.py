"""Run any Keras-style cell through the contract of `Cell`."""

from typing import Any, ClassVar

import jax
import keras
from jax import numpy as jnp

from ..checks import require
from .base import Cell, Tree, built_for, memory_arguments, memory_use
from .signatures import takes
from .states import zeros


def as_cell(cell: Any) -> Any:
    """The cell itself if it is a `Cell`, else a `KerasStyle` view of it.

    A class derived from one of ours that says in ``call`` what a step is means that.
    """
    ours = isinstance(cell, Cell) and type(cell).call is Cell.call
    return cell if ours or isinstance(cell, KerasStyle) else KerasStyle(cell)


def class_name(cell: Any) -> str:
    """The name of the class that the user knows."""
    return type(cell.cell if isinstance(cell, KerasStyle) else cell).__name__


def check_cell(cell: Any) -> None:
    """Raise unless `cell` has what a Keras-style cell has.

    Raises:
        ValueError: if ``call`` or ``state_size`` is missing, or this is a class, or a
            layer that runs a cell along time.
    """
    require(
        not isinstance(cell, type),
        "cell",
        "must be a cell, not the class of one",
        getattr(cell, "__name__", cell),
        "make one, for example LSTMCell(64)",
    )
    require(
        not hasattr(cell, "return_sequences"),
        "cell",
        "must be what is applied at one step",
        f"{type(cell).__name__}, a layer, which runs a cell along time itself",
        "pass its cell, for example LSTMCell(64) for LSTM(64); layers go one after the "
        "other, each but the last with return_sequences=True",
    )
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
        cell: an object with ``state_size`` and ``call(inputs, states) -> (output,
            new_states)``, which is given ``training``, ``memory`` and ``memory_mask``
            if it names them.
    """

    gates: ClassVar[str] = ""
    additive: ClassVar[bool] = False

    def __init__(self, cell: Any) -> None:
        self.cell = cell

    @property
    def name(self) -> str:
        """The cell's name, or its class's."""
        return getattr(self.cell, "name", type(self.cell).__name__)

    @property
    def state_size(self) -> Any:
        """The cell's own."""
        return self.cell.state_size

    @property
    def output_size(self) -> Any:
        """The cell's own; None where it says none."""
        return getattr(self.cell, "output_size", None)

    state_shapes = Cell.state_shapes
    output_shapes = Cell.output_shapes
    complete = Cell.complete

    @property
    def state_names(self) -> Any:
        """The cell's own, if it says any."""
        return getattr(self.cell, "state_names", None)

    @property
    def reads_memory(self) -> str:
        """How the cell's ``call`` takes a memory: ``"no"``, ``"may"`` or ``"must"``."""
        return memory_use(self.cell, self.cell.call)

    def check_inputs(self, x: Tree) -> None:
        """Nothing is known of what the cell reads."""

    def get_initial_state(self, batch_size: int, memory_shape: Tree = None) -> Tree:
        """The cell's own, or zeros of `state_size`."""
        own = getattr(self.cell, "get_initial_state", None)
        if own is not None:
            more = {"memory_shape": memory_shape} if takes(own, "memory_shape") else {}
            return own(batch_size=batch_size, **more)
        dtype = getattr(self.cell, "compute_dtype", keras.config.floatx())
        return zeros(self.cell.state_size, batch_size, dtype)

    def get_constants(
        self,
        batch_size: int,
        training: bool,
        memory: Tree = None,
        memory_mask: Tree = None,
    ) -> dict[str, Any]:
        """The arguments of a step, and the masks of Keras's own dropout."""
        given = memory_arguments(self.cell, memory, memory_mask)
        if getattr(self.cell, "_call_has_training_arg", False):
            given["training"] = training
        constants: dict[str, Any] = {"arguments": given}
        if training and hasattr(self.cell, "get_dropout_mask"):
            state = jax.tree.leaves(self.get_initial_state(batch_size))[0]
            inputs = jnp.zeros((batch_size, *built_for(self.cell)[1:]), state.dtype)
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
        masks = constants.get("masks")
        if masks is None:
            return call(x, states, **constants["arguments"])
        try:
            self._set_masks(*masks)
            return call(x, states, **constants["arguments"])
        finally:
            # The masks belong to this call; Keras's mixin would keep them.
            self._set_masks(None, None)

    def _set_masks(self, inputs: Any, recurrent: Any) -> None:
        self.cell._dropout_mask = inputs
        self.cell._recurrent_dropout_mask = recurrent
