"""Shapes and counts found by running twins of a layer, never from prose.

A twin is a fresh layer of the same class and configuration with one thing changed:
other flags, another T, other units. Letters: B T D U.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from math import prod
from typing import Any

import jax
import numpy as np

from ..gates import GATES, count_weights
from . import kinds, memory, returned
from .doubles import with_flags
from .together import Together, reason
from .trace import Reading, calling

Rows = Callable[[], list[dict[str, Any]]]
FLAGS = ("return_sequences", "return_state", "stateful")

# Multiply-adds one experiment may spend; larger layers are run over fewer steps.
BUDGET = 400_000_000
HIGHEST_SWEEP = 1024

LARGEST_TWIN = 40_000_000


def twin(layer: Any, **changes: Any) -> Any:
    """A new layer like this one, unbuilt, with configuration changes."""
    import keras

    config = _unbuilt(layer.get_config())
    if "seed" in inspect.signature(type(layer).__init__).parameters:
        config.setdefault("seed", 0)  # Keras leaves it out of some configurations
    parts = [layer.cell, *layer._flatten_layers()]
    own = {kinds.names(part)[0]: type(part) for part in parts}
    for key in ("kernel_initializer", "recurrent_initializer", "bias_initializer"):
        if key in config:  # shapes are asked for, so no time is lost on orthogonality
            config[key] = "zeros"
    with keras.utils.custom_object_scope(own):
        return type(layer).from_config(config | changes)


def _unbuilt(config: Any) -> Any:
    """A configuration without the shapes that its cells were built for.

    An open seed is closed: else Keras draws one from Python's `random`, and what a
    user draws after it would be other numbers.
    """
    if isinstance(config, dict):
        kept = {k: v for k, v in config.items() if k != "build_config"}
        kept |= {"seed": 0} if kept.get("seed", 0) is None else {}
        return {k: _unbuilt(v) for k, v in kept.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(_unbuilt(one) for one in config)
    return config


def twin_with_cell(layer: Any, shape: tuple[Any, ...], **changes: Any) -> Any:
    """A built twin around the layer's own cell: the very same weights."""
    other = twin(layer, **changes)
    other.cell = layer.cell
    other.build(shape, **memory.shapes(layer.cell))
    return other


def unlike(*sizes: int | None) -> int:
    """A small batch size that no other axis has, so it can be told apart."""
    return next(n for n in (2, 3, 5, 7, 11) if n not in sizes)


def affordable(layer: Any, steps: int, batch: int, budget: int = BUDGET) -> int:
    """How many of these steps an experiment may run."""
    step = sum(prod(w.shape) for w in layer.cell.weights) * batch
    step *= kinds.positions(layer.cell)
    return max(1, min(steps, budget // max(step, 1)))


def ones(leading: tuple[int, ...], inner: Any) -> Any:
    """Small numbers, or ids, for a tree of what one step of one row reads."""

    def small(one: Any) -> np.ndarray:
        number = 0.1 if np.issubdtype(one.dtype, np.floating) else 1
        return np.full((*leading, *one.shape), number, one.dtype)

    return jax.tree.map(small, inner)


def along(leading: tuple[Any, ...], inner: Any) -> Any:
    """Shapes of sequences of that."""
    return jax.tree.map(lambda one: (*leading, *one.shape), inner)


def shapes_of(result: Any) -> list[list[int]]:
    """The shapes of all arrays, in order."""
    return [[int(n) for n in array.shape] for array in jax.tree.leaves(result)]


def returns(
    together: Together, layer: Any, kind: str, t: int, inner: Any
) -> Callable[[], dict[str, Any]]:
    """All eight combinations of the three flags, each one executed.

    Returns a function that gives the table once `together` has run.
    """
    u = kinds.state_sizes(layer.cell)[0][0]
    sizes = [n for one in jax.tree.leaves(inner) for n in one.shape]
    batch = unlike(t, *sizes, u)
    steps = affordable(layer, t, batch * 8)
    rows: list[dict[str, Any]] = []
    jobs = []
    current = [bool(getattr(layer, key, False)) for key in FLAGS]
    history = {"return_all_states": bool(getattr(layer, "return_all_states", False))}
    for code in range(8):
        flags = {key: bool(code >> bit & 1) for bit, key in enumerate(FLAGS)}
        row: dict[str, Any] = dict(flags)
        row |= {"current": list(flags.values()) == current, "ran": False, "error": None}
        row |= {"shapes": [], "text": []}
        row["meaning"] = returned.meanings(layer, kind, flags | history, steps)
        rows.append(row)
        jobs.append(_flagged(together, layer, (batch, steps), inner, flags))

    def finish() -> dict[str, Any]:
        for row, job in zip(rows, jobs, strict=True):
            try:
                row["shapes"] = shapes_of(job())
                like = with_flags(layer, **{key: row[key] for key in FLAGS})
                axes = returned.axes_out(like, [len(one) for one in row["shapes"]])
                row["text"] = list(map(returned.text, row["shapes"], axes))
                row["ran"] = True
            except Exception as error:  # a stranger's layer may raise anything
                row["error"] = reason(error)
        d = sizes[-1] if sizes else None
        cut = None if steps == t else f"run over {steps} of {t:,} steps to save time"
        ran = {"B": batch, "T": steps, "D": d}
        many = len(returned.outputs(layer.cell, kind))
        return {"ran_with": ran, "text": cut, "outputs": many, "rows": rows}

    return finish


def _flagged(
    together: Together,
    layer: Any,
    leading: tuple[int, int],
    inner: Any,
    flags: dict[str, bool],
) -> Callable[[], Any]:
    """A job of a twin with these flags, or the error of making one."""
    major = bool(getattr(layer, "time_major", False))
    order = leading[::-1] if major else leading
    try:
        other = twin_with_cell(layer, along(order, inner), **flags)
    except Exception as error:
        return _raising(error)
    x = ones(order, inner)
    call = lambda x: other(x, **memory.of(layer.cell, leading[0]))  # noqa: E731
    return together.add(call, x, layer=other)


def _raising(error: Exception) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


def count(layer: Any) -> int:
    return sum(prod(w.shape) for w in layer.cell.weights)


def other_steps(together: Together, layer: Any, t: int, inner: Any) -> Rows:
    """The layer itself over another T."""
    most = affordable(layer, 10**9, 1)
    asked = list(dict.fromkeys((max(1, t // 2), 2 * t)))
    call = calling(layer, Reading(np.zeros(0)), return_sequences=False)
    jobs = [together.add(call, ones((1, min(t, most)), inner)) for t in asked]

    def row(asked: int, job: Callable[[], Any]) -> dict[str, Any]:
        steps = min(asked, most)
        try:
            output, params = shapes_of(job())[0], count(layer)
        except Exception as error:
            text = f"T={steps} did not run"
            return {"T": steps, "ran": False, "why": reason(error), "text": text}
        text = f"ran it with T={steps}: still {params:,} weights"
        if asked != steps:
            text += f" (T={asked:,} would have cost too much time)"
        return {"T": steps, "ran": True, "params": params, "output": output} | {
            "text": text
        }

    return lambda: [row(*pair) for pair in zip(asked, jobs, strict=True)]


def other_units(together: Together, layer: Any, kind: str, inner: Any) -> Rows:
    """Half and twice the units: what moves and what does not."""
    word = "filters" if kind == "convolutional" else "units"
    units = getattr(layer.cell, word, None)
    known = kind in GATES or (units and word in layer.get_config())
    if not known or not units:
        why = f"a {kind} cell has no `units` argument that can be changed from outside"
        return lambda: [{"ran": False, "why": why, "text": why}]
    widths = list(dict.fromkeys((max(1, units // 2), 2 * units)))
    changes = [{word: width} for width in widths]
    others = [_resized(together, layer, kind, change, inner) for change in changes]

    def row(width: int, job: Callable[[], Any]) -> dict[str, Any]:
        row: dict[str, Any] = {"units": width, "ran": False}
        try:
            other, output = job()
        except Exception as error:
            return row | {
                "why": reason(error),
                "text": f"{width:,} {word}: {reason(error)}",
            }
        row |= {"ran": True, "output": output, "params": count(other)}
        row["state"] = sum(prod(s) for s in kinds.state_sizes(other.cell))
        row["text"] = (
            f"ran it with {width:,} {word}: {row['params']:,} weights, state "
            f"{row['state']:,} numbers, output {returned.text(row['output'])}"
        )
        return row

    return lambda: [row(*pair) for pair in zip(widths, others, strict=True)]


def other_features(together: Together, layer: Any, kind: str, inner: Any) -> Rows:
    """Twice and half the features: only the kernel's rows change."""
    if not isinstance(inner, jax.ShapeDtypeStruct) or not inner.shape:
        why = "each of its steps reads no single row of features"
        return lambda: [{"ran": False, "why": why, "text": why}]
    if getattr(layer.cell, "data_format", "") == "channels_first":
        why = "its channels come first"
        return lambda: [{"ran": False, "why": why, "text": why}]
    *first, d = inner.shape
    widths = list(dict.fromkeys((max(1, d // 2), 2 * d)))
    likes = [jax.ShapeDtypeStruct((*first, d), inner.dtype) for d in widths]
    others = [_resized(together, layer, kind, {}, like) for like in likes]

    def row(d: int, job: Callable[[], Any]) -> dict[str, Any]:
        try:
            other, output = job()
        except Exception as error:
            text = f"D={d} did not run"
            return {"D": d, "ran": False, "why": reason(error), "text": text}
        params = count(other)
        still = "still " if output[-1] == kinds.output_size(layer.cell) else ""
        text = (
            f"ran it with D={d:,}: {params:,} weights, output {still}"
            f"{returned.text(output)}"
        )
        return {"D": d, "ran": True, "output": output, "params": params, "text": text}

    return lambda: [row(*pair) for pair in zip(widths, others, strict=True)]


def _resized(
    together: Together,
    layer: Any,
    kind: str,
    sizes: dict[str, int],
    inner: Any,
) -> Callable[[], Any]:
    """A twin of another size, built and executed: the twin and its output's shape."""
    changes: dict[str, Any] = {"stateful": False, "return_state": False}
    changes |= sizes or {"return_sequences": False}
    for key in ("return_all_states", "time_major"):
        if getattr(layer, key, False):
            changes[key] = False
    if kind in GATES:
        units = int(sizes.get("units") or layer.cell.units)
        cost = count_weights(kind, inner.shape[-1], units, 1)
        if cost > LARGEST_TWIN:
            return _raising(ValueError(f"{cost:,} weights are too many to try"))
    try:
        other = twin(layer, **changes)
        other.build(along((1, 2), inner), **memory.shapes(layer.cell))
    except Exception as error:
        return _raising(error)
    call = lambda x: other(x, **memory.of(layer.cell, 1))  # noqa: E731
    job = together.add(call, ones((1, 2), inner), layer=other)
    return lambda: (other, shapes_of(job())[0])


def variants(
    together: Together, layer: Any, kind: str, t: int, inner: Any
) -> Callable[[], dict[str, Any]]:
    """The layer with other steps, other units and other features."""
    rows = {
        "other_steps": other_steps(together, layer, t, inner),
        "other_units": other_units(together, layer, kind, inner),
        "other_features": other_features(together, layer, kind, inner),
    }
    return lambda: {key: finish() for key, finish in rows.items()}


def sweep(formula: dict[str, Any] | None, kind: str | None) -> list[dict[str, int]]:
    """Weights by units, from the formula: for a plot.

    Args:
        formula: what the layer's numbers say of it.
        kind: which of the three the cell is like.
    """
    if not formula or not kind:
        return []
    units, rest = formula["U"], [formula["bias_rows"], formula["window"]]
    widths = sorted({2**k for k in range(11)} | {units, 2 * units})
    widths = [w for w in widths if w <= max(HIGHEST_SWEEP, 2 * units)]
    counted = [count_weights(kind, formula["D"], w, *rest) for w in widths]
    return [{"units": w, "params": n} for w, n in zip(widths, counted, strict=True)]


def as_bool(mask: Any) -> np.ndarray:
    return np.asarray(mask).astype(bool)
