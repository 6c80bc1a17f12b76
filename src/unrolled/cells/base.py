"""What a cell is.

Any Keras-style cell runs in `unrolled.RNN`: a layer with ``state_size`` and
``call(inputs, states[, training]) -> (output, new_states)``. A `Cell` says more of
itself, so that the share of a step that needs no state is computed for all T steps
at once, and random masks are drawn once a sequence.
"""

from typing import Any, ClassVar

import jax
import keras
from jax import numpy as jnp

Tree = Any


class Cell(keras.layers.Layer):
    """A step function in parts. Subclass it, or use any Keras-style cell.

    A subclass sets ``state_size`` (a list of widths) and ``output_size``, and
    overrides either `project_inputs`, `project_state` and `combine`, or `step`.

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

    @property
    def splits(self) -> bool:
        """Whether a step is `project_state`, then `combine`."""
        return type(self).step is Cell.step

    @property
    def state_dtype(self) -> str:
        """What states are held in: float32 where the arithmetic is narrower."""
        narrow = ("float16", "bfloat16")
        return "float32" if self.compute_dtype in narrow else self.compute_dtype

    def check_inputs(self, x: Tree) -> None:
        """Raise a ValueError if a step cannot read `x`; only look at its dtype."""
        del x

    def get_initial_state(self, batch_size: int) -> list[jax.Array]:
        """The states of a fresh sequence: a list of zeros ``(B, width)``."""
        sizes = self.state_size
        sizes = sizes if isinstance(sizes, (list, tuple)) else [sizes]
        return [jnp.zeros((batch_size, size), self.state_dtype) for size in sizes]

    def get_constants(self, batch_size: int, training: bool) -> Tree:
        """What stays the same within one sequence: drawn once a call.

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
        """The recurrent product: ``(..., B, U)`` to ``(..., B, G*U)``.

        Once for a step, and for the gradients once for all steps.
        """
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

    def step(
        self, x: Tree, states: list[jax.Array], constants: Tree
    ) -> tuple[Tree, list[jax.Array]]:
        """One step from projected inputs."""
        return self.combine(x, self.project_state(states[0], constants), states)

    def call(self, inputs: Tree, states: Tree, training: bool = False):
        """One step, as a Keras cell: raw inputs ``(B, D)``, states as a list."""
        batch_size = jax.tree.leaves(inputs)[0].shape[0]
        constants = self.get_constants(batch_size, training)
        x = self.project_inputs(inputs, constants)
        before = states if isinstance(states, (list, tuple)) else [states]
        output, after = self.step(x, list(before), constants)
        output, after = jax.tree.map(
            lambda a: a.astype(self.compute_dtype), (output, after)
        )
        return output, after if before is states else after[0]
