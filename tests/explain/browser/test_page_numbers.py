"""Numbers in the page equal Keras's: kinds x bias x mask x direction."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

from unrolled.explain.facts import describe as describing

import keras
import numpy as np
import pytest

from conftest import quick

from .conftest import SETTLE

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
        layers.append(
            make(
                U,
                use_bias=bias == "bias",
                go_backwards=back == "backward",
                return_sequences=True,
                name=name,
                **more,
            )
        )
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


READ = """async index => {
  await unrolled.useLayer(index);
  const L = unrolled.layer, runs = [];
  const each = make => L.rows.map(u => Array.from({length: L.T}, (_, t) => make(u, t)));
  const traced = Array.from({length: L.E}, (_, e) =>
    each((u, t) => L.value('h', e, u, t)[0]));
  for (let e = 0; e < L.E; e++) {
    const run = await unrolled.baseline(L, e);
    runs.push(each((u, t) => run.states.h[t][u]));
  }
  const formula = document.getElementById('formula-' + L.facts.id).textContent;
  return {traced, runs, formula, precision: L.arrays.h.precision};
}"""
LEDGER = """async ([unit, steps, gate]) => {
  const settle = SETTLE;
  const number = node => Number(node.textContent.replace('\u2212', '-'));
  const shown = id => number(document.getElementById(id));
  const L = unrolled.layer, {key} = L.facts.gates[gate], found = [];
  document.getElementById('ledger').scrollIntoView();
  for (const step of steps) {
    unrolled.select({unit, step, example: 0});
    await settle();
    document.querySelectorAll('#ledger-tabs button')[gate].click();
    await settle();
    const [traced, precision] = L.value(key, 0, unit, step);
    const rows = [...document.querySelectorAll('.terms tbody tr')];
    const terms = rows.map(row => number([...row.querySelectorAll('td.num')].pop()));
    const sum = shown('ledger-sum'), value = shown('ledger-value');
    found.push({sum, value, traced, precision, terms});
  }
  return found;
}""".replace("SETTLE", SETTLE)


@pytest.fixture(params=[False, True], ids=["unmasked", "masked"])
def case(request, monkeypatch):
    """Facts of every branch in one model, and what Keras returns for each."""
    quick(monkeypatch)
    model, layers, sample = branches(request.param)
    outputs = [np.asarray(one) for one in model(sample)]
    return describing.describe(model, sample), list(zip(layers, outputs, strict=True))


def check_layer(facts, layer, output, read):
    """Trace and recomputation are Keras's output, and so is the count."""
    if layer.go_backwards:  # Keras returns it in the order of processing
        output = output[:, ::-1]
    expected = output.transpose(0, 2, 1)
    traced, runs = np.array(read["traced"]), np.array(read["runs"])
    assert np.abs(traced - expected).max() <= read["precision"] + 1e-6, layer.name
    # The page computes from stored weights and never worse than it says.
    error = facts["embedded"]["max_error"]
    assert np.abs(runs - expected).max() <= error + 2e-6, layer.name
    words = read["formula"].replace("\n", "")
    assert f"{layer.count_params():,}weights" in words, layer.name
    assert "Keras counts the same" in words, layer.name


def test_every_layer_in_the_page_is_the_layer_in_keras(visit, case):
    facts, found = case
    at = {one["name"]: k for k, one in enumerate(facts["layers"])}
    assert set(at) == set(NAMES)
    with visit(facts) as tab:
        for layer, output in found:
            name, described = layer.name, facts["layers"][at[layer.name]]
            check_layer(described, layer, output, tab.evaluate(READ, at[name]))
            last = len(described["gates"]) - 1
            for got in tab.evaluate(LEDGER, [2, [1, 3], last]):
                near = got["precision"] + 2e-3
                assert got["value"] == pytest.approx(got["traced"], abs=near), name
                assert sum(got["terms"]) == pytest.approx(got["sum"], abs=2e-3), name
        assert tab.locator("#failed").inner_text() == ""
