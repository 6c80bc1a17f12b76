"""The recurrent layer: masks, resets, carried state, and what is returned."""

from typing import Any

import jax
import keras
from jax import numpy as jnp
from keras.src import backend
from keras.src.utils.tracking import no_automatic_dependency_tracking

from ..arguments import KW_ONLY, Declared
from ..cells.base import Cell
from ..cells.keras_style import as_cell, check_cell
from ..cells.stacked import (
    StackedRNNCells,
    as_list,
    build_cell,
    is_shape,
    output_size,
)
from ..engine import carried, loop, run
from ..engine.run import Ready
from . import checks

Tree = Any


class SequenceArguments(Declared):
    """Arguments about sequences, shared by all recurrent layers."""

    _: KW_ONLY
    return_sequences: bool = False
    return_state: bool = False
    return_all_states: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False
    zero_output_for_mask: bool = False
    time_major: bool = False
    activity_regularizer: Any = None


@keras.saving.register_keras_serializable("unrolled")
class RNN(SequenceArguments, keras.layers.Layer):
    """Apply a cell along the time axis.

    Args:
        cell: what is applied at each step: one of `unrolled`'s cells, a
            `StackedRNNCells`, or any Keras-style cell.
        return_sequences: return the output of every step ``(B, T, U)``, not only
            the last ``(B, U)``. Default False.
        return_state: return the final states after the output. Default False.
        return_all_states: return each state after every step ``(B, T, U)``, after
            everything else. Default False.
        go_backwards: process the last step first; outputs come in the order in
            which they were made, as in Keras. Default False.
        stateful: start each row from the state in which the same row of the batch
            before ended. Default False.
        unroll: compile all steps one after the other. Default False.
        zero_output_for_mask: emit zeros on masked steps, not the last output again.
        time_major: sequences, masks and resets are ``(T, B, ...)``. Default False.

    Call arguments:
        sequences: ``(B, T, D)``, or a tree of ``(B, T, ...)``.
        initial_state: the states to start from, each ``(B, U)``. Default: the
            cell's own, zeros.
        mask: ``[B, T]``. Where false, the row's states are carried over, and its
            output repeats the last one emitted (zeros before the first).
        training: whether dropout is on.
        resets: ``[B, T]``. Where true, the row starts afresh before that step, as
            if a new sequence began there.
        lengths: ``[B]``: short for a mask that is true on so many first steps.

    Returns:
        The output; with `return_state` or `return_all_states`, a tuple that begins
        with it.

    Raises:
        ValueError: before any compute, if an argument does not fit.

    Example:
        >>> import keras, unrolled
        >>> layer = unrolled.RNN(unrolled.LSTMCell(8), return_sequences=True)
        >>> layer(keras.ops.ones((2, 5, 3))).shape
        (2, 5, 8)

    Source: ``keras.layers.RNN``; resets as in ``haiku.ResetCore``.
    """

    cell: Any

    def convert(self, name: str, value: Any) -> Any:
        """A list of cells becomes one cell, as in Keras."""
        if name == "cell" and isinstance(value, (list, tuple)):
            return StackedRNNCells(list(value))
        return super().convert(name, value)

    @no_automatic_dependency_tracking
    def __post_init__(self) -> None:
        check_cell(self.cell)
        checks.check_float64(self.compute_dtype, type(self).__name__)
        self.supports_masking = True
        self.step_shape: Tree = None
        self.states: Any = None

    # --- shapes and building ---

    @property
    def state_size(self) -> list[Any]:
        """The cell's, as a list."""
        return as_list(self.cell.state_size)

    @no_automatic_dependency_tracking
    def build(self, sequences_shape: Tree, initial_state_shape: Any = None) -> None:
        """Build the cell, and the carried states if `stateful`."""
        del initial_state_shape
        shapes = jax.tree.map(tuple, sequences_shape, is_leaf=is_shape)
        symbolic = jax.tree.map(keras.KerasTensor, shapes, is_leaf=is_shape)
        checks.check_sequences(symbolic, None, self.time_major)
        batch_axis = 1 if self.time_major else 0
        steps = jax.tree.map(
            lambda s: (s[batch_axis], *s[2:]), shapes, is_leaf=is_shape
        )
        self.step_shape = jax.tree.map(lambda s: s[1:], steps, is_leaf=is_shape)
        build_cell(self.cell, steps)
        if self.stateful and self.states is None:
            batch = jax.tree.leaves(steps, is_leaf=is_shape)[0][0]
            self.states = carried.create(
                self.get_initial_state, batch, self.variable_dtype
            )
        self.built = True

    def compute_output_shape(
        self, sequences_shape: Tree, initial_state_shape: Any = None
    ) -> Any:
        """Shapes of what `call` returns; None where unknown."""
        del initial_state_shape
        leading = jax.tree.leaves(sequences_shape, is_leaf=is_shape)[0][:2]
        batch = leading[1 if self.time_major else 0]
        size = output_size(self.cell)
        size = tuple(size) if isinstance(size, (list, tuple)) else (size,)
        states = jax.eval_shape(lambda: self.get_initial_state(2))
        rows = [s.shape[1:] for s in jax.tree.leaves(states)]
        output = (*(leading if self.return_sequences else (batch,)), *size)
        structure = jax.tree.structure(states)
        shapes = [output]
        if self.return_state:
            shapes += jax.tree.unflatten(structure, [(batch, *r) for r in rows])
        if self.return_all_states:
            shapes += jax.tree.unflatten(structure, [(*leading, *r) for r in rows])
        return tuple(shapes) if len(shapes) > 1 else output

    def compute_output_spec(self, sequences: Tree, **kwargs: Any) -> Any:
        """Check symbolic arguments as real ones are checked."""
        given = {k: v for k, v in kwargs.items() if k != "training"}
        self._check(sequences, **given)
        return super().compute_output_spec(sequences, **kwargs)

    def compute_mask(self, inputs: Tree, mask: Any) -> Any:
        """The mask goes on with the output of every step; states have none."""
        del inputs
        masks = [m for m in jax.tree.leaves(mask) if m is not None]
        passed = _all_of(masks) if self.return_sequences else None
        if self.return_state or self.return_all_states:
            return [passed]
        return passed

    # --- states ---

    def get_initial_state(self, batch_size: int) -> list[Any]:
        """The states of fresh sequences: the cell's own, as a list."""
        cell = as_cell(self.cell, self.step_shape)
        return as_list(cell.get_initial_state(batch_size))

    def reset_state(self, states: Any = None) -> None:
        """Forget the carried states of a `stateful` layer.

        Args:
            states: what to carry instead, one array for each state; default, the
                cell's initial state.

        Raises:
            ValueError: if `states` does not fit.
        """
        if self.states is None:
            return
        variables = carried.leaves(self.states)
        if states is None:
            states = self.get_initial_state(variables[0].shape[0])
        else:
            states = checks.pack_states(states, self.states, "states")
        for variable, value in zip(variables, jax.tree.leaves(states), strict=True):
            variable.assign(value)

    reset_states = reset_state

    @property
    def variables(self) -> list[Any]:
        """All variables; carried states too, so that training carries them on.

        They are not among `weights`: files and weight lists stay those of Keras.
        """
        return [*super().variables, *carried.leaves(self.states)]

    # --- the call ---

    def call(
        self,
        sequences: Tree,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
        resets: Any = None,
        lengths: Any = None,
    ) -> Any:
        """Run the cell over `sequences`; see the class."""
        ready = self.prepare(sequences, initial_state, mask, training, resets, lengths)
        return self.hand_out(ready, run.run([self], [ready])[0])

    def prepare(
        self,
        sequences: Tree,
        initial_state: Any = None,
        mask: Any = None,
        training: bool | None = False,
        resets: Any = None,
        lengths: Any = None,
    ) -> Ready:
        """What `call` does before the time loop; takes what that takes."""
        self._check(sequences, initial_state, mask=mask, resets=resets, lengths=lengths)
        mask = self._mask(sequences, mask, lengths)
        flip = self._swap_if_time_major
        inputs = jax.tree.map(flip, sequences)
        rows = jax.tree.leaves(inputs)[0].shape[0]

        fresh = self.get_initial_state(rows)
        if initial_state is not None:
            states = checks.pack_states(initial_state, fresh)
        else:
            states = carried.take(self.states, rows) if self.stateful else fresh
        states = jax.tree.map(lambda s, f: jnp.asarray(s, f.dtype), states, fresh)
        constants = as_cell(self.cell, self.step_shape).get_constants(
            rows, bool(training)
        )
        return Ready(
            inputs,
            states,
            fresh,
            mask,
            _bool(flip(mask)),
            _bool(flip(resets)),
            constants,
        )

    def hand_out(self, ready: Ready, result: loop.Result) -> Any:
        """What `call` returns once the time loop has run."""
        flip = self._swap_if_time_major
        if self.stateful:
            rows = jax.tree.leaves(ready.inputs)[0].shape[0]
            carried.put(self.states, result.states, rows)
        returned = [result.outputs if self.return_sequences else result.last]
        if self.return_state:
            returned += result.states
        if self.return_all_states:
            returned += jax.tree.map(flip, result.all_states)
        returned = jax.tree.map(lambda a: a.astype(self.compute_dtype), returned)
        if self.return_sequences:
            returned[0] = jax.tree.map(flip, returned[0])
            if ready.given_mask is not None:
                for output in jax.tree.leaves(returned[0]):
                    backend.set_keras_mask(output, ready.given_mask)
        return tuple(returned) if len(returned) > 1 else returned[0]

    def plan(self, input_shape: Tree = None) -> str:
        """Say what will run this layer here, and why.

        Args:
            input_shape: ``(B, T, D)``; the answer is the same for all shapes, so it
                may be left out.

        Returns:
            One sentence.

        Example:
            >>> import unrolled
            >>> class Mine(unrolled.SimpleRNNCell):
            ...     pass
            >>> unrolled.RNN(Mine(4)).plan()
            'the scan: Mine has no fused kernel.'
        """
        del input_shape
        fused = run.fused(self)
        return f"the scan: {fused}" if isinstance(fused, str) else str(fused)

    def _check(self, sequences: Tree, initial_state: Any = None, **given: Any) -> None:
        checks.check_call(sequences, self.step_shape, self.time_major, **given)
        if isinstance(self.cell, Cell):
            self.cell.check_inputs(sequences)
        if initial_state is not None:
            batch = jax.tree.leaves(sequences)[0].shape[1 if self.time_major else 0]
            fresh = jax.eval_shape(lambda: self.get_initial_state(batch or 1))
            if batch is None:
                fresh = jax.tree.map(
                    lambda s: keras.KerasTensor((None, *s.shape[1:])), fresh
                )
            checks.pack_states(initial_state, fresh)

    def _mask(self, sequences: Tree, mask: Any, lengths: Any) -> Any:
        """One mask from those given, attached to the inputs, or meant by lengths."""
        if lengths is not None:
            first = jax.tree.leaves(sequences)[0]
            if self.time_major:
                return jnp.arange(first.shape[0])[:, None] < lengths[None, :]
            return jnp.arange(first.shape[1])[None, :] < lengths[:, None]
        if mask is None:
            # Keras hands on attached masks only where there is one tensor argument.
            mask = jax.tree.map(backend.get_keras_mask, sequences)
        return _all_of(jax.tree.leaves(mask))

    def _swap_if_time_major(self, array: Any) -> Any:
        if array is None or not self.time_major:
            return array
        return jnp.swapaxes(array, 0, 1)

    # --- configuration ---

    def get_config(self) -> dict[str, Any]:
        """The arguments, the cell among them."""
        config = super().get_config()
        if "cell" in config:
            config["cell"] = keras.saving.serialize_keras_object(self.cell)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The inverse of `get_config`."""
        config = dict(config)
        if "cell" in config:
            config["cell"] = keras.saving.deserialize_keras_object(
                config["cell"], custom_objects=custom_objects
            )
            return cls(config.pop("cell"), **config)
        return cls(**config)


def _all_of(masks: list[Any]) -> Any:
    """A step counts where all masks say so; None where there is none."""
    if not masks:
        return None
    whole = masks[0]
    for mask in masks[1:]:
        whole = keras.ops.logical_and(whole, mask)
    return whole


def _bool(mask: Any) -> Any:
    return None if mask is None else jnp.asarray(mask).astype(bool)
