"""Experiments run on the layer: change one thing, look at what moves.

Where the stepper was held to the layer (trace.py), experiments step it with the
layer's own weights; otherwise they execute the layer. What only the whole layer can
do is in executed.py. Each returns a dict with `ran`, `text` and numbers, or
`ran: false` and `why`. Letters: B T D U.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..blobs import encode, number
from ..gates import GATES, count_weights
from ..words import listed
from . import executed, images, kinds, several, shapes
from .bench import Bench, Result, short
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
    difference,
)

MOST_BLANKS = 256


def attempt(job: Callable[[], Result]) -> Result:
    """Run an experiment; a failure becomes its reason."""
    try:
        with np.errstate(all="ignore"):  # NaN in, NaN out
            return {"ran": True} | job()
    except Exception as error:  # a stranger's layer may raise anything
        why = reason(error)
        return {"ran": False, "why": why, "text": f"did not run: {why}"}


def experiments(
    together: Together,
    layer: Any,
    kind: str,
    reading: Reading,
    moved: set[int],
    tried_on: str | None = None,
) -> Callable[[Trace | None], dict[str, Result]]:
    """Everything that is tried on one example of what the layer really read.

    What the layer itself must execute is added to `together`; the function that
    comes back does the rest. Where the general experiments already ran on another
    layer of the model (`tried_on`), only those whose numbers differ run again.
    `moved` are the ids of weights that changed while the model ran.
    """
    bench = Bench(layer, kind, reading)
    later = executed.prepare(together, bench) if tried_on is None else {}

    def finish(found: Trace | None) -> dict[str, Result]:
        bench.stepper = found.stepper if found else None
        jobs: dict[str, Callable[[], Result]] = {
            "weights_changed": lambda: weights_changed(bench, moved, together),
            "units_talk": lambda: units_talk(bench),
            "fan_in": lambda: fan_in(bench),
            "zero_or_mask": lambda: zero_or_mask(bench),
            "forget": lambda: forget(bench),
            "output_is_h": lambda: output_is_h(bench),
        }
        results = {key: attempt(job) for key, job in (jobs | later).items()}
        if tried_on is None:
            return results
        why = f"tried on {tried_on} only, to save time"
        skipped = {"ran": False, "why": why, "text": why}
        return results | {key: dict(skipped) for key in executed.EXPERIMENTS}

    return finish


def weights_changed(bench: Bench, moved: set[int], together: Together) -> Result:
    """Did the model, or anything that ran on this layer since, assign a weight?"""
    _, one = bench.run(bench.x)
    _, other = bench.run(-bench.x)
    own = {id(w) for w in bench.layer.cell.weights}
    same = not own & moved.union(*(job.assigned for job in together.jobs))
    apart = difference(one[0], other[0])
    text = (
        f"ran two sequences: the states end {short(apart)} apart, the weights are "
        f"{'the same to the last bit' if same else 'NOT the same'}"
    )
    return {"identical": same, "states_apart": number(apart), "text": text}


def units_talk(bench: Bench) -> Result:
    kind, cell, x = bench.kind, bench.layer.cell, bench.x
    if kind == "convolutional":
        raise ValueError("its recurrent kernel goes over images, not from unit to unit")
    if kind not in GATES:
        raise ValueError(f"a {kind} cell has no known recurrent kernel")
    if bench.stepper is None:
        raise ValueError("its cell could not be stepped by itself")
    u = cell.units
    if u == 1:
        raise ValueError("there is only one unit")
    if x.shape[1] < 2:
        raise ValueError("there is only one step, and the first reads no h")
    weights = read_weights(cell)
    kernel = weights["recurrent_kernel"].reshape(u, -1, u)
    own = kernel * np.eye(u, dtype="float32")[:, None, :]
    weights["recurrent_kernel"] = own.reshape(u, -1)
    alone = Stepper(cell, formula_step(cell, kind, weights), bench.back)
    change = difference(bench.run(x)[0], alone.walk(x).outputs)
    separate = u * count_weights(kind, x.shape[-1], 1, kinds.bias_rows(cell, kind))
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
    if bench.kind == "convolutional":
        return _reach(bench)
    row = first[0, 0]
    row = row if bench.inner is None else row[: several.features(bench.inner)]
    feature = int(np.argmax(np.abs(np.nan_to_num(row))))
    moved = first.copy()
    moved[..., feature] += 0.5
    if bench.kind in GATES and bench.stepper is not None:
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


def _reach(bench: Bench) -> Result:
    """Change one channel of one position of an image: which positions of h move."""
    cell, first = bench.layer.cell, bench.x[:, :1]
    sizes = first.shape[2:]
    spot = tuple(n // 2 for n in sizes)
    moved = first.copy()
    moved[(0, 0, *spot)] += 0.5
    apart = (bench.run(first)[0] != bench.run(moved)[0])[0, 0]
    apart = images.by_position(cell, apart)
    count, of = int(apart.sum()), apart.size
    text = (
        f"changed one number of the image of one step: {count:,} of {of:,} positions "
        f"of h moved at that step, those whose window of "
        f"{' x '.join(map(str, cell.kernel_size))} reads it"
    )
    return {"feature": None, "moved": count, "of": of, "text": text}


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
    if bench.kind in GATES and x.shape[1] > n:
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


def output_is_h(bench: Bench) -> Result:
    output, final = bench.run(bench.x)
    last = output[:, 0 if bench.back else -1]
    keys = kinds.state_keys(bench.layer.cell, bench.kind)
    same = [
        key
        for key, state in zip(keys, final, strict=True)
        if last.shape == state.shape and difference(last, state) == 0
    ]
    said = "is the same array" if same else "is not the same array"
    if not same and len(keys) > 1:
        said = "is none of them"
    text = f"compared the last output with the final {listed(same[:1] or keys)}: it "
    return {"equal": bool(same), "state": [*same, None][0], "text": text + said}
