"""Step a layer's own cell over a real input and hold the result to the layer.

The cell is called once per step, as the layer does it; masks, direction and
initial states are obeyed. Gates are then recomputed from the weights for all steps
at once and must reproduce the cell's states. Whatever disagrees is not drawn.
Letters: B T D U.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from unrolled.explain import kinds

TOLERANCE = {"float16": 1e-2, "bfloat16": 5e-2}


class NotDrawn(Exception):
    """Why a layer has no trace, as one sentence."""


@dataclass
class Reading:
    """What one layer read: x (B,T,D), mask (B,T), states to start from."""

    x: np.ndarray
    mask: np.ndarray | None = None
    initial: list[np.ndarray] | None = None


@dataclass
class Trace:
    """Arrays by key, each (B, T, U), in input time."""

    states: dict[str, np.ndarray]
    gates: dict[str, np.ndarray]
    pre: dict[str, np.ndarray]
    output: np.ndarray
    initial: list[np.ndarray]
    final: list[np.ndarray]
    layer_output: np.ndarray
    max_difference: float
    tolerance: float
    notes: list[str] = field(default_factory=list)


def tolerance(cell: Any, scale: float) -> float:
    name = str(getattr(cell, "compute_dtype", "float32"))
    return TOLERANCE.get(name, 1e-4) * max(1.0, scale)


@contextmanager
def flags(layer: Any, **values: Any) -> Iterator[None]:
    """Set attributes for a moment (return_sequences, return_state ...)."""
    before = {key: getattr(layer, key) for key in values if hasattr(layer, key)}
    try:
        for key in before:
            object.__setattr__(layer, key, values[key])
        yield
    finally:
        for key, value in before.items():
            object.__setattr__(layer, key, value)


def flat(tree: Any) -> list[np.ndarray]:
    """Leaves as float32 (or wider) arrays."""
    return [
        np.asarray(jnp.asarray(leaf, jnp.float32)) for leaf in jax.tree.leaves(tree)
    ]


def run_layer(
    layer: Any, reading: Reading, **changes: Any
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The layer's own outputs (B,T,P) in input time, and its final states."""
    from unrolled.explain.capture import untouched

    wanted: dict[str, Any] = {"return_sequences": True, "return_state": True}
    wanted |= {"stateful": False} | changes
    kwargs: dict[str, Any] = {}
    if reading.mask is not None:
        kwargs["mask"] = jnp.asarray(reading.mask)
    if reading.initial is not None:
        kwargs["initial_state"] = _like_states(layer, reading)
    # A layer built for return_state=True may add the sequences of all states.
    with untouched(layer), flags(layer, return_all_states=False, **wanted):
        result = layer(jnp.asarray(reading.x), **kwargs)
    output, *final = result if isinstance(result, (list, tuple)) else [result]
    output = flat(output)[0]
    if getattr(layer, "go_backwards", False) and wanted["return_sequences"]:
        output = output[:, ::-1]
    return output, flat(final)


def _like_states(layer: Any, reading: Reading) -> Any:
    """Initial states in the tree the layer wants."""
    shape = initial_states(layer, len(reading.x))
    leaves = [jnp.asarray(one) for one in reading.initial or []]
    return jax.tree.unflatten(jax.tree.structure(shape), leaves)


def initial_states(layer: Any, batch: int) -> Any:
    states = layer.cell.get_initial_state(batch_size=batch)
    if not isinstance(states, (list, tuple)):
        states = [states]
    return list(states)


def step_cell(layer: Any, reading: Reading) -> tuple[Any, ...]:
    """Call the cell T times; outputs, states, start and end, in input time."""
    x, cell = jnp.asarray(reading.x), layer.cell
    batch, steps = x.shape[:2]
    states = (
        initial_states(layer, batch)
        if reading.initial is None
        else _like_states(layer, reading)
    )
    start = flat(states)
    order = range(steps)
    if getattr(layer, "go_backwards", False):
        order = order[::-1]
    outputs: list[Any] = [None] * steps
    history: list[Any] = [None] * steps
    held = None
    for t in order:
        output, new = cell(x[:, t], states)
        new = list(new) if isinstance(new, (list, tuple)) else [new]
        new = jax.tree.unflatten(jax.tree.structure(states), jax.tree.leaves(new))
        if reading.mask is not None:
            read = jnp.asarray(reading.mask[:, t])

            def pick(fresh: Any, old: Any, read: Any = read) -> Any:
                return jnp.where(
                    read.reshape([-1] + [1] * (fresh.ndim - 1)), fresh, old
                )

            new = jax.tree.map(pick, new, states)
            held = jnp.zeros_like(output) if held is None else held
            output = held = pick(output, held)
        states = new
        outputs[t], history[t] = flat(output)[0], flat(states)
    series = [np.stack(one, 1) for one in zip(*history, strict=True)]
    return np.stack(outputs, 1), series, start, flat(states)


def before(series: np.ndarray, start: np.ndarray, backwards: bool) -> np.ndarray:
    """The state each step starts from, in input time."""
    first = start[:, None]
    if backwards:
        return np.concatenate([series[:, 1:], first], 1)
    return np.concatenate([first, series[:, :-1]], 1)


def array(weight: Any) -> np.ndarray:
    return np.asarray(jnp.asarray(weight.value if hasattr(weight, "value") else weight))


def read_weights(cell: Any) -> dict[str, np.ndarray]:
    found = {
        "kernel": array(cell.kernel).astype("float32"),
        "recurrent_kernel": array(cell.recurrent_kernel).astype("float32"),
    }
    bias = getattr(cell, "bias", None)
    if bias is not None:
        found["bias"] = array(bias).astype("float32")
    return found


def gate_values(
    cell: Any, kind: str, weights: dict[str, np.ndarray], x: Any, h: Any
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Pre-activations and values of each gate, for x (..,D) and h before (..,U)."""
    w, r = jnp.asarray(weights["kernel"]), jnp.asarray(weights["recurrent_kernel"])
    u = r.shape[0]
    bias = weights.get("bias")
    rows = np.zeros((2, w.shape[1]), "float32")
    if bias is not None:
        rows[: 1 if bias.ndim == 1 else 2] = np.atleast_2d(bias)
    act: Any = getattr(cell, "activation", None) or (lambda v: v)
    sig: Any = getattr(cell, "recurrent_activation", None) or (lambda v: v)
    x, h = jnp.asarray(x, jnp.float32), jnp.asarray(h, jnp.float32)
    from_x, from_h = x @ w + rows[0], h @ r + rows[1]
    keys = [gate[0] for gate in kinds.GATES[kind]]
    pre = {
        key: (from_x + from_h)[..., k * u : (k + 1) * u] for k, key in enumerate(keys)
    }
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
        for key, _, _, which in kinds.GATES[kind]:
            values[key] = (sig if which == kinds.SIGMOID else act)(pre[key])
    return (
        {key: np.asarray(pre[key], "float32") for key in keys},
        {key: np.asarray(values[key], "float32") for key in keys},
    )


def combine(
    cell: Any, kind: str, v: dict[str, np.ndarray], old: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The new states from the gate values and the old states."""
    if kind == "LSTM":
        act: Any = getattr(cell, "activation", None) or (lambda a: a)
        c = v["f"] * old["c"] + v["i"] * v["g"]
        return {"c": c, "h": v["o"] * np.asarray(act(jnp.asarray(c)), "float32")}
    if kind == "GRU":
        return {"h": v["z"] * old["h"] + (1 - v["z"]) * v["hh"]}
    return {"h": v["h"]}


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Largest difference; infinite where only one of the two is not finite."""
    one, other = np.asarray(one, "float64"), np.asarray(other, "float64")
    if one.shape != other.shape:
        return float("inf")
    odd = ~(np.isfinite(one) & np.isfinite(other))
    with np.errstate(invalid="ignore"):
        gap = np.abs(one - other)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    gap = np.where(odd, np.where(same, 0.0, np.inf), gap)
    return float(gap.max()) if gap.size else 0.0


def trace(layer: Any, kind: str, reading: Reading) -> Trace:
    """Step the cell and compare; raises NotDrawn with the reason."""
    cell = layer.cell
    try:
        with np.errstate(all="ignore"):
            outputs, series, start, end = step_cell(layer, reading)
            own_output, own_final = run_layer(layer, reading)
    except Exception as error:  # a stranger's cell may raise anything
        first = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise NotDrawn(
            f"the cell could not be stepped by itself: {first[0]}"
        ) from error
    scale = max(
        [float(np.nanmax(np.abs(a), initial=0, where=np.isfinite(a))) for a in series]
        + [0.0]
    )
    allowed = tolerance(cell, scale)
    read = np.ones(outputs.shape[:2], bool) if reading.mask is None else reading.mask
    gaps = [difference(outputs[read], own_output[read])]
    gaps += [difference(a, b) for a, b in zip(end, own_final, strict=True)]
    if max(gaps) > allowed:
        raise NotDrawn(
            f"stepping the cell gives other numbers than the layer (they differ by "
            f"{max(gaps):.3g}, more than {allowed:.3g}), so nothing is drawn"
        )
    keys = [state["key"] for state in kinds.states(cell, kind)]
    named = dict(zip(keys, series, strict=True))
    if not getattr(layer, "return_sequences", False):
        own_output = run_layer(layer, reading, return_sequences=False)[0]
    found = Trace(named, {}, {}, outputs, start, end, own_output, max(gaps), allowed)
    if kind in kinds.GATES:
        _add_gates(found, layer, kind, reading, read)
    return found


def _add_gates(
    found: Trace, layer: Any, kind: str, reading: Reading, read: np.ndarray
) -> None:
    cell, backwards = layer.cell, bool(getattr(layer, "go_backwards", False))
    keys = list(found.states)
    old = {
        key: before(found.states[key], start, backwards)
        for key, start in zip(keys, found.initial, strict=True)
    }
    pre, values = gate_values(cell, kind, read_weights(cell), reading.x, old["h"])
    new = combine(cell, kind, values, old)
    gap = max(difference(new[key][read], found.states[key][read]) for key in keys)
    if gap > found.tolerance:
        found.notes.append(
            f"its gates do not follow the {kind} formula (they would differ by "
            f"{gap:.3g}); only its states are drawn"
        )
        return
    found.max_difference = max(found.max_difference, gap)
    if kind == "SimpleRNN":
        found.pre = pre
        return
    for key in values:  # a skipped step has no gate values
        values[key] = np.where(read[..., None], values[key], np.nan)
    found.gates, found.pre = values, pre
