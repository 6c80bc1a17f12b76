"""The ledger of a unit: every term of a gate's sum, at one step.

A gate of one unit adds D input terms, U state terms and its bias. The ledger
lists the largest, the remainder, and the exact sum. Letters: D U.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..blobs import number as exact
from ..gates import GATES
from . import images, kinds
from .activations import activation_name
from .stepping import before, read_weights
from .trace import Reading, Trace

LARGEST = 6


def number(value: Any) -> Any:
    """A JSON number with the nine digits that tell float32 values apart."""
    value = exact(value)
    return float(f"{value:.9g}") if isinstance(value, float) else value


def ledger(
    layer: Any,
    kind: str,
    reading: Reading,
    found: Trace,
    unit: int,
    step: int,
    row: int,
) -> dict[str, Any]:
    """One unit at one step of one example; sums in float64."""
    cell, u = layer.cell, layer.cell.units
    w = {key: value.astype("float64") for key, value in read_weights(cell).items()}
    backwards = bool(getattr(layer, "go_backwards", False))
    h = before(found.states["h"], found.initial[0], backwards)[row, step]
    x = reading.x[row, step].astype("float64")
    h = h.astype("float64")
    bias = np.zeros((1, w["kernel"].shape[1]))
    if "bias" in w:
        bias = np.atleast_2d(w["bias"])
    gates = []
    for k, (key, *_) in enumerate(GATES[kind]):
        column = k * u + unit
        x_terms = w["kernel"][:, column] * x
        weight, source, label, scale = w["recurrent_kernel"][:, column], h, "h", None
        if kind == "GRU" and key == "hh":
            r_all = found.gates["r"][row, step].astype("float64")
            if cell.reset_after:
                scale = float(r_all[unit])
            else:
                source, label = r_all * h, "r*h"
        share = 1.0 if scale is None else scale
        h_terms = weight * source * share
        biases = [float(b) for b in bias[:, column]] if "bias" in w else []
        terms = [
            ("x", n, w["kernel"][n, column], x[n], x_terms[n]) for n in range(len(x))
        ]
        terms += [(label, n, weight[n], source[n], h_terms[n]) for n in range(u)]
        gates.append((terms, biases, scale))
    return _closed(cell, kind, found, (row, step, unit), gates)


def ledger_of_image(
    cell: Any, reading: Reading, found: Trace, place: Any, unit: int, step: int
) -> dict[str, Any]:
    """The same of one channel at one position of the first example.

    Args:
        cell: a cell of images.
        reading: what it read, whole images.
        found: its trace, of whole images.
        place: the position.
        unit: the channel of h.
        step: t.
    """
    kind = kinds.gated_as(cell, "convolutional") or ""
    added = images.terms(cell, reading, found, place, unit, step)
    gates = [(terms, biases, None) for terms, biases in added]
    one = images.of_place(cell, reading, found, place)[1]
    return _closed(cell, kind, one, (0, step, unit), gates)


def _closed(
    cell: Any, kind: str, found: Trace, at: tuple[int, int, int], gates: list[Any]
) -> dict[str, Any]:
    """Sums of terms (from, index, weight, value, product), and the gates themselves."""
    row, step, unit = at
    rows = []
    for (key, _, name, which), (terms, biases, scale) in zip(
        GATES[kind], gates, strict=True
    ):
        share = 1.0 if scale is None else scale
        scaled = [b * (share if n == 1 else 1.0) for n, b in enumerate(biases)]
        terms = sorted(terms, key=lambda term: (-abs(term[4]), term[0], term[1]))
        rest = float(sum(term[4] for term in terms[LARGEST:]))
        total = float(sum(term[4] for term in terms)) + sum(scaled)
        pre = float(found.pre[key][row, step, unit])
        value = found.gates[key] if key in found.gates else found.states["h"]
        rows.append(
            {
                "key": key,
                "name": name,
                "activation": activation_name(getattr(cell, which, None)),
                "terms": [
                    {
                        "from": term[0],
                        "index": term[1],
                        "weight": number(term[2]),
                        "value": number(term[3]),
                        "product": number(term[4]),
                    }
                    for term in terms[:LARGEST]
                ],
                "rest": {"count": max(len(terms) - LARGEST, 0), "sum": number(rest)},
                "bias": [number(b) for b in biases],
                "scaled_by": number(scale),
                "sum": number(total),
                "pre_activation": number(pre),
                "value": number(value[row, step, unit]),
                "difference": number(abs(total - pre)),
            }
        )
    return {"unit": int(unit), "step": int(step), "example": int(row), "gates": rows}


def ledgers(
    layer: Any, kind: str, reading: Reading, found: Trace, units: list[int], steps: int
) -> list[dict[str, Any]]:
    """A few ledgers: the liveliest units at the first, middle and last read step."""
    base = kinds.gated_as(layer.cell, kind)
    if base is None or not found.pre:
        return []
    read = np.ones(steps, bool)
    if reading.mask is not None:
        read = reading.mask[0, :steps]
    steps_read = np.flatnonzero(read)
    if not steps_read.size:
        return []
    chosen = sorted({int(steps_read[k]) for k in (0, len(steps_read) // 2, -1)})
    place = images.liveliest(layer.cell, found.states["h"]) if base != kind else None
    return [
        ledger(layer, kind, reading, found, unit, step, 0)
        if place is None
        else ledger_of_image(layer.cell, reading, found, place, unit, step)
        for unit in units[:2]
        for step in chosen
    ]
