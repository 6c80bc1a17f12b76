"""The table of cells, and the draws every conformance test shares.

Adding a cell to the suite is adding one row to CELLS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import unrolled

import numpy as np

from . import reference
from . import reference_wrappers as wrappers
from .cells_of_users import CellThenHidden


@dataclass(frozen=True)
class Row:
    """One cell: our classes, the reference step, and how they are configured."""

    name: str
    cell: type
    layer: type
    step: Callable
    gates: str
    states: int
    kwargs: dict[str, Any] = field(default_factory=dict)
    reference_kwargs: dict[str, Any] = field(default_factory=dict)
    bias_rows: int = 1
    recurrent_activation: bool = True

    def __str__(self) -> str:
        """Name the pytest case."""
        return self.name

    def params(self, rng, features: int, units: int, use_bias: bool = True):
        """Random weights, float64: never constants, biases neither."""
        width = len(self.gates) * units
        params = {
            "kernel": rng.normal(0, 1 / np.sqrt(features), (features, width)),
            "recurrent_kernel": rng.normal(0, 1 / np.sqrt(units), (units, width)),
        }
        if use_bias:
            shape = (width,) if self.bias_rows == 1 else (self.bias_rows, width)
            params["bias"] = rng.normal(0, 0.5, shape)
        return params

    def state_shapes(self, units: int) -> list[tuple[int, ...]]:
        """Of each state, the batch apart."""
        return [(units,)] * self.states

    def output_shape(self, units: int) -> tuple[int, ...]:
        """Of the output, the batch apart."""
        return (units,)

    def input_shape(self, features: int) -> tuple[int, ...]:
        """Of one step, the batch apart."""
        return (features,)

    def draw_inputs(self, rng, batch: int, steps: int, features: int):
        """Random inputs ``(B, T, ...)``."""
        return rng.normal(size=(batch, steps, *self.input_shape(features)))

    def draw_states(self, rng, batch: int, units: int):
        """Random states to start from."""
        return [
            0.5 * rng.normal(size=(batch, *shape)) for shape in self.state_shapes(units)
        ]

    def to_cell(self, x):
        """What the cell reads in place of the reference's inputs."""
        return x

    to_cell_shape = to_cell

    def fresh(self, units: int, batch: int):
        """The states of fresh sequences."""
        return [np.zeros((batch, *shape)) for shape in self.state_shapes(units)]

    def reference_step(self, params, **overrides):
        """The reference step with its weights bound: (x_t, states) -> ..."""
        return partial(self.step, params, **{**self.reference_kwargs, **overrides})


CELLS = [
    Row(
        "simple_rnn",
        unrolled.SimpleRNNCell,
        unrolled.SimpleRNN,
        reference.simple_rnn,
        "h",
        1,
        recurrent_activation=False,
    ),
    Row("lstm", unrolled.LSTMCell, unrolled.LSTM, reference.lstm, "ifco", 2),
    Row(
        "gru",
        unrolled.GRUCell,
        unrolled.GRU,
        reference.gru,
        "zrh",
        1,
        kwargs={"reset_after": True},
        reference_kwargs={"reset_after": True},
        bias_rows=2,
    ),
    Row(
        "gru_reset_before",
        unrolled.GRUCell,
        unrolled.GRU,
        reference.gru,
        "zrh",
        1,
        kwargs={"reset_after": False},
        reference_kwargs={"reset_after": False},
    ),
]


class KerasStyle(Row):
    """A cell of a user's, with one kernel."""

    def params(self, rng, features: int, units: int, use_bias: bool = True):
        """Random weights."""
        del use_bias
        return {"w": rng.normal(0, 1 / np.sqrt(features), (features, units))}


@dataclass(frozen=True)
class Wrapped(Row):
    """A cell around others, its step made by `wrap` from their steps.

    Inputs are as wide as the units. `own` names the gates of the wrapper's own.
    """

    inside: tuple[Row, ...] = ()
    wrap: Callable = lambda step, params: step
    own: tuple[str, ...] = ()

    def params(self, rng, features: int, units: int, use_bias: bool = True):
        """Those of the cells inside, the second's with names in _1, and its own."""
        params = {}
        for place, row in enumerate(self.inside):
            each = row.params(rng, features, units, use_bias)
            params |= {k + f"_{place}" * (place > 0): v for k, v in each.items()}
        for name in self.own:
            scale = 1 / np.sqrt(features)
            params[f"{name}_kernel"] = rng.normal(0, scale, (features, units))
            params[f"{name}_bias"] = rng.normal(0, 0.5, units)
        return params

    def reference_step(self, params, **overrides):
        """The steps inside, wrapped."""
        second = {k[:-2]: v for k, v in params.items() if k.endswith("_1")}
        each = [params, second][: len(self.inside)]
        pairs = zip(self.inside, each, strict=True)
        steps = [row.reference_step(own, **overrides) for row, own in pairs]
        return self.wrap(*steps, params)


def _wrapped(name, make, wrap, *inside, own=()) -> Wrapped:
    def cell(units, **kwargs):
        cells = [row.cell(units, **row.kwargs, **kwargs) for row in inside]
        return make(*cells, **kwargs)

    def layer(units, dtype=None, **kwargs):
        return unrolled.RNN(cell(units, dtype=dtype), dtype=dtype, **kwargs)

    states = sum(row.states for row in inside)
    name = f"{name}({', '.join(map(str, inside))})"
    return Wrapped(
        name,
        cell,
        layer,
        wrap,
        "",
        states,
        inside=inside,
        wrap=wrap,
        own=own,
    )


def residual(row: Row) -> Wrapped:
    """ResidualWrapper around `row`."""
    wrap = lambda step, params: wrappers.residual(step)  # noqa: E731
    return _wrapped("residual", unrolled.ResidualWrapper, wrap, row)


def highway(row: Row, coupled: bool = True) -> Wrapped:
    """HighwayWrapper around `row`."""
    make = partial(unrolled.HighwayWrapper, couple_carry_transform_gates=coupled)
    own = ("carry",) if coupled else ("carry", "transform")
    name = "highway" if coupled else "uncoupled"
    return _wrapped(name, make, wrappers.highway, row, own=own)


def zoneout(row: Row, rates: Any, shares: Iterable[float], follows: Any) -> Wrapped:
    """ZoneoutWrapper around `row`, in inference."""
    make = partial(unrolled.ZoneoutWrapper, zoneout=rates)
    wrap = lambda step, params: wrappers.zoneout(step, shares, follows)  # noqa: E731
    return _wrapped("zoneout", make, wrap, row)


def stack(lower: Row, upper: Row) -> Wrapped:
    """A stack of two."""
    return _wrapped(
        "stack",
        lambda *cells, **kwargs: unrolled.StackedRNNCells(list(cells), **kwargs),
        lambda low, high, params: wrappers.stack(low, high, lower.states),
        lower,
        upper,
    )


def _rows() -> list[Wrapped]:
    user = KerasStyle(
        "user", CellThenHidden, unrolled.RNN, wrappers.cell_then_hidden, "", 2
    )
    simple, lstm, gru, before = CELLS
    dropped = partial(unrolled.DropoutWrapper, input_dropout=0.5, output_dropout=0.5)
    both = stack(lstm, gru)
    return [
        *map(residual, [*CELLS, user]),
        *map(highway, [*CELLS, user]),
        highway(gru, coupled=False),
        *(zoneout(row, 0.3, [0.3], 0) for row in (simple, gru, before)),
        zoneout(lstm, {"c": 0.6, "h": 0.2}, [0.2, 0.6], 0),
        zoneout(user, {"1": 0.4}, [0.0, 0.4], 1),
        _wrapped("dropout", dropped, lambda step, params: step, lstm),
        residual(zoneout(lstm, {"c": 0.5}, [0.0, 0.5], 0)),
        # What leaves a residual cell is none of its states.
        zoneout(residual(gru), 0.3, [0.3], None),
        highway(both),
        zoneout(both, {"h": 0.3}, [0.3, 0.0, 0.3], 2),
        stack(residual(gru), zoneout(lstm, 0.25, [0.25, 0.25], 0)),
    ]


WRAPPED = _rows()
BY_NAME = {row.name: row for row in CELLS}
MASKS = ["none", "right", "left", "holes", "all_masked_row"]
ACTIVATIONS = ["tanh", "sigmoid", "hard_sigmoid", "relu", "linear"]


def draw_mask(kind: str, rng, batch: int, steps: int):
    """A (B, T) mask of one kind; every row but the all-masked one keeps a step."""
    if kind == "none":
        return None
    kept = rng.integers(1, steps + 1, (batch, 1))
    time = np.arange(steps)[None]
    if kind == "left":
        return time >= steps - kept
    if kind == "holes":
        mask = rng.random((batch, steps)) < 0.6
        mask[np.arange(batch), rng.integers(0, steps, batch)] = True
        return mask
    mask = time < kept
    if kind == "all_masked_row":
        mask[rng.integers(0, batch)] = False
    return mask


def draw_resets(wanted: bool, rng, batch: int, steps: int):
    """A (B, T) pattern of resets, on masked steps as well as others."""
    return rng.random((batch, steps)) < 0.2 if wanted else None


def assign(variables: Iterable, params: dict) -> None:
    """Give a cell's variables, by name, the values of `params`."""
    variables = list(variables)
    assert sorted(v.name for v in variables) == sorted(params)
    for variable in variables:
        variable.assign(
            params[variable.name].astype("float32")
            if "bfloat16" in str(variable.dtype)
            else params[variable.name]
        )
