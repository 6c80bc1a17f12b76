"""A cell stepped by itself: known formulas in NumPy, any other cell through JAX.

Whatever comes out of here is compared with the layer's own output before it is
drawn or experimented on (trace.py). Letters: B T D U.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...cells import states as contract
from ...cells.keras_style import as_cell
from ..gates import GATES, SIGMOID
from . import kinds, memory
from .activations import activation
from .together import QUICK, variables

States = list[np.ndarray]
Step = Callable[[np.ndarray, States], tuple[np.ndarray, States]]


def array(weight: Any) -> np.ndarray:
    return np.asarray(jnp.asarray(weight.value if hasattr(weight, "value") else weight))


def read_weights(cell: Any) -> dict[str, np.ndarray]:
    found = {
        "kernel": array(cell.kernel).astype("float32"),
        "recurrent_kernel": array(cell.recurrent_kernel).astype("float32"),
    }
    # With what a cell adds beside its bias at each step, such as a forget_bias.
    bias = getattr(cell, "step_bias", getattr(cell, "bias", None))
    if bias is not None:
        found["bias"] = array(bias).astype("float32")
    return found


def gate_values(
    cell: Any, kind: str, weights: dict[str, np.ndarray], x: Any, h: Any
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Pre-activations and values of each gate, for x (..,D) and h before (..,U)."""
    w, r = weights["kernel"], weights["recurrent_kernel"]
    u = r.shape[0]
    bias = weights.get("bias")
    rows = np.zeros((2, w.shape[1]), "float32")
    if bias is not None:
        rows[: 1 if bias.ndim == 1 else 2] = np.atleast_2d(bias)
    act = activation(getattr(cell, "activation", None))
    sig = activation(getattr(cell, "recurrent_activation", None))
    x, h = np.asarray(x, "float32"), np.asarray(h, "float32")
    from_x, from_h = x @ w + rows[0], h @ r + rows[1]
    whole = from_x + from_h
    keys = [gate[0] for gate in GATES[kind]]
    pre = {key: whole[..., k * u : (k + 1) * u] for k, key in enumerate(keys)}
    values = {}
    if kind == "GRU":
        values = {"z": sig(pre["z"]), "r": sig(pre["r"])}
        new_x, new_h = from_x[..., 2 * u :], from_h[..., 2 * u :]
        if cell.reset_after:
            pre["hh"] = new_x + values["r"] * new_h
        else:
            pre["hh"] = new_x + (values["r"] * h) @ r[:, 2 * u :] + rows[1, 2 * u :]
        values["hh"] = act(pre["hh"])
    else:
        for key, _, _, which in GATES[kind]:
            values[key] = (sig if which == SIGMOID else act)(pre[key])
    return pre, values


def combine(
    cell: Any, kind: str, v: dict[str, np.ndarray], old: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The new states from the gate values and the old states."""
    if kind == "LSTM":
        c = v["f"] * old["c"] + v["i"] * v["g"]
        return {"h": v["o"] * activation(getattr(cell, "activation", None))(c), "c": c}
    if kind == "GRU":
        return {"h": v["z"] * old["h"] + (1 - v["z"]) * v["hh"]}
    return {"h": v["h"]}


def formula_step(cell: Any, kind: str, weights: dict[str, np.ndarray]) -> Step:
    """The step of an LSTM, GRU or SimpleRNN as its formula says."""
    keys = [state["key"] for state in kinds.states(cell, kind)]

    def step(x: np.ndarray, states: States) -> tuple[np.ndarray, States]:
        old = dict(zip(keys, states, strict=True))
        _, values = gate_values(cell, kind, weights, x, old["h"])
        new = combine(cell, kind, values, old)
        return new["h"], [new[key] for key in keys]

    return step


def cell_step(cell: Any) -> Step:
    """The step of any cell: the cell itself, compiled once for each batch size."""
    import keras

    holders = list({id(v): v for v in variables(cell)}.values())
    structure: Any = None

    @partial(jax.jit, compiler_options=QUICK)
    def call(values: list[Any], x: Any, leaves: list[Any]) -> Any:
        states = jax.tree.unflatten(structure, leaves)
        with keras.StatelessScope(list(zip(holders, values, strict=True))):
            rows = jax.tree.leaves(x)[0].shape[0]
            output, new = cell(x, states, **memory.of_call(cell, rows))
        return jax.tree.leaves(output)[0], jax.tree.leaves(new)

    def step(x: np.ndarray, states: States) -> tuple[np.ndarray, States]:
        nonlocal structure
        if structure is None:
            structure = jax.tree.structure(initial_states(cell, 1))
        output, new = call([v.value for v in holders], x, states)
        return flat(output)[0], flat(new)

    return step


def flat(tree: Any) -> list[np.ndarray]:
    """Leaves as float32 (or wider) arrays."""
    return [
        np.asarray(leaf)
        if getattr(leaf, "dtype", None) == np.float32
        else np.asarray(jnp.asarray(leaf, jnp.float32))
        for leaf in jax.tree.leaves(tree)
    ]


def initial_states(cell: Any, batch: int) -> Any:
    """The states of fresh sequences, in the form that the cell reads them."""
    if kinds.convolved(cell):  # Keras's own says how many states it has here alone
        return list(cell.get_initial_state(batch_size=batch))
    memory_shape = memory.shapes(cell).get("memory_shape")
    return contract.initial_states(as_cell(cell), batch, memory_shape)


@dataclass
class Walk:
    """What T steps gave, in input time: arrays (B, T, U), start and end (B, U)."""

    outputs: np.ndarray
    states: States
    start: States
    end: States


@dataclass
class Stepper:
    """A step, and the way a layer applies it along time."""

    cell: Any
    step: Step
    backwards: bool = False

    def walk(
        self, x: np.ndarray, mask: np.ndarray | None = None, initial: Any = None
    ) -> Walk:
        """Apply the step to x (B,T,D); where mask (B,T) is false, carry over."""
        batch, steps = x.shape[:2]
        states = flat(initial if initial else initial_states(self.cell, batch))
        start = states
        outputs: list[Any] = [None] * steps
        history: list[Any] = [None] * steps
        held: Any = None
        with np.errstate(all="ignore"):
            for t in range(steps)[::-1] if self.backwards else range(steps):
                output, new = self.step(x[:, t], states)
                if mask is not None:
                    held = np.zeros_like(output) if held is None else held
                    new = [
                        _pick(mask[:, t], a, b)
                        for a, b in zip(new, states, strict=True)
                    ]
                    output = held = _pick(mask[:, t], output, held)
                outputs[t], history[t] = output, new
                states = new
        series = [np.stack(one, 1) for one in zip(*history, strict=True)]
        return Walk(np.stack(outputs, 1), series, start, states)


def _pick(read: np.ndarray, fresh: np.ndarray, old: np.ndarray) -> np.ndarray:
    return np.where(read.reshape([-1] + [1] * (fresh.ndim - 1)), fresh, old)


def before(series: np.ndarray, start: np.ndarray, backwards: bool) -> np.ndarray:
    """The state each step starts from, in input time."""
    first = start[:, None]
    if backwards:
        return np.concatenate([series[:, 1:], first], 1)
    return np.concatenate([first, series[:, :-1]], 1)
