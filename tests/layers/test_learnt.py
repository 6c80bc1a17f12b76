"""`learn_initial_state`: sequences begin with weights, and begin afresh with them."""

import itertools

import unrolled

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

from ..table import draw_mask

B, T, D, U = 3, 7, 3, 4
EVERYTHING = {"return_sequences": True, "return_state": True, "return_all_states": True}


def _pair(kind=unrolled.LSTM, **options):
    """A layer that learns, its initial states drawn, and one that does not."""
    layer, plain = kind(U, learn_initial_state=True, **options), kind(U, **options)
    for each in (layer, plain):
        each.build((B, T, D))
    rng = np.random.default_rng(3)
    for weight in layer.weights:
        if weight.name.startswith("initial"):
            weight.assign(rng.normal(size=weight.shape))
    plain.cell.set_weights(layer.cell.get_weights())
    return layer, plain


def _close(got, want):
    pairs = zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=2e-6)


def test_weights_and_their_names():
    layer, _ = _pair()
    names = [w.path for w in layer.weights]
    assert names[:2] == ["lstm/initial_h", "lstm/initial_c"]
    assert [w.shape for w in layer.weights[:2]] == [(U,), (U,)]
    assert len(layer.trainable_weights) == 5
    stack = unrolled.RNN(
        [unrolled.LSTMCell(U), unrolled.GRUCell(2)], learn_initial_state=True
    )
    stack.build((B, T, D))
    found = [w.name for w in stack.weights[:3]]
    assert found == ["initial_0_h", "initial_0_c", "initial_1_h"]
    assert unrolled.LSTM(U).get_config()["learn_initial_state"] is False


def test_a_cell_s_own_first_state_is_where_learning_begins():
    class Ones(unrolled.SimpleRNNCell):
        def get_initial_state(self, batch_size):
            return [jnp.ones((batch_size, U))]

    layer = unrolled.RNN(Ones(U), learn_initial_state=True)
    layer.build((B, T, D))
    np.testing.assert_array_equal(layer.weights[0].value, 1)


def test_states_that_cannot_be_learned():
    class Count(unrolled.Cell):
        state_size, output_size = 1, 1

        def get_initial_state(self, batch_size):
            return [jnp.zeros((batch_size, 1), "int32")]

        def step(self, x, states, constants):
            del x, constants
            return states[0] * 1.0, [states[0] + 1]

    layer = unrolled.RNN(Count(), learn_initial_state=True)
    with pytest.raises(ValueError, match="learn_initial_state needs a state that"):
        layer.build((B, T, D))


WAYS = [  # begins afresh, last step first, what else
    *((begins, reverse, {}) for begins in (False, True) for reverse in (False, True)),
    (True, False, {"truncate": 3}),
    (True, True, {"checkpoint": True}),
]


@pytest.mark.parametrize("path", ["kernel", "scan"])
@pytest.mark.parametrize(("begins", "reverse", "more"), WAYS, ids=str)
def test_gradients_come_through_resets(path, begins, reverse, more, rng, monkeypatch):
    """Row by row, piece by piece, by a layer that is given the states."""
    if path == "scan":
        monkeypatch.setenv("UNROLLED_ISA", "scan")
    layer, plain = _pair(go_backwards=reverse, **EVERYTHING, **more)
    x = rng.normal(size=(B, T, D)).astype("float32")
    mask = jnp.asarray(draw_mask("holes", rng, B, T))
    resets = np.zeros((B, T), bool)
    resets[0, 3] = resets[1, [2, 5]] = begins
    weights, rest = (
        [v.value for v in vs]
        for vs in (layer.trainable_variables, layer.non_trainable_variables)
    )
    cotangent = rng.normal(size=(B, T, U)).astype("float32")

    def ours(weights):
        given = {"mask": mask, "resets": jnp.asarray(resets) if begins else None}
        y, *_ = layer.stateless_call(weights, rest, x, **given)[0]
        return jnp.sum(y * cotangent)

    def theirs(weights):
        h, c, *cell = weights
        total = 0.0
        for row in range(B):
            edges = [0, *np.flatnonzero(resets[row]), T]
            if reverse:  # a piece begins, read backwards, at its reset
                edges = [0, *(np.flatnonzero(resets[row]) + 1), T]
            for a, b in itertools.pairwise(edges):
                piece = slice(a, b)
                start = [jnp.broadcast_to(s, (1, U)) for s in (h, c)]
                out = plain.stateless_call(
                    cell,
                    [v.value for v in plain.non_trainable_variables],
                    x[row : row + 1, piece],
                    initial_state=start,
                    mask=mask[row : row + 1, piece],
                )[0][0]
                own = slice(T - b, T - a) if reverse else piece
                total += jnp.sum(out * cotangent[row : row + 1, own])
        return total

    if more.get("truncate"):
        assert np.isfinite(jax.grad(ours)(weights)[0]).all()
        _close(ours(weights), theirs(weights))
        return
    (got, found), (want, wanted) = (
        jax.value_and_grad(f)(weights) for f in (ours, theirs)
    )
    np.testing.assert_allclose(got, want, rtol=1e-5)
    for one, other in zip(found, wanted, strict=True):
        assert np.abs(other).max() > 1e-2
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_plan_says_where_resets_run():
    layer, plain = _pair()
    kernel = plain.plan().rstrip(".")
    assert layer.plan() == (
        f"{kernel}; with resets, the scan, which restarts from what is learned."
    )


def test_in_a_bidirectional_in_bfloat16_and_files(rng, tmp_path):
    x = rng.normal(size=(B, T, D)).astype("float32")
    for dtype in ("float32", "mixed_bfloat16"):
        layer = unrolled.Bidirectional(
            unrolled.GRU(U, learn_initial_state=True, dtype=dtype), dtype=dtype
        )
        model = keras.Sequential([keras.Input((T, D)), layer])
        for weight in layer.weights:
            weight.assign(rng.normal(size=weight.shape))
        model.save(tmp_path / "m.keras")
        again = keras.saving.load_model(tmp_path / "m.keras")
        np.testing.assert_array_equal(again(x), model(x))
        names = [w.name for w in layer.weights]
        assert names.count("initial_h") == 2


@pytest.mark.keras_ranks
def test_stateful_layers_begin_and_restart_with_it(rng):
    x = rng.normal(size=(B, T, D)).astype("float32")
    layer, _ = _pair()
    carrying = unrolled.LSTM(U, learn_initial_state=True, stateful=True)
    carrying.build((B, T, D))
    carrying.set_weights(layer.get_weights())
    carrying.reset_state()
    _close(carrying(x), layer(x))
    carrying(x)
    carrying.reset_state()
    _close(carrying(x), layer(x))
    rows = jnp.ones((B, T), bool).at[:, 1:].set(False)
    _close(carrying(x, resets=rows), layer(x))


@pytest.mark.keras_ranks
def test_fit_learns_it(rng):
    x = rng.normal(size=(B, T, D)).astype("float32")
    layer, _ = _pair()
    inputs = keras.Input((T, D))
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(1.0), "mse")
    before = layer.get_weights()
    model.fit(x, np.zeros((B, U), "float32"), batch_size=B, verbose=0)
    moved = [
        np.abs(a - b).max() for a, b in zip(before, layer.get_weights(), strict=True)
    ]
    assert min(moved) > 1e-4


def test_a_stream_says_no():
    layer, _ = _pair()
    model = keras.Sequential([keras.Input((None, D)), layer])
    with pytest.raises(ValueError, match="learn_initial_state=True"):
        unrolled.stream(model)
