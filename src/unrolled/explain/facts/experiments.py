"""Experiments run on the layer: change one thing, look at what moves.

Where the stepper was held to the layer (trace.py), experiments step it with the
layer's own weights; otherwise they execute the layer. Each returns a dict with
`ran`, `text` and numbers, or `ran: false` and `why`. Letters: B T D U.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ..blobs import encode, number
from . import kinds, shapes
from .stepping import (
    Stepper,
    formula_step,
    gate_values,
    read_weights,
)
from .together import Together, reason
from .trace import (
    Reading,
    Trace,
    calling,
    difference,
    flat,
    in_input_time,
    run_layer,
)

Result = dict[str, Any]
MOST_BLANKS = 256
# The rest is executed on the layer itself, and on one layer of the model only.
OWN = ["weights_changed", "units_talk", "fan_in"]
OWN += ["zero_or_mask", "forget", "output_is_h"]
LEFT_ALONE = {"stateful": False, "zero_output_for_mask": False}


def attempt(job: Callable[[], Result]) -> Result:
    """Run an experiment; a failure becomes its reason."""
    try:
        with np.errstate(all="ignore"):  # NaN in, NaN out
            return {"ran": True} | job()
    except Exception as error:  # a stranger's layer may raise anything
        why = reason(error)
        return {"ran": False, "why": why, "text": f"did not run: {why}"}


def short(value: float) -> str:
    """Three significant digits."""
    return f"{value:.3g}"


class Bench:
    """One layer on which things are tried, and one example of what it read."""

    def __init__(self, layer: Any, kind: str, reading: Reading) -> None:
        self.layer, self.kind = layer, kind
        self.back = bool(getattr(layer, "go_backwards", False))
        steps = shapes.affordable(layer, reading.x.shape[1], 8)
        x = reading.x[:1, :steps]
        mask = None if reading.mask is None else reading.mask[:1, :steps]
        if mask is not None and mask.any():
            x = x[:, mask[0]]  # only steps that are read; the mask has its own turn
        self.x = x
        self.pair = reading.x[:2, :steps]
        self.stepper: Stepper | None = None

    def run(
        self, x: np.ndarray, mask: Any = None
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Outputs (B,T,P) in input time, and the final states."""
        if self.stepper is not None:
            walk = self.stepper.walk(x, mask)
            return walk.outputs, walk.end
        return run_layer(self.layer, Reading(x, mask), **LEFT_ALONE)


def experiments(
    together: Together,
    layer: Any,
    kind: str,
    reading: Reading,
    before: str,
    tried_on: str | None = None,
) -> Callable[[Trace | None], dict[str, Result]]:
    """Everything that is tried on one example of what the layer really read.

    What the layer itself must execute is added to `together`; the function that
    comes back does the rest. Where the general experiments already ran on another
    layer of the model (`tried_on`), only those whose numbers differ run again.
    `before` is the fingerprint of the weights before the model ran.
    """
    bench = Bench(layer, kind, reading)
    later: dict[str, Callable[[], Result]] = {}
    if tried_on is None:
        for key, prepare in (
            ("rows_independent", rows_independent),
            ("stateful", stateful),
            ("simple_rnn", simple_rnn),
            ("every_step", every_step),
        ):
            try:
                later[key] = prepare(together, bench)
            except Exception as error:  # a stranger's layer may raise anything
                later[key] = _failed(error)

    def finish(found: Trace | None) -> dict[str, Result]:
        bench.stepper = found.stepper if found else None
        jobs: dict[str, Callable[[], Result]] = {
            "weights_changed": lambda: weights_changed(bench, before),
            "units_talk": lambda: units_talk(bench),
            "fan_in": lambda: fan_in(bench),
            "zero_or_mask": lambda: zero_or_mask(bench),
            "forget": lambda: forget(bench),
            "output_is_h": lambda: output_is_h(bench),
        }
        if tried_on is None:
            return {key: attempt(job) for key, job in (jobs | later).items()}
        why = f"tried on {tried_on} only, to save time"
        skipped = {"ran": False, "why": why, "text": why}
        own = {key: attempt(jobs[key]) for key in OWN}
        return own | {key: dict(skipped) for key in AT_ONCE}

    return finish


AT_ONCE = ("rows_independent", "stateful", "simple_rnn", "every_step")


def _failed(error: Exception) -> Callable[[], Result]:
    def fail() -> Result:
        raise error

    return fail


def weights_changed(bench: Bench, before: str) -> Result:
    """The weights before the model ran, and after everything that ran since."""
    _, one = bench.run(bench.x)
    _, other = bench.run(-bench.x)
    same = before == shapes.fingerprint(bench.layer)
    moved = difference(one[0], other[0])
    text = (
        f"ran two sequences: the states end {short(moved)} apart, the weights are "
        f"{'the same to the last bit' if same else 'NOT the same'}"
    )
    return {"identical": same, "states_apart": number(moved), "text": text}


def units_talk(bench: Bench) -> Result:
    kind, cell, x = bench.kind, bench.layer.cell, bench.x
    if kind not in kinds.GATES:
        raise ValueError(f"a {kind} cell has no known recurrent kernel")
    if bench.stepper is None:
        raise ValueError("its cell could not be stepped by itself")
    u = cell.units
    if u == 1:
        raise ValueError("there is only one unit")
    weights = read_weights(cell)
    kernel = weights["recurrent_kernel"].reshape(u, -1, u)
    own = kernel * np.eye(u, dtype="float32")[:, None, :]
    weights["recurrent_kernel"] = own.reshape(u, -1)
    alone = Stepper(cell, formula_step(cell, kind, weights), bench.back)
    change = difference(bench.run(x)[0], alone.walk(x).outputs)
    separate = u * kinds.total(kind, x.shape[-1], 1, kinds.bias_rows(cell, kind))
    text = (
        f"cut every connection between different units: h moves by up to "
        f"{short(change)}; {u:,} separate {kind}(1) would have {separate:,} weights, "
        f"{kind}({u}) has {shapes.count(bench.layer):,}"
    )
    return {"max_change": number(change), "separate_params": separate, "text": text}


def fan_in(bench: Bench) -> Result:
    """Change one feature of one step: how many units move at that step.

    Where the gates are known their sums are compared: an activation may hide a move.
    """
    first = bench.x[:, :1]
    feature = int(np.argmax(np.abs(np.nan_to_num(first[0, 0]))))
    moved = first.copy()
    moved[..., feature] += 0.5
    if bench.kind in kinds.GATES and bench.stepper is not None:
        cell = bench.layer.cell
        weights, h = read_weights(cell), np.zeros((1, cell.units), "float32")
        pairs = [
            gate_values(cell, bench.kind, weights, v[:, 0], h) for v in (first, moved)
        ]
        sums = [np.stack(list(pre.values())) for pre, _ in pairs]
        apart = (sums[0] != sums[1]).any((0, 1))
    else:
        apart = (bench.run(first)[0] != bench.run(moved)[0]).any((0, 1))
    count, wide = int(apart.sum()), apart.size
    text = (
        f"changed feature {feature} of one step: {count:,} of {wide:,} units moved at "
        "that step"
    )
    return {"feature": feature, "moved": count, "of": wide, "text": text}


def _split(x: np.ndarray, n: int, back: bool) -> tuple[np.ndarray, slice]:
    """What is processed before the last n steps, and where those steps lie."""
    if back:
        return x[:, n:], slice(0, n)
    return x[:, : x.shape[1] - n], slice(-n, None)


def zero_or_mask(bench: Bench) -> Result:
    x, back = bench.x, bench.back
    if x.shape[1] == 1:
        x = np.concatenate([x, x], 1)
    n = max(1, x.shape[1] // 4)
    start, last = _split(x, n, back)
    zeroed, read = x.copy(), np.ones(x.shape[:2], bool)
    zeroed[:, last], read[:, last] = 0, False
    at = bench.run(start)[1]
    zero_out, zero_end = bench.run(zeroed)
    mask_out, mask_end = bench.run(x, read)
    by_zero = max(difference(a, b) for a, b in zip(at, zero_end, strict=True))
    by_mask = max(difference(a, b) for a, b in zip(at, mask_end, strict=True))
    if bench.kind in kinds.GATES and x.shape[1] > n:
        # Within one run, exactly nothing moves.
        edge = n if back else x.shape[1] - n - 1
        by_mask = difference(mask_out[:, last], mask_out[:, [edge] * n])
    if not all(np.isfinite(a).all() for a in at):  # NaN moves nowhere
        by_zero = by_mask = float("nan")
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


def forget(bench: Bench) -> Result:
    """Blank x_t, one t at a time (a batch of blanked copies), and compare the end."""
    x, t = bench.x, bench.x.shape[1]
    cost = shapes.affordable(bench.layer, t * MOST_BLANKS, 1, 4 * shapes.BUDGET) // t
    most = max(2, min(t, MOST_BLANKS, cost))
    steps = np.unique(np.linspace(0, t - 1, most).astype(int))
    copies = np.repeat(x, len(steps) + 1, 0)
    copies[np.arange(len(steps)) + 1, steps] = 0
    ends = bench.run(copies)[0][:, 0 if bench.back else -1]
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


def rows_independent(together: Together, bench: Bench) -> Callable[[], Result]:
    x = bench.pair
    rows = x if len(x) > 1 else np.concatenate([x, 0.5 * x[:, ::-1]])
    call = calling(bench.layer, Reading(rows), **LEFT_ALONE)
    beside, alone = together.add(call, rows), together.add(call, rows[:1])

    def finish() -> Result:
        one = in_input_time(bench.layer, beside())[0][:1]
        gap = difference(one, in_input_time(bench.layer, alone())[0])
        text = (
            f"ran a row alone and beside another one: its outputs differ by "
            f"{short(gap)}"
        )
        return {"max_difference": number(gap), "text": text}

    return finish


def stateful(together: Together, bench: Bench) -> Callable[[], Result]:
    """One sequence in two halves, stateful and not, against the whole."""
    x, layer = bench.x, bench.layer
    if x.shape[1] == 1:
        x = np.concatenate([x, x], 1)
    half = x.shape[1] // 2
    parts = [x[:, :half], x[:, half:]]
    if bench.back:
        parts.reverse()
    flags = {"stateful": True, "return_state": True, "return_sequences": False}
    for key in ("return_all_states", "time_major"):
        if hasattr(layer, key):
            flags[key] = False
    twin = shapes.twin_with_cell(layer, (1, None, *x.shape[2:]), **flags)

    def both(first: Any, second: Any) -> Any:
        twin(first)
        return list(twin(second))[1:]

    job = together.add(both, *parts, layer=twin)

    def finish() -> Result:
        whole, fresh = bench.run(x)[1], bench.run(parts[1])[1]
        carried = flat(job())
        gap = max(difference(a, b) for a, b in zip(whole, carried, strict=True))
        lost = max(difference(a, b) for a, b in zip(whole, fresh, strict=True))
        text = (
            f"gave one sequence in two halves: with stateful=True it ends where the "
            f"whole one ends (apart by {short(gap)}), without it {short(lost)} away"
        )
        return {
            "carries_max_difference": number(gap),
            "fresh_difference": number(lost),
            "text": text,
        }

    return finish


def output_is_h(bench: Bench) -> Result:
    output, final = bench.run(bench.x)
    last = output[:, 0 if bench.back else -1]
    equal = last.shape == final[0].shape and difference(last, final[0]) == 0
    verb = "is" if equal else "is not"
    text = f"compared the last output with the final h: it {verb} the same array"
    return {"equal": bool(equal), "text": text}


def simple_rnn(together: Together, bench: Bench) -> Callable[[], Result]:
    """A SimpleRNN of the same width over the same step: does it store anything?"""
    import keras

    units = kinds.output_size(bench.layer.cell)
    x = np.nan_to_num(bench.x[:, 0].reshape(1, -1), posinf=0.0, neginf=0.0)
    cell = keras.layers.SimpleRNNCell(
        units, kernel_initializer="zeros", recurrent_initializer="zeros"
    )
    cell.build(x.shape)
    random = np.random.default_rng(0)
    for weight in (cell.kernel, cell.recurrent_kernel):
        wide = np.sqrt(6 / sum(weight.shape))
        weight.assign(random.uniform(-wide, wide, weight.shape).astype("float32"))
    state = np.zeros((1, units), "float32")

    def both(x: Any, one: Any, other: Any) -> Any:
        return cell(x, [one])[0], cell(x, [other])[0]

    job = together.add(both, x, state, state + 0.5, layer=cell)

    def finish() -> Result:
        gap = difference(*flat(job()))
        text = (
            f"ran SimpleRNN({units}) on the same x_t from two different states: the "
            f"next h differs by {short(gap)}, so it carries {units:,} numbers on"
        )
        return {"state": units, "difference": number(gap), "text": text}

    return finish


def every_step(together: Together, bench: Bench) -> Callable[[], Result]:
    import keras

    from . import everystep

    use: Any = keras.ops.tanh
    policy = bench.layer.dtype_policy
    cell = everystep.EveryStep(bench.layer.cell, use, dtype=policy)
    other = keras.layers.RNN(
        cell, return_sequences=True, go_backwards=bench.back, dtype=policy
    )
    other.build(bench.x.shape)
    job = together.add(other, bench.x, layer=other)

    def finish() -> Result:
        got = flat(job())[0]
        got = got[:, ::-1] if bench.back else got
        gap = difference(got, np.tanh(bench.run(bench.x)[0]))
        code = inspect.getsource(everystep.EveryStep)
        code += "\nlayer = keras.layers.RNN(EveryStep(cell, use=keras.ops.tanh))"
        text = (
            f"ran this wrapper around the layer's own cell: right to within "
            f"{short(gap)}"
        )
        return {"code": code, "max_difference": number(gap), "text": text}

    return finish
