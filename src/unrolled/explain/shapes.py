"""Shapes and counts found by running twins of a layer, never from prose.

A twin is a fresh layer of the same class and configuration with one thing changed:
other flags, another T, other units. Letters: B T D U.
"""

from __future__ import annotations

from math import prod
from typing import Any

import jax.numpy as jnp
import numpy as np

from unrolled.explain import kinds

# Multiply-adds one experiment may spend; larger layers are run over fewer steps.
BUDGET = 400_000_000
HIGHEST_SWEEP = 1024


def twin(layer: Any, **changes: Any) -> Any:
    """A new layer like this one, unbuilt, with configuration changes."""
    import keras

    config = dict(layer.get_config())
    config.pop("name", None)
    cells = [layer.cell, *getattr(layer.cell, "cells", [])]
    own = {kinds.names(cell)[0]: type(cell) for cell in cells}
    own |= {type(layer).__name__: type(layer)}
    for key in ("kernel_initializer", "recurrent_initializer", "bias_initializer"):
        if key in config:  # shapes are asked for, so no time is lost on orthogonality
            config[key] = "zeros"
    with keras.utils.custom_object_scope(own):
        return type(layer).from_config(config | changes)


def twin_with_weights(layer: Any, shape: tuple[int, ...], **changes: Any) -> Any:
    """A built twin that holds copies of the layer's weights."""
    other = twin(layer, **changes)
    other.build(shape)
    if [tuple(w.shape) for w in other.cell.weights] != [
        tuple(w.shape) for w in layer.cell.weights
    ]:
        raise ValueError("the twin's weights have other shapes")
    for new, old in zip(other.cell.weights, layer.cell.weights, strict=True):
        new.assign(old.value)
    return other


def unlike(*sizes: int | None) -> int:
    """A small batch size that no other axis has, so it can be told apart."""
    return next(n for n in (2, 3, 5, 7, 11) if n not in sizes)


def affordable(layer: Any, steps: int, batch: int, budget: int = BUDGET) -> int:
    """How many of these steps an experiment may run."""
    step = sum(prod(w.shape) for w in layer.cell.weights) * batch
    return max(1, min(steps, budget // max(step, 1)))


def ones(batch: int, steps: int, inner: tuple[int, ...]) -> Any:
    return jnp.full((batch, steps, *inner), 0.1, "float32")


def shapes_of(result: Any) -> list[list[int]]:
    tree = result if isinstance(result, (list, tuple)) else [result]
    found: list[list[int]] = []
    for one in tree:
        if isinstance(one, (list, tuple)):
            found += shapes_of(one)
        else:
            found.append([int(n) for n in one.shape])
    return found


def reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]


def with_letter(shape: list[int]) -> str:
    """A shape whose first axis is the batch, as text."""
    inner = ", ".join(f"{n}" for n in shape[1:])
    return f"(B, {inner})" if inner else "(B,)"


def meanings(layer: Any, kind: str, flags: dict[str, bool], t: int) -> list[str]:
    """What each returned array is: h_1 .. h_28, h_28, c_28."""
    y = "h" if kind in kinds.GATES else "y"
    last = f"{y}_{t}"
    if getattr(layer, "go_backwards", False):
        many = f"{y}_{t} .. {y}_1 (last step first)" if t > 1 else last
        last, end = f"{y}_1", 1
    else:
        many, end = (f"{y}_1 .. {y}_{t}" if t > 1 else last), t
    result = [many if flags["return_sequences"] else last]
    if flags["return_state"]:
        states = kinds.states(layer.cell, kind)
        result += [f"{state['key']}_{end}" for state in states]
    return result


def returns(layer: Any, kind: str, t: int, inner: tuple[int, ...]) -> dict[str, Any]:
    """All eight combinations of the three flags, each one executed."""
    u = kinds.state_sizes(layer.cell)[0][0]
    batch = unlike(t, *inner, u)
    steps = affordable(layer, t, batch * 8)
    rows = []
    current = [
        bool(getattr(layer, key, False))
        for key in ("return_sequences", "return_state", "stateful")
    ]
    extra = {"return_all_states": False} if hasattr(layer, "return_all_states") else {}
    for code in range(8):
        flags = {
            "return_sequences": bool(code & 1),
            "return_state": bool(code & 2),
            "stateful": bool(code & 4),
        }
        row: dict[str, Any] = dict(flags)
        row |= {"current": list(flags.values()) == current, "ran": False, "error": None}
        row |= {
            "shapes": [],
            "text": [],
            "meaning": meanings(layer, kind, flags, steps),
        }
        try:
            result = twin(layer, **flags, **extra)(ones(batch, steps, inner))
            row["shapes"] = shapes_of(result)
            row["text"] = [with_letter(shape) for shape in row["shapes"]]
            row["ran"] = True
        except Exception as error:  # a stranger's layer may raise anything
            row["error"] = reason(error)
        rows.append(row)
    d = inner[-1] if inner else None
    cut = None if steps == t else f"run over {steps} of {t:,} steps to save time"
    return {"ran_with": {"B": batch, "T": steps, "D": d}, "text": cut, "rows": rows}


def count(layer: Any) -> int:
    return sum(prod(w.shape) for w in layer.cell.weights)


def other_steps(layer: Any, t: int, inner: tuple[int, ...]) -> list[dict[str, Any]]:
    """The same layer, the same weights, another T."""
    rows = []
    most = affordable(layer, 10**9, 1)
    for steps in dict.fromkeys((max(1, t // 2), 2 * t)):
        asked, steps = steps, min(steps, most)
        row: dict[str, Any] = {"T": steps, "ran": False, "params": None, "output": None}
        try:
            other = twin_with_weights(layer, (None, None, *inner), stateful=False)
            row["output"] = shapes_of(other(ones(1, steps, inner)))[0]
            row["params"] = count(other)
            still = "still" if row["params"] == count(layer) else "now"
            row["text"] = f"ran it with T={steps}: {still} {row['params']:,} weights"
            row["ran"] = True
            if asked != steps:
                row["text"] += f" (T={asked:,} would have cost too much time)"
        except Exception as error:
            row |= {"why": reason(error), "text": f"T={steps} did not run"}
        rows.append(row)
    return rows


def other_units(layer: Any, kind: str, inner: tuple[int, ...]) -> list[dict[str, Any]]:
    """Half and twice the units: what moves and what does not."""
    units = getattr(layer.cell, "units", None)
    if kind not in kinds.GATES or not units:
        why = f"a {kind} cell has no `units` argument that can be changed from outside"
        return [{"ran": False, "why": why, "text": why}]
    rows = []
    for width in dict.fromkeys((max(1, units // 2), 2 * units)):
        row: dict[str, Any] = {"units": width, "ran": False}
        cost = kinds.total(kind, inner[-1], width, 1)
        if cost > 40_000_000:
            row |= {"why": f"{cost:,} weights", "text": f"{width:,} units: too large"}
            rows.append(row)
            continue
        try:
            other = twin(layer, units=width, stateful=False, return_state=False)
            row["output"] = shapes_of(other(ones(1, 2, inner)))[0]
            row["params"] = count(other)
            row["state"] = sum(prod(s) for s in kinds.state_sizes(other.cell))
            row["text"] = (
                f"ran it with {width:,} units: {row['params']:,} weights, state "
                f"{row['state']:,} numbers, output {with_letter(row['output'])}"
            )
            row["ran"] = True
        except Exception as error:
            row |= {"why": reason(error), "text": f"{width:,} units did not run"}
        rows.append(row)
    return rows


def other_features(layer: Any, inner: tuple[int, ...]) -> list[dict[str, Any]]:
    """Twice and half the features: only the kernel's rows change."""
    rows = []
    for d in dict.fromkeys((max(1, inner[-1] // 2), 2 * inner[-1])):
        row: dict[str, Any] = {"D": d, "ran": False}
        try:
            other = twin(layer, stateful=False, return_state=False)
            row["output"] = shapes_of(other(ones(1, 2, (*inner[:-1], d))))[0]
            row["params"] = count(other)
            row["text"] = (
                f"ran it with D={d:,}: {row['params']:,} weights, output still "
                f"{with_letter(row['output'])}"
            )
            row["ran"] = True
        except Exception as error:
            row |= {"why": reason(error), "text": f"D={d} did not run"}
        rows.append(row)
    return rows


def variants(layer: Any, kind: str, t: int, inner: tuple[int, ...]) -> dict[str, Any]:
    """The layer with other steps, other units and other features."""
    return {
        "other_steps": other_steps(layer, t, inner),
        "other_units": other_units(layer, kind, inner),
        "other_features": other_features(layer, inner),
    }


def sweep(kind: str, d: int, bias: int, units: int) -> list[dict[str, int]]:
    """Weights by units, from the formula: for a plot."""
    if kind not in kinds.GATES:
        return []
    widths = sorted({2**k for k in range(11)} | {units, 2 * units})
    widths = [w for w in widths if w <= max(HIGHEST_SWEEP, 2 * units)]
    return [{"units": w, "params": kinds.total(kind, d, w, bias)} for w in widths]


def formula_holds(layer: Any, kind: str, d: int) -> bool:
    """Keras's own count of the built cell equals the formula."""
    bias = kinds.bias_rows(layer.cell, kind)
    return kinds.total(kind, d, layer.cell.units, bias) == layer.cell.count_params()


def as_bool(mask: Any) -> np.ndarray:
    return np.asarray(mask).astype(bool)
