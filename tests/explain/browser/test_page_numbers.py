"""Numbers in the page equal Keras's: kinds x bias x mask x direction."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

from unrolled.explain import describe as describing

import keras
import numpy as np
import pytest

from .conftest import until
from .tools import quick

pytestmark = pytest.mark.keras_ranks
T, D, U = 6, 3, 4
KINDS = {
    "LSTM": (keras.layers.LSTM, {}),
    "GRU": (keras.layers.GRU, {}),
    "GRU_before": (keras.layers.GRU, {"reset_after": False}),
    "SimpleRNN": (keras.layers.SimpleRNN, {}),
}
NAMES = [
    f"{kind}_{'bias' if bias else 'plain'}_{'backward' if back else 'forward'}"
    for kind in KINDS
    for bias in (True, False)
    for back in (False, True)
]


def branches(masked):
    """One model with every case as a branch, its sample, and its layers."""
    keras.utils.set_random_seed(11)
    x = keras.Input((T, D))
    inside = keras.layers.Masking()(x) if masked else x
    layers = []
    for name in NAMES:
        kind, bias, back = name.rsplit("_", 2)
        make, more = KINDS[kind]
        layer = (
            make(
                U,
                use_bias=bias == "bias",
                go_backwards=back == "backward",
                name=name,
                return_sequences=True,
                bias_initializer="glorot_normal",
                **more,
            )
            if bias == "bias"
            else make(
                U,
                use_bias=False,
                go_backwards=back == "backward",
                name=name,
                return_sequences=True,
                **more,
            )
        )
        layers.append(layer)
    model = keras.Model(x, [layer(inside) for layer in layers], name="branches")
    for layer in layers:  # biases of random numbers: zeros would hide a swap
        for weight in layer.cell.weights:
            if "bias" in weight.name:
                weight.assign(np.random.default_rng(5).normal(size=weight.shape))
    sample = np.random.default_rng(2).normal(size=(2, T, D)).astype("float32")
    if masked:
        sample[0, 4:] = 0
        sample[1, 2] = 0  # a hole
    return model, layers, sample


@pytest.fixture(scope="module", params=[False, True], ids=["unmasked", "masked"])
def case(request, browser, written):
    with pytest.MonkeyPatch.context() as patch:
        quick(patch, describing)
        model, layers, sample = branches(request.param)
        facts = describing.describe(model, sample)
    tab = browser.new_page()
    tab.goto(written(facts).as_uri())
    until(tab, "performance.getEntriesByName('unrolled:ready').length")
    outputs = [np.asarray(one) for one in model(sample)]
    found = dict(zip(NAMES, zip(layers, outputs, strict=True), strict=True))
    yield facts, tab, found
    tab.close()


READ = """async index => {
  await unrolled.useLayer(index);
  const L = unrolled.layer, all = {};
  const grid = (e, key, f) => L.rows.map(u => Array.from({length: L.T}, (_, t) => f(key, e, u, t)));
  for (const key of L.keys) all[key] = Array.from({length: L.E}, (_, e) => grid(e, key, (...at) => L.value(...at)[0]));
  const precision = Object.fromEntries(L.keys.map(key => [key, L.arrays[key].precision]));
  const runs = [];
  for (let e = 0; e < L.E; e++) {
    const run = await unrolled.baseline(L, e);
    runs.push(L.rows.map(u => Array.from({length: L.T}, (_, t) => run.states.h[t][u])));
  }
  return {all, precision, runs, text: document.getElementById('formula-' + L.facts.id).textContent};
}"""


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_in_the_page_is_the_layer_in_keras(case, name):
    facts, tab, found = case
    layer, output = found[name]
    index = next(k for k, one in enumerate(facts["layers"]) if one["name"] == name)
    read = tab.evaluate(READ, index)
    if layer.go_backwards:  # Keras returns it in the order of processing
        output = output[:, ::-1]
    expected = output.transpose(0, 2, 1)
    precision = read["precision"]["h"]
    assert np.abs(np.array(read["all"]["h"]) - expected).max() <= precision + 1e-6
    error = facts["layers"][index]["embedded"]["max_error"]
    # The page computes from stored weights and never worse than it says.
    assert np.abs(np.array(read["runs"]) - expected).max() <= error + 2e-6
    assert f"{layer.count_params():,}weights" in read["text"].replace("\n", "")
    assert "Keras counts the same" in read["text"]


LEDGER = """async ([index, unit, step, gate]) => {
  await unrolled.useLayer(index);
  unrolled.select({unit, step, example: 0});
  document.getElementById('ledger').scrollIntoView();
  await new Promise(done => setTimeout(done, 250));
  document.querySelectorAll('#ledger-tabs button')[gate].click();
  await new Promise(done => setTimeout(done, 120));
  const number = id => Number(document.getElementById(id).textContent.replace('−', '-'));
  const key = unrolled.layer.facts.gates[gate].key, L = unrolled.layer;
  const traced = key === 'h' ? L.value('h', 0, unit, step) : L.value(key, 0, unit, step);
  const rows = [...document.querySelectorAll('.terms tbody tr')].map(tr => Number([...tr.querySelectorAll('td.num')].pop().textContent.replace('−', '-')));
  return {sum: number('ledger-sum'), value: number('ledger-value'), traced: traced[0], precision: traced[1], rows};
}"""


@pytest.mark.parametrize("name", [n for n in NAMES if "bias" in n])
@pytest.mark.parametrize("step", [1, 3])
def test_the_ledger_adds_up_to_the_gate(case, name, step):
    facts, tab, _ = case
    index = next(k for k, one in enumerate(facts["layers"]) if one["name"] == name)
    gates = len(facts["layers"][index]["gates"])
    got = tab.evaluate(LEDGER, [index, 2, step, gates - 1])
    assert got["value"] == pytest.approx(got["traced"], abs=got["precision"] + 2e-3)
    assert sum(got["rows"]) == pytest.approx(got["sum"], abs=2e-3)


def test_the_page_was_silent(case):
    facts, tab, _ = case
    assert tab.evaluate("document.getElementById('failed').textContent") == ""
    assert len(facts["layers"]) == len(NAMES)
