"""Facts as one static figure: self-contained SVG, light and dark, no script.

It reads from top to bottom: the sentence, the axes, the cell unrolled over time
with its weights drawn once, what it read and what h became, the formula.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..blobs import decode
from . import attention, images, style
from .figure_parts import (
    INNER,
    LEVELS,
    MARGIN,
    MAX_COLUMNS,
    MAX_ROWS,
    WIDTH,
    arrays,
    box,
    chips,
    formula,
    heat,
    legend,
    line,
    n,
    paragraph,
    safe,
    shrink,
    text,
    to_scale,
    wrap,
)
from .figure_steps import unrolled

Facts = dict[str, Any]
MOST_LAYERS = 6


def render(facts: Facts, rows: int = MAX_ROWS) -> str:
    """The whole figure as an SVG document, heat maps of at most so many rows."""
    y = 64.0
    body = [text(MARGIN, y, facts["title"], "kicker")]
    stamps = [one["stamp"] for one in facts["inputs"] if one["stamp"]]
    if stamps:
        body.append(_stamp(stamps[0], y))
    if not facts["layers"]:
        body.append(paragraph(MARGIN, y + 44, " ".join(facts["notes"]), "lead", 76, 32))
        y += 130
    for number, layer in enumerate(facts["layers"][:MOST_LAYERS]):
        if number:
            y += 36
            body.append(line([(MARGIN, y), (WIDTH - MARGIN, y)], "rule"))
            y += 20
        piece, y = _layer(layer, facts, y + 28, rows)
        body.append(f'<g role="group" aria-label="{safe(layer["name"])}">{piece}</g>')
    hidden = len(facts["layers"]) - MOST_LAYERS
    if hidden > 0:
        y += 30
        words = f"{MOST_LAYERS} of {len(facts['layers'])} recurrent layers are drawn."
        body.append(text(MARGIN, y, words, "soft"))
    height = y + 48
    summary = " ".join(layer["sentence"] for layer in facts["layers"][:MOST_LAYERS])
    summary = summary or " ".join(facts["notes"])
    patterns = "".join(style.svg_pattern(axis, "uf-") for axis in style.AXES.values())
    arrows = "".join(_arrow_head(key) for key in ("units", "soft", "steps", "features"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="uf" role="img" '
        f'viewBox="0 0 {WIDTH} {n(height)}" width="{WIDTH}" height="{n(height)}" '
        'aria-labelledby="uf-title uf-desc">'
        f'<title id="uf-title">{safe(facts["title"])}, explained</title>'
        f'<desc id="uf-desc">{safe(summary)}</desc>'
        f"<style>{css()}</style><defs>{patterns}{arrows}</defs>"
        f'<rect width="{WIDTH}" height="{n(height)}" class="paper"/>'
        f"{''.join(body)}</svg>\n"
    )


def _stamp(words: str, y: float) -> str:
    wide = len(words) * 7.2 + 24
    x = WIDTH - MARGIN - wide
    return box(x, y - 19, wide, 26, "stamp", 13) + text(
        x + wide / 2, y - 1.5, words, "tiny warn", "middle"
    )


def _layer(layer: Facts, facts: Facts, y: float, most: int) -> tuple[str, float]:
    parts = [text(MARGIN, y, f"{layer['name']} = {layer['code']}"[:110], "code")]
    y += 40
    rows = wrap(layer["sentence"], 84)
    parts.append(paragraph(MARGIN, y, layer["sentence"], "lead", 84, 33))
    y += 33 * (len(rows) - 1) + 34
    parts.append(chips(MARGIN, y, layer))
    y += 40
    for one in layer["collisions"]:
        y += 28
        parts.append(text(MARGIN, y, one["text"] + ".", "soft warn"))
    y += 44
    piece, y = unrolled(layer, y)
    parts.append(piece)
    if layer.get("image"):
        piece, y = _images(layer, facts, y + 46)
    else:
        piece, y = _maps(layer, facts, y + 46, most)
    parts.append(piece)
    if layer.get("attention") and layer["trace"]["drawn"]:
        piece, y = _looks(layer, y + 40)
        parts.append(piece)
    piece, y = _numbers(layer, y + 40)
    return "".join([*parts, piece]), y


def _numbers(layer: Facts, y: float) -> tuple[str, float]:
    numbers = layer["numbers"]
    parts = [text(MARGIN, y, "How many weights, and why", "head")]
    parts.append(formula(MARGIN, y + 46, layer))
    words = ["There is no T in it: any number of steps uses these same weights."]
    state = f"State: {numbers['state_per_example']:,} numbers per example."
    if numbers["per_unit"]:
        words.append(f"Each unit owns {numbers['per_unit']:,} weights. {state}")
    else:
        words.append(state)
    if numbers["multiply_adds_step"]:
        work = f"{numbers['multiply_adds_step']:,} multiply-adds a step"
        if numbers["multiply_adds_sequence"]:
            work += f", {numbers['multiply_adds_sequence']:,} a sequence"
        words.append(work + ".")
    for k, row in enumerate(words):
        parts.append(text(MARGIN, y + 108 + 24 * k, row, "soft"))
    parts.append(to_scale(WIDTH - MARGIN - 330, y, 130, layer))
    rows = max(len(words) - 1, 4) if numbers["formula"] else len(words) - 1
    return "".join(parts), y + 108 + 24 * rows


def _maps(layer: Facts, facts: Facts, y: float, most: int) -> tuple[str, float]:
    """What the layer read and what its state became, on one time axis."""
    trace = layer["trace"]
    if not trace["drawn"]:
        rows = wrap("Not drawn: " + trace["why"] + ".", 120)
        words = paragraph(
            MARGIN, y, "Not drawn: " + trace["why"] + ".", "soft", 120, 22
        )
        return words, y + 22 * (len(rows) - 1)
    x, wide = MARGIN + 74.0, INNER - 74.0 - 20
    steps = trace["steps"]["shown"][1]
    if steps < 12:
        wide = max(120.0, wide * steps / 12)
    stamp = facts["input"]["stamp"]
    tail = f"  ·  {stamp}" if stamp else ""
    parts = []
    if trace["input"]:
        values = decode(trace["input"])[0].T  # (D, T)
        parts.append(
            text(
                MARGIN,
                y,
                f"What it reads: one column of features per step{tail}",
                "head",
            )
        )
        low, high = trace["input"]["min"], trace["input"]["max"]
        tall = float(np.clip(values.shape[0] * 5, 22, 130))
        if low >= 0:  # nothing below zero, as in an image: a ramp of greys
            values, low, high = values / (high or 1.0), 0.0, 1.0
        tiles = shrink(values, most, MAX_COLUMNS)
        parts.append(heat(x, y + 16, wide, tall, tiles, (low, high), low < 0))
        parts.append(box(x, y + 16, wide, tall, "features-frame"))
        parts += _side(y + 16, tall, "features", layer["D"])
        y += 16 + tall + 36
    sizes = {state["key"]: state["size"] for state in layer["states"]}
    for key in list(sizes)[:2]:
        row = arrays(layer)[key]
        values = decode(row["blob"])[0]
        bounds = (row["blob"]["min"], row["blob"]["max"])
        cut = trace["units"]["text"] or ""
        cut = "; ".join(part for part in (cut, trace["steps"]["text"]) if part)
        head = f"{key}, the {row['name']}: one row per unit, one column per step"
        parts.append(
            text(MARGIN, y, head + (f" ({cut})" if cut else "") + tail, "head")
        )
        tall = float(np.clip(values.shape[0] * 3, 40, 260))
        parts.append(
            heat(x, y + 16, wide, tall, shrink(values, most, MAX_COLUMNS), bounds)
        )
        parts.append(_skipped(trace, x, y + 16, wide, tall))
        parts.append(box(x, y + 16, wide, tall, "units-frame"))
        parts += _side(y + 16, tall, "units", sizes[key])
        y += 16 + tall
        parts.append(text(x, y + 20, "1", "tiny steps-ink"))
        if steps > 1:
            parts.append(
                text(x + wide, y + 20, f"step {steps:,}", "tiny steps-ink", "end")
            )
        parts.append(legend(x + max(wide / 2, 80) - 70, y + 10, *bounds))
        if values.shape[1] > MAX_COLUMNS or values.shape[0] > most:
            words = f"drawn as means over at most {most} x {MAX_COLUMNS} tiles"
            parts.append(text(x, y + 40, words, "tiny"))
            y += 16
        y += 56
    return "".join(parts), y - 10


def _looks(layer: Facts, y: float) -> tuple[str, float]:
    """One step of a cell that looks into a memory, and what it looked at."""
    parts = [text(MARGIN, y, "Where it looks", "head")]
    for words in (attention.sentence(layer), attention.words(layer)):
        parts.append(paragraph(MARGIN, y + 26, words, "soft", 120, 22))
        y += 22 * len(wrap(words, 120)) + 8
    piece, y = attention.step(layer, MARGIN, y + 30)
    parts.append(piece)
    piece, y = attention.alignments(layer, MARGIN, y + 20)
    return "".join([*parts, piece]), y


def _images(layer: Facts, facts: Facts, y: float) -> tuple[str, float]:
    """One step in shapes, then whole images as they were recorded."""
    stamp = facts["input"]["stamp"]
    tail = f"  ·  {stamp}" if stamp else ""
    parts = [text(MARGIN, y, "One step, in shapes", "head")]
    piece, y = images.step(layer, MARGIN, y + 16)
    parts += [piece, text(MARGIN, y + 40, f"Images, whole{tail}", "head")]
    if not layer["trace"]["drawn"]:
        why = f"Not drawn: {layer['trace']['why']}."
        return "".join(
            [*parts, paragraph(MARGIN, y + 66, why, "soft", 120, 22)]
        ), y + 80
    said = images.words(layer)
    parts.append(paragraph(MARGIN, y + 64, said, "soft", 120, 22))
    piece, y = images.film(layer, MARGIN, y + 64 + 22 * len(wrap(said, 120)))
    return "".join([*parts, piece]), y


def _side(y: float, tall: float, axis: str, size: int) -> list[str]:
    """The vertical axis of a map."""
    x = MARGIN + 60.0
    return [
        line([(x, y), (x, y + tall)], f"{axis}-line", f"{axis}-end"),
        text(x - 10, y + tall / 2, f"{size:,}", f"tiny {axis}-ink", "end"),
        text(x - 10, y + tall / 2 + 16, axis, f"tiny {axis}-ink", "end"),
    ]


def _skipped(trace: Facts, x: float, y: float, wide: float, tall: float) -> str:
    """A veil with a word over the steps that the mask skips."""
    if not trace["mask"]:
        return ""
    mask = trace["mask"][0]
    step = wide / len(mask)
    parts = []
    k = 0
    while k < len(mask):
        end = k
        while end < len(mask) and mask[end] == "0":
            end += 1
        if end > k:
            parts.append(box(x + k * step, y, (end - k) * step, tall, "skipped"))
            if (end - k) * step > 130:
                middle = x + (k + end) / 2 * step
                parts.append(
                    text(
                        middle,
                        y + tall / 2 + 5,
                        "masked: carried over",
                        "tiny",
                        "middle",
                    )
                )
        k = max(end, k + 1)
    return "".join(parts)


def _arrow_head(key: str) -> str:
    """The marker at the end of a wire of this axis."""
    colour = "var(--soft)" if key == "soft" else f"var(--{key}-fill)"
    return (
        f'<marker id="uf-{key}-end" viewBox="0 0 8 8" refX="7" refY="4" '
        f'markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto">'
        f'<path d="M0 0.6L7.4 4L0 7.4z" fill="{colour}"/></marker>'
    )


def css() -> str:
    """One style sheet; the dark theme follows the reader's own setting."""
    axes = "".join(
        f".uf .{k}-ink{{fill:var(--{k}-ink)}}.uf .{k}-wash{{fill:var(--{k}-wash)}}"
        f".uf .{k}-line{{fill:none;stroke:var(--{k}-fill);stroke-width:1.75}}"
        f".uf .{k}-frame{{fill:none;stroke:var(--{k}-fill);stroke-width:1.5}}"
        for k in style.AXES
    )
    return (
        f".uf{{{_variables('light')}font-family:{style.FONT};"
        "max-width:100%;height:auto}"
        f"@media (prefers-color-scheme:dark){{.uf{{{_variables('dark')}}}}}"
        ".uf .paper{fill:var(--paper)}.uf text{fill:var(--ink);font-size:15px}"
        ".uf .kicker{font-size:15px;font-weight:600;fill:var(--soft);"
        "letter-spacing:.02em}"
        ".uf .lead{font-size:23px;font-weight:500}"
        f".uf .code{{font-family:{style.MONO};font-size:15px;fill:var(--soft)}}"
        ".uf .soft{fill:var(--soft);font-size:14px}"
        ".uf .tiny{font-size:13px;fill:var(--soft)}"
        ".uf .chip{font-size:19px;font-weight:600}.uf .head{font-weight:600}"
        ".uf .sum{font-size:27px;font-weight:500;font-variant-numeric:tabular-nums}"
        ".uf .op{fill:var(--soft);font-weight:400}.uf .strong{font-weight:700}"
        ".uf .warn{fill:var(--warn)}.uf .stamp{fill:none;stroke:var(--warn)}"
        ".uf .panel{fill:var(--panel);stroke:var(--rule)}"
        ".uf .cell{fill:var(--panel);stroke:var(--ink);stroke-width:1.75}"
        ".uf .copy{fill:var(--panel);stroke:var(--soft);stroke-width:1.25;"
        "stroke-dasharray:4 4}"
        ".uf .rule{fill:none;stroke:var(--rule)}"
        ".uf .pin{fill:none;stroke:var(--soft);stroke-dasharray:1.5 4;"
        "stroke-linecap:round}"
        ".uf .wire{fill:none;stroke:var(--soft);stroke-width:1.75}"
        ".uf .window{fill:none;stroke:var(--focus);stroke-width:2}"
        ".uf .skipped{fill:var(--paper);fill-opacity:.55}"
        ".uf .dx,.uf .sx{fill:var(--missing);color:var(--missing)}"
        ".uf .heat path{fill:none;stroke:currentColor}"
        ".uf.wide-figure{min-width:44rem}"
        + axes
        + "".join(
            f".uf .d{k}{{fill:var(--d{k});color:var(--d{k})}}"
            f".uf .s{k}{{color:var(--s{k})}}"
            for k in range(LEVELS)
        )
    )


def _variables(theme: str) -> str:
    steps = [k / (LEVELS - 1) for k in range(LEVELS)]
    maps = (("d", style.DIVERGING), ("s", style.SEQUENTIAL))
    colours = "".join(
        f"--{letter}{k}:{style.ramp(stops[theme], at)};"
        for letter, stops in maps
        for k, at in enumerate(steps)
    )
    return style.css_variables(theme).replace(": ", ":").replace("; ", ";") + colours
