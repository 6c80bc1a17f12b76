"""The panels of the page: frames that the script fills, and words that need none."""

from __future__ import annotations

import html
from typing import Any

from unrolled.explain import kinds, page_words

Facts = dict[str, Any]


ZOOMS = ("One cell", "Unrolled over time", "Inside one step", "One unit")
ZOOM = (
    '<fieldset class="segments"><legend class="unseen">Zoom</legend>'
    + "".join(
        f'<label><input type="radio" name="zoom" id="zoom-{k}"{" checked" if k == 2 else ""}>'
        f'<span><kbd aria-hidden="true">{k}</kbd> {words}</span></label>'
        for k, words in enumerate(ZOOMS, 1)
    )
    + '</fieldset><div class="stage" id="stage" tabindex="0" role="group" data-keys '
    'aria-describedby="zoom-words zoom-numbers"></div>'
    '<p class="caption" id="zoom-words"></p><div class="sums" id="zoom-numbers"></div>'
    '<div class="flags" id="flags">'
    + "".join(
        f'<label><input type="checkbox" id="flag-{key}"> {key}</label>'
        for key in ("return_sequences", "return_state", "stateful")
    )
    + '<p class="returned" id="returned" role="status"></p></div>'
)
MAPS = (
    '<p class="small" id="maps-words"></p><div class="maps" id="maps-grid"></div>'
    '<details class="numbers" id="step-numbers"><summary>The numbers of this step as a table'
    '</summary><div class="scroll" tabindex="0" role="region" aria-label="Numbers of this step">'
    '<table id="step-table"><caption></caption><thead></thead><tbody></tbody></table></div>'
    '</details><p class="tools"><button type="button" id="save-csv">Numbers as CSV</button>'
    '<button type="button" id="save-svg">Figure as SVG</button>'
    '<button type="button" id="save-png">Heat maps as PNG</button></p>'
)
_CANVAS = '<div class="layer"><canvas aria-hidden="true"></canvas></div>'
TRACE = (
    '<p class="lead" id="trace-lead"></p><div class="trace" id="trace-box" tabindex="0" '
    'role="group" aria-roledescription="chart" data-keys aria-describedby="trace-now">'
    f'{_CANVAS * 3}</div><p class="keys" id="trace-keys"></p>'
    '<output id="trace-now" class="now" aria-live="off"></output>'
    '<p class="small" id="trace-note"></p>'
)
LEDGER = (
    '<p class="lead" id="ledger-lead"></p>'
    '<div class="tabs" id="ledger-tabs" role="group" aria-label="Gate"></div>'
    '<div class="ledger" id="ledger-body" data-keys tabindex="0" role="group" '
    'aria-label="Ledger of the unit"></div>'
)


def bar(facts: Facts) -> str:
    """The selection: layer, unit, step, example, and play."""
    options = ""
    for layer in facts["layers"]:
        words = page_words.safe(layer["name"])
        if layer["wrapper"]:
            words = f"{page_words.safe(layer['wrapper']['name'])}: {layer['direction']}"
        options += f"<option>{words}</option>"
    one = " hidden" if len(facts["layers"]) < 2 else ""

    def number(key: str, axis: str) -> str:
        return (
            f'<div class="pick {axis}"><label for="pick-{key}">{key}</label>'
            f'<button type="button" data-by="-1" aria-label="previous {key}">−</button>'
            f'<input type="number" id="pick-{key}" min="1" step="1" inputmode="numeric">'
            f'<button type="button" data-by="1" aria-label="next {key}">+</button>'
            f'<span class="of" id="of-{key}"></span></div>'
        )

    return (
        '<div id="bar" class="bar" role="region" aria-label="Selection">'
        f'<div class="pick"{one}><label for="pick-layer">layer</label>'
        f'<select id="pick-layer">{options}</select></div>'
        f"{number('unit', 'units')}{number('step', 'steps')}"
        '<div class="pick batch" hidden><label for="pick-example">example</label>'
        '<select id="pick-example"></select></div>'
        '<button type="button" id="play">▶ Play</button>'
        '<output id="now" aria-live="off"></output>'
        '<button type="button" id="help-open">? Help</button></div>'
    )


def title(words: str, facts: Facts, views: str) -> str:
    """A heading, and links to the claims that its panel answers."""
    wanted = views.split()
    links = " ".join(
        f'<a href="#claim-{c["id"]}" aria-label="answers claim {c["id"]}">{c["id"]}</a>'
        for c in facts["claims"]
        if c["view"] in wanted
    )
    return f"<h2>{words}</h2>" + (
        f'<p class="answers">answers {links}</p>' if links else ""
    )


def panels(facts: Facts) -> str:
    """Every panel between the model strip and the claims."""

    def mount(
        key: str, words: str, views: str, inside: str = "", lead: str = ""
    ) -> str:
        intro = f'<p class="lead">{lead}</p>' if lead else ""
        frame = f'<div id="{key}">{inside}</div>'
        return f'<section class="needs-script">{title(words, facts, views)}{intro}{frame}</section>'

    layers = facts["layers"]
    return "".join(
        [
            mount(
                "zoom",
                "From one cell to one unit",
                "unroll cell_box two_axes return_toggle strips rails output_colour unit_click fan_in",
                ZOOM,
            ),
            mount("maps", "Every unit at every step", "unit_click", MAPS),
            mount("trace", "One unit over the input", "", TRACE),
            mount("ledger", "The ledger of a unit", "figure_row", LEDGER),
            mount(
                "whatif",
                "What changes if …",
                "steps_slider units_slider kernel_scale",
                _whatif(),
                "Move a size. Whatever does not depend on it stays.",
            ),
            mount(
                "tryout",
                "Try it",
                "cut_off_diagonal blank_step zero_or_mask",
                _tryout(),
                "Recomputed in this page from the model’s own weights.",
            ),
            "".join(_per_layer(layer, facts, k) for k, layer in enumerate(layers)),
            _batch(facts),
            _beside(facts),
            _code(facts),
        ]
    )


def _whatif() -> str:
    axes = (
        ("steps", "T", "time steps"),
        ("features", "D", "features"),
        ("units", "U", "units"),
        ("batch", "B", "batch"),
    )
    sliders = "".join(
        f'<div class="slide {key}"><label for="w-{key}"><b>{letter}</b> {words}</label>'
        f'<input type="range" id="w-{key}" min="1" max="16" step="1">'
        f'<output id="w-{key}-now" for="w-{key}"></output></div>'
        for key, letter, words in axes
    )
    rows = "".join(
        f'<tr id="w-{key}"><th scope="row">{key}<small>{words}</small></th>'
        '<td class="num"></td><td></td></tr>'
        for key, words in (
            ("weights", "kept, shared by all steps"),
            ("state", "carried, for the whole batch"),
            ("output", "numbers returned"),
            ("compute", "multiply-adds, one pass"),
        )
    )
    return (
        f'<div class="two"><div>{sliders}<button type="button" id="w-back">Back to this model</button>'
        f'<table class="moves"><tbody>{rows}</tbody></table><p id="w-formula" class="formula" role="status"></p></div>'
        '<div><h3>The weights, to scale</h3><div id="w-scale"></div>'
        '<h3>Weights against units</h3><div id="w-plot"></div></div></div>'
        '<h3>What was run</h3><ul id="w-ran" class="runs"></ul>'
    )


def _tryout() -> str:
    modes = (
        ("change", "change x at one step"),
        ("silence", "silence a unit"),
        ("mask", "zeros against a mask"),
        ("apart", "cut the units apart"),
    )
    radios = "".join(
        f'<label><input type="radio" name="t-mode" id="t-{key}" value="{key}"{" checked" if k == 0 else ""}>'
        f"<span>{words}</span></label>"
        for k, (key, words) in enumerate(modes)
    )
    return (
        f'<fieldset class="segments"><legend class="unseen">Experiment</legend>{radios}</fieldset>'
        '<p id="t-words"></p><p class="slide"><label for="t-range">how much</label>'
        '<input type="range" id="t-range" min="-2" max="2" step="0.1" value="0">'
        '<output id="t-label" for="t-range"></output></p>'
        '<p id="t-result" class="result" role="status"></p><div id="t-maps" class="maps three"></div>'
        '<p id="t-ran" class="small"></p>'
    )


def _layer_open(layer: Facts, number: int) -> str:
    hidden = "" if number == 0 else " hidden"
    return f'<div data-layer="{layer["id"]}"{hidden}>'


def _per_layer(layer: Facts, facts: Facts, number: int) -> str:
    """Formula, counters, shapes and configuration of one layer: words only."""
    return (
        _layer_open(layer, number)
        + f'<section class="panel" id="formula-{layer["id"]}">'
        + title("How many weights, and why", facts, "formula")
        + _formula(layer)
        + f'</section><section class="panel" id="counters-{layer["id"]}">'
        + title("What is kept, and what is carried", facts, "counters")
        + _counters(layer)
        + f'</section><section class="panel" id="returns-{layer["id"]}">'
        + title("What it returns", facts, "")
        + _returns(layer)
        + f'</section><section class="panel" id="configuration-{layer["id"]}">'
        + title("Its configuration", facts, "configuration")
        + _configuration(layer)
        + "</section></div>"
    )


def _formula(layer: Facts) -> str:
    numbers, formula = layer["numbers"], layer["numbers"]["formula"]
    if not formula:
        lead = f'<p class="sum"><b>{numbers["params"]:,}</b> weights, counted: this cell has no known formula.</p>'
    else:
        pieces = (
            [f"<span>{formula['G']}<small>gates</small></span> ×"]
            if formula["G"] > 1
            else []
        )
        pieces += [
            f'<span class="units-ink">{formula["U"]:,}<small>units</small></span> × (',
            f'<span class="features-ink">{formula["D"]:,}<small>features</small></span> +',
            f'<span class="units-ink">{formula["U"]:,}<small>h before</small></span>',
        ]
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
        lead = f'<p class="sum">{" ".join(pieces)}</p><p>There is no T in it: any number of steps uses these same weights. {same}</p>'
    rows = "".join(
        f'<tr><th scope="row"><code>{page_words.safe(w["name"])}</code></th>'
        f"<td>{' × '.join(f'{n:,}' for n in w['shape'])}</td>"
        f'<td class="soft">{page_words.safe(" by ".join(w["axes"] or []))}</td>'
        f'<td class="num">{w["count"]:,}</td></tr>'
        for w in layer["weights"]
    )
    equations = "".join(
        f"<li><code>{page_words.safe(e)}</code></li>" for e in layer["equations"]
    )
    table = f'<div class="scroll" tabindex="0" role="region" aria-label="Weights"><table><tbody>{rows}</tbody></table></div>'
    return f'{lead}{table}<ul class="equations">{equations}</ul>'


def _counters(layer: Facts) -> str:
    numbers = layer["numbers"]
    states = " and ".join(f"{s['key']} ({s['size']:,})" for s in layer["states"])
    changed = layer["experiments"].get("weights_changed") or {}
    ran = (
        f'<p class="ran">{page_words.safe(changed["text"])}.</p>'
        if changed.get("ran")
        else ""
    )
    per = (
        f" Each unit owns {numbers['per_unit']:,} of them."
        if numbers["per_unit"]
        else ""
    )
    return (
        '<div class="counters"><div><b>'
        f"{numbers['params']:,}</b><span>weights: kept, the same at every step and for every example.{per}</span></div>"
        f'<div><b class="units-ink">{numbers["state_per_example"]:,}</b>'
        f"<span>numbers of state per example: {page_words.safe(states)}; new for every sequence</span></div></div>{ran}"
    )


def _returns(layer: Facts) -> str:
    found = layer["returns"]
    if not found:
        return "<p>Described in words only.</p>"
    rows = []
    for row in found["rows"]:
        flags = "".join(
            str(int(row[k])) for k in ("return_sequences", "return_state", "stateful")
        )
        marks = "".join(
            f"<td>{'yes' if row[k] else 'no'}</td>"
            for k in ("return_sequences", "return_state", "stateful")
        )
        pairs = zip(row["meaning"], row["text"], strict=False)
        said = "<br>".join(
            f"{page_words.safe(m)} <code>{page_words.safe(t)}</code>" for m, t in pairs
        )
        if not row["ran"]:
            said = f"did not run: {page_words.safe(row['error'])}"
        here = ' <b class="here">this model</b>' if row["current"] else ""
        rows.append(f'<tr data-returns="{flags}">{marks}<td>{said}{here}</td></tr>')
    ran = found["ran_with"]
    return (
        f"<p>Every row was run, with B = {ran['B']}, T = {ran['T']}, D = {ran['D']}.</p>"
        '<div class="scroll" tabindex="0" role="region" aria-label="What it returns"><table><thead><tr>'
        '<th scope="col">return_sequences</th><th scope="col">return_state</th><th scope="col">stateful</th>'
        f'<th scope="col">returns</th></tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _configuration(layer: Facts) -> str:
    rows = "".join(
        f"<div><dt>{page_words.safe(key)}</dt><dd>{page_words.safe(value)}</dd></div>"
        for key, value in layer["config"].items()
    )
    plan = f"<p>{page_words.safe(layer['plan'])}</p>" if layer["plan"] else ""
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
                    f'<rect x="{x}" y="{y}" width="30" height="24" rx="4" class="cell"/>'
                )
                if step < 3:
                    parts.append(f'<path d="M{x + 31} {y + 12}h22" class="rail"/>')
            if batch == 0:
                parts.append(
                    f'<text x="36" y="{y + 17}" class="tiny batch-ink" text-anchor="end">row {row + 1}</text>'
                )
                if stateful:
                    parts.append(
                        f'<path d="M{left + 199} {y + 12}h84" class="rail strongly"/>'
                    )
            elif not stateful:
                parts.append(
                    f'<text x="{left - 8}" y="{y + 16}" class="tiny" text-anchor="end">from 0</text>'
                )
    words = (
        "carried from each row to the same row of the next batch"
        if stateful
        else "each row starts from zeros"
    )
    return (
        f'<svg viewBox="0 0 560 152" class="figure wide-figure" role="img" aria-label="Two batches of three rows; {words}">'
        f"{''.join(parts)}</svg>"
    )


def _text(layer: Facts, key: str) -> str:
    found = layer["experiments"].get(key) or {}
    said = found.get("text") if found.get("ran") else found.get("why")
    return f'<p class="ran">{page_words.safe(said)}.</p>' if said else ""


def _batch(facts: Facts) -> str:
    layer = facts["layers"][0]
    return (
        f'<section id="rows">{title("Rows of a batch", facts, "rows")}'
        "<p>Rows are independent sequences, side by side. No arrow leads from one row to another: "
        "three rows of 50 characters are three texts, not one of 150.</p>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="Figure: rows of a batch">{_rows_figure(False)}</div>'
        f"{_text(layer, 'rows_independent')}</section>"
        f'<section id="two-batches">{title("One batch after another: stateful", facts, "two_batches")}'
        "<p>With <code>stateful=True</code> the final state of row i starts row i of the next batch. "
        "Shapes and weights stay as they are.</p>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="Figure: stateful">{_rows_figure(True)}</div>'
        f"{_text(layer, 'stateful')}</section>"
    )


def _beside(facts: Facts) -> str:
    """SimpleRNN, GRU and LSTM of the same size, side by side."""
    layer = next((one for one in facts["layers"] if one["kind"] in kinds.GATES), None)
    if layer is None:
        return ""
    d, u = layer["D"], layer["U"]
    rows = []
    carried = {"SimpleRNN": ["h"], "GRU": ["h"], "LSTM": ["h", "c"]}
    for kind, gates in kinds.GATES.items():
        bias = layer["numbers"]["formula"]["bias_rows"] and (2 if kind == "GRU" else 1)
        strips = "".join(
            f'<span class="mini units"><i class="tile"></i>{s}</span>'
            for s in carried[kind]
        )
        here = ' <b class="here">this model</b>' if kind == layer["kind"] else ""
        rows.append(
            f'<tr><th scope="row">{kind}({u:,}){here}</th><td>{strips}</td>'
            f'<td class="num">{len(carried[kind]) * u:,}</td><td class="num">{len(gates)}</td>'
            f'<td class="num">{kinds.total(kind, d, u, bias):,}</td></tr>'
        )
    return (
        f'<section id="beside">{title("Three cells side by side", facts, "side_by_side")}'
        "<p>All three carry something from step to step. Only the LSTM has a second rail.</p>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Three cells"><table><thead><tr>'
        '<th scope="col">cell</th><th scope="col">carries</th><th scope="col" class="num">numbers per example</th>'
        '<th scope="col" class="num">matrices</th><th scope="col" class="num">weights</th></tr></thead>'
        f"<tbody>{''.join(reversed(rows))}</tbody></table></div>{_text(layer, 'simple_rnn')}</section>"
    )


def _code(facts: Facts) -> str:
    layer = facts["layers"][0]
    found = layer["experiments"].get("every_step") or {}
    if not found.get("code"):
        return ""
    return (
        f'<section id="code">{title("Using h at every step", facts, "code")}'
        "<p>A cell around the cell sees h at each step, inside the compiled loop. To copy:</p>"
        f'<pre class="code" tabindex="0"><code>{html.escape(found["code"])}</code></pre>{_text(layer, "every_step")}</section>'
    )
