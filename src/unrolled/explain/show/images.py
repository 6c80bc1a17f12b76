"""Cells whose states are images, drawn: shapes of one step, and what was recorded.

Time runs to the right; above one another lie h, c, the gates and what is read. Every
tile is one channel of an image. Letters: C channels of x, F of h.
"""

from __future__ import annotations

from typing import Any

from ..blobs import decode
from .figure_parts import box, heat, line, shrink, text

Facts = dict[str, Any]
WIDE, LABELS = 760, 168
SIDE = 16  # tiles of a picture along its longer side


def by(sizes: list[int]) -> str:
    return " × ".join(f"{n:,}" for n in sizes)


def step(layer: Facts, x: float, y: float) -> tuple[str, float]:
    """One step in shapes: windows of x and h, a stack of channels for each gate."""
    image, gates = layer["image"], [gate["key"] for gate in layer["gates"]]
    read, given = by(image["reads"]), by(image["gives"])
    window = by(image["kernel_size"])
    d, u = layer["D"], layer["U"]
    parts = []
    for key, top, sizes, count, axis in (
        ("xₜ", y + 8, read, d, "features"),
        ("hₜ₋₁", y + 108, given, u, "units"),
    ):
        parts.append(_stack(x, top, 52, count, axis))
        parts.append(box(x + 14, top + 18, 18, 18, "window"))
        words = (f"{key}: {sizes} positions", f"{count:,} channel{_s(count)}")
        parts += [
            text(x + 84, top + 20, words[0], f"tiny {axis}-ink"),
            text(x + 84, top + 38, words[1], f"tiny {axis}-ink"),
            text(x + 84, top + 56, f"window {window}", "tiny"),
        ]
        parts.append(line([(x + 236, top + 32), (x + 264, top + 32)], f"{axis}-line"))
        parts.append(text(x + 262, top + 37, "→", f"{axis}-ink"))
    terms = f"{window} × ({d:,} + {u:,})"
    parts += [
        text(x + 290, y + 24, "each gate is an image too:", "soft"),
        text(x + 290, y + 44, f"{given} positions, {u:,} channel{_s(u)}", "soft"),
    ]
    for k, key in enumerate(gates):
        left = x + 290 + k * 74
        parts.append(_stack(left, y + 66, 40, u, "units"))
        parts.append(text(left + 20, y + 138, key, "head", "middle"))
    parts += [
        text(x + 290, y + 162, f"one number of a gate reads {terms} numbers", "tiny"),
        text(x + 290, y + 180, "its weights are the same at every position", "tiny"),
    ]
    carried = [state["key"] for state in layer["states"]]
    left = x + 290 + len(gates) * 74 + 16
    parts.append(text(left - 16, y + 92, "→", "units-ink"))
    for k, key in enumerate(reversed(carried)):
        parts.append(_stack(left + 8 + k * 74, y + 66, 40, u, "units"))
        parts.append(text(left + 28 + k * 74, y + 138, f"{key}ₜ", "head", "middle"))
    return "".join(parts), y + 190


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _stack(x: float, y: float, side: float, count: int, axis: str) -> str:
    """A few sheets, one behind the other: the channels of an image."""
    sheets = min(count, 4)
    parts = []
    for k in reversed(range(sheets)):
        parts.append(box(x + 5 * k, y - 4 * k + 8, side, side, f"{axis}-wash"))
        parts.append(box(x + 5 * k, y - 4 * k + 8, side, side, f"{axis}-frame"))
    return "".join(parts)


def film(layer: Facts, x: float, y: float) -> tuple[str, float]:
    """Whole images at some steps, from h at the top down to what is read."""
    image = layer["image"]
    steps, keys = image["steps"], [row["key"] for row in image["rows"]][::-1]
    # The last key comes first; channels of one stay as they are.
    rows = sorted(image["rows"], key=lambda row: keys.index(row["key"]))
    gap = min(96.0, (WIDE - LABELS) / max(len(steps), 1))
    parts = []
    for k, number in enumerate(steps):
        middle = x + LABELS + gap * k + (gap - 20) / 2
        skipped = " skipped" if number in image["skipped"] else ""
        words = f"step {number + 1}{skipped}"
        parts.append(text(middle, y + 14, words, "tiny steps-ink", "middle"))
    y += 26
    states = [row["key"] for row in rows if row["role"] == "state"]
    for n, row in enumerate(rows):
        first = n == 0 or rows[n - 1]["key"] != row["key"]
        y += 14 if first and n else 0
        values = decode(row["blob"])
        scale = (gap - 20) / max(values.shape[1:])
        wide, tall = values.shape[2] * scale, max(values.shape[1] * scale, 12)
        axis = "features" if row["role"] == "input" else "units"
        if first:
            parts.append(text(x, y + 14, f"{row['key']}, {row['name']}", "head"))
        said = f"channel {row['channel'] + 1} of {row['of']:,}"
        parts.append(text(x, y + 32, said, "tiny"))
        bounds = row["blob"]["min"], row["blob"]["max"]
        low = bounds[0] >= 0
        top = 1.0 if row["role"] == "gate" else bounds[1] or 1.0
        for k in range(len(steps)):
            left = x + LABELS + gap * k
            shown = shrink(values[k] / top if low else values[k], SIDE, SIDE)
            parts.append(heat(left, y, wide, tall, shown, bounds, not low))
            parts.append(box(left, y, wide, tall, f"{axis}-frame"))
            if first and len(image["place"]) < 3:
                parts.append(_marks(image, row, left, y, scale, tall))
            if first and row["key"] in states and k + 1 < len(steps):
                back = layer["direction"] == "backward"
                where = left + wide + 3, y + tall / 2 + 5
                parts.append(text(*where, "←" if back else "→", "units-ink"))
        words = (
            f"{0 if low else -_top(bounds):.2g} to {top if low else _top(bounds):.2g}"
        )
        parts.append(text(x, y + 48, words, "tiny"))
        if row["means_over"] > 1:
            many = row["means_over"]
            parts.append(text(x, y + 62, f"means over {many} × {many}", "tiny"))
        y += max(tall, 54) + 10
    return "".join(parts), y


def _top(bounds: tuple[float, float]) -> float:
    return max(abs(bounds[0]), abs(bounds[1])) or 1.0


def _marks(
    image: Facts, row: Facts, x: float, y: float, scale: float, tall: float
) -> str:
    """The position that the other views show; on x the window that is read for it."""
    small = scale / row["means_over"]
    spans = [[p, p + 1] for p in image["place"]]
    if row["role"] == "input":
        spans = image["windows"]["x"]
    sizes = row["shape"]
    spans = [[0, 1], *spans] if len(spans) == 1 else spans
    (r0, r1), (c0, c1) = (
        [min(max(n, 0), size) for n in span]
        for span, size in zip(spans, sizes, strict=True)
    )
    high = tall if len(image["place"]) == 1 else (r1 - r0) * small
    return box(x + c0 * small, y + r0 * small, (c1 - c0) * small, high, "window")


def place(index: list[int]) -> str:
    """A position and a channel, as people count."""
    axes = ["layer", "row", "column"][-max(len(index) - 1, 1) :]
    axes = ["position"] if len(index) == 2 else axes
    named = zip([*axes, "channel"], index, strict=True)
    return ", ".join(f"{axis} {n + 1}" for axis, n in named)


def captions(layer: Facts) -> list[str]:
    """What the four zooms show."""
    image, u, d = layer["image"], layer["U"], layer["D"]
    steps = layer["T"]["value"]
    read, given = by(image["reads"]), by(image["gives"])
    one = f"channel{_s(u)} of one position"
    window = by(image["kernel_size"])
    rolled = (
        f"One cell. It is called {steps or 'T'} times, on images of {read} positions; "
        f"the images of h that it returns, {given} positions, go back in. Drawn: the "
        f"{u:,} {one}."
    )
    unrolled = (
        f"The same cell, drawn once per step; its windows go over every position with "
        f"one set of weights: {layer['numbers']['params']:,} numbers. Drawn: the {u:,} "
        f"{one}."
    )
    inside = (
        f"Each gate is an image of {given} positions and {u:,} channel{_s(u)}. Drawn: "
        "one position of each. The lit row is one channel."
    )
    unit = (
        f"One number per gate and state. Each gate reads a window of {window} "
        f"positions: {window} × {d:,} numbers of x and {window} × {u:,} of h."
    )
    return [rolled, unrolled, inside, unit]


def words(layer: Facts) -> str:
    """What the tiles are."""
    image = layer["image"]
    some = len(image["steps"]) < image["of"]
    shown = f"{len(image['steps'])} of {image['of']:,} steps" if some else "every step"
    said = (
        f"Recorded while the model ran, at {shown}: nothing here is computed again. A "
        "tile is one channel of an image; channels of h are those that move most."
    )
    if len(image["place"]) < 3:
        said += (
            " Marked is the position whose channels the views by unit show, and on x "
            f"the window of {by(image['kernel_size'])} that is read for it."
        )
    return said


def standalone(body: str, tall: float, label: str, wide: float = WIDE) -> str:
    """A figure of its own in the page, in the colours of the static one."""
    return (
        f'<svg class="uf wide-figure" viewBox="0 0 {wide:g} {tall:g}" '
        f'width="{wide:g}" height="{tall:g}" role="img" aria-label="{label}">{body}'
        "</svg>"
    )
