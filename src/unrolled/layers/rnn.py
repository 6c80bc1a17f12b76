"""The recurrent layer: masks, resets, carried state, and what is returned."""

from functools import partial
from typing import Any

import jax
import keras
from jax import numpy as jnp

from .._borrowed import get_keras_mask, no_automatic_dependency_tracking
from ..cells.base import constants_of, is_dims, narrowed, shapes_of_constants
from ..cells.built import shapes_of, step_shapes
from ..cells.keras_style import as_cell, check_cell
from ..cells.stacked import StackedRNNCells
from ..cells.states import initial_states, names_of, pack
from ..engine import carried, loop
from ..engine.run import Job
from ..engine.windows import Windows
from . import changed, checks, learnt, levels, loading, masks, plans, start, whole_model
from . import memory as memories
from .arguments import SequenceArguments

Tree = Any


@keras.saving.register_keras_serializable("unrolled")
class RNN(SequenceArguments, keras.layers.Layer):
    """Apply a cell along the time axis.

    Args:
        cell: what is applied at each step: one of `unrolled`'s cells, a
            `StackedRNNCells` or a list of cells, or any Keras-style cell.
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
        truncate: cut the gradient of the states every so many processed steps; values
            stay. A row that is masked all through such a window is not cut there.
            Default None, never.
        checkpoint: compute windows of steps again for the gradient, so that little is
            stored: True for windows of about the square root of T, or their length.
            Default False; beside `truncate`, whose windows these are, True.
        learn_initial_state: sequences begin, and begin afresh, with states that are
            weights, ``initial_h`` ``(U,)`` and so on, alike for all rows. Default
            False, with the cell's own.

    Call arguments:
        sequences: ``(B, T, D)``, or a tree of ``(B, T, ...)``; ids ``(B, T)`` for a
            cell that looks them up.
        initial_state: the states to start from, each ``(B, U)``: in a row, as
            returned, or in a dict by name, ``{"h": h, "c": c}``. Default: the cell's
            own, zeros.
        mask: ``[B, T]``. Where false, the row's states are carried over, and its
            output repeats the last one emitted (zeros before the first).
        training: whether dropout is on.
        resets: ``[B, T]``. Where true, the row starts afresh before that step, as
            if a new sequence began there.
        lengths: ``[B]``: short for a mask that is true on so many first steps.
        memory: what every step may read and no step changes, such as the ``(B, S, D)``
            outputs of an encoder: a tree of ``(B, ...)``, also if `time_major`. Only
            for cells that read one.
        memory_mask: which entries of the memory count: a tree like it, or one mask for
            all of it, ``[B, S]``. Default: the masks that Keras attached to it.

    Returns:
        The output; with `return_state` or `return_all_states`, a tuple that begins
        with it. States of integers, keys or complex numbers keep their dtype.

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

    # Layers that people name may be several (`levels`); in `Bidirectional` those above
    # the first then read both directions, so wide.
    num_layers = 1
    width_between = None

    def convert(self, name: str, value: Any) -> Any:
        """A list of cells becomes one cell, as in Keras."""
        value = super().convert(name, value)
        if name == "cell" and isinstance(value, (list, tuple)):
            return StackedRNNCells(list(value))
        return value

    def __post_init__(self) -> None:
        check_cell(self.cell)
        checks.check_float64(self.compute_dtype, type(self).__name__)
        _ = self.windows
        self.supports_masking = True
        self._remember(None, None, None, None)

    # --- shapes and building ---

    @property
    def state_size(self) -> Any:
        """The cell's; one size alone as a list."""
        size = self.cell.state_size
        if isinstance(size, (list, tuple)):
            return list(size)
        return size if isinstance(size, dict) else [size]

    @property
    def windows(self) -> Windows:
        """How the time axis is cut for gradients."""
        return Windows(self.truncate, self.checkpoint).checked()

    @property
    def time_axis(self) -> int:
        """Where time lies in sequences, masks and resets."""
        return 0 if self.time_major else 1

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As any Keras layer; see the class."""
        args, kwargs = checks.as_called(args, kwargs)
        checks.build_at_first_call(self, self.time_major, args, kwargs)
        with whole_model.arguments(self, args, kwargs) as kwargs:
            return super().__call__(*args, **kwargs)

    def build(
        self,
        sequences_shape: Tree,
        initial_state_shape: Any = None,
        memory_shape: Tree = None,
    ) -> None:
        """Build the cell, and the carried states if `stateful`."""
        del initial_state_shape
        shapes = jax.tree.map(tuple, sequences_shape, is_leaf=is_dims)
        symbolic = jax.tree.map(checks.symbol, shapes, is_leaf=is_dims)
        checks.check_sequences(symbolic, None, self.time_major)
        batch_axis = 1 - self.time_axis
        steps = jax.tree.map(lambda s: (s[batch_axis], *s[2:]), shapes, is_leaf=is_dims)
        memory_shape = jax.tree.map(tuple, memory_shape, is_leaf=is_dims)
        levels.build(self, steps, memory_shape)
        learned = self.learned
        if self.learn_initial_state and learned is None:
            learned = learnt.weights(self, as_cell(self.cell), memory_shape)
            self._remember(None, None, None, learned)  # carried ones begin with these
        states = self.states
        if self.stateful and states is None:
            batch = jax.tree.leaves(steps, is_leaf=is_dims)[0][0]
            fresh = partial(self.get_initial_state, memory_shape=memory_shape)
            states = carried.create(fresh, batch, self.variable_dtype)
        step_shape = jax.tree.map(lambda s: s[1:], steps, is_leaf=is_dims)
        self._remember(step_shape, memory_shape, states, learned)
        self.built = True

    @no_automatic_dependency_tracking
    def _remember(
        self, step_shape: Tree, memory_shape: Tree, states: Tree, learned: Tree
    ) -> None:
        """Keep shapes as they are, and carried states out of `weights`."""
        self.step_shape = step_shape
        self.memory_shape = memory_shape
        self.states = states
        self.learned = learned

    def compute_output_shape(
        self,
        sequences_shape: Tree,
        initial_state_shape: Any = None,
        memory_shape: Tree = None,
    ) -> Any:
        """Shapes of what `call` returns; None where unknown."""
        del initial_state_shape, memory_shape
        leading = jax.tree.leaves(sequences_shape, is_leaf=is_dims)[0][:2]
        states = as_cell(self.cell).state_shapes
        return self._returned(
            step_shapes(self.cell),
            jax.tree.map(lambda shape: shape.sizes, states),
            lambda sizes, steps: self._with_axes(leading, sizes, steps),
        )

    def _with_axes(self, leading: Any, sizes: tuple, steps: bool) -> tuple:
        batch = leading[1 - self.time_axis]
        return (*leading, *sizes) if steps else (batch, *sizes)

    def _returned(self, output: Tree, states: Tree, make: Any) -> Any:
        """What `call` returns, made of one step's by ``make(each, with_steps)``."""

        def made(tree: Tree, steps: bool) -> Tree:
            return jax.tree.map(lambda each: make(each, steps), tree, is_leaf=is_dims)

        returned = [made(output, self.return_sequences)]
        if self.return_state:
            returned += levels.in_a_row(self, made(states, False))
        if self.return_all_states:
            returned += levels.in_a_row(self, made(states, True))
        return tuple(returned) if len(returned) > 1 else returned[0]

    def compute_output_spec(
        self,
        sequences: Tree,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
        resets: Any = None,
        lengths: Any = None,
        memory: Tree = None,
        memory_mask: Tree = None,
    ) -> Any:
        """Check symbolic arguments as real ones are, and trace one step."""
        del training
        self._check(
            sequences, initial_state, memory, mask=mask, resets=resets, lengths=lengths
        )
        leading = jax.tree.leaves(sequences)[0].shape[:2]
        rows = leading[1 - self.time_axis]
        output, states = levels.step(self, rows, sequences, memory, memory_mask)

        def spec(each: Any, steps: bool) -> keras.KerasTensor:
            shape = self._with_axes(leading, each.shape[1:], steps)
            floating = jnp.issubdtype(each.dtype, jnp.floating)
            dtype = self.compute_dtype if floating else str(each.dtype)
            return keras.KerasTensor(shape, dtype)

        return self._returned(output, states, spec)

    def compute_mask(self, inputs: Tree, mask: Any) -> Any:
        """The mask goes on with the output of every step; states have none."""
        del inputs
        passed = masks.all_of(mask) if self.return_sequences else None
        passed = masks.of_outputs(passed, self.go_backwards, self.time_axis)
        outputs = as_cell(self.cell).output_shapes
        if self.return_state or self.return_all_states or not is_one(outputs):
            return [passed] * len(jax.tree.leaves(outputs))
        return passed

    # --- states ---

    def get_initial_state(self, batch_size: int, memory_shape: Tree = None) -> Any:
        """The states of fresh sequences, in the form of `state_size`.

        The cell's own, or those learned. Some are as long as the memory, whose shapes
        are those that the layer was built for, if none are given.
        """
        if memory_shape is None:
            memory_shape = self.memory_shape
        fresh = initial_states(as_cell(self.cell), batch_size, memory_shape)
        return fresh if self.learned is None else learnt.states(self.learned, fresh)

    @property
    def state_names(self) -> Any:
        """What the states are called, in the form that they have."""
        return names_of(as_cell(self.cell))

    def reset_state(self, states: Any = None) -> None:
        """Forget the carried states of a `stateful` layer.

        Args:
            states: what to carry instead, as `initial_state` takes it; default, those
                of fresh sequences.

        Raises:
            ValueError: if `states` does not fit, or there is nothing to carry them.
        """
        if self.states is None:
            checks.check_carries(self, states)
            return
        variables = carried.leaves(self.states)
        if states is None:
            states = self.get_initial_state(variables[0].shape[0])
        else:
            states = pack(states, self.states, self.state_names, "states")
        for variable, value in zip(variables, jax.tree.leaves(states), strict=True):
            variable.assign(value)

    reset_states = reset_state

    @property
    def variables(self) -> list[Any]:
        """All variables; carried states too, so that training carries them on.

        They are not among `weights`: files and weight lists stay those of Keras.
        """
        return [*super().variables, *carried.leaves(self.states)]

    def load_own_variables(self, store: Any) -> None:
        """Load what a file holds for the layer itself; the cell loads its own.

        Raises:
            ValueError: if the layer is not built and the file has weights for it:
                layers inside a cell would keep what they were drawn with.
        """
        loading.check(self, store)
        super().load_own_variables(store)

    # --- the call ---

    def call(
        self,
        sequences: Tree,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
        resets: Any = None,
        lengths: Any = None,
        memory: Tree = None,
        memory_mask: Tree = None,
    ) -> Any:
        """Run the cell over `sequences`; see the class."""
        job = self.prepare(
            sequences,
            initial_state,
            mask,
            training,
            resets,
            lengths,
            memory,
            memory_mask,
        )
        return self.hand_out(job, levels.run([self], [job], training)[0])

    def prepare(
        self,
        sequences: Tree,
        initial_state: Any = None,
        mask: Any = None,
        training: bool | None = False,
        resets: Any = None,
        lengths: Any = None,
        memory: Tree = None,
        memory_mask: Tree = None,
    ) -> Job:
        """What `call` does before the time loop; takes what that takes."""
        self._check(
            sequences, initial_state, memory, mask=mask, resets=resets, lengths=lengths
        )
        changed.check_built(self)
        mask = masks.given(sequences, mask, lengths, self.time_major)
        flip = self._swap_if_time_major
        inputs = jax.tree.map(flip, sequences)
        rows = jax.tree.leaves(inputs)[0].shape[0]

        more = {} if memory is None else {"memory_shape": shapes_of(memory)}
        fresh = jax.tree.map(jnp.asarray, self.get_initial_state(rows, **more))
        states = start.states(self, initial_state, fresh)
        if memory is not None:
            if memory_mask is None:
                memory_mask = jax.tree.map(get_keras_mask, memory)
            memory_mask = memories.masks(memory, memory_mask)
        given = {"training": training, "memory": memory, "memory_mask": memory_mask}
        constants = constants_of(as_cell(self.cell), rows, **given)
        of_rows = partial(shapes_of_constants, as_cell(self.cell), **given)
        return Job(
            inputs,
            states,
            fresh,
            mask,
            _bool(flip(mask)),
            _bool(flip(resets)),
            constants,
            of_rows,
        )

    def hand_out(self, job: Job, result: loop.Result) -> Any:
        """What `call` returns once the time loop has run."""
        flip = self._swap_if_time_major
        if self.stateful:
            rows = jax.tree.leaves(job.inputs)[0].shape[0]
            carried.put(self.states, result.states, rows)
        returned = [result.outputs if self.return_sequences else result.last]
        if self.return_state:
            returned += levels.in_a_row(self, result.states)
        if self.return_all_states:
            returned += levels.in_a_row(self, jax.tree.map(flip, result.all_states))
        returned = jax.tree.map(lambda a: narrowed(a, self.compute_dtype), returned)
        if self.return_sequences:
            returned[0] = jax.tree.map(flip, returned[0])
            mask = masks.of_outputs(job.given_mask, self.go_backwards, self.time_axis)
            masks.attach(returned[0], mask)
        return tuple(returned) if len(returned) > 1 else returned[0]

    def plan(
        self,
        input_shape: Tree = None,
        training: bool = False,
        memory_shape: Tree = None,
    ) -> str:
        """Say what will run this layer here, and why; nothing is built, drawn or set.

        Args:
            input_shape: ``(B, T, D)``; may be left out once the layer is built.
            training: whether training is meant, or inference.
            memory_shape: of the memory, where the cell reads one.

        Returns:
            One sentence.

        Raises:
            ValueError: if the layer is not built and `input_shape` is left out, or
                the shapes do not fit the layer.

        Example:
            >>> import unrolled
            >>> class Mine(unrolled.SimpleRNNCell):
            ...     pass
            >>> layer = unrolled.RNN(Mine(4))
            >>> layer.build((32, 10, 3))
            >>> layer.plan().partition(": ")[2]
            '2 products, 1 pointwise operation, in float32.'
        """
        return plans.plan(self, input_shape, training, memory_shape)

    def _check(
        self,
        sequences: Tree,
        initial_state: Any = None,
        memory: Tree = None,
        **given: Any,
    ) -> None:
        checks.check_call(sequences, self.step_shape, self.time_major, **given)
        view = as_cell(self.cell)
        view.check_inputs(sequences)
        batch = jax.tree.leaves(sequences)[0].shape[1 - self.time_axis]
        memories.check(memory, view, self.memory_shape, batch)
        start.check(self.cell, initial_state, batch)

    def _swap_if_time_major(self, array: Any) -> Any:
        if array is None or not self.time_major:
            return array
        return jnp.swapaxes(array, 0, 1)


def is_one(outputs: Tree) -> bool:
    """Whether there is one output, not a tree of them."""
    return jax.tree.structure(outputs) == jax.tree.structure(0)


def _bool(mask: Any) -> Any:
    return None if mask is None else jnp.asarray(mask).astype(bool)
