"""The old grids of cells, of ``tf.contrib.grid_rnn``."""

from typing import Any

import jax
from jax import numpy as jnp

from .. import cells
from ..cells.base import Cell
from ..checks import require
from .base import OldCell, Tree, check_cell, joined, package, parted
from .checkpoint import Held, Unread
from .lstms import LSTMCell


@package
class Parted(cells.CellWrapper):
    """Gives the output of a cell in equal parts, a tuple.

    Args:
        cell: any cell that gives one row.
        parts: how many.
    """

    parts: int

    @property
    def output_size(self) -> Any:
        """The widths of the parts."""
        return ([self.cell.output_size // self.parts],) * self.parts

    output_shapes = Cell.output_shapes

    def step(self, x: Tree, states: Tree, constants: Tree) -> tuple[Tree, Tree]:
        """The cell's, its output in parts."""
        output, after = super().step(x, states, constants)
        return tuple(jnp.split(output, self.parts, axis=-1)), after


class AnyGrid(OldCell):
    """An old grid over ours; a subclass has the arguments, or what stands for them."""

    input_dims = output_dims = priority_dims = 0
    non_recurrent_fn = None
    tied = False

    @property
    def flat_dims(self) -> Any:
        """The dimensions that are not recurrent."""
        return None if self.non_recurrent_fn is None else 0

    def one(self) -> Any:
        """An old cell, of one dimension."""
        raise NotImplementedError

    def make(self) -> Any:
        """Our grid of the cells inside the old ones."""
        given: Any = self
        count, flat = given.num_dims, self.flat_dims
        flat = set(flat if isinstance(flat, (list, tuple)) else [flat])
        dims = range(count if isinstance(count, int) else 0)
        recurrent = [dim for dim in dims if dim not in flat]
        made = [self.one() for _ in (recurrent[:1] if self.tied else recurrent)]
        made = made or [self.one()]  # what is wrong with the dimensions ours will say
        for cell in made:
            check_cell("cell_fn", cell)
        ours = cells.GridRNNCell(
            [cell.as_ours() for cell in made],
            count,
            self.input_dims,
            self.output_dims,
            self.priority_dims,
            self.flat_dims,
            self.tied,
            non_recurrent_activation=self.non_recurrent_fn or "relu",
            dtype=self.dtype_policy,
        )
        self.cells, self.grid = made, ours
        parts = len(ours.dims("output"))
        return Parted(ours, parts, dtype=self.dtype_policy) if self.parts else ours

    @property
    def parts(self) -> bool:
        """Whether the output is a tuple, with what each output dimension gives."""
        given: Any = self
        return given.output_is_tuple

    @property
    def output_size(self) -> Any:
        """A width for each output dimension, or that of all together."""
        width = self.grid.output_size
        count = len(self.grid.dims("output"))
        return (width // count,) * count if self.parts else width

    @property
    def by_dim(self) -> dict[int, Any]:
        """The old cell of each recurrent dimension."""
        dims = self.grid.recurrent
        own = self.cells * len(dims) if self.tied else self.cells
        return dict(zip(dims, own, strict=False))

    def to_old(self, states: Tree) -> Tree:
        """A tuple of each dimension's, or all in one array."""
        given: Any = self
        pairs = zip(self.by_dim.values(), states, strict=True)
        each = tuple(cell.to_old(own) for cell, own in pairs)
        return each if given.state_is_tuple else joined(jax.tree.leaves(each))

    def from_old(self, state: Tree) -> Tree:
        """The inverse."""
        given: Any = self
        old = list(self.by_dim.values())
        if not given.state_is_tuple:
            sizes = [cell.state_size for cell in old]
            widths, form = jax.tree.flatten(sizes)
            state = jax.tree.unflatten(form, parted(state, widths))
        require(
            isinstance(state, (list, tuple)) and len(state) == len(old),
            "state",
            f"must be a tuple with the state of each of {len(old)} dimensions",
            type(state).__name__,
            "pass what zero_state or a driver returns",
        )
        pairs = zip(old, state, strict=True)
        return [cell.from_old(own) for cell, own in pairs]

    def build(self, inputs_shape: Tree) -> None:
        """Build each cell for the h of the other dimensions, then the grid."""
        rest = self.grid.units * (self.grid.num_dims - 1)
        for cell in self.cells:
            cell.build((None, rest))
        super().build(inputs_shape)

    @property
    def scope_name(self) -> str:
        """The name of the class, as it is written."""
        return type(self).__name__

    def entries(self, scope: str) -> dict[str, Any]:
        """The projections of the inputs, then the cells', as a step needs them."""
        grid = self.grid
        if not self.inner.built:
            return {}
        below, flat = f"{scope}{self.scope_name}/", grid.dims("non_recurrent")
        with_c = len(jax.tree.leaves(self.cells[0].state_size)) > 1
        found: dict[str, Any] = {}
        for dim in grid.dims("input"):
            h = getattr(grid, f"project_h_{dim}")
            c = getattr(grid, f"project_c_{dim}", None)
            name = f"project_m_{dim}"
            found[f"{below}{name}"] = Held(name, [h])
            name = f"project_c_{dim}"
            if with_c:  # made also for a dimension that has no c
                held = Unread(name, tuple(h.shape)) if c is None else Held(name, [c])
                found[f"{below}{name}"] = held
        last = grid.dims("priority")
        first = [dim for dim in range(grid.num_dims) if dim not in last]
        for dim in [*first, *last]:
            place = "" if self.tied else f"cell_{dim}/"
            if dim not in flat:
                found |= self.by_dim[dim].entries(f"{below}recurrent/{place}")
                continue
            cell, at = grid.cells[dim], f"non_recurrent/{place}fully_connected"
            both = [cell.kernel, cell.recurrent_kernel]
            found[f"{below}{at}/weights"] = Held(f"{at}/weights", both)
            found[f"{below}{at}/biases"] = Held(f"{at}/biases", [cell.bias])
        return found


@package
class GridRNNCell(AnyGrid):
    """A grid of cells, each with states along a dimension of its own.

    Args:
        num_units: U, the width of each h.
        num_dims: how many dimensions. Default 1.
        input_dims: those that read the inputs, a number or a list. TensorFlow's default
            was none; here there must be one.
        output_dims: those whose h is the output; as well.
        priority_dims: those that come last in a step. Default: none.
        non_recurrent_dims: those with a layer in place of a cell. Default: none.
        tied: one cell for all dimensions. Default False.
        cell_fn: ``num_units -> old cell``. Default: `LSTMCell`. In a file it stands by
            the name under which it is registered.
        non_recurrent_fn: the activation of those layers. Default relu.
        state_is_tuple: the state is a tuple with that of each recurrent dimension, or,
            if False, one array.
        output_is_tuple: the output is a tuple, with what each output dimension gives,
            or, if False, one array.

    Raises:
        ValueError: if a dimension is not one of `num_dims`, or `cell_fn` gives no cell
            of this package whose state h is its output.

    Now: `unrolled.GridRNNCell`.

    Example:
        >>> import keras
        >>> from unrolled import tf1
        >>> cell = tf1.GridRNNCell(4, 2, input_dims=0, output_dims=[0, 1])
        >>> x = keras.ops.ones((2, 5, 3))
        >>> (first, second), state = tf1.dynamic_rnn(cell, x, dtype="float32")
        >>> first.shape, state[1].c.shape
        ((2, 5, 4), (2, 4))

    Source: ``tf.contrib.grid_rnn.GridRNNCell`` of TensorFlow 1.15.
    """

    num_units: int
    num_dims: int = 1
    input_dims: Any = None
    output_dims: Any = None
    priority_dims: Any = None
    non_recurrent_dims: Any = None
    tied: bool = False
    cell_fn: Any = None
    non_recurrent_fn: Any = None
    state_is_tuple: bool = True
    output_is_tuple: bool = True

    @property
    def flat_dims(self) -> Any:
        """As given."""
        return self.non_recurrent_dims

    def one(self) -> Any:
        """What `cell_fn` gives."""
        if self.cell_fn is not None:
            return self.cell_fn(self.num_units)
        return LSTMCell(self.num_units, dtype=self.dtype_policy)
