"""Cells that people wrote: states of any width, layers inside, no known gates."""

from unrolled.explain.facts.describe import describe

import keras
import numpy as np
import pytest

from conftest import random, sequential

from .conftest import look, settle

pytestmark = pytest.mark.keras_ranks
L = keras.layers
ops = keras.ops
SIZES = [4, 9, 2]


class Three(L.Layer):
    """Three states of different widths; the output is none of them."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.state_size, self.output_size = SIZES, 4

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], 4), name="w")
        self.r = self.add_weight(shape=(9, 4), name="r")

    def call(self, inputs, states):
        fast, slow, count = states
        fast = ops.tanh(inputs @ self.w + slow @ self.r)
        slow = 0.9 * slow + ops.pad(fast, [[0, 0], [0, 5]])
        count = count + inputs[:, :2]
        return fast + count[:, :1], [fast, slow, count]


class Normed(L.Layer):
    """Layers of its own, some of which differ in training."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.state_size = self.output_size = units
        self.dense, self.back = L.Dense(units), L.Dense(units, use_bias=False)
        self.norm, self.drop = L.BatchNormalization(), L.Dropout(0.4)

    def build(self, shape):
        self.dense.build(shape)
        self.back.build((None, self.state_size))
        self.norm.build((None, self.state_size))

    def call(self, inputs, states, training=False):
        h = self.norm(self.dense(inputs), training=training)
        h = ops.tanh(h + self.back(self.drop(states[0], training=training)))
        return h, [h]

    def get_config(self):
        raise RuntimeError("not today")


@pytest.fixture(scope="module")
def facts():
    layers = L.RNN(Three(), return_sequences=True), L.RNN(Normed(5), name="normed")
    return describe(sequential(*layers, shape=(8, 3), name="own"), random(2, 8, 3))


def test_their_traces_are_whole_and_held_to_the_layer(facts):
    three, normed = facts["layers"]
    shapes = {a["key"]: a["blob"]["shape"] for a in three["trace"]["arrays"]}
    assert shapes == {
        key: [2, size, 8]
        for key, size in zip(("s0", "s1", "s2", "y"), [*SIZES, 4], strict=True)
    }
    assert three["trace"]["units"] == {"shown": [*range(9)], "of": 9, "text": None}
    assert "Its 3 states are 4, 9 and 2 numbers per example." in three["sentences"]
    for layer in (three, normed):
        assert layer["trace"]["check"]["max_difference"] <= 1e-6
    assert "failed" not in {
        c["verdict"] for one in (three, normed) for c in one["claims"]
    }


def test_what_cannot_be_read_is_said(facts):
    assert facts["layers"][1]["code"] == "RNN(Normed(...), ...)"
    said = [note for note in facts["notes"] if "get_config failed" in note]
    assert len(said) == 1
    assert said[0].endswith("with RuntimeError: not today")


def test_every_state_is_drawn_and_nothing_is_made_up(visit, facts):
    with visit(facts, height=2400, reduced_motion="reduce") as tab:
        look(tab, "zoom")
        rails = tab.locator("#stage [data-step='0'] .rail")
        assert rails.count() == 3
        assert "y₁" in tab.locator("#stage").text_content()
        for zoom in (3, 4):
            tab.evaluate(f"unrolled.setZoom({zoom})")
            settle(tab)
            assert tab.locator("#stage .fan, #stage .wire.soft").count() == 0
            assert "Each gate" not in tab.locator("#zoom-words").inner_text()
        tab.evaluate("unrolled.select({unit: 7})")  # only s1 has a row 8
        settle(tab)
        assert tab.locator("#zoom-numbers p").count() == 1
        words = tab.locator("main").inner_text()
        assert "NaN" not in words
        assert "unit 8, step" in tab.locator("#now-s1").inner_text()
        assert tab.locator("#now-s0").inner_text() == ""
        widths = [len(np.ravel(s)) for s in tab.evaluate(ROWS)]
        assert widths == [*SIZES, 4]


ROWS = """unrolled.layer.keys.map(key =>
  unrolled.layer.rows.filter(unit => unrolled.layer.has(key, unit)))"""


def test_words_follow_the_chosen_layer(visit, facts):
    with visit(facts) as tab:
        places = ("#claim-1", "#rows", ".lead-in:not([hidden])")
        read = [tab.locator(place).first.inner_text() for place in places]
        tab.evaluate("unrolled.useLayer(1)")
        settle(tab)
        now = [tab.locator(place).first.inner_text() for place in places]
        assert "4, 9 and 2 are the widths" in read[0]
        assert "5 is the width of s0" in now[0]
        assert "tried on" not in read[1]
        assert "tried on" in now[1]
        assert all(one != other for one, other in zip(read, now, strict=True))


def test_the_dictionary_and_three_cells_follow_too(revisit, reviews):
    with revisit(reviews[2]) as tab:
        assert "GRU(5)" in tab.locator("#dictionary").inner_text()
        tab.evaluate("unrolled.useLayer(2)")
        settle(tab)
        assert "LSTM(4)" in tab.locator("#dictionary").inner_text()
        here = tab.locator("#beside tr:visible", has_text="this layer")
        assert "LSTM(4)" in here.inner_text()
