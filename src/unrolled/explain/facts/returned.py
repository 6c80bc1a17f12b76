"""What a recurrent layer returns, array by array: what each is, and its axes.

Letters: B batch, T steps, U units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from ...cells.keras_style import as_cell
from ..gates import GATES
from . import kinds

# What is the batch, the steps ... along each axis; None: nothing that has a colour.
Axes = list[str | None]
FLAGS = ("return_sequences", "return_state", "return_all_states")


def flags_of(layer: Any) -> dict[str, bool]:
    """The flags that decide what is returned, as the layer has them."""
    half = layer.forward_layer if kinds.is_bidirectional(layer) else layer
    return {key: bool(getattr(half, key, False)) for key in FLAGS}


def outputs(cell: Any, kind: str) -> list[str]:
    """The names of a step's output: h where it is h, else y."""
    if kind in GATES or kinds.convolved(cell):
        return ["h"] if not getattr(cell, "skip_connection", False) else ["y"]
    try:
        many = len(jax.tree.leaves(as_cell(cell).output_shapes))
    except Exception:  # a stranger's cell may say anything of its output
        many = 1
    return ["y"] if many == 1 else [f"y[{number}]" for number in range(many)]


def meanings(layer: Any, kind: str, flags: dict[str, bool], t: int) -> list[str]:
    """What each returned array is: h_1 .. h_28, h_28, c_28."""
    back = bool(getattr(layer, "go_backwards", False))
    end = 1 if back else t

    def every(key: str) -> str:
        if t == 1:
            return f"{key}_1"
        if back:
            return f"{key}_{t} .. {key}_1 (last step first)"
        return f"{key}_1 .. {key}_{t}"

    given = outputs(layer.cell, kind)
    states = kinds.state_keys(layer.cell, kind)
    whole = flags["return_sequences"]
    result = [every(key) if whole else f"{key}_{end}" for key in given]
    if flags["return_state"]:
        result += [f"{key}_{end}" for key in states]
    if flags.get("return_all_states"):
        result += [every(key) for key in states]
    return result


def of_pair(layer: Any, kind: str) -> list[str]:
    """The same of a Bidirectional: its outputs, then each direction's states."""
    flags = flags_of(layer)
    result = outputs(layer.forward_layer.cell, kind)
    ways = ("forward", "backward")
    if layer.merge_mode is None:
        result = [f"{key} {way}" for way in ways for key in result]
    else:
        result = [f"{key} of both directions" for key in result]
    keys = kinds.state_keys(layer.forward_layer.cell, kind)
    # Of several layers: each one's, forward then backward.
    each = len(keys) // getattr(layer.forward_layer, "num_layers", 1) or 1
    own = [keys[at : at + each] for at in range(0, len(keys), each)]
    for flag, word in (("return_state", "last"), ("return_all_states", "every")):
        if flags[flag]:
            result = result + [
                f"{word} {key} {way}" for some in own for way in ways for key in some
            ]
    return result


def axes_in(layer: Any, rank: int) -> Axes:
    """The axes of the sequence that a recurrent layer reads."""
    return _axes(layer, rank, True, "features")


def axes_out(layer: Any, ranks: Sequence[int]) -> list[Axes]:
    """The axes of each array that a recurrent layer returns."""
    pair = kinds.is_bidirectional(layer)
    half = layer.forward_layer if pair else layer
    flags, ways = flags_of(layer), 2 if pair else 1
    kind = kinds.kind_of(half.cell)
    many = len(outputs(half.cell, kind))
    many *= ways if pair and layer.merge_mode is None else 1
    states = ways * len(kinds.state_sizes(half.cell))
    whole = [flags["return_sequences"]] * many
    whole += [False] * (states * flags["return_state"])
    whole += [True] * (states * flags["return_all_states"])
    if len(whole) != len(ranks):  # a class that returns what it likes
        return [["batch", *[None] * (rank - 1)] for rank in ranks]
    pairs = zip(ranks, whole, strict=True)
    return [_axes(half, rank, steps, "units") for rank, steps in pairs]


def _axes(layer: Any, rank: int, steps: bool, last: str) -> Axes:
    first: Axes = ["batch", "steps"] if steps else ["batch"]
    if steps and getattr(layer, "time_major", False):
        first.reverse()
    half = getattr(layer, "forward_layer", layer)
    image = kinds.convolved(half.cell) is not None
    inner: Axes = [None] * max(rank - len(first), 0)
    if inner and not image:
        inner[-1] = last
    return [*first, *inner][:rank]


def text(shape: list[Any], axes: Axes | None = None) -> str:
    """A shape as text, the batch as B, an open number of steps as T."""
    axes = axes or ["batch", *[None] * (len(shape) - 1)]
    parts = []
    for size, axis in zip(shape, axes, strict=True):
        open_ended = "T" if axis == "steps" else "?"
        parts.append(
            "B" if axis == "batch" else open_ended if size is None else f"{size}"
        )
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
