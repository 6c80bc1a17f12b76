"""Cells that look into a memory: how each mechanism looks, and what it looked at.

Letters: B T S; D features of x, Q width of the query, M that of the memory, A that of
the attention.
"""

from __future__ import annotations

from math import prod
from typing import Any

import jax
import numpy as np

from ... import attention as room
from ...cells.affine import row_width
from ..blobs import encode
from . import kinds, memory
from .activations import activation_name

MOST_STEPS, MOST_ENTRIES, MOST_HEADS = 96, 96, 4
# What a score is, by class: the first that fits. k_s is the key of entry s.
SCORES: list[tuple[str, str]] = [
    ("LocationAttention", "score_s = v . tanh(q + k_s + f_s W_f + b)"),
    ("BahdanauAttention", "score_s = v . tanh(q + k_s)"),
    ("MultiHeadAttention", "score_s = q . k_s / sqrt(K), in each head"),
    ("DotAttention", "score_s = q . k_s"),
]


def cells_of(cell: Any) -> list[Any]:
    """The attention cells in a cell: itself, those it is around, those of a stack."""
    parts = cell._flatten_layers() if hasattr(cell, "_flatten_layers") else [cell]
    return [one for one in parts if isinstance(one, room.AttentionCell)]


def look(layer: dict[str, Any], cell: Any, mask: Any) -> dict[str, Any] | None:
    """What is said of a layer whose cell looks into a memory; None where none does.

    Args:
        layer: the layer's facts so far.
        cell: its cell, built.
        mask: the memory's, as the call came with it.
    """
    found = cells_of(cell)
    shapes = jax.tree.leaves(
        memory.shapes(cell).get("memory_shape"), is_leaf=lambda s: isinstance(s, tuple)
    )
    if len(found) != 1 or not shapes or not found[0].built:
        return None
    (one,) = found
    inner, widths = one.cell, one.own_states
    kind = kinds.kind_of(inner)
    params = sum(prod(w.shape) for w in inner.weights)
    shapes = shapes if len(shapes) > 1 else shapes * len(one.mechanisms)
    masks = mask if isinstance(mask, (list, tuple)) else [mask] * len(shapes)
    reads = inner.kernel.shape[0] if kind in kinds.GATES else None
    looks = [
        _mechanism(one, n, [int(k) for k in shapes[n][1:]], masks[n])
        for n in range(len(one.mechanisms))
    ]
    keys = [s["key"] for s in layer["states"]]
    for n, each in enumerate(looks):  # a stack puts the place of the cell behind a name
        name = f"alignments_{n}" if len(looks) > 1 else "alignments"
        each["key"] = next((key for key in keys if key.startswith(name)), None)
    return {
        "inner": {
            "class": type(inner).__name__,
            "U": kinds.width(inner),
            "reads": None if reads is None else int(reads),
            "params": params,
            "formula": kinds.formula(inner, kind, int(reads or 0), params),
        },
        "query": row_width(inner, one),
        "width": int(widths["attention"][0]),
        "mixed_by": None if one.cell_input_fn is None else "a function of its own",
        "gives": "attention" if one.output_attention else "output",
        "looks": looks,
    }


def _mechanism(cell: Any, place: int, shape: list[int], mask: Any) -> Any:
    """One mechanism: its formula, and its weights as parts of it."""
    one, layer = cell.mechanisms[place], cell.attention_layers[place]
    weights = [
        {"name": _called(w), "shape": [int(n) for n in w.shape], "count": prod(w.shape)}
        for w in one.weights
    ]
    made = getattr(layer, "weights", [])
    attention = [
        {"name": _called(w), "shape": [int(n) for n in w.shape], "count": prod(w.shape)}
        for w in made
    ]
    found = None
    if mask is not None:
        found = ["".join("01"[int(n)] for n in row) for row in np.asarray(mask)]
    return {
        "class": type(one).__name__,
        "memory": shape,
        "formula": formula(one),
        "weights": weights,
        "attention_layer": attention if layer is not None else None,
        "context": row_width(one, cell),
        "mask": found,
    }


def _called(weight: Any) -> str:
    """The end of a weight's path: what it belongs to, and its name."""
    return "/".join(str(weight.path).split("/")[-2:])


def formula(mechanism: Any) -> list[str]:
    """How a mechanism looks, line by line; y is the output of the cell inside."""
    names = kinds.names(mechanism)
    score = next((line for name, line in SCORES if name in names), None)
    own = getattr(type(mechanism), "score", None)
    heads = "MultiHeadAttention" in names
    query = "y W_q" if getattr(mechanism, "query_layer", None) or heads else "y"
    keys = "m_s W_k" if getattr(mechanism, "memory_layer", None) or heads else "m_s"
    lines = [f"q = {query}", f"k_s = {keys}"]
    home = own is not None and own.__module__.startswith(room.__name__)
    if score is None or not home:
        score = "score_s = its own function of q and k_s"
    if getattr(mechanism, "normalize", False):
        score = score.replace("v .", "g v / |v| .").replace("k_s)", "k_s + b)")
    if getattr(mechanism, "scale", False):
        score = score.replace("= q", "= g q")
    lines.append(score)
    monotonic = hasattr(mechanism, "score_bias_init")
    if monotonic:
        lines[-1] += " + r"
        lines.append(f"alignments = monotonic, {mechanism.mode}: never back")
    else:
        how = activation_name(getattr(mechanism, "probability_fn", None))
        lines.append(f"alignments = {how}(score)")
    value = "m_s W_v" if heads else "m_s"
    lines.append(f"context = sum over s of alignments_s {value}")
    return lines


def recorded(found: Any, looks: dict[str, Any]) -> list[dict[str, Any]]:
    """The alignments of the first example at every step, each mechanism's and head's.

    Args:
        found: the layer's trace.
        looks: what `look` gave.
    """
    rows = []
    for each in looks["looks"]:
        if each["key"] is None:
            continue
        values = found.states[each["key"]][:1, :MOST_STEPS]
        heads = values[0] if values.ndim > 3 else values[0][:, None]
        _, many, entries = heads.shape
        for head in range(min(many, MOST_HEADS)):
            map_ = heads[:, head, :MOST_ENTRIES]
            rows.append(
                {
                    "key": each["key"],
                    "class": each["class"],
                    "head": head if many > 1 else None,
                    "heads": many,
                    "blob": encode(map_, "f16" if map_.size <= 2_000 else "u8d"),
                    "steps": [map_.shape[0], found.output.shape[1]],
                    "entries": [map_.shape[1], entries],
                }
            )
    return rows
