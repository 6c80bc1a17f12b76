"""The old cells around cells."""

import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .. import cells
from ..cells.base import Tree
from ..cells.states import names_of
from ..cells.wrapper import CellWrapper
from ..checks import require
from .base import LSTMStateTuple, OldCell, check_cell, joined, package, parted
from .checkpoint import Held


@package
class MultiRNNCell(OldCell):
    """Several cells, one above the other.

    Args:
        cells: the cells, lowest first.
        state_is_tuple: the state is a tuple with the state of each cell, or, if False,
            one array; then theirs are arrays too.

    Raises:
        ValueError: if `cells` is empty or holds others, or states are tuples where
            `state_is_tuple` is False.

    Now: ``unrolled.StackedRNNCells(cells)``, ``unrolled.RNN([cell, cell])``, or layers
    one after the other.

    Example:
        >>> import keras
        >>> from unrolled import tf1
        >>> cell = tf1.MultiRNNCell([tf1.BasicLSTMCell(4), tf1.GRUCell(2)])
        >>> x = keras.ops.ones((2, 5, 3))
        >>> outputs, ((c, h), g) = tf1.dynamic_rnn(cell, x, dtype="float32")
        >>> outputs.shape, c.shape, g.shape
        ((2, 5, 2), (2, 4), (2, 2))

    Source: ``tf.nn.rnn_cell.MultiRNNCell`` of TensorFlow 1.15.
    """

    cells: list[Any]
    state_is_tuple: bool = True

    def make(self) -> Any:
        """Our stack."""
        require(
            isinstance(self.cells, (list, tuple)) and len(self.cells) > 0,
            "cells",
            "must be a list of one cell or more",
            repr(self.cells),
            "for example [BasicLSTMCell(64), BasicLSTMCell(64)]",
        )
        for cell in self.cells:
            check_cell("cells", cell)
        sizes = [cell.state_size for cell in self.cells]
        require(
            self.state_is_tuple or not any(isinstance(size, tuple) for size in sizes),
            "state_is_tuple",
            "must be True where a cell's state is a tuple",
            f"False, with state sizes {sizes}",
            "pass state_is_tuple=False to each cell as well, or to none",
        )
        inside = [cell.as_ours() for cell in self.cells]
        return cells.StackedRNNCells(inside, dtype=self.dtype_policy)

    def to_old(self, states: Tree) -> Tree:
        """A tuple of each cell's, or all in one array."""
        pairs = zip(self.cells, states, strict=True)
        each = tuple(cell.to_old(own) for cell, own in pairs)
        return each if self.state_is_tuple else joined(list(each))

    def from_old(self, state: Tree) -> Tree:
        """The inverse."""
        if not self.state_is_tuple:
            state = parted(state, [cell.state_size for cell in self.cells])
        require(
            isinstance(state, (list, tuple)) and len(state) == len(self.cells),
            "state",
            f"must be a tuple with the state of each of {len(self.cells)} cells",
            f"{len(state)} of them"
            if isinstance(state, (list, tuple))
            else type(state).__name__,
            "pass what zero_state or a driver returns",
        )
        pairs = zip(self.cells, state, strict=True)
        return [cell.from_old(own) for cell, own in pairs]

    def build(self, inputs_shape: Tree) -> None:
        """Build each cell for the output of the one below it."""
        step_shape = inputs_shape
        for cell in self.cells:
            cell.build(step_shape)
            step_shape = jax.tree.map(lambda width: (None, width), cell.output_size)
        super().build(inputs_shape)

    def entries(self, scope: str) -> dict[str, Held]:
        """Those of each cell, in a scope of its number; of one that is twice, once."""
        found: dict[str, Held] = {}
        for place, cell in enumerate(self.cells):
            if not any(cell is below for below in self.cells[:place]):
                found |= cell.entries(f"{scope}{self.scope_name}/cell_{place}/")
        return found


class OldWrapper(OldCell):
    """An old cell around an old cell: its states and variables are the cell's."""

    cell: Any

    def wrap(self, inside: Any) -> Any:
        """Our cell around `inside`, ours too."""
        raise NotImplementedError

    def make(self) -> Any:
        """Our wrapper."""
        check_cell("cell", self.cell)
        return self.wrap(self.cell.as_ours())

    def to_old(self, states: Tree) -> Tree:
        """As the cell."""
        return self.cell.to_old(states)

    def from_old(self, state: Tree) -> Tree:
        """As the cell."""
        return self.cell.from_old(state)

    def build(self, inputs_shape: Tree) -> None:
        """Build the cell, then what is around it."""
        self.cell.build(inputs_shape)
        super().build(inputs_shape)

    def own_entries(self) -> list[Held]:
        """None."""
        return []

    def entries(self, scope: str) -> dict[str, Held]:
        """The cell's; a wrapper has no scope, and its own come last."""
        own = {f"{scope}{held.name}": held for held in self.own_entries()}
        return self.cell.entries(scope) | own


@package
class DropoutWrapper(OldWrapper):
    """Drops numbers of what enters a cell, what it carries and what leaves it.

    Here it drops in training only, in ``fit`` or with ``training=True``; TensorFlow
    always did, and one fed 1.0 to evaluate.

    Args:
        cell: any old cell.
        input_keep_prob: share of the inputs that is kept. Default 1.0.
        output_keep_prob: of the output. Default 1.0.
        state_keep_prob: of the states after the step, but for the c of an LSTM.
        variational_recurrent: the same masks at each step. Each row of the batch has
            masks of its own, as in the paper; in TensorFlow all rows shared one.
        input_size: TensorFlow's; the width is read from the inputs.
        seed: of the masks.
        dropout_state_filter_visitor: of a state, or a tuple of states, whether it is
            dropped: a truth value, or one for each.

    Raises:
        ValueError: if a share is not in [0, 1], or of two states of one name one only
            is to be dropped.

    Now: ``unrolled.DropoutWrapper(cell, input_dropout=..., state_dropout=...,
    output_dropout=..., every_step=True)``, where shares are those dropped.

    Source: ``tf.nn.rnn_cell.DropoutWrapper`` of TensorFlow 1.15.
    """

    input_keep_prob: float = 1.0
    output_keep_prob: float = 1.0
    state_keep_prob: float = 1.0
    variational_recurrent: bool = False
    input_size: Any = None
    seed: int | None = None
    dropout_state_filter_visitor: Any = None

    def wrap(self, inside: Any) -> Any:
        """Ours; it goes by what is dropped, and not by what is kept."""
        dropped: dict[str, Any] = {}
        for name in ("input", "output", "state"):
            kept = getattr(self, f"{name}_keep_prob")
            require(
                isinstance(kept, (int, float)) and 0 <= kept <= 1,
                f"{name}_keep_prob",
                "must be a number between 0 and 1, the share that is kept",
                repr(kept),
                "nothing is dropped outside of training, whatever is passed",
            )
            dropped[f"{name}_dropout"] = 1.0 - kept
        if self.state_keep_prob < 1:
            dropped["states"] = self._dropped_states(inside)
        return cells.DropoutWrapper(
            inside,
            **dropped,
            every_step=not self.variational_recurrent,
            seed=self.seed,
            dtype=self.dtype_policy,
        )

    def _dropped_states(self, inside: Any) -> list[str]:
        """The names of the states that lose numbers."""
        names = jax.tree.leaves(names_of(inside))
        form = jax.tree.structure(inside.state_shapes)
        # Their places, as they lie in the old form.
        places = [np.array([place]) for place in range(len(names))]
        old = self.cell.to_old(jax.tree.unflatten(form, places))
        found = _chosen(self.dropout_state_filter_visitor or _all_but_c, old)
        chosen = {int(place) for each in found for place in np.ravel(each)}
        both = {
            wanted: {n for place, n in enumerate(names) if (place in chosen) == wanted}
            for wanted in (True, False)
        }
        require(
            not both[True] & both[False],
            "dropout_state_filter_visitor",
            "must choose all states of a name, or none",
            f"{sorted(both[True] & both[False])} here and not there",
            "wrap the cells of a stack, each by itself",
        )
        return sorted(both[True])


def _all_but_c(state: Any) -> Any:
    """What TensorFlow drops of, if nothing else is said."""
    return (False, True) if isinstance(state, LSTMStateTuple) else True


def _chosen(visitor: Callable[[Any], Any], state: Any) -> list[Any]:
    """Of a state in the old form the parts that `visitor` says yes to."""
    wanted = visitor(state)
    if not isinstance(state, tuple):
        return [state] if wanted else []
    marks = [wanted] * len(state) if isinstance(wanted, bool) else list(wanted)
    pairs = zip(marks, state, strict=True)
    return [each for mark, part in pairs if mark for each in _chosen(visitor, part)]


@package
class Combined(CellWrapper):
    """Gives ``residual_fn(inputs, output)`` in place of a cell's output."""

    # Kept as Keras keeps an activation: it has to come back out of a file.
    residual_activation: Any = None

    def step(self, x: Tree, states: Tree, constants: Tree) -> tuple[Tree, Tree]:
        """The cell's, combined."""
        output, after = super().step(x, states, constants)
        return self.residual_activation(x, output), after


@package
class ResidualWrapper(OldWrapper):
    """Adds the inputs to the output of a cell.

    Args:
        cell: any old cell.
        residual_fn: ``(inputs, output) -> output`` instead of the sum.

    Now: ``unrolled.ResidualWrapper(cell)``; for another function an
    `unrolled.CellWrapper`.

    Source: ``tf.nn.rnn_cell.ResidualWrapper`` of TensorFlow 1.15.
    """

    residual_fn: Callable[..., Any] | None = None

    def wrap(self, inside: Any) -> Any:
        """Ours."""
        if self.residual_fn is None:
            return cells.ResidualWrapper(inside, dtype=self.dtype_policy)
        return Combined(
            inside, residual_activation=self.residual_fn, dtype=self.dtype_policy
        )


@package
class HighwayWrapper(OldWrapper):
    """Lets a learnt share of the inputs past a cell.

    Args:
        cell: any old cell, as wide as its inputs.
        couple_carry_transform_gates: what is carried is not transformed. Default True.
        carry_bias_init: the carry gate's bias before training. Default 1.0.

    Now: ``unrolled.HighwayWrapper(cell)``.

    Source: ``tf.contrib.rnn.HighwayWrapper`` of TensorFlow 1.15.
    """

    couple_carry_transform_gates: bool = True
    carry_bias_init: float = 1.0

    def wrap(self, inside: Any) -> Any:
        """Ours."""
        return cells.HighwayWrapper(
            inside,
            self.couple_carry_transform_gates,
            self.carry_bias_init,
            dtype=self.dtype_policy,
        )

    def own_entries(self) -> list[Held]:
        """``carry_w``, ``carry_b`` and, uncoupled, those of the transform gate."""
        gates = (
            ["carry"] if self.couple_carry_transform_gates else ["carry", "transform"]
        )
        names = {"w": "kernel", "b": "bias"} if self.inner.built else {}
        return [
            Held(f"{gate}_{old}", [getattr(self.inner, f"{gate}_{new}")])
            for gate in gates
            for old, new in names.items()
        ]


@package
class DeviceWrapper(OldWrapper):
    """Did run a cell on a device; here it runs where everything runs, and warns.

    Args:
        cell: any old cell.
        device: not acted upon.

    Now: nothing; ``with jax.default_device(device):`` around the whole program.

    Source: ``tf.nn.rnn_cell.DeviceWrapper`` of TensorFlow 1.15.
    """

    device: Any = None

    def wrap(self, inside: Any) -> Any:
        """The cell itself."""
        warnings.warn(
            f"DeviceWrapper places nothing on {self.device!r} here; place the whole "
            "program, with jax.default_device(...)",
            stacklevel=2,
        )
        return inside
