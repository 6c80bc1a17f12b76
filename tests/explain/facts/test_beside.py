"""Explaining beside other work: nothing of the model or the process is changed."""

import random as python_random
import threading

import unrolled
from unrolled.explain.facts.describe import describe
from unrolled.explain.facts.doubles import Doubles, with_flags

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
T, D, U = 4, 3, 2
QUICK = "jax_disable_most_optimizations"


@pytest.fixture(autouse=True)
def as_users_have_it():
    """The suite compiles fast; here that setting is what must not be touched."""
    before = jax.config.values[QUICK]
    jax.config.update(QUICK, False)
    yield
    jax.config.update(QUICK, before)


def _plain():
    return sequential(L.LSTM(U), shape=(T, D))


def _both_directions():
    inner = L.GRU(U, dropout=0.3, recurrent_dropout=0.2)
    return sequential(L.Bidirectional(inner), shape=(T, D))


def _stateful():
    keras.utils.set_random_seed(7)
    layer = unrolled.LSTM(U, stateful=True)
    model = keras.Sequential([keras.Input(batch_shape=(1, T, D)), layer])
    model(random(1, T, D, seed=8))
    return model


def _statistics():
    layers = L.BatchNormalization(), L.Dropout(0.5), L.SimpleRNN(U), L.Dense(1)
    return sequential(*layers, shape=(T, D))


class Called(keras.Model):
    """A model of someone's own, with something to do at each call."""

    def __init__(self, act, **kwargs):
        super().__init__(**kwargs)
        self.inner, self.act = L.LSTM(U), act

    def call(self, x):
        self.act(self)
        return self.inner(x)


def _called(act):
    model = Called(lambda model: None)
    model(random(1, T, D))
    model.act = act
    return model


def state_of(model):
    """Every attribute of every layer, every number, and the process's own settings."""
    parts = list(model._flatten_layers())
    found = [{key: _still(value) for key, value in vars(one).items()} for one in parts]
    numbers = [np.asarray(v.value) for v in model.variables]
    drawn = np.random.get_state()[1]  # noqa: NPY002  the generator that people seed
    process = [dict(jax.config.values), python_random.getstate(), drawn.tolist()]
    return found, [n.tolist() for n in numbers], process


def _still(value):
    if isinstance(value, (list, tuple)):
        return [_still(one) for one in value]
    return id(value) if isinstance(value, keras.layers.Layer) else str(value)


MODELS = {
    "plain": _plain,
    "bidirectional": _both_directions,
    "stateful": _stateful,
    "statistics": _statistics,
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_nothing_is_changed(make):
    model, x = make(), random(1, T, D)
    model(x)  # what a first call leaves is not of explain's doing
    before = state_of(model)
    describe(model, x)
    assert state_of(model) == before


def _numbers_of_names():
    names = L.GRU(1).name, L.Dropout(0.1).seed_generator.name
    return [int(name.rpartition("_")[2]) for name in names]


def test_no_automatic_name_is_taken():
    model = _both_directions()
    _named = L.GRU(1), L.Dropout(0.1)  # so that every later name has a number
    before = _numbers_of_names()
    describe(model, random(1, T, D))
    after = _numbers_of_names()
    assert after[0] == before[0] + 1
    assert after[1] == before[1] + 2  # a GRU has one, too


def _stop(error):
    def act(model):
        del model
        raise error

    return act


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_nothing_is_changed_where_the_model_stops(error):
    model = _called(_stop(error))
    before = state_of(model)
    with pytest.raises(type(error)):
        describe(model, random(1, T, D))
    assert state_of(model) == before


def test_a_call_of_ones_own_is_watched_and_put_back():
    model = _plain()
    layer = model.layers[0]
    own, seen = layer.call, []
    layer.call = lambda *args, **kwargs: [seen.append(1), own(*args, **kwargs)][1]
    mine = vars(layer)["call"]
    (facts,) = describe(model, random(1, T, D))["layers"]
    assert "replaced on this very layer" in facts["trace"]["why"]
    assert vars(layer)["call"] is mine
    assert seen


def test_two_threads_explain_two_models():
    made = [_plain(), _both_directions()]
    x = random(1, T, D)
    alone = [dumps(describe(model, x)) for model in made]
    before, gate, got = dict(jax.config.values), threading.Barrier(2), {}

    def work(number):
        gate.wait()
        got[number] = [dumps(describe(made[number], x)) for _ in range(2)]

    threads = [threading.Thread(target=work, args=(n,)) for n in (0, 1)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert dict(jax.config.values) == before
    assert got == {0: [alone[0]] * 2, 1: [alone[1]] * 2}


def test_who_calls_the_model_meanwhile_gets_its_own_answers():
    model, x = _plain(), random(1, T, D)
    right, seen, done = np.asarray(model(x)), [], threading.Event()

    def call():
        while not done.is_set():
            settings = jax.config.values[QUICK]
            seen.append((np.asarray(model(x)), vars(model.layers[0])["return_state"]))
            assert not settings

    thread = threading.Thread(target=call)
    thread.start()
    try:
        (facts,) = describe(model, x)["layers"]
    finally:
        done.set()
        thread.join()
    assert len(seen) > 3
    assert all(np.array_equal(y, right) and not flag for y, flag in seen)
    # The other thread's calls are not taken for calls of the sample.
    assert facts["trace"]["drawn"]


def test_one_moment_is_described_while_somebody_trains():
    def train(model):
        def assign():
            kernel = model.inner.cell.kernel
            kernel.assign(kernel + 1)

        thread = threading.Thread(target=assign)
        thread.start()
        thread.join()

    model, x = _called(lambda model: None), random(1, T, D)
    before = dumps(describe(model, x))
    model.act = train
    first = np.asarray(model.inner.cell.kernel.value)
    assert dumps(describe(model, x)) == before
    assert np.allclose(model.inner.cell.kernel, first + 1)


class Assigning(L.SimpleRNNCell):
    """A step that changes a weight."""

    def call(self, inputs, states, training=False):
        self.bias.assign(self.bias * 1.5 + 1)
        return super().call(inputs, states, training)


def test_a_step_that_assigns_a_weight_is_found_out():
    model = sequential(L.RNN(Assigning(U), unroll=True), shape=(T, D))
    model(random(1, T, D))
    before = state_of(model)
    facts = describe(model, random(1, T, D))
    (layer,) = facts["layers"]
    assert "NOT the same" in layer["experiments"]["weights_changed"]["text"]
    assert {c["id"]: c["verdict"] for c in facts["claims"]}[16] == "failed"
    assert state_of(model) == before


def test_a_model_without_weights_is_built_and_starts_afresh():
    layer = L.LSTM(U, stateful=True)
    model = keras.Sequential([layer])
    facts = describe(model, random(1, T, D))
    assert facts["layers"][0]["trace"]["initial"] is None
    assert all(not np.any(np.asarray(state.value)) for state in layer.states)


def test_doubles_share_what_the_layers_share():
    dense = L.Dense(2)
    dense.build((None, 3))
    one, other = L.TimeDistributed(dense), L.TimeDistributed(dense)
    one.build((None, T, 3))
    doubles = Doubles()
    first, second = doubles.of(one), doubles.of(other)
    assert first.layer is second.layer is not dense
    assert first.layer.kernel is not dense.kernel
    assert first._layers == [first.layer]
    first.layer.kernel.assign(first.layer.kernel * 0)
    assert np.any(np.asarray(dense.kernel.value))
    x = random(1, T, 3)
    assert not np.any(np.asarray(first(x)))  # the double reads its own
    assert np.any(np.asarray(one(x)))
    assert with_flags(first, trainable=True, no_such_flag=1).layer is first.layer
