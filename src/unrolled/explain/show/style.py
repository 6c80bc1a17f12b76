"""The visual language: one colour and one pattern per axis, everywhere.

Text, SVG and page all read this file and nothing else decides a colour. Hues
stay apart under deuteranopia, protanopia and tritanopia; every axis has a
pattern and a letter besides, so no meaning rests on colour alone. `ink` is
the text-safe tone (contrast of at least 4.5 on its theme's `paper`), `fill`
the tone for areas, `wash` the faint tint behind a chip.

Time runs only horizontally, units only vertically.
"""

from __future__ import annotations

from typing import NamedTuple


class Tone(NamedTuple):
    """The three tones of one axis on one theme."""

    ink: str
    fill: str
    wash: str


class Axis(NamedTuple):
    """How one axis looks in every view."""

    key: str
    letter: str
    label: str
    pattern: str
    glyph: str
    terminal: str
    light: Tone
    dark: Tone


# Patterns: what an 8 x 8 tile shows. Steps are upright bars because time runs
# sideways and a step is one column; units are level bars because a unit is one
# row; features lean; examples of a batch are separate dots.
AXES = {
    "batch": Axis(
        "batch",
        "B",
        "batch",
        "dots",
        "∴",
        "bright_black",
        Tone("#575c66", "#9298a4", "#eef0f3"),
        Tone("#b4bac6", "#757c89", "#262a32"),
    ),
    "steps": Axis(
        "steps",
        "T",
        "time steps",
        "upright",
        "▥",
        "magenta",
        Tone("#6a3fb5", "#8f6bd1", "#f1ecfb"),
        Tone("#c0a6f5", "#9476d6", "#2c2440"),
    ),
    "features": Axis(
        "features",
        "D",
        "features",
        "leaning",
        "▨",
        "yellow",
        Tone("#93500a", "#c97d17", "#fcf1e0"),
        Tone("#f2b45c", "#cf8a2b", "#3a2a12"),
    ),
    "units": Axis(
        "units",
        "U",
        "units",
        "level",
        "▤",
        "green",
        Tone("#04695c", "#087a6b", "#e2f4f0"),
        Tone("#5fd0bb", "#3dbca6", "#11332e"),
    ),
}

# Paper, ink and rules of the two themes.
THEMES = {
    "light": {
        "paper": "#ffffff",
        "panel": "#f7f7f8",
        "ink": "#1c1f26",
        "soft": "#575c66",
        "rule": "#d9dce2",
        "focus": "#1457d9",
        "warn": "#9a3412",
        "good": "#04695c",
        "missing": "#c9ccd3",
    },
    "dark": {
        "paper": "#14161b",
        "panel": "#1c1f26",
        "ink": "#eceef2",
        "soft": "#b4bac6",
        "rule": "#373c47",
        "focus": "#8ab4ff",
        "warn": "#ffb08a",
        "good": "#5fd0bb",
        "missing": "#4a505c",
    },
}

# Values of states and candidates: negative is blue, positive is red, zero is the
# neutral middle; lightness is symmetric, so the sign also needs its mark (- or +).
DIVERGING = {
    "light": (
        "#123f75",
        "#3d7ab5",
        "#9cc3e0",
        "#f2f2f0",
        "#f0b196",
        "#c8563f",
        "#7a1323",
    ),
    "dark": (
        "#a9d3f5",
        "#5b9bd3",
        "#2f567c",
        "#23262d",
        "#84412f",
        "#dd7357",
        "#ffc5ae",
    ),
}
# Gates are shares between 0 and 1: one neutral ramp, paper to ink.
SEQUENTIAL = {
    "light": ("#f5f5f4", "#d5d3cf", "#aaa69f", "#77736c", "#46433e", "#1f1d1a"),
    "dark": ("#1e2026", "#3a3d46", "#5f636e", "#8c919c", "#bcc0c9", "#f0f1f4"),
}

LEVELS = "▁▂▃▄▅▆▇█"
LEVELS_ASCII = " .:-=+*#"
FONT = 'ui-sans-serif, "Inter", system-ui, -apple-system, "Segoe UI", sans-serif'
MONO = 'ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", monospace'


def mix(colour: str, other: str, share: float) -> str:
    """`colour` with `share` (0..1) of `other` mixed in, as #rrggbb."""
    pairs = [(int(colour[k : k + 2], 16), int(other[k : k + 2], 16)) for k in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def ramp(stops: tuple[str, ...], position: float) -> str:
    """The colour at `position` (0..1) along evenly spaced stops."""
    place = min(max(position, 0.0), 1.0) * (len(stops) - 1)
    low = min(int(place), len(stops) - 2)
    return mix(stops[low], stops[low + 1], place - low)


def css_variables(theme: str) -> str:
    """Custom properties of one theme: --paper, --batch-ink, --steps-fill, ..."""
    pairs = [(f"--{key}", value) for key, value in THEMES[theme].items()]
    for axis in AXES.values():
        tone: Tone = getattr(axis, theme)
        pairs += [
            (f"--{axis.key}-{part}", getattr(tone, part)) for part in tone._fields
        ]
    return " ".join(f"{name}: {value};" for name, value in pairs)


def svg_pattern(axis: Axis, prefix: str = "p-") -> str:
    """An SVG <pattern> of the axis, drawn in its CSS fill variable."""
    shapes = {
        "dots": '<circle cx="2" cy="2" r="1.1"/><circle cx="6" cy="6" r="1.1"/>',
        "upright": '<path d="M2 0V8M6 0V8"/>',
        "leaning": '<path d="M-2 2L2 -2M0 8L8 0M6 10L10 6"/>',
        "level": '<path d="M0 2H8M0 6H8"/>',
    }
    paint = "fill" if axis.pattern == "dots" else "stroke"
    style = f'{paint}="var(--{axis.key}-fill)" stroke-width="1.4"'
    if axis.pattern != "dots":
        style += ' fill="none"'
    return (
        f'<pattern id="{prefix}{axis.key}" width="8" height="8" '
        f'patternUnits="userSpaceOnUse"><g {style}>{shapes[axis.pattern]}</g></pattern>'
    )
