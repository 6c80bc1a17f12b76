"""A model as a program: layers in a row, as plain data."""

from typing import Any, NamedTuple

import numpy as np

from ..checks import require
from ..engine.foreign import GATES

Array = np.ndarray

# States of a recurrent kind.
STATES = {"simple_rnn": 1, "lstm": 2, "gru_after": 1, "gru_before": 1}


class Step(NamedTuple):
    """What one layer does at a step; what the fields mean is in native/program.h."""

    kind: str
    name: str
    features: int  # D
    units: int  # U
    activation: str = "linear"
    recurrent_activation: str = "linear"
    kernel: Array | None = None
    recurrent: Array | None = None
    bias: Array | None = None
    numbers: tuple[float, float, float] = (0.0, 0.0, 0.0)
    cell: Any = None  # of kind "cell" a `CellStep`, of kind "fused" a `FusedStep`
    why: str = ""  # JAX steps that cell
    carried: tuple[Array, ...] = ()  # what a stateful layer would go on from

    def shapes(self) -> tuple[tuple[int, ...] | None, ...]:
        """What kernel, recurrent and bias must have, where there is one."""
        D, U = self.features, self.units
        if self.kind in STATES:
            width = GATES[self.kind] * U
            bias = (2, width) if self.kind == "gru_after" else (width,)
            return (D, width), (U, width), bias
        if self.kind in ("dense", "embedding"):
            return (D, U), None, (U,) if self.kind == "dense" else None
        one = (U,) if self.kind in ("affine", "normalize") else None
        return one, None, one

    def states(self, rows: int) -> list[tuple[tuple[int, ...], Any]]:
        """Shape and dtype of each state; none where nothing is carried."""
        if self.cell is not None:
            return [(state.shape, state.dtype) for state in self.cell.fresh]
        one = ((rows, self.units), np.dtype(np.float32))
        return [one] * STATES.get(self.kind, 0)

    def fresh(self, rows: int) -> list[Array]:
        """The states of fresh sequences."""
        if self.cell is not None:
            return [np.array(state) for state in self.cell.fresh]
        return [np.zeros(*each) for each in self.states(rows)]

    def first(self, rows: int) -> list[Array]:
        """The states that a stream begins with: those carried, or fresh ones."""
        return list(self.carried) or self.fresh(rows)


class Program(NamedTuple):
    """The steps of a model, lowest first."""

    steps: list[Step]

    def check(self) -> None:
        """Hold all arrays to the sizes that a step reads them by.

        Raises:
            ValueError: if one has another, or a step reads another width than the
                one before it leaves.
        """
        for step, before in zip(self.steps, (None, *self.steps), strict=False):
            arrays = (step.kernel, step.recurrent, step.bias)
            have = tuple(None if a is None else a.shape for a in arrays)
            need = step.shapes()
            bare = (*need[:2], None)
            reads = step.features if before is None else before.units
            require(
                have in (need, bare) and reads == step.features,
                f"the arrays of {step.kind} '{step.name}'",
                f"must have the shapes {need}, for {reads} features",
                have,
                "make the stream anew",
            )

    @property
    def traced(self) -> dict[str, str]:
        """Names of the layers whose cells run in JAX, and why they do."""
        return {s.name: s.why for s in self.steps if s.kind == "cell"}

    @property
    def has_fused(self) -> bool:
        """Whether the core alone can run it."""
        return any(step.kind == "fused" for step in self.steps)

    @property
    def takes_ids(self) -> bool:
        """Whether a row of x is one whole number."""
        return self.steps[0].kind == "embedding"

    @property
    def features(self) -> int:
        """D; with `takes_ids`, how many ids there are."""
        return self.steps[0].features

    @property
    def units(self) -> int:
        """Width of a row of y."""
        return self.steps[-1].units
