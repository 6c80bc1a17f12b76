"""What a cell says of itself, in the facts: names of states, trees, a memory."""

import unrolled
from unrolled.explain.facts import kinds
from unrolled.explain.facts import memory as memories
from unrolled.explain.facts.describe import describe

import keras
import numpy as np
import pytest

B, T, D, U, S = 2, 5, 3, 4, 6
pytestmark = pytest.mark.keras_ranks


class Conditioned(unrolled.CellWrapper):
    """Adds the mean of a memory (B, S, D) to the inputs."""

    def get_constants(self, batch_size, training, memory):
        return {"cell": super().get_constants(batch_size, training), "m": memory}

    def step(self, x, states, constants):
        x = x + constants["m"].mean(axis=1)
        return super().step(x, states, constants["cell"])


class Mean(unrolled.Cell):
    """Counts the steps, and averages them."""

    output_size = D

    @property
    def state_size(self):
        return {"mean": D, "count": 1}

    def step(self, x, states, constants):
        del constants
        count = states["count"] + 1
        mean = states["mean"] + (x - states["mean"]) / count
        return mean, {"mean": mean, "count": count}


def _draw(rng, *shape):
    return rng.normal(size=shape).astype("float32")


def test_states_go_by_the_names_that_the_cell_gives(rng):
    layer = unrolled.RNN(Mean(), return_sequences=True)
    x = _draw(rng, B, T, D)
    layer(x)
    (facts,) = describe(layer, x)["layers"]
    assert [s["key"] for s in facts["states"]] == ["count", "mean"]
    assert "count and mean" in facts["sentence"]
    assert facts["trace"]["drawn"]
    assert all(row["ran"] for row in facts["returns"]["rows"])


def test_a_wrapper_shows_the_states_of_its_cell(rng):
    layer = unrolled.RNN(unrolled.ResidualWrapper(unrolled.LSTMCell(D)))
    x = _draw(rng, B, T, D)
    layer(x)
    (facts,) = describe(layer, x)["layers"]
    assert [s["key"] for s in facts["states"]] == ["h", "c"]
    assert not any(s["is_output"] for s in facts["states"])
    assert facts["trace"]["drawn"]


@pytest.mark.parametrize("both", [False, True], ids=["one", "bidirectional"])
def test_a_memory_is_said_and_handed_on(both, rng):
    sequences, memory = keras.Input((T, D)), keras.Input((S, D))
    layer = unrolled.RNN(Conditioned(unrolled.GRUCell(U)))
    layer = unrolled.Bidirectional(layer) if both else layer
    model = keras.Model([sequences, memory], layer(sequences, memory=memory))
    x, m = _draw(rng, B, T, D), _draw(rng, B, S, D)
    found = describe(model, [x, m])["layers"]
    assert len(found) == 1 + both
    for facts in found:
        assert facts["memory"] == [[S, D]]
        assert "memory, the same at every step: 6 x 3 numbers" in facts["sentence"]
        assert facts["trace"]["drawn"], facts["trace"]
        assert all(row["ran"] for row in facts["returns"]["rows"])
        shown = {c["id"] for c in facts["claims"] if c["verdict"] == "shown"}
        assert {1, 3, 5, 17, 24} <= shown


def test_what_is_drawn_follows_the_memory(rng):
    """Another memory, other states: it is the one that the layer was called with."""
    layer = unrolled.RNN(Conditioned(unrolled.GRUCell(U)))
    sequences, memory = keras.Input((T, D)), keras.Input((S, D))
    model = keras.Model([sequences, memory], layer(sequences, memory=memory))
    x, m = _draw(rng, B, T, D), _draw(rng, B, S, D)
    drawn = []
    for given in (m, m + 1):
        (facts,) = describe(model, [x, given])["layers"]
        assert facts["trace"]["check"]["max_difference"] < 1e-5
        drawn.append(facts["trace"]["arrays"][0])
    assert drawn[0] != drawn[1]


def test_a_state_as_long_as_the_memory_of_the_call():
    """Alignments are no unit's; how many there are the call says."""
    cell = unrolled.AttentionCell(unrolled.GRUCell(4), unrolled.BahdanauAttention(2))
    cell.build((None, 3), (None, None, 5))
    with memories.remembered(cell, {"memory": np.zeros((2, 7, 5))}):
        assert kinds.state_sizes(cell) == [(4,), (5,), (7,)]
        assert kinds.width(cell) == 4
    assert kinds.state_sizes(cell) == [(4,), (5,), (0,)]
