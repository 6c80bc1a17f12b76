"""Which inputs are token ids, seen from what ran: which embedding looked them up.

Letters: B batch, T steps, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ..words import plural
from .strip import Place
from .watch import Call


def lookups(found: list[Place], calls: dict[int, list[Call]]) -> list[dict[str, Any]]:
    """Every embedding that ran on ids (B, T): its vocabulary, the ids, its output."""
    rows = []
    for place in found:
        size = getattr(place.layer, "input_dim", None)
        for call in calls.get(id(place.layer)) or []:
            if place.role != "embedding" or not size or call.traced:
                continue
            (ids,) = jax.tree.leaves(call.arguments["x"])[:1] or [None]
            if ids is not None and np.ndim(ids) == 2:
                name = str(place.layer.name)
                row = {"name": name, "size": int(size), "output": call.output}
                rows.append(row | {"ids": np.asarray(ids)})
    return rows


def vocabulary(array: np.ndarray, rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The embedding that looked an input up, and how many ids it does not have."""
    for row in rows:
        if row["ids"].shape == array.shape and np.array_equal(row["ids"], array):
            outside = (array < 0) | (array >= row["size"])
            count = int(outside.sum())
            return {"layer": row["name"], "size": row["size"], "outside": count}
    return None


def note(array: np.ndarray, rows: list[dict[str, Any]]) -> list[str]:
    """A sentence on ids outside of the vocabulary, and what was read in their place."""
    known = vocabulary(array, rows)
    if known is None or not known["outside"]:
        return []
    row = next(one for one in rows if one["name"] == known["layer"])
    where = np.argwhere((array < 0) | (array >= known["size"]))
    b, t = (int(n) for n in where[0])
    read = np.asarray(jax.tree.leaves(row["output"])[0])[b, t]
    there = np.isfinite(read).all()
    what = "the row of another id was read" if there else "it gave NaN"
    first = f"{int(array[b, t]):,}, at step {t + 1} of example {b + 1}; {what}"
    many = f"{plural(known['outside'], 'id')} outside of the vocabulary of "
    size = f"{known['layer']} (0 to {known['size'] - 1:,})"
    return [f"{many}{size}: the first is {first}"]


def read_by(x: Any, arrays: list[np.ndarray], rows: list[dict[str, Any]]) -> int | None:
    """The number of the input whose looked-up tokens a layer reads as x (B, T, D)."""
    if len(jax.tree.leaves(x)) != 1:
        return None
    for row in rows:
        given = jax.tree.leaves(row["output"])[0]
        if given is x or (
            np.shape(given) == np.shape(x) and np.array_equal(given, x, equal_nan=True)
        ):
            same = [
                number
                for number, array in enumerate(arrays)
                if array.shape == row["ids"].shape and np.array_equal(array, row["ids"])
            ]
            return same[0] if same else None
    return None
