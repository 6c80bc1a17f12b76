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
