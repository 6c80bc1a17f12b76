"""The page of a ConvLSTM: its images are drawn, and what it says of them is so."""

from unrolled.explain.blobs import decode
from unrolled.explain.facts.describe import describe
from unrolled.explain.show import page

import keras
import pytest

from conftest import random, sequential

from .conftest import look, settle

pytestmark = pytest.mark.keras_ranks
T, S, C, F = 3, 5, 2, 3


@pytest.fixture(scope="module")
def films():
    layer = keras.layers.ConvLSTM1D(F, 3, padding="same", return_sequences=True)
    model = sequential(layer, shape=(T, S, C), name="films")
    return describe(model, random(1, T, S, C))


def test_images_are_tiles_of_their_steps(visit, films):
    (layer,) = films["layers"]
    with visit(films, scripts=False) as tab:
        whole = tab.locator("#images-r0 svg").nth(1)
        assert whole.is_visible()
        rows = layer["image"]["rows"]
        assert whole.locator(".heat").count() == len(rows) * T
        # The position, and on x its window, at each step: but for more channels.
        keys = {row["key"] for row in rows}
        assert whole.locator(".window").count() == len(keys) * T
        words = whole.text_content()
        for row in rows:
            assert f"channel {row['channel'] + 1} of {row['of']}" in words
        colour = "getComputedStyle(document.querySelector('#images-r0 .window')).stroke"
        assert tab.evaluate(colour) == "rgb(20, 87, 217)"


def test_the_formula_has_a_window(visit, films):
    with visit(films) as tab:
        formula = tab.locator("#formula-r0 .sum").inner_text()
        assert "window" in formula
        total = 4 * F * (3 * (C + F) + 1)
        assert f"{total}" in formula
        look(tab, "whatif")
        assert (
            f"(3 × ({C} + {F}) + 1) = {total}" in tab.locator("#w-formula").inner_text()
        )
        assert tab.locator("#w-state .num").inner_text() == f"{2 * S * F}"
        assert tab.locator("#w-output .num").inner_text() == f"{T * S * F}"
        work = films["layers"][0]["numbers"]["multiply_adds_sequence"]
        assert tab.locator("#w-compute .num").inner_text() == f"{work:,}"


def test_views_by_unit_are_of_one_position(visit, films):
    (layer,) = films["layers"]
    place = layer["image"]["place"][0]
    with visit(films, height=2400) as tab:
        look(tab, "zoom")
        for zoom in (1, 2, 3, 4):
            tab.evaluate(f"unrolled.setZoom({zoom})")
            settle(tab)
        assert "window of 3 positions" in tab.locator("#zoom-words").inner_text()
        assert "× c before + i × g" in tab.locator("#zoom-numbers").inner_text()
        look(tab, "maps")
        words = tab.locator("#maps-words").inner_text()
        assert f"one position of the images, position {place + 1}" in words
        unit = tab.evaluate("unrolled.selection.unit")
        value = tab.evaluate(
            "unrolled.layer.value('h', 0, unrolled.selection.unit, 2)[0]"
        )
        row = next(
            row
            for row in layer["image"]["rows"]
            if (row["key"], row["channel"]) == ("h", unit)
        )
        assert abs(decode(row["blob"])[2, 0, place] - value) < 5e-3
        one = layer["ledgers"][0]
        tab.evaluate(f"unrolled.select({{unit: {one['unit']}, step: {one['step']}}})")
        look(tab, "ledger")
        body = tab.locator("#ledger-body").inner_text()
        assert "position" in body
        assert f"the other {3 * (C + F) - 6} terms" in body
        look(tab, "tryout")
        assert "its products are convolutions" in tab.locator("#t-words").inner_text()
        assert "undefined" not in tab.locator("main").inner_text()


def test_no_image_no_second_sheet(digits, films):
    assert page.render(digits[2]).split("<body>")[0].count("<style>") == 1
    assert page.render(films).split("<body>")[0].count("<style>") == 2
