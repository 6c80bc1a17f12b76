"""How the page opens: the sentence, its axes, and the model layer by layer."""

from __future__ import annotations

import re
from typing import Any

from . import images, model, style
from .markup import heading, layer_name, name, safe

Facts = dict[str, Any]
# Which axis a number in the sentence belongs to, by the words after it.
_AXIS_OF = (
    (
        r"[\d,]+(?= units? wide)|[\d,]+(?= numbers? per example)|^[\d,]+(?= is not)",
        "units",
    ),
    (r"[\d,]+(?= times)|(?<=each of the )[\d,]+(?= steps)", "steps"),
    (r"[\d,]+(?= features?)", "features"),
)


def coloured(sentence: str) -> str:
    """A sentence with each number in the colour of its axis."""
    text = safe(sentence)
    for pattern, key in _AXIS_OF:
        text = re.sub(pattern, rf'<b class="{key}-ink">\g<0></b>', text)
    return text


def chips(layer: Facts) -> str:
    """The four axes: pattern, letter, size, and what they count."""
    items = []
    for axis in layer["axes"]:
        size = "?" if axis["size"] is None else f"{axis['size']:,}"
        free = " (open)" if axis["declared"] is None and axis["key"] != "batch" else ""
        items.append(
            f'<li class="chip {axis["key"]}"><i class="tile" aria-hidden="true"></i>'
            f"<div><b>{axis['letter']} = {size}{free}</b> "
            f"<span>{safe(style.AXES[axis['key']].label)}</span>"
            f"<small>{safe(axis['text'])}</small></div></li>"
        )
    warnings = "".join(
        f'<p class="warn"><b aria-hidden="true">⚠</b> {safe(one["text"])}.</p>'
        for one in layer["collisions"]
    )
    return f'<ul class="chips">{"".join(items)}</ul>{warnings}'


def lead(layer: Facts, number: int) -> str:
    """Sentence, code and axes of one recurrent layer."""
    hidden = " data-layer" if number == 0 else " hidden data-layer"
    said = " ".join(coloured(one) for one in layer["sentences"])
    level = "h1" if number == 0 else "h2"
    reads = f" reads {safe(layer['reads'])}" if layer["reads"] else ""
    # Hidden panels are shown again where no script can switch between them.
    return (
        f'<section class="lead-in"{hidden}="{layer["id"]}">'
        f'<p class="who">{layer_name(layer)}{reads}</p>'
        f'<{level} class="sentence">{said}</{level}>'
        f'<pre class="code one" tabindex="0"><code>{safe(layer["code"])}</code></pre>'
        f'<div id="chips-{layer["id"]}">{chips(layer)}</div></section>'
    )


def notes(facts: Facts) -> str:
    if not facts["notes"]:
        return ""
    return (
        '<ul class="notes">'
        + "".join(f"<li>{safe(n)}</li>" for n in facts["notes"])
        + "</ul>"
    )


def shape(dims: list[Any], axes: list[str | None]) -> str:
    """A shape whose sizes have their axes' colours where the axes are known."""
    parts = []
    for size, key in zip(dims, axes, strict=True):
        open_ended = "T" if key == "steps" else "?"
        word = open_ended if size is None else f"{size:,}"
        word = "B" if key == "batch" else word
        parts.append(f'<b class="{key}-ink">{word}</b>' if key else word)
    return f'<span class="shape">({", ".join(parts)})</span>'


def strip(facts: Facts) -> str:
    """The model, layer by layer, from top to bottom: sideways is for time."""
    rows, layers = [], {one["id"]: one for one in facts["layers"]}
    arrows = [edge for edge in facts["strip"]["edges"] if edge["kind"] != "data"]
    for node in facts["strip"]["nodes"]:
        ins = [one for one in node["in"] or node["ran_in"] or [] if one]
        outs = [one for one in node["out"] or node["ran_out"] or [] if one]
        sizes = "".join(map(shape, ins[:1], node["axes_in"]))
        result = ", ".join(map(shape, outs, node["axes_out"]))
        edges = "".join(
            f'<p class="edge">{"↻" if edge["kind"] == "batch" else "↦"} '
            f"{safe(edge['text'])}</p>"
            for edge in arrows
            if edge["from"] == node["id"]
        )
        pick = "".join(
            f'<button type="button" class="link" hidden data-use="{one}">look inside'
            f"{_which(layers.get(one))}</button>"
            for one in node["layers"]
        )
        weights = f"{node['params']:,} weights" if node["params"] else "no weights"
        returns = f" · returns {safe(node['returns'])}" if node["returns"] else ""
        rows.append(
            f'<li data-node="{node["id"]}" class="node {node["role"]} '
            f'depth{min(node["depth"], 4)}">'
            f"<p><b>{name(node['name'])}</b> <code>{safe(node['code'])}</code></p>"
            f'<p class="io">{sizes} → {result} · {weights}{returns}</p>{edges}{pick}'
            "</li>"
        )
    code = safe(facts["model"]["code"])
    title = heading("The model, layer by layer", facts, "upstream state_arrow")
    return (
        f'<section id="strip">{title}'
        '<div class="two"><div class="nodes"><svg class="gutter" aria-hidden="true">'
        f"</svg><ol>{''.join(rows)}</ol></div>"
        '<div><h3>The code that makes it</h3><pre class="code" tabindex="0">'
        f"<code>{code}</code></pre></div></div>{_between(facts)}</section>"
    )


def _between(facts: Facts) -> str:
    """States that arrive, and vocabularies beside cells, to scale."""
    parts = []
    for source, target in model.handed(facts):
        body, tall = model.arrival(source, target, 4, 4)
        label = f"The state of {safe(source['name'])} arrives in {safe(target['name'])}"
        parts.append(("A state that arrives", body, tall, label))
    for node, layer in model.read(facts):
        body, tall = model.scale(node, layer, 4, 4)
        label = f"Sizes of {safe(node['name'])} and {safe(layer['name'])}, to scale"
        parts.append(("Vocabulary, features and units, to scale", body, tall, label))
    found = ""
    last = ""
    for title, body, tall, label in parts:
        found += f"<h3>{title}</h3>" if title != last else ""
        found += (
            f'<div class="scroll" tabindex="0" role="region" aria-label="Figure: '
            f'{label}">{images.standalone(body, tall, label)}</div>'
        )
        last = title
    return found


def _which(layer: Facts | None) -> str:
    """Which of several layers of one node."""
    if not layer:
        return ""
    level = layer.get("level")
    words = f", layer {level['number']} of {level['of']}" if level else ""
    return words + (f", {layer['direction']}" if layer["wrapper"] else "")
