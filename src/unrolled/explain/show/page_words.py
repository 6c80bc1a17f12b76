"""The words of the page as HTML: everything that can be read without scripts."""

from __future__ import annotations

import html
import re
from typing import Any

from .. import words
from . import page_layer, page_panels, style

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


def body(facts: Facts, figure: str) -> str:
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
        "".join(_lead(layer, k) for k, layer in enumerate(layers)),
        f'<noscript id="static">{figure}</noscript>',
        '<p id="failed" class="warn" role="alert"></p>',
        _notes(facts) if layers else "",
        page_panels.bar(facts) if layers else "",
        _strip(facts),
        page_panels.panels(facts) if layers else "",
        _claims(facts) if layers else "",
        _dictionary(facts) if layers else "",
        "</main>",
        f"<footer><p>{_made(facts)}</p></footer>",
        '<p id="live" class="unseen" role="status" aria-live="polite"></p>',
        _help(),
    ]
    return "\n".join(part for part in parts if part) + "\n"


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
    """The four axes: letter, size, pattern, question."""
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


def _lead(layer: Facts, number: int) -> str:
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


def _notes(facts: Facts) -> str:
    if not facts["notes"]:
        return ""
    return (
        '<ul class="notes">'
        + "".join(f"<li>{safe(n)}</li>" for n in facts["notes"])
        + "</ul>"
    )


def shape(dims: list[Any], keys: tuple[str, ...] = ()) -> str:
    """A shape whose sizes have their axes' colours where the axes are known."""
    parts = []
    for k, size in enumerate(dims):
        key = "batch" if k == 0 else (keys[k] if k < len(keys) else "")
        letter = "B" if k == 0 else ("T" if key == "steps" and size is None else size)
        word = (
            "?"
            if letter is None
            else f"{letter:,}"
            if isinstance(letter, int)
            else letter
        )
        parts.append(f'<b class="{key}-ink">{word}</b>' if key else str(word))
    return f'<span class="shape">({", ".join(parts)})</span>'


def _strip(facts: Facts) -> str:
    """The model, layer by layer, from top to bottom: sideways is for time."""
    rows, layers = [], {one["id"]: one for one in facts["layers"]}
    arrows = [edge for edge in facts["strip"]["edges"] if edge["kind"] != "data"]
    for node in facts["strip"]["nodes"]:
        recurrent = node["role"] in ("recurrent", "bidirectional")
        inner = ("batch", "steps", "features") if recurrent else ()
        ins, outs = (
            node["in"] or node["ran_in"] or [],
            node["out"] or node["ran_out"] or [],
        )
        inner_out: tuple[str, ...] = ()
        if recurrent and outs and outs[0]:
            inner_out = (
                ("batch", "steps", "units") if len(outs[0]) == 3 else ("batch", "units")
            )
        sizes = " + ".join(shape(one, inner) for one in ins[:1] if one)
        result = ", ".join(shape(one, inner_out) for one in outs if one)
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
    heading = _title("The model, layer by layer", facts, "upstream state_arrow")
    return (
        f'<section id="strip">{heading}'
        '<div class="two"><div class="nodes"><svg class="gutter" aria-hidden="true">'
        f"</svg><ol>{''.join(rows)}</ol></div>"
        '<div><h3>The code that makes it</h3><pre class="code" tabindex="0">'
        f"<code>{code}</code></pre></div></div></section>"
    )


def _which(layer: Facts | None) -> str:
    return f", {layer['direction']}" if layer and layer["wrapper"] else ""


def _title(words: str, facts: Facts, views: str) -> str:
    return page_layer.title(words, facts, views)


VERDICTS = {
    "shown": "✓ shown",
    "failed": "✗ contradicted",
    "does not apply": "– does not apply",
}


def coded(words: str) -> str:
    """Escaped text whose `quoted` words are set as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", safe(words))


def _claims(facts: Facts) -> str:
    of = {one["id"]: one["claims"] or facts["claims"] for one in facts["layers"]}
    rows = []
    for k, claim in enumerate(facts["claims"]):
        judged = page_layer.each(facts, lambda layer, k=k: _judged(of[layer["id"]][k]))
        rows.append(
            f'<li id="claim-{claim["id"]}" class="claim">'
            f'<p class="heard"><span class="n">{claim["id"]}</span> '
            f"{coded(claim['heard'])}</p>{judged}"
            f'<button type="button" hidden data-show="{claim["view"]}">'
            f'Show me<span class="unseen"> the answer to claim {claim["id"]}</span>'
            "</button></li>"
        )

    def counted(layer: Facts) -> str:
        verdicts = [claim["verdict"] for claim in of[layer["id"]]]
        return (
            f'<p class="lead">{len(verdicts)} claims, each held against this layer by '
            f"a check that ran: {verdicts.count('shown')} answers shown, "
            f"{verdicts.count('failed')} contradicted.</p>"
        )

    return (
        '<section id="claims"><h2>Things people say, and what this model did</h2>'
        f"{page_layer.each(facts, counted)}"
        f'<ol class="claims">{"".join(rows)}</ol></section>'
    )


def _judged(claim: Facts) -> str:
    verdict = claim["verdict"]
    return (
        f'<div class="{verdict.split()[0]}"><p class="truth">{coded(claim["truth"])}'
        f'</p><p class="executed"><b>{VERDICTS[verdict]}</b> '
        f"{coded(claim['executed'])}</p></div>"
    )


def _dictionary(facts: Facts) -> str:
    means = "".join(
        f'<tr><th scope="row">{safe(row["word"])}</th><td>{coded(row["means"])}</td>'
        f'<td class="soft">never: {coded(row["never"])}</td></tr>'
        for row in facts["dictionary"]["words"]
    )
    return (
        '<section id="dictionary"><h2>Dictionary</h2><div class="two"><div>'
        f"{page_layer.each(facts, _names)}</div><div><h3>Words</h3>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Words">'
        f"<table><tbody>{means}</tbody></table></div></div></div></section>"
    )


def _names(layer: Facts) -> str:
    found = words.dictionary([layer])
    units = "".join(
        f'<tr><th scope="row">{safe(row["library"])}</th><td><code>{safe(row["name"])}'
        f"</code></td><td><code>{safe(row['example'])}</code></td></tr>"
        for row in found["units"]
    )
    cell = "".join(
        f"<li><b>{safe(row['meaning'])}</b><br>{safe(row['here'])}</li>"
        for row in found["cell"]
    )
    return (
        '<h3>One number, three names</h3><div class="scroll" tabindex="0" '
        'role="region" aria-label="Names of units">'
        f"<table><tbody>{units}</tbody></table></div>"
        f"<h3>The four meanings of “cell”</h3><ol>{cell}</ol>"
    )


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
