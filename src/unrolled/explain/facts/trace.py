"""Step a layer's own cell over a real input and hold the result to the layer.

The cell is stepped by itself (stepping.py); masks, direction and initial states are
obeyed. The layer itself is executed on the same input, and the two must agree.
Whatever disagrees is not drawn. Letters: B T D U.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..gates import GATES
from . import images, kinds, memory, several
from .doubles import with_flags
from .stepping import (
    Stepper,
    Walk,
    before,
    cell_step,
    combine,
    flat,
    formula_step,
    gate_values,
    initial_states,
    read_weights,
)
from .together import Together, execute, reason

TOLERANCE = {"float16": 1e-2, "bfloat16": 5e-2}


class NotDrawn(Exception):  # noqa: N818  (it is no error of ours)
    """Why a layer has no trace, as one sentence."""


@dataclass
class Reading:
    """What one layer read: x (B,T,D), mask (B,T), states to start from.

    `inner` is what one step reads where that is several arrays (several.py).
    """

    x: np.ndarray
    mask: np.ndarray | None = None
    initial: list[np.ndarray] | None = None
    inner: Any = None


@dataclass
class Trace:
    """Arrays by key, each (B, T, U), in input time; and the stepper that made them.

    `asked` is what each gate reads, where no formula says what it then is.
    """

    states: dict[str, np.ndarray]
    gates: dict[str, np.ndarray]
    pre: dict[str, np.ndarray]
    output: np.ndarray
    initial: list[np.ndarray]
    final: list[np.ndarray]
    layer_output: np.ndarray
    max_difference: float
    tolerance: float
    stepper: Stepper
    notes: list[str] = field(default_factory=list)
    asked: dict[str, np.ndarray] = field(default_factory=dict)


def tolerance(cell: Any, scale: float) -> float:
    name = str(getattr(cell, "compute_dtype", "float32"))
    return TOLERANCE.get(name, 1e-4) * max(1.0, scale)


def calling(layer: Any, reading: Reading, **changes: Any) -> Callable[[Any], Any]:
    """A function of x (B,T,D) that calls a double: outputs and final states.

    Outputs (B,T,P) come in the order of processing.
    """
    wanted: dict[str, Any] = {"return_sequences": True, "return_state": True}
    wanted |= {"stateful": False, "return_all_states": False, "time_major": False}
    wanted |= changes
    kwargs: dict[str, Any] = {}
    if reading.mask is not None:
        kwargs["mask"] = reading.mask
    if reading.initial is not None:
        like = jax.tree.structure(initial_states(layer.cell, 1))
        kwargs["initial_state"] = jax.tree.unflatten(like, list(reading.initial))

    other = with_flags(layer, **wanted)

    def call(x: Any) -> Any:
        rows = jax.tree.leaves(x)[0].shape[0]
        given = jax.tree.map(jnp.asarray, kwargs) | memory.of(layer.cell, rows)
        return other(several.apart(x, reading.inner), **given)

    return call


def in_input_time(layer: Any, result: Any) -> tuple[np.ndarray, list[np.ndarray]]:
    """The outputs (B,T,P) of all steps in input time, and the final states."""
    output, *final = result if isinstance(result, (list, tuple)) else [result]
    output = flat(output)[0]
    if getattr(layer, "go_backwards", False):
        output = output[:, ::-1]
    return output, flat(final)


def run_layer(
    layer: Any, reading: Reading, **changes: Any
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Execute the layer: its outputs in input time, and its final states."""
    call = calling(layer, reading, **changes)
    return in_input_time(layer, execute(call, reading.x, layer=layer))


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


def steppers(layer: Any, kind: str, inner: Any = None) -> Iterator[Stepper]:
    """Ways to step the cell, the cheapest first."""
    cell, back = layer.cell, bool(getattr(layer, "go_backwards", False))
    if kind in GATES and inner is None:
        yield Stepper(cell, formula_step(cell, kind, read_weights(cell)), back)
    own = cell_step(cell)
    yield Stepper(cell, lambda x, states: own(several.apart(x, inner), states), back)


def trace(
    layer: Any, kind: str, reading: Reading, together: Together | None = None
) -> Any:
    """Step the cell and compare.

    Args:
        layer: a recurrent layer, built.
        kind: what kinds.py calls its cell.
        reading: what it read.
        together: where the layer's own execution is to be added. Default: it is
            executed here.

    Returns:
        A Trace; with `together`, a function that returns it once that has run.

    Raises:
        NotDrawn: with the reason (then, too, from the function).
    """
    own = Together(layer) if together is None else together
    job = own.add(calling(layer, reading), reading.x)

    def finish() -> Trace:
        try:
            output, final = in_input_time(layer, job())
            found = _compare(layer, kind, reading, output, final)
        except NotDrawn:
            raise
        except Exception as error:  # a stranger's cell may raise anything
            why = reason(error)
            raise NotDrawn(f"the cell could not be stepped by itself: {why}") from error
        if kinds.gated_as(layer.cell, kind) and reading.inner is None:
            _add_gates(found, layer, kind, reading)
        else:
            _add_asked(found, layer, reading)
        return found

    if together is not None:
        return finish
    own.run()
    return finish()


def _compare(
    layer: Any,
    kind: str,
    reading: Reading,
    output: np.ndarray,
    final: list[np.ndarray],
) -> Trace:
    """The first way of stepping that gives the layer's own numbers."""
    gap, allowed = np.inf, 0.0
    read = np.ones(output.shape[:2], bool) if reading.mask is None else reading.mask
    for stepper in steppers(layer, kind, reading.inner):
        found = stepper.walk(reading.x, reading.mask, reading.initial)
        allowed = tolerance(layer.cell, _scale(found))
        gaps = [difference(found.outputs[read], output[read])]
        gaps += [difference(a, b) for a, b in zip(found.end, final, strict=True)]
        gap = max(gaps)
        if gap <= allowed:
            break
    else:
        raise NotDrawn(
            f"stepping the cell gives other numbers than the layer (they differ by "
            f"{gap:.3g}, more than {allowed:.3g}), so nothing is drawn"
        )
    keys = [state["key"] for state in kinds.states(layer.cell, kind)]
    named = dict(zip(keys, found.states, strict=True))
    kept = output
    if not getattr(layer, "return_sequences", False):
        kept = output[:, 0 if stepper.backwards else -1]
    return Trace(
        named,
        {},
        {},
        found.outputs,
        found.start,
        found.end,
        kept,
        gap,
        allowed,
        stepper,
    )


def _scale(found: Walk) -> float:
    return max(
        float(np.nanmax(np.abs(a), initial=0, where=np.isfinite(a)))
        for a in found.states
    )


def _add_gates(found: Trace, layer: Any, kind: str, reading: Reading) -> None:
    cell, backwards = layer.cell, found.stepper.backwards
    keys = list(found.states)
    old = {
        key: before(found.states[key], start, backwards)
        for key, start in zip(keys, found.initial, strict=True)
    }
    read = np.ones(found.output.shape[:2], bool)
    read = read if reading.mask is None else reading.mask
    with np.errstate(all="ignore"):
        if kind == "convolutional":
            pre, values = images.gate_values(cell, reading.x, old["h"])
        else:
            weights = read_weights(cell)
            pre, values = gate_values(cell, kind, weights, reading.x, old["h"])
        base = kinds.gated_as(cell, kind) or ""
        new = combine(cell, base, values, old)
    gap = max(difference(new[key][read], found.states[key][read]) for key in keys)
    if gap > found.tolerance:
        found.notes.append(
            f"its gates do not follow the {base} formula (they would differ by "
            f"{gap:.3g}); only its states are drawn"
        )
        return
    found.max_difference = max(found.max_difference, gap)
    if kind == "SimpleRNN":
        found.pre = pre
        return
    for key in values:  # a skipped step has no gate values
        shown = read.reshape(*read.shape, *[1] * (values[key].ndim - 2))
        values[key] = np.where(shown, values[key], np.nan)
    found.gates, found.pre = values, pre


def _add_asked(found: Trace, layer: Any, reading: Reading) -> None:
    """What the gates of a cell of another formula read, by their letters.

    The cell's own products say it; what they are put to only its formula knows.
    """
    cell = layer.cell
    if not (getattr(cell, "additive", False) and len(cell.gates) > 1):
        return
    main = next(iter(found.states.values()))
    old = before(main, found.initial[0], found.stepper.backwards)
    constants = cell.get_constants(len(old), False)
    x, h = (jnp.asarray(a.swapaxes(0, 1)) for a in (reading.x, old))
    x = several.apart(x, reading.inner)
    z = cell.project_inputs(x, constants) + cell.project_state(h, constants)
    parts = np.split(np.asarray(z).swapaxes(0, 1), len(cell.gates), axis=-1)
    for letter, values in zip(cell.gates, parts, strict=True):
        if reading.mask is not None:
            values = np.where(reading.mask[..., None], values, np.nan)
        found.asked[letter] = values
