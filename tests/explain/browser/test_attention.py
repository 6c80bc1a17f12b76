"""The page of a cell that looks into a memory, between an encoder and its words."""

import unrolled
from unrolled.explain.blobs import decode
from unrolled.explain.facts.describe import describe

import keras
import numpy as np
import pytest

from conftest import quick

from .conftest import settle

pytestmark = pytest.mark.keras_ranks
S, T, D, U, A, V = 5, 4, 3, 6, 7, 900


@pytest.fixture
def translator(monkeypatch):
    quick(monkeypatch)
    keras.utils.set_random_seed(7)
    source = keras.Input((S,), dtype="int32", name="source")
    target = keras.Input((T, D), name="target")
    encoder = unrolled.GRU(U, return_sequences=True, return_state=True, name="encoder")
    words = keras.layers.Embedding(V, D, mask_zero=True, name="words")
    memory, h = encoder(words(source))
    cell = unrolled.AttentionCell(unrolled.GRUCell(U), unrolled.LuongAttention(U), A)
    decoder = unrolled.RNN(cell, return_sequences=True, name="decoder")
    model = keras.Model([source, target], decoder(target, [h], memory=memory))
    ids = np.array([[3, 800, 5, 0, 0]])
    return describe(model, [ids, np.ones((1, T, D), "float32")])


def test_where_it_looks_what_arrives_and_sizes_to_scale(visit, translator):
    decoder = translator["layers"][1]
    with visit(translator, height=2400) as tab:
        tab.evaluate("unrolled.useLayer(1)")
        settle(tab)
        panel = tab.locator("#attention-r1")
        words = panel.text_content()
        assert f"x ({D}) and the attention of the step before ({A})" in words
        assert f"3 × {U} × ({D + A} + {U} + 2)" in words
        assert f"{decoder['numbers']['params']:,}" in words
        assert "score_s = q . k_s" in words
        # Rows are steps; the mask's two entries are veiled and crossed out.
        drawn = panel.locator("svg").nth(1)
        assert drawn.locator(".skipped").count() == 2
        assert f"step {T}" in drawn.text_content()
        tiles = decode(decoder["attention"]["maps"][0]["blob"])
        assert tiles.shape == (T, S)
        tall = drawn.locator(".heat").bounding_box()["height"]
        assert tall >= T * 9 * 0.6
        strip = tab.locator("#strip").text_content()
        assert "the state of encoder after its last step is the first state of" in strip
        assert "encoder, after step 5" in strip
        arrival = tab.locator("#strip svg.uf").first
        assert arrival.locator(".heat").count() == 2
        one, other = (
            arrival.locator(".heat")
            .nth(k)
            .locator("path")
            .evaluate_all(
                "all => all.map(one => one.className.baseVal + one.getAttribute('d'))"
            )
            for k in range(2)
        )
        assert one == other  # the very same numbers
        bars = tab.locator("#strip svg.uf").nth(1).locator("rect[fill^=url]")
        wide = [bars.nth(k).get_attribute("width") for k in range(3)]
        v, d, u = (float(one) for one in wide)
        assert v / u == pytest.approx(V / U, rel=0.01)
        assert v / d == pytest.approx(V / D, rel=0.02)
        assert "undefined" not in tab.locator("main").inner_text()


def test_a_narrow_window_does_not_widen_the_page(visit, translator):
    with visit(translator, width=390) as tab:
        tab.evaluate("unrolled.useLayer(1)")
        settle(tab)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_figure_alone_shows_it_too(translator):
    from unrolled.explain.show import figure

    drawn = figure.render(translator)
    assert "Where it looks" in drawn
    assert "alignments of LuongAttention" in drawn
