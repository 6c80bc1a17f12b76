"""Facts as one interactive page: a single self-contained HTML file.

The words are plain HTML, made here, and read without scripts; so does the static
figure. One module, joined from page/*.js, draws the rest from the embedded facts.
No network, no library: the content security policy allows the one style sheet, the
figure's and the one script, by their hashes, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from . import (
    figure,
    model,
    page_claims,
    page_facts,
    page_opening,
    page_panels,
    squeeze,
    style,
)
from .markup import name, safe

Facts = dict[str, Any]
HERE = Path(__file__).with_name("page")
# One module, so the order is that of a single file read from top to bottom.
SCRIPTS = [
    "base",
    "state",
    "layer",
    "compute",
    "paint",
    "choose",
    "figure",
    "inside",
    "ledger",
    "maps",
    "trace",
    "whatif",
    "tryout",
    "claims",
    "save",
    "main",
]


def render(facts: Facts) -> str:
    """The whole page as one HTML document; the same bytes for the same facts."""
    drawn = figure.render(facts, rows=64)
    styles = [sheet(), figure.css()]
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"style-src {' '.join(_hash(one) for one in styles)}; "
        f"script-src {_hash(script())}"
    )
    title = safe(facts["title"])
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}, explained</title>\n<style>{styles[0]}</style>\n"
        f"{_figures(facts, styles[1])}</head>\n"
        "<body>\n"
        f"{_body(facts, drawn)}"
        f'<script type="application/json" id="facts">{embedded(facts)}</script>\n'
        f'<script type="module">{script()}</script>\n</body>\n</html>\n'
    )


def _body(facts: Facts, drawn: str) -> str:
    """Everything inside <body> but the scripts."""
    layers = facts["layers"]
    stamp = next((one["stamp"] for one in facts["inputs"] if one["stamp"]), None)
    mark = f'<span class="stamp">{safe(stamp)}</span>' if stamp else ""
    head = (
        f'<header><p class="kicker"><span>{name(facts["title"])}, explained'
        f"</span>{mark}</p>"
    )
    if not layers:
        head += f'<h1 class="sentence">{safe(" ".join(facts["notes"]))}</h1>'
    head += "</header>"
    parts = [
        '<a class="skip" href="#main">Skip to the explanation</a>',
        _defs(),
        head,
        '<main id="main">',
        "".join(page_opening.lead(layer, k) for k, layer in enumerate(layers)),
        f'<noscript id="static">{drawn}</noscript>',
        '<p id="failed" class="warn" role="alert"></p>',
        page_opening.notes(facts) if layers else "",
        page_panels.bar(facts) if layers else "",
        page_opening.strip(facts),
        page_panels.panels(facts) if layers else "",
        page_claims.claims(facts) if layers else "",
        page_claims.dictionary(facts) if layers else "",
        "</main>",
        f"<footer><p>{_made(facts)}</p></footer>",
        '<p id="live" class="unseen" role="status" aria-live="polite"></p>',
        _help(),
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _figures(facts: Facts, style: str) -> str:
    """The static figure's colours, where a panel of the page has such a figure."""
    drawn = any(one.get("image") or one.get("attention") for one in facts["layers"])
    drawn = drawn or bool(model.handed(facts) or model.read(facts))
    return f"<style>{style}</style>\n" if drawn else ""


def _made(facts: Facts) -> str:
    model = facts["model"]
    return (
        f"Every number here was read from the model or produced by running it, with "
        f"Keras {safe(model['keras'])} on {safe(model['backend'])}."
    )


def _defs() -> str:
    axes = "".join(style.svg_pattern(axis, "pp-") for axis in style.AXES.values())
    ends = "".join(
        f'<marker id="pp-end-{key}" viewBox="0 0 8 8" refX="7" refY="4" '
        'markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto">'
        f'<path class="end {key}" d="M0 .6L7.4 4L0 7.4z"/></marker>'
        for key in ("units", "features", "steps", "soft")
    )
    return f'<svg class="defs" aria-hidden="true"><defs>{axes}{ends}</defs></svg>'


def _help() -> str:
    keys = (
        ("← →", "previous or next step, in a focused figure"),
        ("↑ ↓", "previous or next unit"),
        ("Page Up, Page Down", "ten units"),
        ("Home, End", "first or last step"),
        ("1 2 3 4", "zoom: one cell, unrolled, inside a step, one unit"),
        ("Space", "play or pause"),
        ("?", "this help"),
    )
    rows = "".join(f"<dt><kbd>{key}</kbd></dt><dd>{words}</dd>" for key, words in keys)
    return (
        '<dialog id="help" aria-labelledby="help-title"><h2 id="help-title">Keyboard'
        f"</h2><dl>{rows}</dl>"
        '<p><label><input type="checkbox" id="letters" checked> single keys (1 to 4, '
        "Space, ?) work everywhere</label></p>"
        '<button type="button" id="help-close">Close</button></dialog>'
    )


def embedded(facts: Facts) -> str:
    """The facts as ASCII JSON that cannot end its element or open a comment."""
    lean = page_facts.smaller(facts)
    text = json.dumps(lean, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


@cache
def script() -> str:
    """The one module."""
    files = [(HERE / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    return squeeze.script("\n".join(files))


@cache
def sheet() -> str:
    """The style sheet: both themes' colours from style.py, then page.css."""
    light, dark = (_variables(theme) for theme in ("light", "dark"))
    rules = (HERE / "page.css").read_text(encoding="utf-8")
    return squeeze.style(
        f":root{{{light}--sans:{style.FONT};--mono:{style.MONO}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{dark}}}}}{rules}"
    )


def _variables(theme: str) -> str:
    maps = (("dv", style.DIVERGING), ("sq", style.SEQUENTIAL))
    stops = "".join(
        f"--{key}{k}:{stop};"
        for key, both in maps
        for k, stop in enumerate(both[theme])
    )
    return style.css_variables(theme) + stops


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
