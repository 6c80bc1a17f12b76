"""Panels that are words alone: formula, counters, shapes, rows, code."""

from __future__ import annotations

import html
from typing import Any

from ..gates import GATES, count_weights
from ..words import tried
from . import attention, images
from .figure_parts import unit_words
from .markup import each, heading, safe

Facts = dict[str, Any]


def _layer_open(layer: Facts, number: int) -> str:
    hidden = "" if number == 0 else " hidden"
    return f'<div data-layer="{layer["id"]}"{hidden}>'


def panels(layer: Facts, facts: Facts, number: int) -> str:
    """Formula, counters, shapes and configuration of one layer: words only."""
    return (
        _layer_open(layer, number)
        + _images(layer)
        + _attention(layer)
        + f'<section class="panel" id="formula-{layer["id"]}">'
        + heading("How many weights, and why", facts, "formula")
        + _formula(layer)
        + f'</section><section class="panel" id="counters-{layer["id"]}">'
        + heading("What is kept, and what is carried", facts, "counters")
        + _counters(layer)
        + f'</section><section class="panel" id="returns-{layer["id"]}">'
        + heading("What it returns", facts, "")
        + _returns(layer, facts)
        + f'</section><section class="panel" id="configuration-{layer["id"]}">'
        + heading("Its configuration", facts, "configuration")
        + _configuration(layer)
        + "</section></div>"
    )


def _images(layer: Facts) -> str:
    """A cell of images: the shapes of a step, and the images that were recorded."""
    if not layer.get("image"):
        return ""
    name = f"{layer['class']} {layer['id']}"
    shapes = images.standalone(
        images.step(layer, 4, 4)[0], 200, f"One step of {safe(name)} in shapes"
    )
    whole = f"<p>Not drawn: {safe(layer['trace'].get('why'))}.</p>"
    if layer["trace"]["drawn"]:
        body, tall = images.film(layer, 4, 4)
        whole = f"<p>{safe(images.words(layer))}</p>" + _scrolled(
            images.standalone(body, tall, f"Images of {safe(name)}, by step"), "Images"
        )
    return (
        f'<section class="panel" id="images-{layer["id"]}">'
        f"<h2>Its images, whole</h2>{_scrolled(shapes, 'One step in shapes')}{whole}"
        "</section>"
    )


def _attention(layer: Facts) -> str:
    """A cell that looks into a memory: a step, its formula, what it looked at."""
    if not layer.get("attention"):
        return ""
    name = f"{layer['class']} {layer['id']}"
    body, tall = attention.step(layer, 4, 4)
    way = images.standalone(body, tall, f"One step of {safe(name)}")
    formulas = "".join(
        f'<li class="of-one"><b>{safe(each["class"])}</b></li>'
        + "".join(f"<li><code>{safe(one)}</code></li>" for one in each["formula"])
        for each in layer["attention"]["looks"]
    )
    rows = "".join(
        f'<tr><th scope="row">{safe(part)}</th><td><code>{safe(array)}</code></td>'
        f'<td>{safe(sizes)}</td><td class="num">{count:,}</td></tr>'
        for part, array, sizes, count in attention.counts(layer)
    )
    total = layer["numbers"]["params"]
    rows += (
        f'<tr><th scope="row">all of it</th><td></td><td></td><td class="num">'
        f"{total:,}</td></tr>"
    )
    whole = f"<p>Not drawn: {safe(layer['trace'].get('why'))}.</p>"
    if layer["trace"]["drawn"]:
        body, tall = attention.alignments(layer, 4, 4)
        label = f"Alignments of {safe(name)}: steps down, entries to the right"
        whole = f"<p>{safe(attention.words(layer))}</p>" + _scrolled(
            images.standalone(body, tall, label), "Alignments"
        )
    return (
        f'<section class="panel" id="attention-{layer["id"]}">'
        f"<h2>Where it looks</h2><p>{safe(attention.sentence(layer))}</p>"
        f'{_scrolled(way, "One step")}<ul class="equations">{formulas}</ul>'
        "<h3>Its parts, and their weights</h3>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Parts and their '
        f'weights"><table><tbody>{rows}</tbody></table></div>'
        f"<h3>What it looked at</h3>{whole}</section>"
    )


def _scrolled(figure: str, label: str) -> str:
    return (
        '<div class="scroll" tabindex="0" role="region" '
        f'aria-label="Figure: {label}">{figure}</div>'
    )


def _formula(layer: Facts) -> str:
    numbers, formula = layer["numbers"], layer["numbers"]["formula"]
    if not formula:
        lead = (
            f'<p class="sum"><b>{numbers["params"]:,}</b> weights, counted: this cell '
            "has no known formula.</p>"
        )
    else:
        pieces = (
            [f"<span>{formula['G']}<small>gates</small></span> ×"]
            if formula["G"] > 1
            else []
        )
        d = formula["D"]
        units, features, before = unit_words(layer)
        u = f"{formula['U']:,}"
        pieces += [
            f'<span class="units-ink">{u}<small>{units}</small></span> × (',
            f'<span class="features-ink">{d:,}<small>{features}</small></span> +',
            f'<span class="units-ink">{u}<small>{before}</small></span>',
        ]
        if layer.get("image"):
            window = images.by(layer["image"]["kernel_size"])
            pieces.insert(-2, f"<span>{window}<small>window</small></span> × (")
            pieces.append(")")
        if formula["bias_rows"]:
            word = "bias" if formula["bias_rows"] == 1 else "biases"
            pieces.append(f"+ <span>{formula['bias_rows']}<small>{word}</small></span>")
        same = (
            "Keras counts the same."
            if formula["equals_keras"]
            else "Keras counts another number!"
        )
        pieces.append(
            f") = <span><b>{formula['total']:,}</b><small>weights</small></span>"
        )
        free = "any number of steps uses these same weights"
        if layer.get("image"):
            free = "any number of steps, and every position, uses these same weights"
        lead = (
            f'<p class="sum">{" ".join(pieces)}</p><p>There is no T in it: {free}. '
            f"{same}</p>"
        )
    rows = "".join(
        f'<tr><th scope="row"><code>{safe(w["name"])}</code></th>'
        f"<td>{' × '.join(f'{n:,}' for n in w['shape'])}</td>"
        f'<td class="soft">{safe(" by ".join(w["axes"] or []))}</td>'
        f'<td class="num">{w["count"]:,}</td></tr>'
        for w in layer["weights"]
    )
    equations = "".join(f"<li><code>{safe(e)}</code></li>" for e in layer["equations"])
    table = (
        '<div class="scroll" tabindex="0" role="region" aria-label="Weights"><table>'
        f"<tbody>{rows}</tbody></table></div>"
    )
    return f'{lead}{table}<ul class="equations">{equations}</ul>'


def _counters(layer: Facts) -> str:
    numbers = layer["numbers"]
    states = " and ".join(f"{s['key']} ({s['size']:,})" for s in layer["states"])
    changed = layer["experiments"].get("weights_changed") or {}
    ran = f'<p class="ran">{safe(changed["text"])}.</p>' if changed.get("ran") else ""
    per = (
        f" Each unit owns {numbers['per_unit']:,} of them."
        if numbers["per_unit"]
        else ""
    )
    return (
        '<div class="counters"><div><b>'
        f"{numbers['params']:,}</b><span>weights: kept, the same at every step and for "
        f"every example.{per}</span></div>"
        f'<div><b class="units-ink">{numbers["state_per_example"]:,}</b>'
        f"<span>numbers of state per example: {safe(states)}; new for every "
        f"sequence</span></div></div>{ran}"
    )


def _returns(layer: Facts, facts: Facts) -> str:
    found = layer["returns"]
    if not found:
        return "<p>Described in words only.</p>"
    rows = []
    where = "this direction" if layer["wrapper"] else "this model"
    where = "this layer" if layer.get("level") else where
    for row in found["rows"]:
        flags = "".join(
            str(int(row[k])) for k in ("return_sequences", "return_state", "stateful")
        )
        marks = "".join(
            f"<td>{'yes' if row[k] else 'no'}</td>"
            for k in ("return_sequences", "return_state", "stateful")
        )
        pairs = zip(row["meaning"], row["text"], strict=False)
        said = "<br>".join(f"{safe(m)} <code>{safe(t)}</code>" for m, t in pairs)
        if not row["ran"]:
            said = f"did not run: {safe(row['error'])}"
        here = f' <b class="here">{where}</b>' if row["current"] else ""
        rows.append(f'<tr data-returns="{flags}">{marks}<td>{said}{here}</td></tr>')
    ran = found["ran_with"]
    pair = ""
    if layer["wrapper"] or layer.get("level"):
        both = (
            "this layer by itself; all of them"
            if layer.get("level")
            else "one direction by itself; the two"
        )
        whole = next(n for n in facts["strip"]["nodes"] if n["id"] == layer["node"])
        pair = f" The table is of {both} together return {safe(whole['returns'])}."
    return (
        f"<p>Every row was run, with B = {ran['B']}, T = {ran['T']}, D = {ran['D']}."
        f"{pair}</p>"
        '<div class="scroll" tabindex="0" role="region" aria-label="What it returns">'
        "<table><thead><tr>"
        '<th scope="col">return_sequences</th><th scope="col">return_state</th><th '
        'scope="col">stateful</th>'
        f'<th scope="col">returns</th></tr></thead><tbody>{"".join(rows)}</tbody>'
        "</table></div>"
    )


def _configuration(layer: Facts) -> str:
    rows = "".join(
        f"<div><dt>{safe(key)}</dt><dd>{safe(value)}</dd></div>"
        for key, value in layer["config"].items()
    )
    plan = f"<p>{safe(layer['plan'])}</p>" if layer["plan"] else ""
    return f'<dl class="config">{rows}</dl>{plan}'


def _rows_figure(stateful: bool) -> str:
    """Three rows of two batches: arrows along a row, never between rows."""
    parts = []
    for batch in range(2):
        left = 44 + batch * 290
        parts.append(
            f'<text x="{left}" y="16" class="tiny">batch {batch + 1}, time →</text>'
        )
        for row in range(3):
            y = 28 + row * 40
            for step in range(4):
                x = left + step * 56
                parts.append(
                    f'<rect x="{x}" y="{y}" width="30" height="24" rx="4" '
                    'class="cell"/>'
                )
                if step < 3:
                    parts.append(f'<path d="M{x + 31} {y + 12}h22" class="rail"/>')
            if batch == 0:
                parts.append(
                    f'<text x="36" y="{y + 17}" class="tiny batch-ink" '
                    f'text-anchor="end">row {row + 1}</text>'
                )
                if stateful:
                    parts.append(
                        f'<path d="M{left + 199} {y + 12}h84" class="rail strongly"/>'
                    )
            elif not stateful:
                parts.append(
                    f'<text x="{left - 8}" y="{y + 16}" class="tiny" '
                    'text-anchor="end">from 0</text>'
                )
    words = (
        "carried from each row to the same row of the next batch"
        if stateful
        else "each row starts from zeros"
    )
    return (
        '<svg viewBox="0 0 560 152" class="figure wide-figure" role="img" '
        f'aria-label="Two batches of three rows; {words}">'
        f"{''.join(parts)}</svg>"
    )


def _text(layer: Facts, facts: Facts, key: str) -> str:
    found, where = tried(layer, facts, key)
    said = found.get("text") if found.get("ran") else found.get("why")
    return f'<p class="ran">{safe(where + said)}.</p>' if said else ""


def _batch(facts: Facts) -> str:
    after = heading("One batch after another: stateful", facts, "two_batches")
    ran = {
        key: each(facts, lambda layer, key=key: _text(layer, facts, key))
        for key in ("rows_independent", "stateful")
    }
    return (
        f'<section id="rows">{heading("Rows of a batch", facts, "rows")}'
        "<p>Rows are independent sequences, side by side. No arrow leads from one row "
        "to another: three rows of 50 characters are three texts, not one of 150.</p>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Figure: rows of a '
        f'batch">{_rows_figure(False)}</div>'
        f"{ran['rows_independent']}</section>"
        f'<section id="two-batches">{after}'
        "<p>With <code>stateful=True</code> the final state of row i starts row i of "
        "the next batch. Shapes and weights stay as they are.</p>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Figure: '
        f'stateful">{_rows_figure(True)}</div>'
        f"{ran['stateful']}</section>"
    )


def _beside(facts: Facts) -> str:
    """SimpleRNN, GRU and LSTM of the same size, side by side."""
    if not any(layer["kind"] in GATES for layer in facts["layers"]):
        return ""
    title = heading("Three cells side by side", facts, "side_by_side")
    return (
        f'<section id="beside">{title}'
        "<p>All three carry something from step to step. Only the LSTM has a second "
        f"rail.</p>{each(facts, lambda layer: _three(layer, facts))}</section>"
    )


def _three(layer: Facts, facts: Facts) -> str:
    if layer["kind"] not in GATES:
        return "<p>The chosen layer is none of the three.</p>"
    d, u = layer["D"], layer["U"]
    rows = []
    carried = {"SimpleRNN": ["h"], "GRU": ["h"], "LSTM": ["h", "c"]}
    for kind, gates in GATES.items():
        bias = layer["numbers"]["formula"]["bias_rows"] and (2 if kind == "GRU" else 1)
        strips = "".join(
            f'<span class="mini units"><i class="tile"></i>{s}</span>'
            for s in carried[kind]
        )
        here = ' <b class="here">this layer</b>' if kind == layer["kind"] else ""
        rows.append(
            f'<tr><th scope="row">{kind}({u:,}){here}</th><td>{strips}</td>'
            f'<td class="num">{len(carried[kind]) * u:,}</td><td '
            f'class="num">{len(gates)}</td>'
            f'<td class="num">{count_weights(kind, d, u, bias):,}</td></tr>'
        )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Three cells">'
        "<table><thead><tr>"
        '<th scope="col">cell</th><th scope="col">carries</th><th scope="col" '
        'class="num">numbers per example</th>'
        '<th scope="col" class="num">matrices</th><th scope="col" class="num">weights'
        f"</th></tr></thead><tbody>{''.join(reversed(rows))}</tbody></table>"
        f"</div>{_text(layer, facts, 'simple_rnn')}"
    )


def _code(facts: Facts) -> str:
    found = [tried(one, facts, "every_step")[0] for one in facts["layers"]]
    code = next((one["code"] for one in found if one.get("code")), None)
    if code is None:
        return ""
    return (
        f'<section id="code">{heading("Using h at every step", facts, "code")}'
        "<p>A cell around the cell sees h at each step, inside the compiled loop. To "
        "copy:</p>"
        f'<pre class="code" tabindex="0"><code>{html.escape(code)}</code></pre>'
        f"{each(facts, lambda layer: _text(layer, facts, 'every_step'))}</section>"
    )


def shared(facts: Facts) -> str:
    """What holds for the whole model: rows, three cells, the code to copy."""
    return _batch(facts) + _beside(facts) + _code(facts)
