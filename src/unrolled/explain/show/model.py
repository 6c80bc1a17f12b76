"""What goes from layer to layer, drawn: states that arrive, and sizes to scale."""

from __future__ import annotations

from typing import Any

from ..blobs import decode
from .figure_parts import arrays, box, heat, shrink, swatch, text, wire

Facts = dict[str, Any]
WIDE = 760
BAR = 560.0


def handed(facts: Facts) -> list[tuple[Facts, Facts]]:
    """Pairs of layers of which one's final state starts the other, both drawn."""
    of_node: dict[str, list[Facts]] = {}
    for layer in facts["layers"]:
        of_node.setdefault(layer["node"], []).append(layer)
    pairs = []
    for edge in facts["strip"]["edges"]:
        ends = [of_node.get(edge[key], []) for key in ("from", "to")]
        if edge["kind"] != "state" or [len(one) for one in ends] != [1, 1]:
            continue
        (source,), (target,) = ends
        if source["trace"]["drawn"] and target["trace"].get("initial"):
            pairs.append((source, target))
    return pairs


def arrival(source: Facts, target: Facts, x: float, y: float) -> tuple[str, float]:
    """The last state of one layer beside the first of another, number by number."""
    back = source["direction"] == "backward"
    steps = source["T"]["value"]
    last = 1 if back else steps
    parts = []
    held = arrays(source)
    keys = [key for key in target["trace"]["initial"] if key in held]
    keys = [key for key in keys if held[key]["role"] == "state"]
    parts += [
        text(
            x + 110, y + 16, f"{source['name']}, after step {last:,}", "head", "middle"
        ),
        text(x + 470, y + 16, f"{target['name']}, before step 1", "head", "middle"),
    ]
    for k, key in enumerate(keys):
        top = y + 34 + k * 116
        bounds = held[key]["blob"]["min"], held[key]["blob"]["max"]
        series = decode(held[key]["blob"])[0]
        start = decode(target["trace"]["initial"][key])[0]
        column = series[:, :1] if back else series[:, -1:]
        for middle, values in ((x + 110, column), (x + 470, start[:, None])):
            tall = 84.0
            shown = shrink(values, 64, 1)
            parts.append(heat(middle - 14, top, 28, tall, shown, bounds))
            parts.append(box(middle - 14, top, 28, tall, "units-frame"))
            size = f"{values.shape[0]:,}"
            parts.append(text(middle + 22, top + 46, size, "tiny units-ink"))
        parts.append(text(x + 60, top + 46, key, "head"))
        parts.append(wire(x + 160, top + 42, x + 440, top + 42, "units"))
        words = f"the first {key} of {target['name']}"
        parts.append(text(x + 300, top + 34, words, "tiny", "middle"))
    return "".join(parts), y + 34 + max(len(keys), 1) * 116


def read(facts: Facts) -> list[tuple[Facts, Facts]]:
    """Embeddings, and the recurrent layers that read what they give."""
    nodes = {node["id"]: node for node in facts["strip"]["nodes"]}
    next_to: dict[str, list[str]] = {}
    for edge in facts["strip"]["edges"]:
        if edge["kind"] == "data":
            next_to.setdefault(edge["from"], []).append(edge["to"])
    of_node = {layer["node"]: layer for layer in reversed(facts["layers"])}
    pairs = []
    for node in nodes.values():
        if not node.get("vocabulary"):
            continue
        seen, at = {node["id"]}, [node["id"]]
        while at:
            for other in next_to.get(at.pop(), []):
                if other in of_node:
                    pairs.append((node, of_node[other]))
                elif other not in seen:
                    at.append(other)
                seen.add(other)
    return pairs


def scale(node: Facts, layer: Facts, x: float, y: float) -> tuple[str, float]:
    """Vocabulary, features and units as bars of one scale, and their arrays."""
    v, u = node["vocabulary"], layer["U"]
    d = next((s[-1] for s in (node["ran_out"] or node["out"]) if s), None) or layer["D"]
    most = max(v, d, u)
    parts = [text(x, y + 14, f"{node['name']}, then {layer['name']}", "head")]
    y += 28
    for size, words, axis in (
        (v, f"V = {v:,} tokens in the vocabulary: rows of the table", "batch"),
        (d, f"D = {d:,} numbers for each: what one step reads", "features"),
        (u, f"U = {u:,} units of the cell, a choice of its own", "units"),
    ):
        wide = max(size / most * BAR, 1.0)
        parts += [
            swatch(x, y, wide, 18, axis),
            text(x, y + 34, words, f"tiny {axis}-ink"),
        ]
        y += 46
    weights = layer["numbers"]["params"]
    total = max(node["params"], weights)
    parts.append(text(x, y + 12, "Their weights, to a scale of their own", "tiny"))
    y += 20
    for count, words, axis in (
        (node["params"], f"{v:,} × {d:,} = {node['params']:,} in the table", "batch"),
        (weights, f"{weights:,} in {layer['name']}", "units"),
    ):
        parts += [
            swatch(x, y, max(count / total * BAR, 1.0), 14, axis),
            text(x, y + 29, words, f"tiny {axis}-ink"),
        ]
        y += 40
    return "".join(parts), y
