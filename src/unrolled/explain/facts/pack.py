"""Choose what of a trace fits into a page, say so, and encode it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..blobs import decode, encode
from ..gates import GATES, SIGMOID
from . import kinds, several
from .stepping import (
    Stepper,
    formula_step,
    read_weights,
)
from .trace import Reading, Trace, difference

TRACE_BYTES = 2_400_000  # raw bytes of all heat maps of all layers together
EMBED_WEIGHTS = 120_000  # numbers of all layers together
MAX_EXAMPLES, MAX_STEPS, DETAIL_UNITS = 4, 4096, 8
INPUT_NUMBERS = 200_000

LIMITS = {
    "embed_weights": EMBED_WEIGHTS,
    "trace_bytes": TRACE_BYTES,
    "examples": MAX_EXAMPLES,
    "steps": MAX_STEPS,
    "detail_units": DETAIL_UNITS,
}

# What a state or gate is for, by its key in the trace.
MEANINGS = {
    "h": "what the layer says",
    "c": "what it keeps",
    "i": "how much is let in",
    "f": "how much is kept",
    "g": "what could be written",
    "hh": "what could be written",
    "o": "how much is shown",
    "z": "how much stays as it was",
    "r": "how much of h is read",
    "y": "what the cell returns",
}


# Gates by the letters that cells have for them.
_CALLED = {keras: name for gates in GATES.values() for _, keras, name, _ in gates}


def choice(shown: list[int], of: int, noun: str, rule: str) -> dict[str, Any]:
    whole = len(shown) == of
    text = None if whole else f"{len(shown):,} of {of:,} {noun}, {rule}"
    return {"shown": shown, "of": of, "text": text}


def fit(b: int, t: int, u: int, arrays: int, budget: int) -> tuple[int, int, int]:
    """How many examples, steps and units fit; examples give way first."""
    steps = min(t, MAX_STEPS)
    examples = min(b, MAX_EXAMPLES)
    while examples > 1 and examples * steps * u * arrays > budget:
        examples -= 1
    units = u
    if examples * steps * u * arrays > budget:
        units = max(1, budget // (examples * steps * arrays))
        for neat in (1024, 512, 256, 128, 64):
            if neat <= units:
                units = neat
                break
    return examples, steps, min(units, u)


def by_variance(values: np.ndarray) -> np.ndarray:
    """Unit indices by falling variance over examples and steps; ties by index."""
    clean = np.nan_to_num(values.astype("float64"), nan=0.0, posinf=0.0, neginf=0.0)
    return np.argsort(-clean.var((0, 1)), kind="stable")


def pack(
    layer: Any, kind: str, reading: Reading, found: Trace, budget: int
) -> dict[str, Any]:
    """The `trace` facts: see schema.md."""
    main = next(iter(found.states.values()))
    flat = {k: v.reshape(*v.shape[:2], -1) for k, v in found.states.items()}
    b, t = main.shape[:2]
    arrays = _arrays(kinds.gated_as(layer.cell, kind), flat, found)
    # States of a custom cell may differ in width; the widest array has every row.
    widest = max((values for _, values in arrays), key=lambda one: one.shape[-1])
    u = widest.shape[-1]
    examples, steps, units = fit(b, t, u, len(arrays), budget)
    chosen = np.sort(by_variance(widest)[:units]) if units < u else np.arange(u)
    best = by_variance(flat[next(iter(flat))])
    best = best[np.isin(best, chosen)]
    backwards = bool(getattr(layer, "go_backwards", False))

    def cut(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        rows = rows[rows < values.shape[-1]]
        return values[:examples, :steps, rows].transpose(0, 2, 1)  # (E, U, T)

    detail = np.sort(best[:DETAIL_UNITS])
    x = reading.x[:examples, :steps]
    beside = None
    if reading.inner is not None:
        wide = several.features(reading.inner)
        x, beside = x[..., :wide], x[..., wide:]
    mask = None if reading.mask is None else reading.mask[:examples, :steps]
    started = any(np.any(one) for one in found.initial)
    return {
        "drawn": True,
        "check": {
            "max_difference": found.max_difference,
            "tolerance": found.tolerance,
            "text": "the cell, stepped by itself, gives the layer's own outputs and "
            f"final states (largest difference {found.max_difference:.1g})",
        },
        "notes": found.notes,
        "examples": choice(list(range(examples)), b, "examples", "the first"),
        "steps": choice([0, steps], t, "steps", "the first")
        | {"text": None if steps == t else f"the first {steps:,} of {t:,} steps"},
        "units": choice([int(n) for n in chosen], u, "units", "by variance"),
        "order": "right to left" if backwards else "left to right",
        "arrays": [row | {"blob": encode(cut(v, chosen), "u8d")} for row, v in arrays],
        "mask": mask
        if mask is None
        else ["".join("01"[int(m)] for m in row) for row in mask],
        "input": encode(x, "f32" if x.size <= 20_000 else "q16")
        if x.ndim == 3 and x.size <= INPUT_NUMBERS
        else None,
        "beside": None if beside is None else encode(beside, "f32"),
        "input_text": None
        if x.size <= INPUT_NUMBERS
        else f"x_t is not kept: {x.size:,} numbers; at most {INPUT_NUMBERS:,} are",
        "initial": {
            key: encode(cut(one.reshape(len(one), 1, -1), chosen)[..., 0], "f32")
            for key, one in zip(flat, found.initial, strict=True)
        }
        if started
        else None,
        "detail": {
            "units": [int(n) for n in detail],
            "arrays": {row["key"]: encode(cut(v, detail), "f16") for row, v in arrays},
        },
        "best_units": [int(n) for n in best[:64]],
        "output": _output(layer, found, examples, steps),
    }


def _arrays(base: str | None, flat: dict[str, np.ndarray], found: Trace) -> list[Any]:
    rows = []
    for key, values in flat.items():
        name = kinds.state_name(key)
        rows.append(({"key": key, "name": name, "role": "state"}, values))
    for key, _, name, which in GATES.get(base or "", []):
        if key in found.gates:
            role = "gate" if which == SIGMOID else "candidate"
            rows.append(({"key": key, "name": name, "role": role}, found.gates[key]))
    for letter, values in found.asked.items():
        name = f"{_CALLED.get(letter, f'gate {letter}')}, before its activation"
        rows.append(({"key": f"z_{letter}", "name": name, "role": "asked"}, values))
    same = any(
        v.shape == found.output.shape
        and np.array_equal(v, found.output, equal_nan=True)
        for v in flat.values()
    )
    if base is None and not same:
        row = {"key": "y", "name": "output", "role": "output"}
        rows.append((row, found.output.reshape(*found.output.shape[:2], -1)))
    for row, values in rows:
        row["meaning"] = MEANINGS.get(row["key"], "")
        low = np.nanmin(values, initial=0.0, where=np.isfinite(values))
        high = np.nanmax(values, initial=0.0, where=np.isfinite(values))
        gate = row["role"] == "gate" and 0 <= low <= high <= 1
        row["scale"] = "sequential" if gate else "diverging"
    return rows


def _output(layer: Any, found: Trace, examples: int, steps: int) -> Any:
    output = found.layer_output[:examples]
    if getattr(layer, "return_sequences", False):
        output = output[:, :steps]
    return encode(output, "f32") if output.size <= 20_000 else None


def embed(
    layer: Any, kind: str, reading: Reading, found: Trace | None, room: int
) -> dict[str, Any]:
    """The `embedded` facts: weights small enough to recompute from."""
    if kind == "convolutional":
        why = "its products are convolutions; what is shown was recorded when it ran"
        return {"embedded": False, "why": why}
    if kind not in GATES:
        return {"embedded": False, "why": f"a {kind} cell has no known formula"}
    if found is None or not found.pre:
        return {"embedded": False, "why": "its trace could not be verified"}
    gates = kinds.gates(layer.cell, kind)
    own = [gate["activation"] for gate in gates if not gate["computed_as"]]
    if own:
        why = f"its activation, {own[0]}, is not one that this page can compute"
        return {"embedded": False, "why": why}
    weights = read_weights(layer.cell)
    count = sum(w.size for w in weights.values())
    if count > room:
        why = (
            f"{count:,} weights; a page holds at most {EMBED_WEIGHTS:,} in all, so "
            "nothing is recomputed in it"
        )
        return {"embedded": False, "why": why}
    blobs = {key: encode(value, "q16") for key, value in weights.items()}
    stored = {key: decode(blob).astype("float32") for key, blob in blobs.items()}
    # The whole recursion from the stored numbers, as the page does it.
    step = formula_step(layer.cell, kind, stored)
    again = Stepper(layer.cell, step, found.stepper.backwards)
    walk = again.walk(reading.x, reading.mask, found.initial)
    worst = difference(walk.states[0], found.states["h"])
    text = f"recomputed from these stored weights, h differs by at most {worst:.1g}"
    return {"embedded": True, "arrays": blobs, "max_error": worst, "text": text}
