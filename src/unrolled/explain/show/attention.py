"""A cell that looks into a memory, drawn: the way of a step, and what it looked at.

Letters: T S; D features of x, M numbers of an entry of the memory, A of the attention.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..blobs import decode
from ..words import listed, plural
from .figure_parts import box, heat, line, swatch, text, wire

Facts = dict[str, Any]
WIDE = 760


def by(sizes: list[int]) -> str:
    return " × ".join(f"{k:,}" for k in sizes)


def step(layer: Facts, x: float, y: float) -> tuple[str, float]:
    """One step: x and the attention before go in, the output asks, and is answered."""
    looks = layer["attention"]
    first, inner = looks["looks"][0], looks["inner"]
    width = looks["width"]
    parts = [
        swatch(x, y + 96, 34, 58, "features"),
        text(x + 17, y + 172, f"xₜ: {layer['D']:,}", "tiny features-ink", "middle"),
        swatch(x, y + 20, 34, 44, "units"),
        text(x, y + 12, f"aₜ₋₁: {width:,}", "tiny units-ink"),
        wire(x + 38, y + 42, x + 112, y + 100, "units"),
        wire(x + 38, y + 125, x + 112, y + 125, "features"),
        box(x + 116, y + 84, 130, 74, "cell", 8),
        text(x + 181, y + 112, inner["class"], "head", "middle"),
        text(x + 181, y + 132, plural(inner["U"], "unit"), "tiny", "middle"),
        text(x + 181, y + 149, "its states go on", "tiny", "middle"),
        wire(x + 250, y + 121, x + 312, y + 121, "units"),
        text(x + 281, y + 112, f"yₜ: {looks['query']:,}", "tiny units-ink", "middle"),
        box(x + 316, y + 84, 160, 74, "cell", 8),
        text(x + 396, y + 112, "asks the memory", "head", "middle"),
        text(x + 396, y + 134, _asked(looks["looks"]), "tiny", "middle"),
    ]
    entries, wide = first["memory"]
    parts += [
        swatch(x + 335, y + 14, 122, 36, "steps"),
        text(x + 466, y + 28, f"memory: {entries:,} entries", "tiny"),
        text(x + 466, y + 45, f"of {plural(wide, 'number')}, at every step", "tiny"),
        wire(x + 396, y + 52, x + 396, y + 80, "steps"),
        wire(x + 480, y + 121, x + 536, y + 121, "units"),
        text(x + 508, y + 112, f"{first['context']:,}", "tiny units-ink", "middle"),
        text(x + 508, y + 140, "context", "tiny", "middle"),
    ]
    end = x + 540
    if first["attention_layer"] is not None:
        parts += [
            box(end, y + 92, 130, 58, "cell", 8),
            text(end + 65, y + 116, "attention layer", "tiny", "middle"),
            text(end + 65, y + 134, "of yₜ and context", "tiny", "middle"),
            wire(end + 134, y + 121, end + 166, y + 121, "units"),
            line([(x + 276, y + 126), (x + 276, y + 176), (end + 65, y + 176)], "wire"),
            wire(end + 65, y + 176, end + 65, y + 154, "soft"),
        ]
        end += 166
    parts.append(swatch(end + 4, y + 96, 24, 48, "units"))
    parts.append(text(end + 16, y + 88, f"aₜ: {width:,}", "tiny units-ink", "middle"))
    given = "aₜ" if looks["gives"] == "attention" else "yₜ"
    said = f"the output is {given}; the next step reads aₜ beside its x"
    parts.append(text(x + WIDE - 20, y + 200, said, "tiny", "end"))
    return "".join(parts), y + 210


def _asked(looks: list[Facts]) -> str:
    """Who asks."""
    others = f" and {len(looks) - 1} more" if len(looks) > 1 else ""
    return looks[0]["class"].removesuffix("Attention")[:20] + others


def alignments(layer: Facts, x: float, y: float) -> tuple[str, float]:
    """A heat map for each mechanism and head: a row each step, a column each entry."""
    parts = []
    masks = {each["key"]: each["mask"] for each in layer["attention"]["looks"]}
    for one in layer["attention"]["maps"]:
        values = decode(one["blob"])
        rows, columns = values.shape
        side = float(np.clip(620 / columns, 5, 34))
        tall = float(np.clip(side, 9, 26))
        wide, high = columns * side, rows * tall
        parts.append(text(x, y + 14, heading(one), "head"))
        top = float(values.max()) or 1.0
        said = f"entries of the memory →   black: {top:.2g}, the largest share"
        parts.append(text(x + 88, y + 36, said, "tiny"))
        y += 46
        left = x + 88
        parts.append(heat(left, y, wide, high, values / top, (0.0, 1.0), False))
        mask = (masks[one["key"]] or [""])[0]
        for k, count in enumerate(mask[:columns]):
            if count == "0":
                parts.append(box(left + k * side, y, side, high, "skipped"))
                cross = [(left + k * side, y + high), (left + (k + 1) * side, y)]
                parts.append(line(cross, "wire"))
        if layer["trace"]["mask"]:
            for t, read in enumerate(layer["trace"]["mask"][0][:rows]):
                if read == "0":
                    parts.append(box(left, y + t * tall, wide, tall, "skipped"))
        parts.append(box(left, y, wide, high, "steps-frame"))
        every = max(1, -(-rows // 24))
        for t in range(0, rows, every):
            words, at = f"step {t + 1}", y + (t + 0.5) * tall + 4
            parts.append(text(left - 8, at, words, "tiny steps-ink", "end"))
        every = max(1, -(-columns // 20))
        for s in range(0, columns, every):
            at = left + (s + 0.5) * side
            parts.append(text(at, y + high + 16, s + 1, "tiny", "middle"))
        y += high + 40
    return "".join(parts), y


def heading(one: Facts) -> str:
    head = "" if one["head"] is None else f", head {one['head'] + 1} of {one['heads']}"
    cut = ""
    for kept, of in (one["steps"], one["entries"]):
        cut = f", the first {kept:,} of {of:,}" if kept < of else cut
    return f"{one['key']} of {one['class']}{head}{cut}"


def words(layer: Facts) -> str:
    """What the map is."""
    masked = any(
        "0" in (each["mask"] or [""])[0] for each in layer["attention"]["looks"]
    )
    said = (
        "Recorded while the model ran, of the first example: nothing here is computed "
        "again. Each row is a time step, each column an entry of the memory; a tile is "
        "the share that the entry has in the context of that step."
    )
    if masked:
        said += " Crossed out: entries that the mask leaves out; their share is 0."
    return said


def counts(layer: Facts) -> list[tuple[str, str, str, int]]:
    """Every part of the cell: what it is, its arrays, their sizes, its weights."""
    looks = layer["attention"]
    inner = looks["inner"]
    reads = "x and the attention before"
    formula = inner["formula"]
    numeric = formula["numeric"] if formula else f"{inner['params']:,}"
    if looks["mixed_by"]:
        reads = looks["mixed_by"]
    rows = [(f"{inner['class']}, reads {reads}", "", numeric, inner["params"])]
    for each in looks["looks"]:
        rows += [
            (each["class"], w["name"], by(w["shape"]) or "1", w["count"])
            for w in each["weights"]
        ]
        rows += [
            ("attention layer", w["name"], by(w["shape"]), w["count"])
            for w in each["attention_layer"] or []
        ]
    return rows


def sentence(layer: Facts) -> str:
    """What goes in and comes out."""
    looks = layer["attention"]
    d, a = layer["D"], looks["width"]
    joined = f"x ({d:,}) and the attention of the step before ({a:,})"
    if looks["mixed_by"]:
        reads = f"what {looks['mixed_by']} makes of {joined}"
    else:
        reads = f"{joined}, side by side: {d + a:,} numbers"
    shapes = [by(each["memory"]) for each in looks["looks"]]
    memory = shapes[0] if len(set(shapes)) == 1 else listed(shapes)
    return (
        f"The cell inside reads {reads}. Its output asks the memory ({memory} numbers "
        "per example), which is the same at every step."
    )
