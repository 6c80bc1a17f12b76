"""How the figure looks: one style sheet for both themes, and arrow heads."""

from __future__ import annotations

from . import style
from .figure_parts import LEVELS


def arrow_head(key: str) -> str:
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
        ".uf .skipped{fill:var(--paper);fill-opacity:.55}"
        ".uf .dx,.uf .sx{fill:var(--missing);color:var(--missing)}"
        ".uf .heat path{fill:none;stroke:currentColor}"
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
