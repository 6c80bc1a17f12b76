"""What a layer returns: every array by name, and what lies along each axis."""

import re

import unrolled
from unrolled.explain.facts import describe as describing
from unrolled.explain.facts import recurrent
from unrolled.explain.show import page_layer, page_opening

import keras
import numpy as np
import pytest

from conftest import random

pytestmark = [
    pytest.mark.keras_ranks,
    pytest.mark.filterwarnings("ignore:unrolled runs its slower scan path"),
]
L = keras.layers
B, T, D, U = 2, 23, 5, 16
ONE, ALL = "B 16", "B 23 16"
LAST, EVERY = ["h_23 B 16", "c_23 B 16"], ["h_1 .. h_23 B 23 16", "c_1 .. c_23 B 23 16"]
MAJOR = ["h_1 .. h_23 23 B 16", "h_23 B 16", "c_23 B 16"]
SEQUENCES = {"return_sequences": True, "return_state": True}


class Two(L.Layer):
    """A step with two outputs and a state that is a matrix."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.state_size, self.output_size = [(3, 4)], {"a": 3, "b": 4}

    def call(self, inputs, states):
        (m,) = states
        m = 0.5 * m + inputs[:, :3, None]
        return {"a": m[:, :, 0], "b": m[:, 0]}, [m]


CASES = {
    "last": (lambda: L.LSTM(U), LAST[:1]),
    "state": (lambda: L.LSTM(U, return_state=True), [LAST[0], *LAST]),
    "sequences and state": (lambda: L.LSTM(U, **SEQUENCES), [EVERY[0], *LAST]),
    "backwards": (
        lambda: L.GRU(U, go_backwards=True, **SEQUENCES),
        ["h_23 .. h_1 (last step first) B 23 16", "h_1 B 16"],
    ),
    "all states": (
        lambda: unrolled.LSTM(U, return_sequences=True, return_all_states=True),
        [EVERY[0], *EVERY],
    ),
    "all of them": (
        lambda: unrolled.LSTM(U, return_state=True, return_all_states=True),
        [LAST[0], *LAST, *EVERY],
    ),
    "time major": (lambda: unrolled.LSTM(U, time_major=True, **SEQUENCES), MAJOR),
    "two outputs": (
        lambda: unrolled.RNN(Two(), **SEQUENCES),
        ["y[0]_1 .. y[0]_23 B 23 3", "y[1]_1 .. y[1]_23 B 23 4", "s0_23 B 3 4"],
    ),
    "pair": (
        lambda: L.Bidirectional(L.LSTM(U, **SEQUENCES)),
        [
            "h of both directions B 23 32",
            *[f"last {k} {way} B 16" for way in ("forward", "backward") for k in "hc"],
        ],
    ),
    "unmerged pair": (
        lambda: L.Bidirectional(L.GRU(U), merge_mode=None),
        ["h forward B 16", "h backward B 16"],
    ),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    none = {"other_steps": [], "other_units": [], "other_features": []}
    monkeypatch.setattr(recurrent, "experiments", lambda *job, **more: lambda found: {})
    monkeypatch.setattr(recurrent.shapes, "variants", lambda *job, **more: lambda: none)
    monkeypatch.setattr(describing, "judge", lambda facts: [])


@pytest.mark.parametrize(("make", "expected"), CASES.values(), ids=CASES)
def test_every_array_is_named_and_its_axes_too(make, expected):
    layer, x = make(), random(B, T, D)
    x = x.swapaxes(0, 1) if getattr(layer, "time_major", False) else x
    returned = keras.tree.flatten(layer(x))
    facts = describing.describe(layer, x)
    (node,) = facts["strip"]["nodes"]
    said = [f"{name} ({size})" for name, size in map(apart, expected)]
    assert node["returns"] == " and ".join(
        [", ".join(said[:-1]), said[-1]][len(said) < 2 :]
    )
    # The sizes are those of the arrays, and the batch is where it says.
    for array, axes in zip(returned, node["axes_out"], strict=True):
        sizes = {"batch": B, "steps": T}
        for size, axis in zip(array.shape, axes, strict=True):
            assert sizes.get(axis, size) == size
    page = page_opening.strip(facts)
    line = re.search(r'<p class="io">.*?</p>', page).group(0)
    colours = re.findall(r'<b class="(\w+)-ink">', line)
    axes = [*node["axes_in"], *node["axes_out"]]
    assert colours == [axis for one in axes for axis in one if axis]
    half = facts["layers"][0]
    rows = [row for row in half["returns"]["rows"] if row["current"]]
    assert all(row["ran"] for row in half["returns"]["rows"])
    assert len(rows) == 1
    if not half["wrapper"]:
        pairs = zip(rows[0]["meaning"], rows[0]["text"], strict=True)
        assert [f"{name} {text}" for name, text in pairs] == said
    else:
        words = page_layer._returns(half, facts)
        assert "the two together return h" in words
        assert "this model" not in words


def apart(text):
    """h_23 B 16 -> its name, and its sizes."""
    name, sizes = re.fullmatch(r"(.*?) ((?:B|\d+)(?: (?:B|\d+))*)", text).groups()
    return name, ", ".join(sizes.split())


def test_an_image_has_no_features_in_the_middle():
    model = keras.Sequential([keras.Input((3, 8, 1)), L.ConvLSTM1D(2, 3)])
    facts = describing.describe(model, random(1, 3, 8, 1))
    (node,) = facts["strip"]["nodes"]
    assert node["axes_in"] == [["batch", "steps", None, None]]
    assert node["axes_out"] == [["batch", None, None]]
    assert np.prod(node["ran_out"][0]) == 12
