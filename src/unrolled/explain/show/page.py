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
import re
from functools import cache
from pathlib import Path
from typing import Any

from . import figure, page_facts, page_words, squeeze, style

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
    styles = [sheet(), *re.findall(r"<style>(.*?)</style>", drawn, re.S)]
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"style-src {' '.join(_hash(one) for one in styles)}; "
        f"script-src {_hash(script())}"
    )
    title = page_words.safe(facts["title"])
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}, explained</title>\n<style>{styles[0]}</style>\n</head>\n"
        "<body>\n"
        f"{page_words.body(facts, drawn)}"
        f'<script type="application/json" id="facts">{embedded(facts)}</script>\n'
        f'<script type="module">{script()}</script>\n</body>\n</html>\n'
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
