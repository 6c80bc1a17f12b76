"""What an ``RNNCell`` of TensorFlow 1 is here: a cell of ours in the old form.

The old form: a state is an array, or a tuple of such; an LSTM's is ``(c, h)``.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import jax
import keras
import numpy as np
from jax import numpy as jnp

from .._borrowed import no_automatic_dependency_tracking
from ..arguments import Declared
from ..cells.base import Cell, is_dims
from ..cells.built import build_cell
from ..cells.signatures import takes
from ..cells.states import initial_states, zeros
from ..checks import require
from ..layers.checks import check_float64
from ..layers.rnn import RNN
from . import checkpoint

Tree = Any
package = keras.saving.register_keras_serializable("unrolled.tf1")


class LSTMStateTuple(NamedTuple):
    """The state of an LSTM, ``(c, h)``: the other way round than everywhere else here.

    Now: ``initial_state={"h": h, "c": c}``, and states in the order h, c.
    """

    c: Any
    h: Any

    @property
    def dtype(self) -> Any:
        """Of both."""
        return self.c.dtype


@dataclass
class Kept:
    """What a cell keeps of the drivers that ran it; no part of a file.

    The first driver's scope is that of the variables, whatever others are called.
    """

    scope: str | None = None
    layers: dict[Any, RNN] = field(default_factory=dict)
    made: dict[Any, Any] = field(default_factory=dict)
    adapter: Any = None

    @property
    def above(self) -> str:
        """What names of variables begin with."""
        return f"{'rnn' if self.scope is None else self.scope}/".removeprefix("/")


@package
class RNNCell(Declared, keras.layers.Layer):
    """Base of the old cells; derive from it to keep a cell of your own as it is.

    A subclass has ``state_size``, ``output_size`` and ``call(inputs, state) -> (output,
    new_state)``. Variables are made in ``build(inputs_shape)`` with ``add_variable``
    (or ``add_weight``, as in Keras), where TensorFlow had ``get_variable`` in `call`.

    Now: `unrolled.Cell`.

    Example:
        >>> import keras
        >>> from unrolled import tf1
        >>> class Decay(tf1.RNNCell):
        ...     state_size = output_size = 3
        ...
        ...     def call(self, inputs, state):
        ...         return 2 * inputs, 0.5 * state + inputs
        >>> x = keras.ops.ones((2, 5, 3))
        >>> outputs, state = tf1.dynamic_rnn(Decay(), x, dtype="float32")
        >>> outputs.shape, state.shape
        ((2, 5, 3), (2, 3))
    """

    state_size: ClassVar[Any] = None
    output_size: ClassVar[Any] = None

    @no_automatic_dependency_tracking
    def __post_init__(self) -> None:
        self.kept = Kept()

    # --- the two forms ---

    def as_ours(self) -> Any:
        """The cell of ours that does the arithmetic."""
        if self.kept.adapter is None:
            self.kept.adapter = Adapter(self)
        return self.kept.adapter

    def to_old(self, states: Tree) -> Tree:
        """Our states in the old form."""
        return jax.tree.unflatten(jax.tree.structure(self.state_size), states)

    def from_old(self, state: Tree) -> Tree:
        """The inverse of `to_old`."""
        return jax.tree.leaves(state)

    def add_variable(
        self,
        name: str,
        shape: Any = (),
        dtype: Any = None,
        initializer: Any = None,
        regularizer: Any = None,
        trainable: bool = True,
        **kwargs: Any,
    ) -> Any:
        """A weight, with TensorFlow's arguments in TensorFlow's order.

        Args:
            name: the variable's, which `tf1.load` finds it by.
            shape: of it.
            dtype: default: the cell's.
            initializer: default: TensorFlow's, Glorot's uniform one.
            regularizer: default None.
            trainable: whether it is trained.
            **kwargs: of Keras's ``add_weight``.
        """
        return self.add_weight(
            shape=tuple(shape),
            initializer=initializer,
            dtype=dtype,
            trainable=trainable,
            regularizer=regularizer,
            name=name,
            **kwargs,
        )

    def zero_state(self, batch_size: int, dtype: Any = None) -> Tree:
        """The state of a fresh sequence, in the old form.

        Args:
            batch_size: B.
            dtype: of the state. Default: the cell's.

        Raises:
            ValueError: if B is not known.
        """
        whole = np.ndim(batch_size) == 0 and not isinstance(batch_size, (str, bool))
        require(
            whole and batch_size is not None and int(batch_size) == batch_size >= 0,
            "batch_size",
            "must be a whole number, of rows",
            "None, any number" if batch_size is None else repr(batch_size),
            "leave initial_state out: it is zeros for as many rows as there are",
        )
        states = initial_states(self.as_ours(), int(batch_size))
        if dtype is not None:
            dtype = floating(dtype)
            states = jax.tree.map(lambda s: jnp.asarray(s, dtype), states)
        return self.to_old(states)

    # --- running ---

    @property
    def is_settled(self) -> bool:
        """Whether the cell has weights, or was made with a dtype of its own."""
        usual = keras.config.dtype_policy().name
        return self.as_ours().built or self.dtype_policy.name != usual

    def settle(self, dtype: Any) -> None:
        """Take the dtype that a driver names.

        Raises:
            ValueError: if the cell has another, or no weights can be of that.
        """
        parts = [*self.as_ours()._flatten_layers(), *self._flatten_layers()]
        dtype = floating(dtype)
        if all(part.variable_dtype == dtype for part in parts):
            return
        require(
            not self.is_settled,
            "dtype",
            f"must be that of the cell, {self.as_ours().variable_dtype}",
            dtype,
            f"make the cell with dtype={dtype!r}",
        )
        for part in parts:
            part.dtype_policy = dtype

    def layer(
        self, time_major: bool = False, backwards: bool = False, padded: bool = False
    ) -> RNN:
        """The layer that runs the cell along time: the same at every such call.

        With lengths and without are two: in a model's graph Keras would hand those of
        one place to the others.
        """
        key = (time_major, backwards, padded)
        found = self.kept.layers.get(key)
        if found is None:
            cell = self.as_ours()
            found = RNN(
                cell,
                return_sequences=True,
                return_state=True,
                time_major=time_major,
                go_backwards=backwards,
                zero_output_for_mask=True,
                dtype=cell.dtype_policy,
            )
            # No attribute that Keras would follow into a file.
            object.__setattr__(found, "_driven_by", SimpleNamespace(cell=self))
            self.kept.layers[key] = found
        return found

    # --- weights, in the form of a checkpoint ---

    def run_below(self, scope: str) -> None:
        """Note the scope of a driver that runs the cell, if it is the first."""
        if self.kept.scope is None:
            self.kept.scope = scope

    @property
    def above(self) -> str:
        """What names of variables begin with: the scope of a driver."""
        return self.kept.above

    default_scope: ClassVar[str] = ""

    @property
    def scope_name(self) -> str:
        """What TensorFlow calls the cell's scope: after its name, or its class."""
        kind = re.sub(r"(?<!^)(?=[A-Z][a-z])", "_", type(self).__name__)
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower()
        name = str(self.name)
        usual = self.default_scope or kind
        return usual if re.fullmatch(rf"{kind}(_\d+)?", name) else name

    def own_entries(self) -> list[Any]:
        """The variables of the cell itself, as TensorFlow made them."""
        return [checkpoint.Held(v.name, (v,)) for v in self.weights]

    def entries(self, scope: str) -> dict[str, Any]:
        """All variables by their paths in a checkpoint, below `scope`."""
        return {
            f"{scope}{self.scope_name}/{held.name}": held for held in self.own_entries()
        }

    def get_weights(self) -> list[Any]:
        """Arrays as TensorFlow 1 has them: shapes, gates and order."""
        return [held.read() for held in self.entries("").values()]

    def set_weights(self, weights: Any) -> None:
        """The inverse of `get_weights`.

        Raises:
            ValueError: if there is no weight yet, or number or shapes differ.
        """
        entries = self.entries("")
        wanted = [(name, held.shape) for name, held in entries.items()]
        weights = list(weights) if isinstance(weights, Iterable) else [weights]
        arrays = [checkpoint.numbers_of(array) for array in weights]
        got = ["no numbers" if array is None else array.shape for array in arrays]
        require(
            got == [shape for _, shape in wanted] and bool(wanted),
            "weights",
            f"must be {wanted}" if wanted else "can be set once the cell is built",
            got,
            "pass what get_weights returns"
            if wanted
            else "call the cell or a driver first, or build((None, D))",
        )
        checkpoint.put(entries, dict(zip(entries, arrays, strict=True)), [], "weights")


@package
class Adapter(Declared, Cell):
    """A user's `RNNCell` as a cell of ours."""

    cell: Any

    @property
    def state_size(self) -> Any:
        """The widths in a row."""
        return jax.tree.leaves(self.cell.state_size)

    @property
    def output_size(self) -> Any:
        """A tuple holds widths of several outputs, not the sizes of one."""
        size = self.cell.output_size
        alone = isinstance(size, int)
        return size if alone else jax.tree.map(lambda width: [width], size)

    def build(self, input_shape: Tree) -> None:
        """Build the user's cell."""
        if not self.cell.built:
            self.cell.build(input_shape)
            self.cell.built = True
        self.built = True

    def get_initial_state(self, batch_size: int) -> Tree:
        """Zeros, unless the cell says otherwise."""
        if type(self.cell).zero_state is not RNNCell.zero_state:
            return jax.tree.leaves(self.cell.zero_state(batch_size, self.state_dtype))
        return zeros(self.state_size, batch_size, self.state_dtype)

    def get_constants(self, batch_size: int, training: bool) -> dict[str, Any]:
        """Whether dropout is on, for a `call` that names it."""
        del batch_size
        return {"training": training} if takes(self.cell.call, "training") else {}

    def step(self, x: Tree, states: Tree, constants: Tree) -> tuple[Tree, Tree]:
        """The user's `call`."""
        output, state = self.cell(x, self.cell.to_old(states), **constants)
        return output, self.cell.from_old(state)


class OldCell(RNNCell):
    """A cell of an old name, around the cell of ours that does its arithmetic."""

    def make(self) -> Cell:
        """The cell of ours; called once."""
        raise NotImplementedError

    def __post_init__(self) -> None:
        super().__post_init__()
        self.inner = self.make()

    def as_ours(self) -> Any:
        """The cell inside."""
        return self.inner

    @property
    def state_size(self) -> Any:
        """Widths, in the old form."""
        sizes = jax.tree.map(
            lambda s: s.sizes[0] if len(s.sizes) == 1 else s.sizes,
            self.inner.state_shapes,
        )
        return self.to_old(sizes)

    @property
    def output_size(self) -> Any:
        """Width of the output."""
        return self.inner.output_size

    def build(self, inputs_shape: Tree) -> None:
        """Make the weights, with what TensorFlow draws for them."""
        build_cell(self.inner, jax.tree.map(tuple, inputs_shape, is_leaf=is_dims))
        self.built = True

    def call(self, inputs: Tree, state: Tree, scope: Any = None) -> tuple[Tree, Tree]:
        """One step: ``(output, new_state)``, the state in the old form."""
        del scope
        output, states = self.inner(inputs, self.from_old(state))
        return output, self.to_old(states)


def driven_by(layer: Any) -> RNNCell | None:
    """The old cell, or part, that a layer is, or that a driver made it for."""
    held = getattr(layer, "_driven_by", None)
    own = layer if hasattr(layer, "entries") else None
    return held.cell if held is not None else own


def floating(dtype: Any) -> str:
    """The name of a dtype that states and weights can have.

    Raises:
        ValueError: if they cannot.
    """
    try:
        name = keras.backend.standardize_dtype(dtype)
    except (TypeError, ValueError):
        name = ""
    require(
        "float" in name,
        "dtype",
        "must be one of floating point numbers, which states and weights are",
        repr(dtype),
        'pass dtype="float32", or leave it out',
    )
    check_float64(name, "the cell")
    return name


def joined(parts: list[Any]) -> Any:
    """States side by side in one array; their widths, if they are widths."""
    whole = all(isinstance(part, int) for part in parts)
    return sum(parts) if whole else keras.ops.concatenate(parts, axis=-1)


def parted(state: Any, widths: list[int]) -> list[Any]:
    """The inverse of `joined`."""
    ends = [sum(widths[: n + 1]) for n in range(len(widths))]
    require(
        hasattr(state, "shape") and tuple(state.shape[1:]) == (ends[-1],),
        "state",
        f"must be one array of width {' + '.join(map(str, widths))}, as "
        "state_is_tuple=False has it",
        jax.tree.map(jnp.shape, state),
        "pass what zero_state or a driver returns",
    )
    return [
        state[:, end - width : end] for width, end in zip(widths, ends, strict=True)
    ]


def check_cell(name: str, cell: Any) -> None:
    """Raise unless `cell` is one of these.

    Raises:
        ValueError: saying what runs it.
    """
    require(
        isinstance(cell, RNNCell),
        name,
        "must be a cell of unrolled.tf1",
        type(cell).__name__,
        "unrolled.RNN(cell, return_sequences=True, return_state=True) runs others",
    )
