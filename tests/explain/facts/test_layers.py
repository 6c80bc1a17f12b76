"""Every way to write a recurrent layer: drawn, or a reason that says why not."""

import unrolled
from unrolled.explain.blobs import decode
from unrolled.explain.facts.describe import describe
from unrolled.explain.show import figure, text

import jax
import keras
import numpy as np
import pytest

from conftest import dumps, random, sequential

pytestmark = [
    pytest.mark.keras_ranks,
    pytest.mark.filterwarnings("ignore:unrolled runs its slower scan path"),
]

L = keras.layers


def explained(layer, x, **options):
    facts = describe(sequential(layer, shape=x.shape[1:], **options), x)
    dumps(facts)
    figure.render(facts)
    text.render(facts)
    assert "failed" not in {c["verdict"] for c in facts["claims"]}
    return facts["layers"]


@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN"])
def test_ours_say_what_stock_layers_say(name):
    x = random(2, 5, 4)
    (ours,) = explained(getattr(unrolled, name)(3), x)
    (stock,) = explained(getattr(L, name)(3), x)
    assert ours["trace"]["drawn"]
    assert ours["plan"]
    assert stock["plan"] is None
    for key in ("kind", "U", "D", "P", "T", "B", "gates", "states", "sentence"):
        assert ours[key] == stock[key]
    assert ours["numbers"] == stock["numbers"]
    shapes = [[r["shapes"] for r in one["returns"]["rows"]] for one in (ours, stock)]
    assert shapes[0] == shapes[1]
    assert all(r["ran"] for r in ours["returns"]["rows"])


def test_both_directions_of_ours():
    forward, backward = explained(
        unrolled.Bidirectional(unrolled.GRU(3, return_sequences=True)), random(2, 5, 4)
    )
    assert forward["wrapper"]["pair"] == backward["id"]
    assert [forward["direction"], backward["direction"]] == ["forward", "backward"]
    assert forward["trace"]["drawn"]
    assert backward["trace"]["order"] == "right to left"


@pytest.mark.parametrize("library", [unrolled, L])
def test_stacked_cells(library):
    cells = [library.LSTMCell(3), library.GRUCell(2)]
    cell = library.StackedRNNCells(cells)
    (layer,) = explained(library.RNN(cell), random(2, 5, 4))
    assert layer["kind"] == "stack"
    assert layer["trace"]["drawn"]
    assert [state["size"] for state in layer["states"]] == [3, 3, 2]
    tried = layer["experiments"]
    assert all(row["ran"] for row in tried["other_features"] + tried["other_steps"])
    assert tried["every_step"]["ran"]


def test_several_layers_in_one_are_described_one_by_one():
    layer = unrolled.LSTM(3, num_layers=2, learn_initial_state=True, name="deep")
    layer.build((2, 5, 4))
    for weight in layer.weights[:4]:
        weight.assign(0.5 + weight)
    x = random(2, 5, 4)
    low, high = explained(layer, x)
    assert [one["name"] for one in (low, high)] == [
        "deep, layer 1 of 2",
        "deep, layer 2 of 2",
    ]
    assert [one["kind"] for one in (low, high)] == ["LSTM", "LSTM"]
    assert [one["D"] for one in (low, high)] == [4, 3]
    assert low["trace"]["initial"]
    h = {one["id"]: decode(one["trace"]["arrays"][0]["blob"]) for one in (low, high)}
    # What the upper reads is what the lower gave, and it ends where the layer does.
    read = decode(high["trace"]["input"]).swapaxes(1, 2)
    np.testing.assert_allclose(read, h["r0"], atol=0.01)
    np.testing.assert_allclose(h["r1"][..., -1], np.asarray(layer(x)), atol=0.01)


@pytest.mark.parametrize("merge_mode", ["concat", None])
def test_several_layers_in_both_directions(merge_mode):
    layer = unrolled.GRU(3, num_layers=2, return_state=True)
    both = unrolled.Bidirectional(layer, merge_mode=merge_mode, name="both")
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], bool)
    inputs = keras.Input((5, 4))
    masked = keras.layers.Masking()(inputs)
    x = np.where(mask[..., None], random(2, 5, 4), 0)
    layers = describe(keras.Model(inputs, both(masked)), x)["layers"]
    assert [one["trace"]["drawn"] for one in layers] == [True] * 4
    assert [one["D"] for one in layers] == [4, 4, 6, 6]
    assert [one["wrapper"]["pair"] for one in layers] == ["r1", "r0", "r3", "r2"]
    assert [one["direction"] for one in layers] == ["forward", "backward"] * 2
    assert layers[2]["wrapper"]["name"] == "both, layer 2 of 2"
    final = [np.asarray(a) for a in jax.tree.leaves(both(x, mask=mask))][-4:]
    for one, state in zip(layers, final, strict=True):
        h = decode(one["trace"]["arrays"][0]["blob"])
        end = h[..., 0 if one["direction"] == "backward" else -1]
        np.testing.assert_allclose(end, state, atol=0.01)


def test_several_layers_start_from_the_states_that_are_given():
    layer = unrolled.Bidirectional(unrolled.SimpleRNN(2, num_layers=2))
    x, starts = keras.Input((3, 4)), [keras.Input((2,)) for _ in range(4)]
    model = keras.Model([x, *starts], layer(x, initial_state=starts))
    given = [random(1, 2, seed=n) for n in range(4)]
    layers = describe(model, [random(1, 3, 4), *given])["layers"]
    for one, start in zip(layers, given, strict=True):
        np.testing.assert_allclose(decode(one["trace"]["initial"]["h"]), start)


def test_a_learned_initial_state_is_followed():
    layer = unrolled.GRU(3, learn_initial_state=True)
    layer.build((2, 5, 4))
    layer.weights[0].assign([1.0, -2.0, 0.5])
    (one,) = explained(layer, random(2, 5, 4))
    assert one["trace"]["drawn"]


class Called(keras.Model):
    """A model that calls its layer with arguments of ours."""

    def __init__(self, layer, **arguments):
        super().__init__()
        self.inner, self.arguments = layer, arguments

    def call(self, x):
        return self.inner(x, **self.arguments)


def called(layer, x, **arguments):
    model = Called(layer, **arguments)
    model(x)
    return describe(model, x)["layers"][0]


def test_lengths_are_a_mask_and_resets_a_reason():
    x = random(2, 5, 4)
    layer = called(unrolled.LSTM(3), x, lengths=np.array([2, 5]))
    assert layer["trace"]["drawn"]
    assert layer["trace"]["mask"] == ["11000", "11111"]
    resets = np.zeros((2, 5), bool)
    resets[0, 2] = True
    layer = called(unrolled.LSTM(3), x, resets=resets)
    assert "resets" in layer["trace"]["why"]
    assert all(row["ran"] for row in layer["returns"]["rows"])


def test_time_major():
    x = random(2, 5, 4)
    layer = unrolled.GRU(3, time_major=True, return_sequences=True)
    y = np.asarray(layer(x.swapaxes(0, 1)))
    facts = describe(layer, x.swapaxes(0, 1))["layers"][0]
    assert (facts["T"]["value"], facts["B"]["value"]) == (5, 2)
    h = facts["trace"]["arrays"][0]["blob"]
    gap = np.abs(decode(h) - y.transpose(1, 2, 0))
    assert gap.max() <= h["precision"] * 1.01
    assert layer.time_major


def test_time_distributed():
    layer = L.TimeDistributed(L.LSTM(3, name="inner"))
    (facts,) = explained(layer, random(2, 3, 5, 4))
    assert facts["name"] == "inner"
    assert facts["trace"]["drawn"] or facts["trace"]["why"]
    assert facts["numbers"]["params"] == 4 * 3 * (4 + 3 + 1)


@pytest.mark.parametrize("library", [unrolled, L])
def test_narrow_types_are_drawn_within_their_precision(library):
    layer = library.LSTM(3, dtype="mixed_bfloat16")
    (facts,) = explained(layer, random(2, 5, 4))
    assert facts["trace"]["drawn"]
    assert facts["trace"]["check"]["max_difference"] < 0.05


def test_activations_of_all_kinds():
    layer = L.LSTM(3, activation="relu", recurrent_activation="softplus")
    (facts,) = explained(layer, random(2, 5, 4))
    assert facts["trace"]["drawn"]
    assert facts["gates"][0]["activation"] == "softplus"


def test_a_large_layer_over_many_steps_keeps_what_fits():
    """The shape of LSTM(2048) over 1,000 steps, at an affordable width."""
    (facts,) = explained(L.LSTM(420), random(1, 1000, 3))
    assert facts["trace"]["drawn"]
    assert facts["trace"]["units"]["of"] == 420
    assert len(facts["trace"]["units"]["shown"]) < 420
    assert "by variance" in facts["trace"]["units"]["text"]
    assert facts["embedded"]["embedded"] is False
    assert len(dumps(facts)) < 4_000_000


def test_explain_is_exported_and_seen_through_the_package():
    layer = unrolled.SimpleRNN(2)
    layer.build((None, 3, 2))
    said = unrolled.explain(layer, random(3, 2))
    assert said.facts["layers"][0]["U"] == 2
    assert "2 units wide" in str(said)


@pytest.mark.parametrize("given", [True, False], ids=["a sample", "none"])
def test_inputs_that_come_by_name(given):
    """In another order than that of the alphabet, as `fit` is fed in the docs."""
    steps = keras.Input((None, 3), name="steps")
    length = keras.Input((), dtype="int32", name="length")
    h = unrolled.LSTM(4)(steps, lengths=length)
    model = keras.Model({"steps": steps, "length": length}, L.Dense(1)(h))
    x, n = random(2, 5, 3), np.array([5, 2], "int32")
    facts = describe(model, {"steps": x, "length": n} if given else None)
    (layer,) = facts["layers"]
    assert [c for c in facts["claims"] if c["verdict"] == "failed"] == []
    if given:
        assert (layer["B"]["value"], layer["T"]["value"], layer["D"]) == (2, 5, 3)
