"""`plan` says what will run a layer; nothing is built, drawn or assigned for it."""

import re

import unrolled

import keras
import numpy as np
import pytest

from ..cells_of_users import Noisy

B, T, D, U = 2, 5, 3, 4
SHAPE = (B, T, D)


class Counting(unrolled.Cell):
    """Sums; names a memory, and counts the steps in a variable of its own."""

    state_size, output_size = [D], D

    def build(self, input_shape, memory_shape):
        del input_shape
        assert memory_shape[-1] == D
        self.seen = self.add_weight(
            shape=(), initializer="zeros", name="seen", trainable=False
        )

    def get_constants(self, batch_size, training, memory, memory_mask):
        del batch_size, memory_mask
        return {"training": training, "memory": memory}

    def step(self, x, states, constants):
        if constants["training"]:
            self.seen.assign_add(1.0)
        y = states[0] + x + constants["memory"]
        return y, [y]


def _layers():
    yield unrolled.LSTM(U, dropout=0.5, recurrent_dropout=0.5, stateful=True)
    yield unrolled.RNN(Noisy(U))
    yield unrolled.RNN([unrolled.DropoutWrapper(unrolled.GRUCell(U)), Noisy(U)])
    yield unrolled.RNN(unrolled.ZoneoutWrapper(Noisy(U, ["norm"])))


def _values(layer):
    return [np.array(v.value) for v in layer.variables]


def _parts(layer):
    return list(layer._flatten_layers())


@pytest.mark.keras_ranks
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("shape", [None, SHAPE, (None, None, D)], ids=str)
def test_a_built_layer_is_left_as_it_was(training, shape):
    for layer in _layers():
        layer.build(SHAPE)
        before, variables = _values(layer), list(map(id, layer.variables))
        drawn = keras.random.uniform((1,), seed=keras.random.SeedGenerator(3))
        sentence = layer.plan(shape, training=training)
        assert sentence == layer.plan(shape, training=training)
        assert list(map(id, layer.variables)) == variables
        for variable, old in zip(layer.variables, before, strict=True):
            np.testing.assert_array_equal(variable.value, old, err_msg=variable.path)
        again = keras.random.uniform((1,), seed=keras.random.SeedGenerator(3))
        np.testing.assert_array_equal(drawn, again)
        assert sentence.endswith(".")


@pytest.mark.keras_ranks
def test_an_unbuilt_layer_stays_unbuilt():
    for layer in _layers():
        before, parts = _values(layer), [p.built for p in _parts(layer)]
        assert not layer.built
        layer.plan(SHAPE)
        layer.plan((None, None, D), training=True)
        assert [p.built for p in _parts(layer)] == parts
        assert len(_values(layer)) == len(before)
        for old, new in zip(before, _values(layer), strict=True):
            np.testing.assert_array_equal(old, new)
        # It is built for another width as if it had never been asked.
        layer.build((B, T, D + 1))


def test_the_next_draw_is_the_one_it_would_have_been():
    def drawn(ask):
        keras.utils.set_random_seed(3)
        layer = unrolled.RNN(Noisy(U, ["dropout"]))
        if ask:
            layer.plan(SHAPE, training=True)
        layer.build(SHAPE)
        if ask:
            layer.plan(training=True)
        y = layer(np.ones(SHAPE, "float32"), training=True)
        return np.asarray(y), layer.get_weights()[0]

    for asked, not_asked in zip(drawn(True), drawn(False), strict=True):
        np.testing.assert_array_equal(asked, not_asked)


@pytest.mark.parametrize(
    "make",
    [unrolled.LSTM, lambda units: unrolled.RNN(unrolled.GRUCell(units))],
    ids=["named", "rnn"],
)
def test_an_unbuilt_layer_needs_a_shape(make):
    rule = r"input_shape must be given.*not built, \(batch, time steps, features\).*Got"
    with pytest.raises(ValueError, match=rule):
        make(U).plan()


def test_a_shape_that_does_not_fit():
    layer = unrolled.LSTM(U)
    layer.build(SHAPE)
    with pytest.raises(ValueError, match=f"sequences must have {D} features"):
        layer.plan((B, T, D + 1))
    with pytest.raises(ValueError, match=r"sequences must have rank 3"):
        layer.plan((B, T, D, D))


@pytest.mark.keras_ranks
def test_where_training_and_inference_differ():
    layer = unrolled.RNN(Noisy(U, ["dropout", "norm"]))
    layer.build(SHAPE)
    changed = "seed_generator_state, moving_mean, moving_variance"
    infers, trains = layer.plan(), layer.plan(training=True)
    for said in (infers, trains):
        assert (
            said.count("native kernel") == said.count("the scan: a variable that") == 1
        )
    assert "; in training, the scan" in infers
    assert infers.endswith(f"; each step changes {changed}.")
    assert f"; each step changes {changed}; in inference, the native" in trains
    assert trains.endswith("in float32.")
    same = unrolled.RNN(Noisy(U, []))
    same.build(SHAPE)
    assert same.plan() == same.plan(training=True)
    assert "changes" not in same.plan()


def test_what_it_says_is_what_is_changed():
    """Held to what a call does change, and with a memory."""
    layer = unrolled.RNN(Counting())
    layer.build(SHAPE, memory_shape=(B, D))
    assert re.search(r"in training, .*; each step changes seen\.", layer.plan())
    x, memory = np.ones(SHAPE, "float32"), np.ones((B, D), "float32")
    for training, count in ((False, 0), (True, T)):
        before = float(layer.cell.seen.value)
        layer(x, memory=memory, training=training)
        assert float(layer.cell.seen.value) - before == count
    assert layer.plan(SHAPE, memory_shape=(B, D)) == layer.plan()


def test_one_sentence_names_what_runs(scan_path):
    """The scan, and why; the native core is named in tests/engine."""
    del scan_path
    layer = unrolled.LSTM(U)
    assert layer.plan(SHAPE) == "the scan: UNROLLED_ISA=scan asks for it."
