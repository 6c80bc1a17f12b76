"""Experiments run on the layer itself: change one thing, look at what moves.

Each returns a dict with `ran`, `text` and numbers, or `ran: false` and `why`.
Letters: B T D U.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from unrolled.explain import kinds, shapes
from unrolled.explain.encode import encode, number
from unrolled.explain.trace import Reading, difference, flat, run_layer

Result = dict[str, Any]
MOST_BLANKS = 256
OWN = ("forget", "zero_or_mask", "output_is_h")


def attempt(job: Callable[[], Result]) -> Result:
    """Run an experiment; a failure becomes its reason."""
    try:
        return {"ran": True} | job()
    except Exception as error:  # a stranger's layer may raise anything
        why = shapes.reason(error)
        return {"ran": False, "why": why, "text": f"did not run: {why}"}


def short(value: float) -> str:
    """Three significant digits."""
    return f"{value:.3g}"


def run(
    layer: Any, x: np.ndarray, mask: Any = None, initial: Any = None
) -> tuple[np.ndarray, list[np.ndarray]]:
    reading = Reading(x, mask, initial)
    changes = {"stateful": False, "zero_output_for_mask": False}
    return run_layer(layer, reading, **changes)


def experiments(
    layer: Any, kind: str, reading: Reading, tried_on: str | None = None
) -> dict[str, Result]:
    """Everything that is tried on one example of what the layer really read.

    Where the general experiments already ran on another layer of the model
    (`tried_on`), only those whose numbers differ from layer to layer run again.
    """
    steps = shapes.affordable(layer, reading.x.shape[1], 8)
    x = reading.x[:1, :steps]
    mask = None if reading.mask is None else reading.mask[:1, :steps]
    if mask is not None:  # only steps that are read; the mask has its own experiment
        x = x[:, mask[0]] if mask.any() else x
    back = bool(getattr(layer, "go_backwards", False))
    jobs: dict[str, Callable[[], Result]] = {
        "weights_changed": lambda: weights_changed(layer, x),
        "units_talk": lambda: units_talk(layer, kind, x),
        "fan_in": lambda: fan_in(layer, x),
        "zero_or_mask": lambda: zero_or_mask(layer, kind, x, back),
        "forget": lambda: forget(layer, x, back),
        "rows_independent": lambda: rows_independent(layer, reading.x[:, :steps]),
        "stateful": lambda: stateful(layer, x, back),
        "output_is_h": lambda: output_is_h(layer, x, back),
        "simple_rnn": lambda: simple_rnn(x, kinds.output_size(layer.cell)),
        "every_step": lambda: every_step(layer, x, back),
    }
    if tried_on is None:
        return {key: attempt(job) for key, job in jobs.items()}
    why = f"tried on {tried_on} only, to save time"
    skipped = {"ran": False, "why": why, "text": why}
    return {k: attempt(job) if k in OWN else dict(skipped) for k, job in jobs.items()}


def weights_changed(layer: Any, x: np.ndarray) -> Result:
    kept = [np.asarray(w.value) for w in layer.cell.weights]
    _, one = run(layer, x)
    _, other = run(layer, -x)
    same = all(
        np.array_equal(a, np.asarray(w.value), equal_nan=True)
        for a, w in zip(kept, layer.cell.weights, strict=True)
    )
    moved = difference(one[0], other[0])
    text = (
        f"ran two sequences: the states end {short(moved)} apart, the weights are "
        f"{'the same to the last bit' if same else 'NOT the same'}"
    )
    return {"identical": same, "states_apart": number(moved), "text": text}


def units_talk(layer: Any, kind: str, x: np.ndarray) -> Result:
    if kind not in kinds.GATES:
        raise ValueError(f"a {kind} cell has no known recurrent kernel")
    u, cell = layer.cell.units, layer.cell
    if u == 1:
        raise ValueError("there is only one unit")
    other = shapes.twin_with_weights(
        layer, (None, None, *x.shape[2:]), stateful=False, return_state=False
    )
    kernel = np.array(other.cell.recurrent_kernel.value).reshape(u, -1, u)
    kernel *= np.eye(u)[:, None, :]
    other.cell.recurrent_kernel.assign(kernel.reshape(u, -1))
    whole, cut = run(layer, x)[0], run(other, x)[0]
    change = difference(whole, cut)
    alone = u * kinds.total(kind, x.shape[-1], 1, kinds.bias_rows(cell, kind))
    text = (
        f"cut every connection between different units: h moves by up to "
        f"{short(change)}; {u:,} separate {kind}(1) would have {alone:,} weights, "
        f"{kind}({u}) has {shapes.count(layer):,}"
    )
    return {"max_change": number(change), "separate_params": alone, "text": text}


def fan_in(layer: Any, x: np.ndarray) -> Result:
    """Change one feature of one step: how many outputs move at that step."""
    first = x[:, :1]
    feature = int(np.argmax(np.abs(np.nan_to_num(first[0, 0]))))
    moved = first.copy()
    moved[..., feature] += 0.5
    one, other = run(layer, first)[0], run(layer, moved)[0]
    count = int((one != other).sum())
    wide = one.shape[-1]
    text = (
        f"changed feature {feature} of one step: {count:,} of {wide:,} units moved at "
        "that step"
    )
    return {"feature": feature, "moved": count, "of": wide, "text": text}


def _split(x: np.ndarray, n: int, back: bool) -> tuple[np.ndarray, slice]:
    """What is processed before the last n steps, and where those steps lie."""
    return (
        (x[:, n:], slice(0, n)) if back else (x[:, : x.shape[1] - n], slice(-n, None))
    )


def zero_or_mask(layer: Any, kind: str, x: np.ndarray, back: bool) -> Result:
    if x.shape[1] == 1:
        x = np.concatenate([x, x], 1)
    n = max(1, x.shape[1] // 4)
    start, last = _split(x, n, back)
    zeroed, read = x.copy(), np.ones(x.shape[:2], bool)
    zeroed[:, last], read[:, last] = 0, False
    at = run(layer, start)[1]
    zero_out, zero_end = run(layer, zeroed)
    mask_out, mask_end = run(layer, x, read)
    by_zero = max(difference(a, b) for a, b in zip(at, zero_end, strict=True))
    by_mask = max(difference(a, b) for a, b in zip(at, mask_end, strict=True))
    if kind in kinds.GATES and x.shape[1] > n:  # within one run: exactly nothing moves
        edge = n if back else x.shape[1] - n - 1
        by_mask = difference(mask_out[:, last], mask_out[:, [edge] * n])
    units = np.argsort(-np.abs(zero_out[0, last] - zero_out[0, last][:1]).max(0))[:4]
    units = np.sort(units)
    text = (
        f"the last {n} steps as zeros: the state still moves by up to "
        f"{short(by_zero)}; the same steps masked: it moves by {short(by_mask)}"
    )
    return {
        "steps": n,
        "units": [int(k) for k in units],
        "h_zero": encode(zero_out[0, last][:, units].T, "f32"),
        "h_mask": encode(mask_out[0, last][:, units].T, "f32"),
        "moved_zero": number(by_zero),
        "moved_mask": number(by_mask),
        "text": text,
    }


def forget(layer: Any, x: np.ndarray, back: bool) -> Result:
    """Blank x_t, one t at a time (a batch of blanked copies), and compare the end."""
    t = x.shape[1]
    cost = shapes.affordable(layer, t * MOST_BLANKS, 1, 4 * shapes.BUDGET) // t
    most = max(2, min(t, MOST_BLANKS, cost))
    steps = np.unique(np.linspace(0, t - 1, most).astype(int))
    copies = np.repeat(x, len(steps) + 1, 0)
    copies[np.arange(len(steps)) + 1, steps] = 0
    ends = run(layer, copies)[0][:, 0 if back else -1]
    effect = np.abs(ends[1:] - ends[:1]).reshape(len(steps), -1).max(1)
    said = np.abs(x[0][steps]).reshape(len(steps), -1).max(1) > 0
    spoken = np.where(said, effect, np.inf) if said.any() else effect
    most_at, least_at = int(steps[effect.argmax()]), int(steps[spoken.argmin()])
    text = (
        f"blanked one step at a time: step {most_at + 1} moves the last output most "
        f"(by {short(float(effect.max()))}), step {least_at + 1} least "
        f"(by {short(float(spoken.min()))})"
    )
    return {
        "steps": [int(s) for s in steps],
        "effect": [number(e) for e in effect],
        "most": most_at,
        "least": least_at,
        "text": text,
    }


def rows_independent(layer: Any, x: np.ndarray) -> Result:
    rows = x[:2] if len(x) > 1 else np.concatenate([x, 0.5 * x[:, ::-1]])
    together = run(layer, rows)[0][:1]
    alone = run(layer, rows[:1])[0]
    gap = difference(together, alone)
    text = f"ran a row alone and beside another one: its outputs differ by {short(gap)}"
    return {"max_difference": number(gap), "text": text}


def stateful(layer: Any, x: np.ndarray, back: bool) -> Result:
    """One sequence in two halves, stateful and not, against the whole."""
    if x.shape[1] == 1:
        x = np.concatenate([x, x], 1)
    half = x.shape[1] // 2
    parts = [x[:, :half], x[:, half:]]
    if back:
        parts.reverse()
    whole = run(layer, x)[1]
    fresh = run(layer, parts[1])[1]
    twin = shapes.twin_with_weights(
        layer,
        (1, None, *x.shape[2:]),
        stateful=True,
        return_state=True,
        return_sequences=False,
        **({"return_all_states": False} if hasattr(layer, "return_all_states") else {}),
    )
    twin(jnp.asarray(parts[0]))
    carried = flat(list(twin(jnp.asarray(parts[1])))[1:])
    gap = max(difference(a, b) for a, b in zip(whole, carried, strict=True))
    lost = max(difference(a, b) for a, b in zip(whole, fresh, strict=True))
    text = (
        f"gave one sequence in two halves: with stateful=True it ends where the whole "
        f"one ends (apart by {short(gap)}), without it {short(lost)} away"
    )
    return {
        "carries_max_difference": number(gap),
        "fresh_difference": number(lost),
        "text": text,
    }


def output_is_h(layer: Any, x: np.ndarray, back: bool) -> Result:
    output, final = run(layer, x)
    last = output[:, 0 if back else -1]
    equal = last.shape == final[0].shape and difference(last, final[0]) == 0
    verb = "is" if equal else "is not"
    text = f"compared the last output with the final h: it {verb} the same array"
    return {"equal": bool(equal), "text": text}


def simple_rnn(x: np.ndarray, units: int) -> Result:
    """A SimpleRNN of the same width over the same steps: does it store anything?"""
    import keras

    cell = keras.layers.SimpleRNNCell(units, recurrent_initializer="glorot_uniform")
    start = jnp.zeros((1, units))
    first, other = [start], [start + 0.5]
    same = jnp.asarray(x[:, 0])
    one, two = cell(same, first)[0], cell(same, other)[0]
    gap = difference(flat(one)[0], flat(two)[0])
    text = (
        f"ran SimpleRNN({units}) on the same x_t from two different states: the next h "
        f"differs by {short(gap)}, so it carries {units:,} numbers on"
    )
    return {"state": units, "difference": number(gap), "text": text}


def every_step(layer: Any, x: np.ndarray, back: bool) -> Result:
    import inspect

    import keras

    from unrolled.explain import everystep

    use: Any = keras.ops.tanh
    cell = everystep.EveryStep(layer.cell, use)
    other = keras.layers.RNN(cell, return_sequences=True, go_backwards=back)
    got = flat(other(jnp.asarray(x)))[0]
    got = got[:, ::-1] if back else got
    want = np.tanh(run(layer, x)[0])
    gap = difference(got, want)
    code = inspect.getsource(everystep.EveryStep)
    code += "\nlayer = keras.layers.RNN(EveryStep(cell, use=keras.ops.tanh))"
    text = f"ran this wrapper around the layer's own cell: right to within {short(gap)}"
    return {"code": code, "max_difference": number(gap), "text": text}
