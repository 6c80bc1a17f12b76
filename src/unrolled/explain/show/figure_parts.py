"""Pieces of the figure: strings of SVG at a place, coloured by CSS variables.

Letters: B T D U. Time runs to the right, units run down.
"""

from __future__ import annotations

import textwrap
from itertools import pairwise
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from ..blobs import decode
from . import style
from .text import clean

Facts = dict[str, Any]
LEVELS = 15  # odd: the middle level is zero
WIDTH, MARGIN = 1120, 56
INNER = WIDTH - 2 * MARGIN
MAX_COLUMNS, MAX_ROWS = 160, 128


def safe(text: Any) -> str:
    """Escaped text without characters that XML forbids."""
    kept = (
        c
        for c in clean(text)
        if c not in "\ufffe\uffff" and not 0xD800 <= ord(c) < 0xE000
    )
    return escape("".join(kept), {'"': "&quot;"})


def n(value: float) -> str:
    """A coordinate with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def text(x: float, y: float, words: Any, css: str = "", anchor: str = "start") -> str:
    tail = "" if anchor == "start" else f' text-anchor="{anchor}"'
    look = f' class="{css}"' if css else ""
    return f'<text x="{n(x)}" y="{n(y)}"{look}{tail}>{safe(words)}</text>'


def wrap(words: str, characters: int) -> list[str]:
    return textwrap.wrap(clean(words), characters) or [""]


def paragraph(
    x: float, y: float, words: str, css: str, characters: int, line: float
) -> str:
    rows = wrap(words, characters)
    return "".join(text(x, y + k * line, row, css) for k, row in enumerate(rows))


def box(x: float, y: float, w: float, h: float, css: str, r: float = 0) -> str:
    round_ = f' rx="{n(r)}"' if r else ""
    return (
        f'<rect x="{n(x)}" y="{n(y)}" width="{n(w)}" height="{n(h)}"{round_} '
        f'class="{css}"/>'
    )


def line(points: list[tuple[float, float]], css: str, end: str = "") -> str:
    path = "M" + "L".join(f"{n(x)} {n(y)}" for x, y in points)
    marker = f' marker-end="url(#uf-{end})"' if end else ""
    return f'<path d="{path}" class="{css}"{marker}/>'


def wire(x: float, y: float, to_x: float, to_y: float, axis: str) -> str:
    """A line with a head of its own, for where no marker of the figure is."""
    along = np.array([to_x - x, to_y - y])
    along = along / max(float(np.hypot(*along)), 1e-9)
    across = np.array([-along[1], along[0]])
    tip = np.array([to_x, to_y])
    left, right = (tip - 8 * along + side * 4 * across for side in (1, -1))
    css = "wire" if axis == "soft" else f"{axis}-line"
    ends = [(float(a), float(b)) for a, b in (left, tip, right)]
    return line([(x, y), (to_x, to_y)], css) + line(ends, css)


def swatch(x: float, y: float, w: float, h: float, axis: str) -> str:
    """An area in an axis's tint and pattern."""
    return (
        box(x, y, w, h, f"{axis}-wash", 3)
        + f'<rect x="{n(x)}" y="{n(y)}" width="{n(w)}" height="{n(h)}" rx="3" '
        f'fill="url(#uf-{axis})" stroke="var(--{axis}-fill)"/>'
    )


def chips(x: float, y: float, layer: Facts) -> str:
    """The four axes: pattern, size, name, and what the axis means."""
    parts = []
    for chip in layer["axes"]:
        axis = style.AXES[chip["key"]]
        size = "any" if chip["size"] is None else f"{chip['size']:,}"
        key = chip["key"]
        parts.append(swatch(x, y, 40, 40, key))
        label = f"{axis.letter} = {size}"
        parts.append(text(x + 52, y + 17, label, f"chip {key}-ink"))
        parts.append(text(x + 52, y + 36, axis.label, "soft"))
        x += 52 + max(104.0, len(label) * 11.5) + 24
    return "".join(parts)


def quantise(
    values: np.ndarray, low: float, high: float, diverging: bool
) -> np.ndarray:
    """Level per value (0..14); -1 where the value is not a finite number."""
    if diverging:
        top = max(abs(low), abs(high)) or 1.0
        share = values / top / 2 + 0.5
    else:
        share = values
    with np.errstate(invalid="ignore"):
        level = np.clip(np.rint(share * (LEVELS - 1)), 0, LEVELS - 1)
    return np.where(np.isfinite(values), np.nan_to_num(level), -1).astype(int)


def shrink(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Means over equal bins, so that nothing larger than rows x columns is drawn."""
    for axis, most in ((0, rows), (1, columns)):
        size = values.shape[axis]
        if size > most:
            edges = np.linspace(0, size, most + 1).astype(int)[:-1]
            sizes = np.diff([*edges, size])
            shape = (-1, 1) if axis == 0 else (1, -1)
            values = np.add.reduceat(values, edges, axis) / sizes.reshape(shape)
    return values


def heat(
    x: float,
    y: float,
    w: float,
    h: float,
    values: np.ndarray,
    bounds: tuple[float, float],
    diverging: bool = True,
) -> str:
    """Rows x columns as one path per level; equal neighbours become one run."""
    levels = quantise(values, *bounds, diverging)
    rows, columns = levels.shape
    paths: dict[int, list[str]] = {}
    for r in range(rows):
        row = levels[r]
        edges = [0, *(np.flatnonzero(np.diff(row)) + 1), columns]
        for a, b in pairwise(edges):
            run = f"M{a} {r}h{b - a}"  # a stroke one tile thick: half an area's bytes
            paths.setdefault(int(row[a]), []).append(run)
    family = "d" if diverging else "s"
    body = "".join(
        f'<path class="{family}{level if level >= 0 else "x"}" d="{"".join(runs)}"/>'
        for level, runs in sorted(paths.items())
    )
    scale = f"scale({w / columns:.5f} {h / rows:.5f})"
    where = f'transform="translate({n(x)} {y + h / rows / 2:.3f}) {scale}"'
    return f'<g class="heat" {where} shape-rendering="crispEdges">{body}</g>'


def legend(x: float, y: float, low: float, high: float) -> str:
    """The value scale: minus, zero, plus."""
    top = max(abs(low), abs(high)) or 1.0
    w = 9.0
    parts = [
        f'<rect x="{n(x + k * w)}" y="{n(y)}" width="{n(w + 0.5)}" height="12" '
        f'class="d{k}"/>'
        for k in range(LEVELS)
    ]
    end = x + LEVELS * w
    parts.append(text(x - 6, y + 11, f"−{top:.2g}", "tiny", "end"))
    parts.append(text((x + end) / 2, y + 25, "0", "tiny", "middle"))
    parts.append(text(end + 6, y + 11, f"+{top:.2g}", "tiny"))
    return "".join(parts)


def arrays(layer: Facts) -> dict[str, Facts]:
    return {row["key"]: row for row in layer["trace"].get("arrays", [])}


def formula(x: float, y: float, layer: Facts) -> str:
    """The sum with each number in its axis's colour, and what each number is."""
    facts = layer["numbers"]["formula"]
    if not facts:
        total = f"{layer['numbers']['params']:,}"
        return text(x, y, total, "sum") + text(x, y + 24, "weights in all", "soft")
    pieces = []
    if facts["G"] > 1:
        pieces += [(f"{facts['G']}", "", "gates"), ("×", "op", "")]
    pieces += [
        (f"{facts['U']:,}", "units-ink", unit_words(layer)[0]),
        ("× (", "op", ""),
        (f"{facts['D']:,}", "features-ink", unit_words(layer)[1]),
        ("+", "op", ""),
        (f"{facts['U']:,}", "units-ink", unit_words(layer)[2]),
    ]
    if layer.get("image"):
        around = " × ".join(map(str, layer["image"]["kernel_size"]))
        at = len(pieces) - 3
        pieces[at:at] = [(around, "", "window"), ("× (", "op", "")]
        pieces.append((")", "op", ""))
    if facts["bias_rows"]:
        word = "bias" if facts["bias_rows"] == 1 else "biases"
        pieces += [("+", "op", ""), (f"{facts['bias_rows']}", "", word)]
    pieces += [(") =", "op", ""), (f"{facts['total']:,}", "strong", "weights")]
    parts = []
    for word, css, below in pieces:
        wide = max(len(word) * 15.5, len(below) * 7.4) if below else len(word) * 12.0
        parts.append(text(x + wide / 2, y, word, f"sum {css}".strip(), "middle"))
        if below:
            parts.append(text(x + wide / 2, y + 24, below, "tiny", "middle"))
        x += wide + 12
    return "".join(parts)


def unit_words(layer: Facts) -> tuple[str, str, str]:
    """What U, D and U again are in the formula."""
    if layer.get("image"):
        return "channels", "of x", "of h"
    return "units", "features", "h before"


def read_array(layer: Facts, key: str, example: int = 0) -> np.ndarray | None:
    """Values (U', T') of one trace array, or None."""
    row = arrays(layer).get(key)
    return None if row is None else decode(row["blob"])[example]


def to_scale(x: float, y: float, tall: float, layer: Facts) -> str:
    """The weights as one block: a row per gate and unit, a column per number read."""
    facts = layer["numbers"]["formula"]
    if not facts:
        return ""
    g, u, bias = (facts[key] for key in ("G", "U", "bias_rows"))
    d, h = (facts[key] * facts["window"] for key in "DU")
    size = min(tall / (g * u), 220 / (d + h + bias))
    high = g * u * size
    words = f"to scale: {g * u:,} rows" + (f", {u:,} for each gate" if g > 1 else "")
    parts = [text(x, y, words, "tiny")]
    top, left = y + 30, x
    for count, axis, label in ((d, "features", "x_t"), (h, "units", "h before")):
        wide = max(count * size, 2.0)
        parts.append(swatch(left, top, wide, high, axis))
        foot = top + high + (18 if axis == "features" else 34)
        words = f"{count:,} columns read {label}"
        parts.append(text(left, foot, words, f"tiny {axis}-ink"))
        left += wide + 3
    if bias:
        parts.append(box(left, top, max(bias * size, 1.5), high, "panel"))
    for k, gate in enumerate(layer["gates"]):
        middle = top + (k + 0.5) * high / g
        parts.append(text(x - 8, middle + 4, gate["key"], "tiny", "end"))
        if k:
            at = top + k * high / g
            parts.append(line([(x - 18, at), (left, at)], "wire"))
    return "".join(parts)
