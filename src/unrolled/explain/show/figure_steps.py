"""The cell unrolled over time: one set of weights, a copy per step, arrows of state."""

from __future__ import annotations

from typing import Any

from .figure_parts import (
    INNER,
    MARGIN,
    arrays,
    box,
    heat,
    line,
    read_array,
    shrink,
    swatch,
    text,
)

Facts = dict[str, Any]


def _slots(t: int | None) -> list[int | None]:
    """Which steps are drawn (from 0); None stands for the steps between."""
    if t is None:
        return [0, 1, 2, None]
    return list(range(t)) if t <= 6 else [0, 1, 2, None, t - 2, t - 1]


def unrolled(layer: Facts, y: float) -> tuple[str, float]:
    t = layer["T"]["value"]
    slots = _slots(t)
    back = layer["direction"] == "backward"
    wide = INNER / len(slots)
    wide = min(wide, 240)
    parts = [_weights(layer, y, wide * len(slots))]
    top = y + 92  # of the cells
    tall, low = 116.0, y + 92 + 116 + 46
    two = len(layer["states"]) > 1
    keys = [state["key"] for state in layer["states"]]
    for k, step in enumerate(slots):
        left = MARGIN + k * wide
        middle = left + wide * 0.42
        if step is None:
            parts.append(
                text(
                    left + wide / 2, top + tall / 2 + 6, "· · ·", "lead soft", "middle"
                )
            )
            continue
        parts.append(
            _cell(layer, step, middle, top, tall, k == (len(slots) - 1 if back else 0))
        )
        parts.append(line([(middle, y + 50), (middle, top - 3)], "pin"))
        parts.append(swatch(middle - 9, low, 18, 58, "features"))
        parts.append(
            line(
                [(middle, low - 4), (middle, top + tall + 6)],
                "features-line",
                "features-end",
            )
        )
        parts.append(
            text(middle + 18, low + 34, f"x{_sub(step + 1)}", "soft features-ink")
        )
        parts += _beside(layer, middle - 30, low, top + tall + 6)
        parts.append(
            text(middle, low + 92, f"step {step + 1}", "tiny steps-ink", "middle")
        )
    parts.append(_rails(slots, wide, top, tall, two, keys, back))
    parts.append(_outputs(layer, slots, wide, top, back))
    base = low + 106
    end = MARGIN + wide * len(slots)
    parts.append(line([(MARGIN, base), (end, base)], "steps-line", "steps-end"))
    count = "T steps" if t is None else f"{t:,} step{'' if t == 1 else 's'}"
    note = f"time: {count}" + (", read from the last to the first" if back else "")
    parts.append(text(MARGIN, base + 22, note, "tiny steps-ink"))
    return "".join(parts), base + 22


def _beside(layer: Facts, x: float, low: float, cell: float) -> list[str]:
    """What a step reads beside its features: an arrow of its own."""
    more = layer.get("beside")
    if not more:
        return []
    name = more["name"] or f"{more['size']:,} more"
    return [
        swatch(x - 4, low, 8, 58, "features"),
        line([(x, low - 4), (x, cell)], "features-line", "features-end"),
        text(x, low + 74, name, "tiny features-ink", "middle"),
    ]


def _sub(step: int) -> str:
    return "".join(chr(0x2080 + int(digit)) for digit in str(step))


def _weights(layer: Facts, y: float, wide: float) -> str:
    names = [
        f"{w['name']} {' × '.join(str(k) for k in w['shape'])}"
        for w in layer["weights"]
    ]
    label = f"One set of weights for every step: {layer['numbers']['params']:,}"
    detail = "  ·  ".join(names)
    width = min(INNER, max(wide, 12 + 8.6 * max(len(label), len(detail))))
    room = int(width / 7.2)
    if len(detail) > room:
        detail = detail[: room - 3] + "..."
    return (
        box(MARGIN, y, width, 50, "panel", 6)
        + text(MARGIN + 16, y + 21, label, "head")
        + text(MARGIN + 16, y + 40, detail, "tiny")
    )


def _cell(layer: Facts, step: int, x: float, y: float, tall: float, first: bool) -> str:
    """The cell at one step: a strip of `units` per gate; copies are dashed."""
    gates = [g["key"] for g in layer["gates"] if g["key"] in arrays(layer)]
    wide = 84.0
    parts = [box(x - wide / 2, y, wide, tall, "cell" if first else "copy", 8)]
    if not gates:
        parts.append(text(x, y + tall / 2 + 5, "cell", "soft", "middle"))
        return "".join(parts)
    gap = wide / (len(gates) + 0.4)
    for k, key in enumerate(gates):
        left = x - wide / 2 + gap * (k + 0.7) - 5
        strip = _strip(layer, key, step, left, y + 24, 10, tall - 36)
        parts.append(strip + text(left + 5, y + 17, key, "tiny", "middle"))
    return "".join(parts)


def _strip(
    layer: Facts, key: str, step: int, x: float, y: float, w: float, h: float
) -> str:
    """One state or gate at one step as a column of units, in its real values."""
    values = read_array(layer, key)
    frame = box(x, y, w, h, "units-frame")
    if values is None or step >= values.shape[1]:
        return swatch(x, y, w, h, "units")
    row = arrays(layer)[key]
    bounds = (row["blob"]["min"], row["blob"]["max"])
    column = shrink(values[:, step : step + 1], 40, 1)
    return heat(x, y, w, h, column, bounds, row["scale"] == "diverging") + frame


def _rails(
    slots: list[Any],
    wide: float,
    top: float,
    tall: float,
    two: bool,
    keys: list[str],
    back: bool,
) -> str:
    """Arrows that carry the state from one step to the next."""
    parts = []
    for k in range(len(slots)):
        left = MARGIN + k * wide
        from_x, to_x = left + wide * 0.42 + 44, left + wide + wide * 0.42 - 44
        if slots[k] is None:
            from_x = left + wide * 0.5 + 34
        if k + 1 < len(slots) and slots[k + 1] is None:
            to_x = left + wide * 1.5 - 34
        if k + 1 == len(slots):
            if slots[k] is None:
                continue
            to_x = from_x + 34
        ends = [(to_x, 0.0), (from_x, 0.0)] if back else [(from_x, 0.0), (to_x, 0.0)]
        if k + 1 == len(slots) and back:
            ends = [(to_x, 0.0), (from_x + 2, 0.0)]
        heights = [top + tall * 0.74] + ([top + tall * 0.2] if two else [])
        for key, height in zip(keys, heights, strict=False):
            css, end = ("units-line", "units-end")
            points = [(x, height) for x, _ in ends]
            parts.append(line(points, css, end))
            if k == 0 and slots[0] is not None:
                parts.append(text(from_x + 5, height - 7, key, "tiny units-ink"))
    return "".join(parts)


def _outputs(
    layer: Facts, slots: list[Any], wide: float, top: float, back: bool
) -> str:
    """H drawn as a column of units between the steps, and where the output leaves."""
    parts = []
    many = layer["config"].get("return_sequences")
    main = layer["states"][0]["key"] if layer["states"] else "y"
    last = 0 if back else len(slots) - 1
    for k, step in enumerate(slots):
        if step is None or wide < 150:
            continue
        x = MARGIN + k * wide + wide * 0.42 + 62
        parts.append(box(x - 1, top + 57, 16, 59, "paper"))
        parts.append(_strip(layer, main, step, x, top + 58, 14, 57))
        parts.append(
            text(
                x + 7, top + 134, f"{main}{_sub(step + 1)}", "tiny units-ink", "middle"
            )
        )
        if many or k == last:
            points = [(x + 7, top + 141), (x + 7, top + 166)]
            parts.append(line(points, "units-line", "units-end"))
            parts.append(text(x + 7, top + 182, "output", "tiny units-ink", "middle"))
    return "".join(parts)
