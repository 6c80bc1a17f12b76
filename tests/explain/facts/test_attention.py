"""A cell that looks into a memory: its way, its weights, and where it looked."""

import unrolled
from unrolled.explain.blobs import decode
from unrolled.explain.facts import attention
from unrolled.explain.facts.describe import describe

import keras
import numpy as np
import pytest

from conftest import quick, random

pytestmark = pytest.mark.keras_ranks
S, T, D, U, A = 5, 4, 3, 6, 7


@pytest.fixture(scope="module")
def translator():
    """Ids to ids: an encoder's outputs are the memory, its state the first state."""
    keras.utils.set_random_seed(7)
    source = keras.Input((S,), dtype="int32", name="source")
    target = keras.Input((T,), dtype="int32", name="target")
    embed = keras.layers.Embedding
    encoder = unrolled.LSTM(U, return_sequences=True, return_state=True, name="encoder")
    memory, h, c = encoder(embed(40, D, mask_zero=True, name="words")(source))
    mechanism = unrolled.BahdanauAttention(2)
    cell = unrolled.AttentionCell(unrolled.LSTMCell(U), mechanism, A)
    decoder = unrolled.RNN(cell, return_sequences=True, name="decoder")
    y = decoder(embed(30, D, name="mots")(target), [h, c], memory=memory)
    model = keras.Model([source, target], y, name="translator")
    for n, weight in enumerate(model.weights):
        weight.assign(random(*weight.shape, seed=n))
    ids = np.random.default_rng(1).integers(1, 30, (2, S))
    ids[0, 3:] = 0
    sample = [ids, np.random.default_rng(2).integers(1, 30, (2, T))]
    return model, sample, describe(model, sample)


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def lstm(x, h, c, w, r, b):
    i, f, g, o = np.split(x @ w + h @ r + b, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def test_alignments_are_those_of_the_formula(translator):
    model, (ids, words), facts = translator
    of = {w.path: np.asarray(w.value, "float64") for w in model.weights}
    at = lambda end: next(v for k, v in of.items() if k.endswith(end))  # noqa: E731
    h, c, memory = np.zeros(U), np.zeros(U), np.zeros((S, U))
    own = [at(f"encoder/lstm_cell/{n}") for n in ("kernel", "recurrent_kernel", "bias")]
    for s in range(3):  # the last two are padding
        h, c = lstm(at("words/embeddings")[ids[0, s]], h, c, *own)
        memory[s] = h
    names = ("kernel", "recurrent_kernel", "bias")
    own = [at(f"decoder/attention_cell/lstm_cell/{n}") for n in names]
    a, wanted = np.zeros(A), []
    for t in range(T):
        x = np.concatenate([at("mots/embeddings")[words[0, t]], a])
        h, c = lstm(x, h, c, *own)
        hidden = h @ at("query_layer/kernel") + memory @ at("memory_layer/kernel")
        score = np.tanh(hidden) @ at("attention_v")
        share = np.where(np.arange(S) < 3, np.exp(score - score.max()), 0)
        wanted.append(share / share.sum())
        both = np.concatenate([h, wanted[-1] @ memory])
        a = both @ at("attention_layer/kernel")
    looks = facts["layers"][1]["attention"]
    (one,) = looks["maps"]
    assert (one["steps"], one["entries"]) == ([T, T], [S, S])
    assert np.abs(decode(one["blob"]) - wanted).max() <= 1e-3
    assert looks["looks"][0]["mask"] == ["11100", "11111"]
    assert looks["looks"][0]["memory"] == [S, U]


def test_every_weight_is_part_of_something(translator):
    layer = translator[2]["layers"][1]
    looks = layer["attention"]
    assert looks["inner"]["formula"]["numeric"] == (
        f"4 × {U} × ({D + A} + {U} + 1) = {4 * U * (D + A + U + 1):,}"
    )
    (one,) = looks["looks"]
    parts = [*one["weights"], *one["attention_layer"]]
    shapes = {part["name"].split("/")[-2]: part["shape"] for part in parts}
    assert shapes["query_layer"] == shapes["memory_layer"] == [U, 2]
    assert shapes["attention_layer"] == [2 * U, A]
    total = looks["inner"]["params"] + sum(part["count"] for part in parts)
    assert total == layer["numbers"]["params"]
    assert (looks["query"], one["context"], looks["width"]) == (U, U, A)
    assert looks["gives"] == "attention"
    assert f"the attention of the step before, {A}." in layer["sentence"]


def test_state_memory_and_ids_have_arrows_of_their_own(translator):
    facts = translator[2]
    named = {node["id"]: node["name"] for node in facts["strip"]["nodes"]}
    edges = {
        (named[e["from"]], named[e["to"]], e["kind"]): e["text"]
        for e in facts["strip"]["edges"]
    }
    assert {
        kind for one, other, kind in edges if (one, other) == ("words", "encoder")
    } == {"data"}
    assert edges["encoder", "decoder", "state"].startswith("the state of encoder after")
    assert edges["encoder", "decoder", "memory"].endswith("the same at every step")
    assert ("encoder", "decoder", "data") not in edges
    sizes = {n["name"]: n.get("vocabulary") for n in facts["strip"]["nodes"]}
    assert (sizes["words"], sizes["mots"], sizes["encoder"]) == (40, 30, None)


def test_states_left_out_are_fresh_and_names_may_come_in_any_order(translator):
    facts = translator[2]
    start = facts["layers"][1]["trace"]["initial"]
    end = facts["layers"][0]["trace"]["detail"]["arrays"]
    assert set(start) == {"h", "c", "attention", "alignments"}
    shown = facts["layers"][0]["trace"]["detail"]["units"]
    for key in ("h", "c"):
        assert np.allclose(
            decode(start[key])[:, shown], decode(end[key])[:, :, -1], atol=2e-3
        )
    assert not decode(start["alignments"]).any()


def test_another_width_of_x_is_tried_with_the_memory(translator):
    rows = translator[2]["layers"][1]["experiments"]["other_features"]
    assert [row["ran"] for row in rows] == [True, True]
    assert {row["output"][-1] for row in rows} == {A}


def test_several_mechanisms_and_heads(monkeypatch):
    quick(monkeypatch)
    mechanisms = [
        unrolled.MultiHeadAttention(2, 3),
        unrolled.LuongMonotonicAttention(U, scale=True),
    ]
    cell = unrolled.AttentionCell(
        unrolled.GRUCell(U), mechanisms, output_attention=False
    )
    x, memory = keras.Input((T, D)), keras.Input((S, 2))
    layer = unrolled.RNN(cell)
    model = keras.Model([x, memory], layer(x, memory=memory))
    (facts,) = describe(model, [random(1, T, D), random(1, S, 2)])["layers"]
    looks = facts["attention"]
    keys = [(one["key"], one["head"], one["heads"]) for one in looks["maps"]]
    assert keys == [
        ("alignments_0", 0, 2),
        ("alignments_0", 1, 2),
        ("alignments_1", None, 1),
    ]
    assert looks["gives"] == "output"
    for one in looks["maps"][:2]:
        assert np.allclose(decode(one["blob"]).sum(-1), 1, atol=1e-2)
    assert looks["looks"][1]["formula"] == [
        "q = y",
        "k_s = m_s W_k",
        "score_s = g q . k_s + r",
        "alignments = monotonic, parallel: never back",
        "context = sum over s of alignments_s m_s",
    ]


class Nearest(unrolled.AttentionMechanism):
    def score(self, query, keys, states):
        del states
        return -((query[:, None] - keys) ** 2).sum(-1)


@pytest.mark.parametrize(
    ("mechanism", "score"),
    [
        (Nearest(), "score_s = its own function of q and k_s"),
        (unrolled.DotAttention(), "score_s = q . k_s"),
        (
            unrolled.BahdanauAttention(2, normalize=True),
            "score_s = g v / |v| . tanh(q + k_s + b)",
        ),
        (
            unrolled.LocationAttention(2, filters=1, kernel_size=3),
            "score_s = v . tanh(q + k_s + f_s W_f + b)",
        ),
    ],
)
def test_the_score_of_each_mechanism_in_symbols(mechanism, score):
    assert attention.formula(mechanism)[2] == score


def test_a_translator_is_given_a_dict():
    """A model of its own class declares no inputs: names and ids go to it as given."""
    pairs = [("1 2", "2 1"), ("3 4 5", "5 4 3")]
    model = unrolled.Seq2Seq.from_texts(pairs, units=4, num_layers=1)
    data = unrolled.Pairs(pairs, model.tokenizer, batch_size=2, shuffle=False)
    inputs, _ = data[0]
    facts = describe(model, inputs)
    names = [row["name"] for row in facts["inputs"]]
    assert names == ["source", "target"]
    cells = [row["cell_class"] for row in facts["layers"]]
    assert cells == ["LSTMCell", "LSTMCell", "AttentionCell"]
