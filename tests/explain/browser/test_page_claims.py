"""Each of the 26 confusions, the view that dispels it, and what is then to be seen.

`CONFUSIONS` is the list: number, view, model, and an expression that is true once
"Show me" has been pressed and the view answers.
"""

import pytest

from .conftest import settle, until

pytestmark = pytest.mark.keras_ranks
TEXT = "document.getElementById('{}').innerText"
ZOOM = "unrolled.selection.zoom === {} && !!document.querySelector('{}')"
MOVES = "over those steps h moves by up to"
ROW = "document.getElementById('w-{}').innerText.includes('{}')"


def row(key, verdict):
    return ROW.format(key, verdict)


def says(place, words):
    return f"document.getElementById('{place}').textContent.includes('{words}')"


def matches(place, pattern):
    return f"/{pattern}/.test(document.getElementById('{place}').textContent)"


def both(*parts):
    return " && ".join(f"({part})" for part in parts)


CONFUSIONS = [
    # T moves: weights and state stay, the work grows.
    (
        1,
        "steps_slider",
        "digits",
        both(row("weights", "stays"), row("state", "stays"), row("compute", "moves")),
    ),
    # Four chips, one per axis; steps and features collide and it says so.
    (
        2,
        "axis_chips",
        "digits",
        both(
            "document.querySelectorAll('#chips-r0 .chip').length === 4",
            TEXT.format("chips-r0")
            + ".includes('28 appears twice: steps and features')",
        ),
    ),
    # Many drawings of the cell, one plate of weights.
    (
        3,
        "unroll",
        "digits",
        both(
            "document.querySelectorAll('#zoom .copy .cell').length > 4",
            "document.querySelectorAll('#zoom .plate').length === 1",
        ),
    ),
    # One unit: a number of h and a number of c.
    (
        4,
        "unit_click",
        "digits",
        both(
            ZOOM.format(4, ".single"),
            r"/c = .*\n*h = /s.test(document.getElementById('zoom-numbers').innerText)",
        ),
    ),
    (
        5,
        "cell_box",
        "digits",
        both(
            "unrolled.selection.zoom === 1",
            "[...document.querySelectorAll('#zoom .copy')].filter(c => "
            "c.style.opacity > 0).length === 1",
            says("stage", "128units high"),
        ),
    ),
    (
        6,
        "cut_off_diagonal",
        "digits",
        both(
            "document.getElementById('t-apart').checked",
            matches("t-result", "moves by up to (0?[.]?[1-9]|0[.]0*[1-9])"),
        ),
    ),
    (
        7,
        "figure_row",
        "digits",
        both(
            says("ledger-lead", "adds 157 terms"),
            says("ledger-lead", "owns 628 weights"),
            "document.querySelectorAll('#ledger-tabs button').length === 4",
        ),
    ),
    (
        8,
        "strips",
        "digits",
        both(
            ZOOM.format(3, ".inside"),
            "document.querySelectorAll('#zoom .column.gates .strip').length === 4",
            says("zoom-words", "exactly 128 numbers"),
        ),
    ),
    # The output and h have one colour: the output is h.
    (
        9,
        "output_colour",
        "digits",
        both(
            ZOOM.format(3, ".column.out .frame.units"),
            says("stage", "h: output, and read at the next step"),
        ),
    ),
    (
        10,
        "return_toggle",
        "digits",
        both(
            "document.getElementById('flag-return_sequences').checked",
            "document.querySelectorAll('#zoom .out.off').length === 0",
            says("returned", "h_1 .. h_28 (B, 28, 128)"),
        ),
    ),
    # Wires from features and from h lead into the one unit of every gate.
    (
        11,
        "fan_in",
        "digits",
        both(
            "document.querySelectorAll('#zoom .fan.features').length === 4",
            "document.querySelector('#zoom .fan.features').getAttribute('d')"
            ".split('M').length === 29",
        ),
    ),
    (
        12,
        "kernel_scale",
        "digits",
        both(
            row("weights", "moves"),
            row("state", "stays"),
            row("output", "stays"),
            "document.querySelectorAll('#w-scale .frame.features').length === 4",
        ),
    ),
    (
        13,
        "formula",
        "digits",
        TEXT.format("formula-r0") + ".replace(/\\s+/g, ' ').includes('4 gates')",
    ),
    (
        14,
        "rails",
        "digits",
        both(
            ZOOM.format(3, ".rail"),
            says("stage", "c: kept × f"),
            "document.getElementById('stage').textContent.includes('h: output')",
        ),
    ),
    (
        15,
        "side_by_side",
        "digits",
        TEXT.format("beside")
        + ".replace(/\\s+/g, ' ').includes('SimpleRNN(128) h 128')",
    ),
    (
        16,
        "counters",
        "digits",
        both(
            TEXT.format("counters-r0") + ".includes('80,384')",
            TEXT.format("counters-r0") + ".includes('256')",
            TEXT.format("counters-r0") + ".includes('to the last bit')",
        ),
    ),
    (
        17,
        "rows",
        "digits",
        both(
            "document.querySelectorAll('#rows .rail').length === 18",
            "document.querySelectorAll('#rows .strongly').length === 0",
        ),
    ),
    (
        18,
        "blank_step",
        "digits",
        both(
            "document.getElementById('t-change').checked",
            says("t-words", "blanked out"),
            says("t-result", "last h moves by up to"),
        ),
    ),
    (
        19,
        "zero_or_mask",
        "digits",
        both(
            "document.getElementById('t-mask').checked",
            matches("t-result", f"zeros: {MOVES} 0[.]0*[1-9]"),
            matches("t-result", f"masked: {MOVES} 0[.]?0*;?[.]"),
        ),
    ),
    (
        20,
        "upstream",
        "reviews",
        says("strip", "Embedding(30, 6"),
    ),
    (
        21,
        "state_arrow",
        "seq2seq",
        both(
            "document.querySelectorAll('#strip .gutter path').length >= 1",
            "document.querySelectorAll('#strip .edge').length >= 1",
        ),
    ),
    (
        22,
        "two_axes",
        "digits",
        both(
            ZOOM.format(2, ".axis.units"),
            "!!document.querySelector('#zoom .axis.steps')",
        ),
    ),
    (
        23,
        "units_slider",
        "digits",
        both(
            row("weights", "moves"),
            row("state", "moves"),
            "!!document.querySelector('#w-plot .dot')",
        ),
    ),
    (
        24,
        "two_batches",
        "digits",
        "document.querySelectorAll('#two-batches .strongly').length === 3",
    ),
    (25, "code", "digits", TEXT.format("code") + ".includes('class EveryStep')"),
    (
        26,
        "configuration",
        "digits",
        TEXT.format("configuration-r0")
        + ".replace(/\\s+/g, ' ').includes('recurrent_activation sigmoid')",
    ),
]


# The lower edge of the bar; and of what is lit, the heading, or the slider that is
# meant where both do not fit.
CLEAR = """() => {
  const frame = document.querySelector('.flash'), meant = document.activeElement;
  const box = node => node.getBoundingClientRect();
  const heading = frame.querySelector('h2, .chip'), far = meant.matches('input');
  const shown = far && box(heading).top < 0 ? meant : heading;
  const over = box(document.getElementById('bar'));
  // Where it does not stick yet, it covers nothing.
  return [over.top > 1 ? 0 : over.bottom, [box(shown).top, box(shown).bottom]];
}"""


def test_the_list_is_complete(digits):
    views = {claim["id"]: claim["view"] for claim in digits[2]["claims"]}
    assert {number: view for number, view, *_ in CONFUSIONS} == views
    assert len(views) == 26


@pytest.mark.parametrize(
    ("number", "view", "which", "answered"),
    CONFUSIONS,
    ids=[f"{number}-{view}" for number, view, *_ in CONFUSIONS],
)
def test_show_me_answers(revisit, request, number, view, which, answered):
    facts = request.getfixturevalue(which)[2]
    with revisit(facts, reduced_motion="reduce") as tab:
        claim = tab.locator(f"#claim-{number}")
        assert claim.locator("button").get_attribute("data-show") == view
        expected = (
            "shown" if which == "digits" else facts["claims"][number - 1]["verdict"]
        )
        assert expected in claim.inner_text()
        claim.get_by_role("button").click()
        until(tab, answered)
        settle(tab)
        assert tab.evaluate("document.querySelectorAll('.flash').length") == 1
        over, (top, bottom) = tab.evaluate(CLEAR)
        assert top >= over, "the heading is under the bar"
        assert bottom <= 900
        assert tab.evaluate("document.activeElement !== document.body")
