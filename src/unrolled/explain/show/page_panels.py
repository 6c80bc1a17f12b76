"""The panels of the page: frames that the script fills, and words that need none."""

from __future__ import annotations

from typing import Any

from . import page_layer
from .markup import heading, safe

Facts = dict[str, Any]


ZOOMS = ("One cell", "Unrolled over time", "Inside one step", "One unit")
ZOOM = (
    '<fieldset class="segments"><legend class="unseen">Zoom</legend>'
    + "".join(
        '<label><input type="radio" name="zoom" '
        f'id="zoom-{k}"{" checked" if k == 2 else ""}>'
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
    '<details class="numbers" id="step-numbers"><summary>The numbers of this step as '
    "a table"
    '</summary><div class="scroll" tabindex="0" role="region" aria-label="Numbers of '
    'this step">'
    '<table id="step-table"><caption></caption><thead></thead><tbody></tbody></table>'
    "</div>"
    '</details><p class="tools"><button type="button" id="save-csv">Numbers as CSV'
    '</button><button type="button" id="save-svg">Figure as SVG</button>'
    '<button type="button" id="save-png">Heat maps as PNG</button></p>'
)
_CANVAS = '<div class="layer"><canvas aria-hidden="true"></canvas></div>'
TRACE = (
    '<p class="lead" id="trace-lead"></p><div class="trace" id="trace-box" '
    'tabindex="0" '
    'role="group" aria-roledescription="chart" data-keys aria-describedby="trace-now">'
    f'{_CANVAS * 3}<i></i></div><p class="keys" id="trace-keys"></p>'
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
        words = layer["wrapper"]["name"] if layer["wrapper"] else layer["name"]
        way = f": {layer['direction']}" if layer["wrapper"] else ""
        options += f"<option>{safe(words)}{way}</option>"
    one = " hidden" if len(facts["layers"]) < 2 else ""

    def number(key: str, axis: str) -> str:
        return (
            f'<div class="pick {axis}"><label for="pick-{key}">{key}</label>'
            f'<button type="button" data-by="-1" aria-label="previous {key}">−</button>'
            f'<input type="number" id="pick-{key}" min="1" step="1" '
            'inputmode="numeric">'
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


def panels(facts: Facts) -> str:
    """Every panel between the model strip and the claims."""

    def mount(
        key: str, words: str, views: str, inside: str = "", lead: str = ""
    ) -> str:
        intro = f'<p class="lead">{lead}</p>' if lead else ""
        frame = f'<div id="{key}">{inside}</div>'
        head = heading(words, facts, views)
        return f'<section class="needs-script">{head}{intro}{frame}</section>'

    layers = facts["layers"]
    return "".join(
        [
            mount(
                "zoom",
                "From one cell to one unit",
                "unroll cell_box two_axes return_toggle strips rails output_colour "
                "unit_click fan_in",
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
                "Recomputed in this page, from the weights of your own model.",
            ),
            "".join(
                page_layer.panels(layer, facts, k) for k, layer in enumerate(layers)
            ),
            page_layer.shared(facts),
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
        f'<div class="two"><div>{sliders}<button type="button" id="w-back">Back to '
        "this model</button>"
        f'<table class="moves"><tbody>{rows}</tbody></table><p id="w-formula" '
        'class="formula" role="status"></p></div>'
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
        f'<label><input type="radio" name="t-mode" id="t-{key}" '
        f'value="{key}"{" checked" if k == 0 else ""}><span>{words}</span></label>'
        for k, (key, words) in enumerate(modes)
    )
    return (
        f'<fieldset class="segments"><legend class="unseen">Experiment</legend>{radios}'
        "</fieldset>"
        '<p id="t-words"></p><p class="slide"><label for="t-range">how much</label>'
        '<input type="range" id="t-range" min="-2" max="2" step="0.1" value="0">'
        '<output id="t-label" for="t-range"></output></p>'
        '<p id="t-result" class="result" role="status"></p><div id="t-maps" '
        'class="maps three"></div><p id="t-ran" class="small"></p>'
    )
