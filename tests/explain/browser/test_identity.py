"""What is computed again in the page goes by the function itself, never by its name."""

from unrolled.explain.blobs import decode
from unrolled.explain.facts import describe as describing

import jax
import keras
import numpy as np
import pytest

from conftest import quick, random, sequential

from .conftest import look, settle

pytestmark = pytest.mark.keras_ranks
L = keras.layers
T, D, U = 5, 3, 4
THEIRS = ["relu", "tanh", "sigmoid", "hard_sigmoid", "linear", "softsign"]
WORDS = ["constructor", "__proto__", "toString", "hasOwnProperty", "NaN", "<lambda>"]
SAME = {
    "keras": keras.activations.softsign,
    "ops": keras.ops.hard_sigmoid,
    "jax": jax.nn.relu,
    "none": None,
}


def called(name):
    """A function of somebody's own, that nothing knows, under any name."""

    def function(x):
        return 0.3 * keras.ops.sin(x) + 0.4

    function.__name__ = name
    return function


def branches(activations):
    """One model with an LSTM a function, which has it as both its activations."""
    keras.utils.set_random_seed(5)
    x = keras.Input((T, D))
    layers = [
        L.LSTM(U, activation=one, recurrent_activation=one, name=f"layer{number}")
        for number, one in enumerate(activations)
    ]
    model = keras.Model(x, [layer(x) for layer in layers], name="branches")
    return model, layers


READ = """async index => {
  await unrolled.useLayer(index);
  const run = await unrolled.baseline(unrolled.layer, 0);
  return run && unrolled.layer.rows.map(u => run.last.h[u]);
}"""


def test_a_namesake_is_shown_as_recorded_and_says_so(visit, monkeypatch):
    quick(monkeypatch)
    names = THEIRS + WORDS
    model, layers = branches([called(name) for name in names])
    sample = random(1, T, D)
    facts = describing.describe(model, sample)
    with visit(facts) as tab:
        for number, (name, layer) in enumerate(zip(names, layers, strict=True)):
            said = f"own {name}" if name in THEIRS else name
            found = facts["layers"][number]
            gates = found["gates"]
            assert [gate["activation"] for gate in gates] == [said] * 4
            assert [gate["computed_as"] for gate in gates] == [None] * 4
            h = found["trace"]["arrays"][0]["blob"]
            right = np.asarray(layer(sample))[0]
            assert np.abs(decode(h)[0, :, -1] - right).max() <= h["precision"] * 1.01
            assert tab.evaluate(READ, number) is None, name
            for place in ("#t-words", "#ledger-body"):
                look(tab, place[1:])
                settle(tab)
                words = tab.locator(place).inner_text()
                assert f"its activation, {said}, is not one" in words, place
            one = found["ledgers"][0]
            choice = {key: one[key] for key in ("unit", "step")}
            tab.evaluate("choice => unrolled.select(choice)", choice)
            settle(tab)
            value = tab.locator("#ledger-value").inner_text().replace("−", "-")
            assert float(value) == pytest.approx(one["gates"][0]["value"], abs=1e-5)


def test_the_same_function_from_elsewhere_is_computed(visit, monkeypatch):
    quick(monkeypatch)
    model, layers = branches(SAME.values())
    sample = random(1, T, D)
    facts = describing.describe(model, sample)
    with visit(facts) as tab:
        for number, layer in enumerate(layers):
            got, right = tab.evaluate(READ, number), np.asarray(layer(sample))[0]
            error = facts["layers"][number]["embedded"]["max_error"]
            assert np.abs(got - right).max() <= error + 2e-6, layer.name


class Named(L.Layer):
    """States under names that every JavaScript object has."""

    state_names = ("constructor", "__proto__")

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.state_size, self.output_size = [2, 2], 2

    def call(self, inputs, states):
        first, second = states
        first = first + inputs[:, :2]
        return first * 2, [first, second - first]


def test_states_may_have_any_name(visit, monkeypatch):
    quick(monkeypatch)
    sample = random(1, T, D)
    facts = describing.describe(sequential(L.RNN(Named()), shape=(T, D)), sample)
    (layer,) = facts["layers"]
    assert [state["key"] for state in layer["states"]] == list(Named.state_names)
    values = {a["key"]: decode(a["blob"]) for a in layer["trace"]["arrays"]}
    with visit(facts) as tab:
        for zoom in (1, 2, 3, 4):
            tab.evaluate(f"unrolled.setZoom({zoom})")
            look(tab, "zoom")
        for key in Named.state_names:
            got = tab.evaluate("key => unrolled.layer.value(key, 0, 1, 3)[0]", key)
            assert got == pytest.approx(values[key][0, 1, 3], abs=0.02)
        start = "unrolled.layer.before('__proto__', 0, 0, 0)[0]"
        assert tab.evaluate(start) == 0
        assert tab.locator("#failed").inner_text() == ""


def test_a_gate_beyond_one_is_not_drawn_as_one(monkeypatch):
    quick(monkeypatch)
    layer = L.LSTM(U, recurrent_activation="relu", kernel_initializer="ones")
    model = sequential(layer, shape=(T, D))
    (facts,) = describing.describe(model, random(1, T, D) + 2)["layers"]
    scales = {a["key"]: a["scale"] for a in facts["trace"]["arrays"]}
    assert scales["i"] == "diverging"
