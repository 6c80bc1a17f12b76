"""Pieces of HTML that all of the page uses: safe text, names, headings."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

Facts = dict[str, Any]


def safe(words: Any) -> str:
    """Text that can be neither markup nor a broken character."""
    text = str(words).encode("utf-8", "replace").decode("utf-8")
    return html.escape(text, quote=True)


def name(words: Any) -> str:
    """A name from the model, isolated so that its direction stays its own."""
    return f"<bdi>{safe(words)}</bdi>"


def layer_name(layer: Facts) -> str:
    """A layer's name; one of a pair by its wrapper's name and its direction."""
    if layer["wrapper"]:
        return f"{name(layer['wrapper']['name'])}, {safe(layer['direction'])}"
    return name(layer["name"])


def coded(words: str) -> str:
    """Escaped text whose `quoted` words are set as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", safe(words))


def heading(words: str, facts: Facts, views: str) -> str:
    """A heading, and links to the claims that its panel answers, in their words."""
    wanted = views.split()
    links = "".join(
        f'<li><a href="#claim-{c["id"]}">{coded(c["heard"])}</a></li>'
        for c in facts["claims"]
        if c["view"] in wanted
    )
    return f"<h2>{words}</h2>" + (
        f'<div class="answers"><span>answers</span><ul>{links}</ul></div>'
        if links
        else ""
    )


def each(facts: Facts, make: Callable[[Facts], str]) -> str:
    """What `make` says of every layer: once where all say the same.

    Otherwise the chosen layer's words show; without scripts all do, under names.
    """
    said: dict[str, list[Facts]] = {}
    for layer in facts["layers"]:
        said.setdefault(make(layer), []).append(layer)
    if len(said) == 1:
        return next(iter(said))
    parts = []
    for number, (words, layers) in enumerate(said.items()):
        ids = " ".join(layer["id"] for layer in layers)
        names = ", ".join(layer_name(layer) for layer in layers)
        hidden = " hidden" if number else ""
        parts.append(
            f'<div data-layer="{ids}"{hidden}><p class="who of">{names}</p>{words}'
            "</div>"
        )
    return "".join(parts)
