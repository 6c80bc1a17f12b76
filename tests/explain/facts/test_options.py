"""A cell of another formula: its gates by their letters, h and c of two widths."""

import unrolled
from unrolled import tf1
from unrolled.explain.blobs import decode
from unrolled.explain.facts import kinds
from unrolled.explain.facts.describe import describe
from unrolled.explain.show import page_claims

import keras
import numpy as np

from conftest import random, sequential


def _facts(layer):
    return describe(sequential(layer, shape=(5, 3)), random(2, 5, 3))["layers"][0]


def test_a_projected_lstm_has_units_and_an_output_of_another_width():
    facts = _facts(unrolled.LSTM(6, projection_size=2, use_peepholes=True))
    assert (facts["U"], facts["P"]) == (6, 2)
    assert "6 units wide" in facts["sentence"]
    assert "h is 2 numbers per example, projected from c's 6." in facts["sentence"]
    chip = facts["axes"][3]
    assert (chip["size"], "number of c" in chip["text"]) == (6, True)
    claim = next(c for c in facts["claims"] if c["id"] == 9)
    assert claim["truth"] == "The output is h, 2 wide: c's 6, projected."
    assert all(c["verdict"] != "failed" for c in facts["claims"])
    claim = next(c for c in facts["claims"] if c["id"] == 22)
    assert "the 2-wide state" in claim["truth"]


def _claim(facts, number):
    return next(c for c in facts["claims"] if c["id"] == number)


def test_a_stack_says_how_many_cells_and_names_the_states_of_each():
    facts = _facts(unrolled.RNN([unrolled.LSTMCell(4), unrolled.GRUCell(2)]))
    said = "One stack of 2 cells, 4 and 2 units wide"
    assert facts["sentence"].startswith(f"{said}, applied 5")
    assert [state["key"] for state in facts["states"]] == ["h0", "c0", "h1"]
    assert _claim(facts, 5)["truth"] == f"{said}."
    assert _claim(facts, 9)["truth"] == "The output is h1: both are 2 wide."
    assert "final h1: it is the same array" in _claim(facts, 9)["executed"]


def test_states_of_cells_in_cells_are_named_by_their_place():
    cell = unrolled.StackedRNNCells([unrolled.SRUCell(4), unrolled.GRUCell(2)])
    assert kinds.state_keys(cell, kinds.kind_of(cell)) == ["c0", "h1"]
    cell = unrolled.StackedRNNCells([cell, unrolled.GRUCell(2)])
    assert kinds.state_keys(cell, "stack") == ["c0_0", "h0_1", "h1"]
    cell = unrolled.Grid2LSTMCell(4)  # not one cell on the other
    assert kinds.kind_of(cell) == "custom"
    assert kinds.state_keys(cell, "custom") == ["h0", "c0", "h1", "c1"]


def test_a_cell_whose_output_is_as_wide_as_what_it_reads_contradicts_nothing():
    cell = unrolled.NTMCell(unrolled.SimpleRNNCell(2), 3, 2, 1, 1)
    facts = _facts(unrolled.RNN(cell))
    assert all(c["verdict"] != "failed" for c in facts["claims"])
    claim = _claim(facts, 12)
    assert claim["truth"] == "It reads any D (here 3): its output is as wide."
    assert "output (B, 6)" in claim["executed"]
    assert "it is none of them" in _claim(facts, 9)["executed"]


def test_gates_are_drawn_by_their_letters_and_recorded():
    facts = _facts(unrolled.RNN(unrolled.UGRNNCell(4)))
    arrays = {row["key"]: row for row in facts["trace"]["arrays"]}
    assert list(arrays) == ["h", "z_g", "z_c"]
    assert arrays["z_c"]["name"] == "candidate, before its activation"
    assert arrays["z_g"]["role"] == "asked"
    assert facts["embedded"] == {
        "embedded": False,
        "why": "a custom cell has no known formula",
    }


def test_what_gates_read_is_what_the_cell_multiplies(rng):
    from unrolled.explain.facts.trace import Reading, trace

    layer = unrolled.LSTM(4, use_peepholes=True, return_sequences=True)
    x = rng.normal(size=(2, 5, 3)).astype("float32")
    mask = np.array([[1, 1, 1, 0, 0], [1, 0, 1, 1, 1]], bool)
    h = np.asarray(layer(x, mask=mask))
    found = trace(layer, kinds.kind_of(layer.cell), Reading(x, mask))
    before = np.concatenate([np.zeros((2, 1, 4)), h[:, :-1]], axis=1)
    kernel, recurrent, bias = layer.get_weights()[:3]
    z = np.where(mask[..., None], x @ kernel + before @ recurrent + bias, np.nan)
    got = np.concatenate([found.asked[letter] for letter in "ifco"], axis=-1)
    np.testing.assert_allclose(got, z, rtol=2e-5, atol=1e-6)


def test_a_cell_of_two_inputs_is_drawn_with_both():
    t, x = keras.Input((5, 1)), keras.Input((5, 3))
    layer = unrolled.RNN(unrolled.PhasedLSTMCell(4))
    model = keras.Model([t, x], layer((t, x)))
    times = np.cumsum(np.ones((2, 5, 1), "float32"), axis=1)
    features = random(2, 5, 3)
    facts = describe(model, [times, features])["layers"][0]
    assert (facts["D"], facts["U"]) == (3, 4)
    said = "Each step reads 3 features. Beside them it reads 1 number more: time."
    assert said in facts["sentence"]
    assert all(row["ran"] for row in facts["returns"]["rows"])
    trace = facts["trace"]
    np.testing.assert_allclose(decode(trace["input"]), features, atol=1e-6)
    np.testing.assert_allclose(decode(trace["beside"]), times, atol=1e-6)
    tried = facts["experiments"]
    assert tried["fan_in"]["feature"] < 3
    ran = {
        key for key in ("forget", "rows_independent", "stateful") if tried[key]["ran"]
    }
    assert ran == {"forget", "rows_independent", "stateful"}
    assert tried["stateful"]["carries_max_difference"] < 1e-5
    assert "reads several arrays" in tried["every_step"]["why"]


def test_a_cell_that_looks_ids_up():
    ids = keras.Input((5,), dtype="int32")
    layer = unrolled.RNN(unrolled.EmbeddingWrapper(unrolled.GRUCell(4), 10, 3))
    model = keras.Model(ids, layer(ids))
    facts = describe(model, np.array([[1, 2, 3, 4, 5]] * 2, "int32"))["layers"][0]
    assert facts["D"] == 1
    assert all(row["ran"] for row in facts["returns"]["rows"])


def test_an_old_cell_is_the_num_units_of_the_dictionary():
    """And with its forget_bias, added at each step, it is drawn as the LSTM it is."""
    x = keras.Input((5, 3))
    cell = tf1.DropoutWrapper(tf1.BasicLSTMCell(4), 0.5)
    outputs, _ = tf1.dynamic_rnn(cell, keras.layers.Dense(3)(x))
    facts = describe(keras.Model(x, outputs), random(2, 5, 3))
    (layer,) = facts["layers"]
    assert layer["old_cells"] == [{"class": "BasicLSTMCell", "num_units": 4}]
    row = facts["dictionary"]["units"][1]
    assert row["example"] == "tf1.BasicLSTMCell(num_units=4)"
    assert '<a href="#formula-r0">' in page_claims.dictionary(facts)
    plain = describe(sequential(unrolled.LSTM(4), shape=(5, 3)), random(2, 5, 3))
    assert plain["dictionary"]["units"][1]["layer"] is None
    assert "<a " not in page_claims.dictionary(plain)


def test_a_forget_bias_is_drawn_with_the_bias():
    facts = _facts(unrolled.LSTM(4, forget_bias=1.0, use_bias=False))
    assert (facts["kind"], facts["trace"]["drawn"]) == ("LSTM", True)
    assert facts["embedded"]["embedded"]
    assert facts["equations"][-1] == "b of f is the weight + forget_bias = 1"
    sums = [gate["bias"] for gate in facts["ledgers"][0]["gates"]]
    assert sums == [[0.0], [1.0], [0.0], [0.0]]
    assert all(g["difference"] < 1e-5 for g in facts["ledgers"][0]["gates"])
