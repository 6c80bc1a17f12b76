"""The table of formula cells: one row a cell, and the same tests for all of them.

A family's rows are in a module of the family's name beside this file, as its float64
sources are in `tests/sources`. `tests/cells/test_formulas.py` runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

import unrolled
from unrolled.cells.states import names_of as state_names

import jax
import numpy as np
from autograd import numpy as anp

from ..harness import names_of
from ..sources import with_pullback


def joined(weights: dict[str, Any]) -> dict[str, Any]:
    """Our kernels one above the other, as TensorFlow 1 has them: rows x, then h."""
    rest = dict(weights)
    parts = [rest.pop("kernel"), rest.pop("recurrent_kernel")]
    return {"kernel": anp.concatenate(parts, axis=0), **rest}


@dataclass(frozen=True, eq=False)
class Formula:
    """A cell and the float64 function that it has to equal.

    Attributes:
        name: of the test cases.
        cell: makes the cell, ``(units, **keywords of any layer)``.
        step: of `tests/sources`: ``(weights, x, states) -> (output, states)``.
        to_source: our weights by name -> the source's; of `autograd.numpy`. Of two
            weights of one name the second's ends in ``_1``.
        order: of our states, the places that they have in the source; None: the same.
        inputs: ``(rng, (B, T), D) -> x`` of the reference, ``(B, T, ...)``.
        to_cell: x ``(..., n)`` -> what the cell reads; for shapes too if it is given
            a tuple.
        scale: of the random weights, beside the root of their rows.
        narrow: D and U of the narrowest case that has a gradient worth the name:
            normalising two numbers leaves but their signs.
        draws: by name, how weights and states are drawn that not every number fits:
            ``(rng, shape) -> values``.
        brief: of a variant of a cell that has a row: values and gradients alone.
    """

    name: str
    cell: Callable[..., Any]
    step: Callable[..., Any]
    to_source: Callable[[dict[str, Any]], dict[str, Any]] = joined
    order: tuple[int, ...] | None = None
    inputs: Callable[..., Any] = lambda rng, rows, features: rng.normal(
        size=(*rows, features)
    )
    to_cell: Callable[[Any], Any] = lambda x: x
    scale: float = 1.0
    narrow: tuple[int, int] = (1, 2)
    draws: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    brief: bool = False
    kwargs: ClassVar[dict[str, Any]] = {}

    def __str__(self) -> str:
        """Name the pytest case."""
        return self.name

    def layer(self, units: int, dtype: Any = None, **kwargs: Any) -> Any:
        """The cell along time."""
        return unrolled.RNN(self.cell(units, dtype=dtype), dtype=dtype, **kwargs)

    # --- shapes ---

    @cache  # noqa: B019  rows live as long as the tests
    def built(self, units: int, features: int = 1) -> Any:
        """A cell to ask for shapes."""
        layer = self.layer(units)
        layer.build(self.to_cell_shape((None, None, *self.input_shape(features))))
        return layer.cell

    def input_shape(self, features: int) -> tuple[int, ...]:
        """Of one step of the reference's, the batch apart."""
        return self.inputs(np.random.default_rng(0), (1, 1), features).shape[2:]

    def to_cell_shape(self, shape: tuple) -> Any:
        """Shapes of what the cell reads, for the reference's."""
        known = jax.ShapeDtypeStruct((1, 1, *shape[2:]), "float32")
        made = jax.eval_shape(self.to_cell, known)
        return jax.tree.map(lambda a: (*shape[:2], *a.shape[2:]), made)

    def state_shapes(self, units: int) -> list[tuple[int, ...]]:
        """Of each state, the batch apart."""
        return [s.sizes for s in jax.tree.leaves(self.built(units).state_shapes)]

    def output_shape(self, units: int) -> tuple[int, ...]:
        """Of the output, the batch apart."""
        return self.built(units).output_shapes.sizes

    @property
    def states(self) -> int:
        """How many."""
        return len(self.state_shapes(2))

    def fresh(self, units: int, batch: int) -> list[Any]:
        """The states of fresh sequences."""
        states = jax.tree.leaves(self.built(units).get_initial_state(batch))
        return [np.asarray(s, np.float64) for s in states]

    # --- draws ---

    def draw_inputs(self, rng: Any, batch: int, steps: int, features: int) -> Any:
        """Random inputs ``(B, T, ...)``."""
        return self.inputs(rng, (batch, steps), features)

    def draw_states(self, rng: Any, batch: int, units: int) -> list[Any]:
        """Random states to start from."""
        names = jax.tree.leaves(state_names(self.cell(units)))
        shapes = zip(names, self.state_shapes(units), strict=True)
        normal = lambda rng, shape: 0.5 * rng.normal(size=shape)  # noqa: E731
        return [self.draws.get(n, normal)(rng, (batch, *shape)) for n, shape in shapes]

    def params(self, rng: Any, features: int, units: int) -> dict[str, Any]:
        """Random weights by the names in a cell: biases, and untrained ones, too."""
        variables = self.built(units, features).weights
        return {
            name: self.draws.get(name, self._draw)(rng, tuple(v.shape))
            for name, v in zip(names_of(variables), variables, strict=True)
        }

    def _draw(self, rng: Any, shape: tuple[int, ...]) -> Any:
        if len(shape) < 2:
            return 0.5 * rng.normal(size=shape)
        rows = np.prod(shape[:-1])
        return self.scale * rng.normal(size=shape) / np.sqrt(rows)

    def reference_step(self, params: dict[str, Any]) -> Callable:
        """The source's step in our names and order: ``(x, states) -> ...``."""

        def step(ours: dict[str, Any], x: Any, states: list[Any]) -> Any:
            order = self.order or tuple(range(len(states)))
            theirs: list[Any] = [None] * len(states)
            for state, place in zip(states, order, strict=True):
                theirs[place] = state
            output, after = self.step(self.to_source(ours), x, theirs)
            return output, [after[place] for place in order]

        return lambda x, states: with_pullback(step)(params, x, states)
