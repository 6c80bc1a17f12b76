"""Grids: cells along several dimensions, of which time is one."""

import itertools
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp

from ..arguments import KW_ONLY, Activation, Declared, Initializer, remade
from ..checks import require
from .base import Cell, Tree, constants_of
from .built import build_cell
from .checked import step_of
from .gated import GatedCell
from .keras_style import as_cell, check_cell
from .simple_rnn import SimpleRNNCell
from .states import Shape, initial_states, is_tree, names_of


@keras.saving.register_keras_serializable("unrolled")
class GridRNNCell(Declared, Cell):
    """A grid of cells, each with states along a dimension of its own.

    At a step every state of an input dimension d is a projection of x instead, such as
    ``h_d = x @ P_d``. Then, for the dimensions without priority, all from the same h::

        h_d', states_d' = cell_d([h_0 ... h_(n-2)], states_d with h_(n-1) for h_d)

    and, with the h' of these in place of their h, for those of priority. So it is the h
    of the last dimension that every cell carries on, and an input dimension does not
    carry what it has through time.

    Args:
        cell: the cell of a dimension: any cell with a state h that is its output. The
            others are made like it. Or a list, with one for each recurrent dimension.
        num_dims: n, how many dimensions. Default 1.
        input_dims: the dimensions that read x, a number or a list. Of several, each
            reads its share of the features. Default 0.
        output_dims: those whose h is the output; of several, side by side. Default 0.
        priority_dims: those that come last in a step. Default None.
        non_recurrent_dims: those with a layer ``act(h @ W + b)`` in place of a cell, h
            being that of all dimensions. They have no states, so each must be an input
            dimension. Default None.
        tied: one cell for all dimensions, and one layer for those not recurrent.
            Default False.
        non_recurrent_activation: of those. Default ``"relu"``.
        kernel_initializer: of the projections P. Default ``"glorot_uniform"``.

    States: of each recurrent dimension its cell's, in a list; by name, ``{"0": {"h":
    ..., "c": ...}, "1": ...}``.

    Raises:
        ValueError: if a dimension is not one of `num_dims`, or a cell has no state h
            that is its output, or not as many cells as dimensions were given.

    Example:
        >>> import keras, unrolled
        >>> cell = unrolled.GridRNNCell(unrolled.LSTMCell(4), 2, priority_dims=0)
        >>> unrolled.RNN(cell)(keras.ops.ones((2, 5, 3))).shape
        (2, 4)

    Source: Kalchbrenner et al., 2015, arXiv:1507.01526;
    ``tf.contrib.grid_rnn.GridRNNCell``, whose outputs, if told so, are a tuple.
    """

    cell: Any
    num_dims: int = 1
    input_dims: Any = 0
    output_dims: Any = 0
    priority_dims: Any = None
    non_recurrent_dims: Any = None
    tied: bool = False
    _: KW_ONLY
    non_recurrent_activation: Activation = "relu"
    kernel_initializer: Initializer = "glorot_uniform"

    def __post_init__(self) -> None:
        many = isinstance(self.cell, (list, tuple))
        given = list(self.cell) if many else [self.cell]
        for cell in given:
            check_cell(cell)
        self._check_dims()
        count = 1 if self.tied else len(self.recurrent)
        require(
            not many or len(given) == count,
            "cell",
            f"must be one cell, or a list of {count}: one for each recurrent dimension,"
            " one for all where they are tied",
            f"a list of {len(given)}",
            "pass one cell; the others are made like it",
        )
        widths = sorted({_width_of_h(cell) for cell in given})
        require(
            len(widths) == 1,
            "cell",
            "must have an h of one width in all dimensions",
            widths,
            "make all with the same units",
        )
        self.units = widths[0]
        flat = SimpleRNNCell(
            self.units,
            self.non_recurrent_activation,
            recurrent_initializer="glorot_uniform",
            dtype=self.dtype_policy,
            name="non_recurrent",
        )
        each = len(given) == len(self.recurrent)
        own = iter(given if each else itertools.cycle(given))
        cells: list[Any] = []
        for dim in range(self.num_dims):
            made = next(own) if dim in self.recurrent else flat
            if made in cells and not self.tied:
                made = remade(made, name=f"{made.name}_{dim}")
            cells.append(made)
        self.cells = cells

    def _check_dims(self) -> None:
        count = self.num_dims
        require(
            isinstance(count, int) and not isinstance(count, bool) and count > 0,
            "num_dims",
            "must be a positive integer, how many dimensions the grid has",
            repr(count),
            "pass num_dims=2 for time and one more",
        )
        for kind in ("input", "output", "priority", "non_recurrent"):
            dims = self.dims(kind)
            require(
                all(isinstance(dim, int) and 0 <= dim < count for dim in dims)
                and (len(dims) > 0 or kind in ("priority", "non_recurrent")),
                f"{kind}_dims",
                f"must name dimensions of 0 to {count - 1}, of num_dims={count}",
                repr(getattr(self, f"{kind}_dims")),
                f"pass for example {kind}_dims=0",
            )
        unread = sorted(set(self.dims("non_recurrent")) - set(self.dims("input")))
        require(
            not unread and len(self.recurrent) > 0,
            "non_recurrent_dims",
            f"must be among input_dims={self.dims('input')}, as they have no states, "
            f"and not all of num_dims={count}",
            self.dims("non_recurrent"),
            "let them read x, and another dimension be recurrent",
        )

    def dims(self, kind: str) -> list[int]:
        """The dimensions of a kind, in order."""
        given = getattr(self, f"{kind}_dims")
        given = [] if given is None else given
        return sorted(set(given if isinstance(given, (list, tuple)) else [given]))

    @property
    def recurrent(self) -> list[int]:
        """The dimensions that have states."""
        without = self.dims("non_recurrent")
        return [dim for dim in range(self.num_dims) if dim not in without]

    @property
    def state_size(self) -> list[Any]:
        """The cells', for each recurrent dimension."""
        sizes = [self.cells[dim].state_size for dim in self.recurrent]
        return [size if is_tree(size) else [size] for size in sizes]

    @property
    def state_shapes(self) -> list[Tree]:
        """The cells', for each recurrent dimension."""
        return [as_cell(self.cells[dim]).state_shapes for dim in self.recurrent]

    @property
    def state_names(self) -> list[Any]:
        """The cells', for each recurrent dimension."""
        return [names_of(as_cell(self.cells[dim])) for dim in self.recurrent]

    @property
    def output_size(self) -> int:
        """U for each output dimension."""
        return self.units * len(self.dims("output"))

    def build(self, input_shape: Any, memory_shape: Tree = None) -> None:
        """Create the projections, and build the cells."""
        dims = self.dims("input")
        require(
            len(input_shape) == 2
            and input_shape[-1] is not None
            and input_shape[-1] % len(dims) == 0,
            "sequences",
            "must have rank 3, (batch, time steps, features), the features known and "
            f"divisible by {len(dims)}, the number of input_dims={dims}",
            f"steps of shape {tuple(input_shape)}",
            "reshape each step to one row of features, as many for each dimension",
        )
        features = input_shape[-1] // len(dims)
        for dim in dims:
            for name, sizes in _shapes(self.cells[dim]).items():
                called = f"project_{name}_{dim}"
                weight = self.add_weight(
                    name=called,
                    shape=(features, *sizes),
                    initializer=self.kernel_initializer,
                )
                setattr(self, called, weight)
        for cell in self.cells:
            rest = self.units * (self.num_dims - 1)
            build_cell(cell, (input_shape[0], rest), memory_shape)
        self.built = True

    check_inputs = GatedCell.check_inputs
    matmul = GatedCell.matmul

    def get_initial_state(self, batch_size: int) -> list[Tree]:
        """The cells', for each recurrent dimension."""
        cells = [as_cell(self.cells[dim]) for dim in self.recurrent]
        return [initial_states(cell, batch_size) for cell in cells]

    def get_constants(
        self, batch_size: int, training: bool, **given: Any
    ) -> list[Tree]:
        """Each cell's own."""
        return [
            constants_of(as_cell(cell), batch_size, training, **given)
            for cell in self.cells
        ]

    def project_inputs(self, x: jax.Array, constants: Tree) -> list[dict]:
        """What each input dimension has in place of its states, by their names."""
        del constants
        dims = self.dims("input")
        parts = jnp.split(x, len(dims), axis=-1)
        return [self._project(part, dim) for dim, part in zip(dims, parts, strict=True)]

    def _project(self, x: jax.Array, dim: int) -> dict[str, jax.Array]:
        """In one product, which costs less than one for each."""
        names = [*_shapes(self.cells[dim])]
        weights = [getattr(self, f"project_{name}_{dim}").value for name in names]
        ends = np.cumsum([weight.shape[1] for weight in weights])[:-1]
        z = self.matmul(x, jnp.concatenate(weights, axis=1))
        return dict(zip(names, jnp.split(z, ends, axis=-1), strict=True))

    def step(self, x: list, states: list, constants: list) -> tuple[jax.Array, list]:
        """One step along each dimension."""
        own: list[dict[str, jax.Array]] = [{} for _ in self.cells]
        for dim, before in zip(self.recurrent, states, strict=True):
            names = jax.tree.leaves(names_of(as_cell(self.cells[dim])))
            own[dim] = dict(zip(names, jax.tree.leaves(before), strict=True))
        for dim, projected in zip(self.dims("input"), x, strict=True):
            own[dim] = projected
        last = self.dims("priority")
        first = [dim for dim in range(self.num_dims) if dim not in last]
        h = [named["h"] for named in own]
        after: dict[int, Tree] = {}
        for group in (first, last):
            # A cell may be the only one: it reads nothing.
            rest = jnp.concatenate([h[-1][:, :0], *h[:-1]], axis=-1)
            handed_on, new = h[-1], dict(enumerate(h))
            for dim in group:
                view, given = as_cell(self.cells[dim]), {**own[dim], "h": handed_on}
                before = jax.tree.map(given.__getitem__, names_of(view))
                z = view.project_inputs(rest, constants[dim])
                new[dim], after[dim] = step_of(
                    self.cells[dim], z, before, constants[dim]
                )
            h = list(new.values())
        output = jnp.concatenate([h[dim] for dim in self.dims("output")], axis=-1)
        return output, [after[dim] for dim in self.recurrent]


def _width_of_h(cell: Any) -> int:
    """U of a cell that may stand in a grid.

    Raises:
        ValueError: if it has no state h that is its output.
    """
    output = as_cell(cell).output_shapes
    names = jax.tree.leaves(names_of(as_cell(cell)))
    require(
        isinstance(output, Shape)
        and len(output.sizes) == 1
        and _shapes(cell).get("h") == output.sizes
        and len(set(names)) == len(names),
        "cell",
        "must have one state called h, that is its output, (batch, units)",
        f"{type(cell).__name__} with states {names}",
        "use a cell such as LSTMCell(64), or name its states in state_names",
    )
    return output.sizes[0]


def _shapes(cell: Any) -> dict[str, tuple[int, ...]]:
    """Of each state of a cell, by name."""
    view = as_cell(cell)
    sizes = [shape.sizes for shape in jax.tree.leaves(view.state_shapes)]
    return dict(zip(jax.tree.leaves(names_of(view)), sizes, strict=True))
