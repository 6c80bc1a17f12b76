"""A ConvLSTM or ConvGRU: shapes, counts, gates and terms against loops in NumPy."""

import unrolled
from unrolled.explain.blobs import decode
from unrolled.explain.facts.describe import describe

import keras
import numpy as np
import pytest

from conftest import quick, random, sequential

pytestmark = pytest.mark.keras_ranks
L = keras.layers
T, C, F = 3, 2, 3


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def convolve(x, kernel, starts, strides, apart, out):
    """Loops over positions and taps; beyond the edges lie zeros."""
    z = np.zeros((*out, kernel.shape[-1]))
    for place in np.ndindex(*out):
        for tap in np.ndindex(*kernel.shape[:-2]):
            at = [
                a + p * s + t * d
                for a, p, s, t, d in zip(
                    starts, place, strides, tap, apart, strict=True
                )
            ]
            if all(0 <= n < size for n, size in zip(at, x.shape, strict=False)):
                z[place] += x[tuple(at)] @ kernel[tap]
    return z


def films(layer, size):
    x = random(2, T, *size, C)
    if layer.cell.data_format == "channels_first":
        x = np.moveaxis(x, -1, 2)
    model = sequential(layer, shape=x.shape[1:])
    drawn = [0.4 * random(*w.shape, seed=n) for n, w in enumerate(layer.weights)]
    layer.set_weights(drawn)
    return describe(model, x)["layers"][0]


def steps_of(layer, size, starts, out):
    """x, and gates and states of every step of the first example, in float64."""
    cell, x = layer.cell, random(2, T, *size, C)[0].astype("float64")
    w, r, b = (np.asarray(one.value, "float64") for one in cell.weights)
    lstm, rank = "LSTM" in type(cell).__name__, cell.rank
    if lstm:
        b = b + np.repeat([0, getattr(cell, "forget_bias", 0), 0, 0], F)
    same = [-((n - 1) // 2) for n in cell.kernel_size]
    h, c, found = np.zeros((*out, F)), np.zeros((*out, F)), []
    of_h = lambda h, r: convolve(h, r, same, [1] * rank, [1] * rank, out)  # noqa: E731
    for t in range(T):
        z = convolve(x[t], w, starts, cell.strides, cell.dilation_rate, out) + b
        if lstm:
            i, f, g, o = np.split(z + of_h(h, r), 4, -1)
            step = {"i": sigmoid(i), "f": sigmoid(f), "g": np.tanh(g), "o": sigmoid(o)}
            c = step["f"] * c + step["i"] * step["g"]
            h = step["o"] * np.tanh(c)
            found.append(step | {"c": c, "h": h})
        else:
            z, rr, hh = np.split(z, 3, -1)
            r_z, r_r, r_h = np.split(r, 3, -1)
            z, rr = sigmoid(z + of_h(h, r_z)), sigmoid(rr + of_h(h, r_r))
            hh = np.tanh(hh + of_h(rr * h, r_h))
            h = z * h + (1 - z) * hh
            found.append({"z": z, "r": rr, "hh": hh, "h": h})
    return x, found


FIRST = {"data_format": "channels_first", "forget_bias": 1.5, "padding": "same"}
CASES = {
    "channels first, a bias at each step": (
        lambda: unrolled.RNN(unrolled.ConvLSTMCell(2, F, (3, 2), **FIRST)),
        *((4, 5), (-1, 0), (4, 5)),
    ),
    "strides": (
        lambda: unrolled.ConvGRU2D(F, 3, strides=(2, 1), return_sequences=True),
        *((6, 5), (0, 0), (2, 3)),
    ),
    "keras": (
        lambda: L.ConvLSTM1D(F, 3, dilation_rate=2, padding="same"),
        *((6,), (-2,), (6,)),
    ),
}


@pytest.fixture(scope="module", params=CASES, ids=list(CASES))
def case(request):
    make, size, starts, out = CASES[request.param]
    layer = make()
    facts = films(layer, size)
    return layer, facts, *steps_of(layer, size, starts, out)


def test_every_gate_and_state_is_recorded_whole(case):
    _, facts, x, found = case
    image = facts["image"]
    assert image["steps"] == [*range(T)]
    keys = {row["key"] for row in image["rows"]}
    assert keys == {"x", *found[0]}
    for row in image["rows"]:
        series = x if row["key"] == "x" else [step[row["key"]] for step in found]
        wanted = np.stack([one[..., row["channel"]] for one in series])
        got = decode(row["blob"]).reshape(wanted.shape)
        assert np.abs(got - wanted).max() <= row["blob"]["precision"] + 1e-6


def test_the_trace_is_that_of_the_liveliest_position(case):
    _, facts, _, found = case
    place = tuple(facts["image"]["place"])
    h = np.stack([step["h"] for step in found])
    assert facts["trace"]["check"]["max_difference"] <= 1e-6
    for row in facts["trace"]["arrays"]:
        wanted = np.stack([step[row["key"]][place] for step in found]).T
        got = decode(facts["trace"]["detail"]["arrays"][row["key"]])[0]
        assert np.abs(got - wanted).max() <= 1e-3
    assert facts["trace"]["units"]["of"] == F
    assert h.shape[1:-1] == tuple(facts["image"]["gives"])


def test_its_sums_have_every_term_of_the_window(case):
    _, facts, x, found = case
    terms = facts["numbers"]["formula"]["window"] * (C + F)
    assert facts["ledgers"]
    for one in facts["ledgers"]:
        for gate in one["gates"]:
            assert len(gate["terms"]) + gate["rest"]["count"] == terms
            total = sum(t["product"] for t in gate["terms"]) + gate["rest"]["sum"]
            assert abs(total + sum(gate["bias"]) - gate["sum"]) <= 1e-6
            assert gate["difference"] <= 1e-5
            wanted = found[one["step"]][gate["key"]][tuple(facts["image"]["place"])]
            assert abs(gate["value"] - wanted[one["unit"]]) <= 1e-5
            for term in gate["terms"]:
                if term["from"] == "x" and all(n >= 0 for n in term["index"]):
                    inside = x[one["step"]][tuple(term["index"])]
                    assert abs(term["value"] - inside) <= 1e-6


def test_weights_are_counted_by_the_formula(case):
    layer, facts, *_ = case
    formula = facts["numbers"]["formula"]
    assert formula["total"] == layer.cell.count_params()
    assert formula["equals_keras"]
    assert facts["numbers"]["per_unit"] * F == layer.cell.count_params()
    taps = " × ".join(map(str, layer.cell.kernel_size))
    assert f"{F} × ({taps} × ({C} + {F}) + 1) = " in formula["numeric"]


def test_a_window_is_what_moves(case):
    layer, facts, *_ = case
    moved = facts["experiments"]["fan_in"]
    assert moved["ran"], moved
    assert 1 <= moved["moved"] <= np.prod(layer.cell.kernel_size)
    for key in ("weights_changed", "zero_or_mask", "forget", "stateful", "every_step"):
        found = facts["experiments"].get(key)
        assert found["ran"], (key, found)
    assert [row["ran"] for row in facts["returns"]["rows"]] == [True] * 8


def test_a_large_image_is_means_and_masked_steps_are_named(monkeypatch):
    quick(monkeypatch)
    films, read = keras.Input((2, 40, 1)), keras.Input((2,), dtype="bool")
    layer = unrolled.ConvLSTM1D(2, 3, padding="same", return_sequences=True)
    model = keras.Model([films, read], layer(films, mask=read))
    x = random(1, 2, 40, 1)
    image = describe(model, [x, np.array([[True, False]])])["layers"][0]["image"]
    assert image["skipped"] == [1]
    assert {row["means_over"] for row in image["rows"]} == {2}
    wanted = x[0, :, :, 0].reshape(2, 20, 2).mean(-1)
    row = image["rows"][0]
    assert np.abs(decode(row["blob"])[:, 0] - wanted).max() <= row["blob"]["precision"]
