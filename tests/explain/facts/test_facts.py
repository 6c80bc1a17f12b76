"""The facts equal what Keras says and what was run."""

import unrolled
from unrolled.explain.blobs import decode, encode
from unrolled.explain.facts import kinds, ledger, pack, shapes
from unrolled.explain.facts.describe import describe
from unrolled.explain.facts.together import Together
from unrolled.explain.facts.trace import NotDrawn, Reading, run_layer, trace

import jax
import keras
import numpy as np
import pytest

from conftest import dumps, quick, random, sequential

pytestmark = pytest.mark.keras_ranks

L = keras.layers
SENTENCE = (
    "One LSTM cell, 128 units wide, applied 28 times with the same weights. Each step "
    "reads 28 features. h and c are each 128 numbers per example. The output is h. "
    "128 is not the number of steps."
)


def built(layer, d=28):
    layer.build((None, None, d))
    return layer


@pytest.mark.parametrize(
    ("layer", "total"),
    [
        (lambda: L.LSTM(128), 80_384),
        (lambda: L.LSTM(256), 291_840),
        (lambda: L.LSTM(128, use_bias=False), 79_872),
        (lambda: L.GRU(128), 60_672),
        (lambda: L.GRU(128, reset_after=False), 60_288),
        (lambda: L.SimpleRNN(128), 20_096),
        (lambda: L.SimpleRNN(128, use_bias=False), 19_968),
        (lambda: L.GRU(128, use_bias=False), 59_904),
    ],
)
def test_formula_is_the_count_of_keras(layer, total):
    layer = built(layer())
    kind = kinds.kind_of(layer.cell)
    numbers = kinds.numbers(layer.cell, kind, 28, 28)
    assert numbers["params"] == layer.count_params() == total
    assert numbers["formula"]["total"] == total
    assert numbers["formula"]["equals_keras"]
    assert numbers["formula"]["numeric"].endswith(f"= {total:,}")


def test_checked_figures(digits):
    model, _, facts = digits
    layer = facts["layers"][0]
    assert facts["sentence"] == SENTENCE
    numbers = layer["numbers"]
    assert numbers["formula"]["numeric"] == "4 × 128 × (28 + 128 + 1) = 80,384"
    assert numbers["per_unit"] == 628
    assert numbers["state_per_example"] == 256
    assert numbers["multiply_adds_step"] == 79_872
    assert numbers["multiply_adds_sequence"] == 2_236_416
    assert [(w["name"], w["count"]) for w in layer["weights"]] == [
        ("kernel", 14_336),
        ("recurrent_kernel", 65_536),
        ("bias", 512),
    ]
    assert facts["model"]["params"] == model.count_params() == 80_384 + 1_290
    assert layer["collisions"][0]["text"] == "28 appears twice: steps and features"
    tried = layer["experiments"]
    assert tried["units_talk"]["separate_params"] == 15_360
    assert [r["text"] for r in tried["other_steps"]] == [
        "ran it with T=14: still 80,384 weights",
        "ran it with T=56: still 80,384 weights",
    ]
    assert tried["other_units"][1]["params"] == 291_840
    rows = {
        (r["return_sequences"], r["return_state"], r["stateful"]): r["text"]
        for r in layer["returns"]["rows"]
    }
    many, one = "(B, 28, 128)", "(B, 128)"
    for stateful in (False, True):
        assert rows[False, False, stateful] == [one]
        assert rows[True, False, stateful] == [many]
        assert rows[False, True, stateful] == [one] * 3
        assert rows[True, True, stateful] == [many, one, one]
    assert sum(r["current"] for r in layer["returns"]["rows"]) == 1


def test_bidirectional_counts():
    layer = L.Bidirectional(L.LSTM(128))
    layer.build((None, 28, 28))
    facts = [
        kinds.numbers(h.cell, "LSTM", 28, 28)
        for h in (layer.forward_layer, layer.backward_layer)
    ]
    assert sum(f["params"] for f in facts) == layer.count_params() == 160_768
    assert layer.compute_output_shape((None, 28, 28)) == (None, 256)


KINDS = {"LSTM": L.LSTM, "GRU": L.GRU, "SimpleRNN": L.SimpleRNN}
MASKS = {
    "none": None,
    "right": [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]],
    "left": [[0, 0, 1, 1, 1], [0, 1, 1, 1, 1]],
    "holes": [[1, 0, 1, 0, 1], [0, 1, 0, 1, 0]],
    "empty": [[0, 0, 0, 0, 0], [1, 1, 1, 1, 1]],
}


@pytest.mark.parametrize(
    ("bias", "mask", "back"),
    [(True, mask, back) for mask in MASKS for back in (False, True)]
    + [(False, "none", False), (False, "holes", True)],
)
@pytest.mark.parametrize("kind", KINDS)
def test_traces_and_ledgers_equal_the_layer(kind, bias, mask, back):
    keras.utils.set_random_seed(1)
    layer = built(
        KINDS[kind](3, use_bias=bias, bias_initializer="normal", go_backwards=back), 4
    )
    read = None if MASKS[mask] is None else np.array(MASKS[mask], bool)
    reading = Reading(random(2, 5, 4), read)
    found = trace(layer, kind, reading)
    with_mask = {} if read is None else {"mask": read}
    assert np.allclose(found.final[0], layer(reading.x, **with_mask), atol=1e-6)
    packed = pack.pack(layer, kind, reading, found, 10**6)
    h = next(a for a in packed["arrays"] if a["key"] == "h")["blob"]
    own = run_layer(layer, reading)[0].transpose(0, 2, 1)
    seen = np.ones((2, 5), bool) if read is None else read
    gap = np.abs(decode(h) - own).transpose(0, 2, 1)[seen]
    assert gap.max() <= h["precision"] * 1.01 + 1e-6
    for row in range(2):
        for step in np.flatnonzero(seen[row]):
            one = ledger.ledger(layer, kind, reading, found, 1, int(step), row)
            for gate in one["gates"]:
                assert gate["difference"] < 1e-5
                terms = sum(t["product"] for t in gate["terms"]) + gate["rest"]["sum"]
                b = gate["bias"]
                scale = 1.0 if gate["scaled_by"] is None else gate["scaled_by"]
                terms += sum(v * (scale if k else 1) for k, v in enumerate(b))
                assert terms == pytest.approx(gate["sum"], abs=1e-6)
                assert len(b) == (0 if not bias else 2 if kind == "GRU" else 1)
    kept = pack.embed(layer, kind, reading, found, 10**6)
    assert kept["embedded"]
    assert kept["max_error"] < 1e-3
    assert not pack.embed(layer, kind, reading, found, 3)["embedded"]


def test_gru_without_reset_after():
    layer = built(L.GRU(3, reset_after=False), 4)
    reading = Reading(random(2, 5, 4))
    found = trace(layer, "GRU", reading)
    one = ledger.ledger(layer, "GRU", reading, found, 2, 3, 1)
    assert max(g["difference"] for g in one["gates"]) < 1e-5
    assert {t["from"] for t in one["gates"][2]["terms"]} <= {"x", "r*h"}


@pytest.mark.parametrize("kind", KINDS)
def test_shape_table_is_what_the_layer_returns(kind):
    layer = built(KINDS[kind](3), 4)
    together = Together(layer)
    row = jax.ShapeDtypeStruct((4,), "float32")
    finish = shapes.returns(together, layer, kind, 6, row)
    together.run()
    table = finish()
    batch = table["ran_with"]["B"]
    for row in table["rows"]:
        flags = {k: row[k] for k in ("return_sequences", "return_state", "stateful")}
        y = KINDS[kind](3, **flags)(np.zeros((batch, 6, 4), "float32"))
        y = y if isinstance(y, (list, tuple)) else [y]
        assert row["ran"]
        assert row["shapes"] == [list(one.shape) for one in y]
        assert len(row["meaning"]) == len(y)


def test_claims_were_all_run(digits):
    claims = digits[2]["claims"]
    assert [c["id"] for c in claims] == list(range(1, 27))
    assert {c["id"] for c in claims if c["verdict"] != "shown"} == {20, 21}
    assert all(c["truth"] and c["executed"] and c["view"] for c in claims)


def test_claims_of_a_masked_stack(reviews):
    verdicts = {c["id"]: c["verdict"] for c in reviews[2]["claims"]}
    assert "failed" not in verdicts.values()
    assert verdicts[20] == verdicts[19] == verdicts[24] == "shown"
    assert verdicts[14] == "does not apply"


def test_masked_bidirectional_stack(reviews):
    model, ids, facts = reviews
    layers = facts["layers"]
    assert [one["kind"] for one in layers] == ["GRU", "GRU", "LSTM", "LSTM"]
    assert [one["direction"] for one in layers] == ["forward", "backward"] * 2
    assert all(one["trace"]["drawn"] for one in layers)
    assert layers[0]["trace"]["mask"] == ["11011100", "11110000"]
    assert layers[0]["wrapper"]["pair"] == "r1"
    assert layers[1]["wrapper"]["pair"] == "r0"
    assert layers[0]["wrapper"]["params"] == model.layers[1].count_params()
    assert layers[0]["T"] == {"value": 8, "declared": None}
    last = decode(layers[2]["trace"]["output"])
    back = decode(layers[3]["trace"]["output"])
    assert np.allclose(np.concatenate([last, back], -1), model(ids), atol=1e-6)
    assert facts["input"]["kind"] == "tokens"


def test_encoder_state_reaches_the_decoder(seq2seq):
    _, _, facts = seq2seq
    names = {n["id"]: n["name"] for n in facts["strip"]["nodes"]}
    state = {
        (names[e["from"]], names[e["to"]])
        for e in facts["strip"]["edges"]
        if e["kind"] == "state"
    }
    assert state == {("encoder", "decoder")}
    layers = {one["name"]: one for one in facts["layers"]}
    assert len(layers) == 3
    assert all(one["trace"]["drawn"] for one in layers.values())
    end = decode(layers["encoder"]["trace"]["arrays"][1]["blob"])[:, :, -1]
    start = decode(layers["decoder"]["trace"]["initial"]["c"])
    assert np.allclose(
        start,
        end,
        atol=layers["encoder"]["trace"]["arrays"][1]["blob"]["precision"] * 1.01,
    )
    nested = next(n for n in facts["strip"]["nodes"] if n["name"] == "inner")
    inside = next(n for n in facts["strip"]["nodes"] if n["name"] == "simple_rnn")
    assert inside["parent"] == nested["id"]
    assert inside["depth"] == 1


def test_custom_cell_and_values_that_are_not_finite(hostile):
    _, _, facts = hostile
    layer = facts["layers"][0]
    dumps(facts)
    assert layer["kind"] == "custom"
    assert layer["gates"] == []
    assert [s["size"] for s in layer["states"]] == [3, 2]
    assert (layer["U"], layer["P"]) == (3, 4)
    assert layer["numbers"]["formula"] is None
    assert layer["trace"]["drawn"]
    values = decode(layer["trace"]["arrays"][0]["blob"])
    assert np.isnan(values).any()
    assert "failed" not in {c["verdict"] for c in facts["claims"]}


def test_stateful_gru_is_left_as_it_was():
    keras.utils.set_random_seed(2)
    layer = L.GRU(3, stateful=True)
    model = keras.Sequential([keras.Input(batch_shape=(2, 5, 4)), layer])
    model(random(2, 5, 4, seed=9))
    before = [np.asarray(s.value) for s in layer.states]
    facts = describe(model, random(5, 4))
    assert all(
        np.array_equal(a, s.value) for a, s in zip(before, layer.states, strict=True)
    )
    one = facts["layers"][0]
    assert one["trace"]["drawn"]
    assert np.any(decode(one["trace"]["initial"]["h"]))
    assert any(e["kind"] == "batch" for e in facts["strip"]["edges"])
    assert "repeated to 2" in facts["notes"][0]
    assert "call" not in vars(layer)
    assert layer.stateful


def test_stock_layer_alone_without_a_sample():
    facts = describe(alone())
    assert facts["input"]["stamp"] == "synthetic input, seed 0"
    layer = facts["layers"][0]
    assert layer["trace"]["drawn"]
    assert layer["T"]["declared"] is None
    assert layer["experiments"]["units_talk"]["ran"] is False
    assert dumps(facts) == dumps(describe(alone(), seed=0))


def alone():
    keras.utils.set_random_seed(7)
    return built(L.SimpleRNN(1, name="simple_rnn"), 1)


def test_one_step_one_unit():
    facts = describe(sequential(L.LSTM(1), shape=(1, 1)), random(1, 1))
    layer = facts["layers"][0]
    assert layer["trace"]["drawn"]
    assert "applied once" in layer["sentence"]
    assert "failed" not in {c["verdict"] for c in facts["claims"]}


def test_only_what_fits_is_kept_and_said():
    assert pack.fit(1, 1000, 2048, 6, 2_400_000) == (1, 1000, 256)
    assert pack.fit(4, 28, 128, 6, 2_400_000) == (4, 28, 128)
    assert pack.fit(1, 9999, 2048, 6, 2_400_000)[1] == pack.MAX_STEPS
    layer = built(L.LSTM(300), 4)
    reading = Reading(random(3, 50, 4))
    packed = pack.pack(layer, "LSTM", reading, trace(layer, "LSTM", reading), 40_000)
    assert packed["units"]["text"] == "128 of 300 units, by variance"
    assert packed["examples"]["text"] == "1 of 3 examples, the first"
    assert packed["arrays"][0]["blob"]["shape"] == [1, 128, 50]


def test_a_cell_that_cannot_be_followed_is_not_drawn():
    class Random(keras.layers.SimpleRNNCell):
        def call(self, inputs, states, training=False):
            del training
            noise = float(np.random.default_rng().normal())
            out = super().call(inputs, states)[0] + noise
            return out, [out]

    layer = L.RNN(Random(2))
    layer.build((None, 3, 2))
    with pytest.raises(NotDrawn, match="other numbers than the layer"):
        trace(layer, "SimpleRNN", Reading(random(1, 3, 2)))


def test_blobs_survive_everything():
    values = np.array([[np.nan, -np.inf, np.inf, -1.5, 0.0, 2.25], [1, 1, 1, 1, 1, 1]])
    for code, allowed in (("u8d", 4 / 252), ("q16", 1e-4), ("f16", 1e-3), ("f32", 0)):
        blob = encode(values, code)
        back = decode(blob)
        odd = ~np.isfinite(values)
        assert np.array_equal(back[odd], values[odd], equal_nan=True)
        assert np.abs(back[~odd] - values[~odd]).max() <= min(
            allowed, blob["precision"] + 1e-12
        )
    with pytest.raises(ValueError, match="u8d"):
        encode(values, "zip")


@pytest.mark.parametrize(
    "bad", [np.zeros(28), np.zeros((28, 27)), np.zeros((0, 28, 28))]
)
def test_a_sample_that_does_not_fit(digits, bad):
    with pytest.raises(ValueError, match=r"shape \(28, 28\) or \(B, 28, 28\)"):
        describe(digits[0], bad)


def test_not_a_model():
    with pytest.raises(TypeError, match="Keras model or layer"):
        describe(3)


@pytest.mark.parametrize(
    ("make", "state"),
    [
        (lambda: L.ConvLSTM1D(2, 3), "h and c are images of 2 channels"),
        (lambda: unrolled.ConvLSTM1D(2, 3), "h and c are images of 2 channels"),
        (lambda: unrolled.ConvGRU1D(2, 3), "h is an image of 2 channels"),
        (
            lambda: unrolled.RNN(unrolled.ConvGRUCell(1, 2, 3), stateful=True),
            "h is an image of 2 channels",
        ),
        (
            lambda: unrolled.Bidirectional(unrolled.ConvLSTM1D(2, 3)),
            "h and c are images of 2 channels",
        ),
    ],
)
def test_images_in_words(make, state, monkeypatch):
    quick(monkeypatch)
    model = keras.Sequential([keras.Input((3, 8, 1), batch_size=1), make()])
    facts = describe(model, random(1, 3, 8, 1))
    (node,) = facts["strip"]["nodes"]
    assert node["axes_in"] == [["batch", "steps", None, None]]
    for layer in facts["layers"]:
        assert layer["kind"] == "convolutional"
        assert state in layer["sentence"]
        assert (layer["U"], layer["D"], layer["T"]["value"]) == (2, 1, 3)
        assert layer["trace"]["drawn"]


def test_a_cell_of_images_in_a_wrapper_is_described():
    cell = unrolled.ResidualWrapper(unrolled.ConvLSTMCell(1, 2, 3, padding="same"))
    layer = unrolled.RNN(cell, return_sequences=True)
    facts = describe(sequential(layer, shape=(3, 8, 2)), random(1, 3, 8, 2))
    assert [state["shape"] for state in facts["layers"][0]["states"]] == [[8, 2]] * 2
