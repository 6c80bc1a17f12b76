"""What is said below the figure with four zooms, of each recurrent layer."""

from __future__ import annotations

from typing import Any

from ..words import plural
from . import images

Facts = dict[str, Any]


def captions(layer: Facts) -> list[str]:
    """One for each zoom: rolled, unrolled, inside a step, one unit."""
    if layer.get("image"):
        return images.captions(layer)
    u, t = layer["U"], layer["T"]["value"]
    times = f"{t:,}" if t else "T"
    rolled = (
        f"One cell, {plural(u, 'unit')} wide. It is called {times} times; what it "
        "returns goes back in."
    )
    unrolled = (
        "The same cell, drawn once per step. The weights are drawn once, because there "
        f"is one set: {layer['numbers']['params']:,} numbers. Dashed boxes are "
        "drawings, not cells."
    )
    inside = (
        "What this cell does inside is its own; these are its states, before and after "
        "the step."
    )
    unit = (
        "One row of each state, before and after the step. Which numbers it was made "
        "from, only the cell knows."
    )
    if layer["gates"]:
        each = ", one of c, one of h" if len(layer["states"]) > 1 else " and one of h"
        inside = (
            f"Inside a step each box emits exactly {plural(u, 'number')}, one per "
            "unit. The lit row is one unit."
        )
        unit = (
            f"One number per gate{each}. Each gate reads all "
            f"{plural(layer['D'], 'feature')} and all of h ({u:,})."
        )
    return [rolled, unrolled, inside, unit]
