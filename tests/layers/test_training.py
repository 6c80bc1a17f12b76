"""Layers inside fit, predict and train_on_batch: state, inner layers, gradients."""

import unrolled

import keras
import numpy as np
import pytest

from .. import record, reference
from ..cells_of_users import Noisy
from ..table import CELLS

B, T, D, U = 4, 5, 3, 6
ROWS = pytest.mark.parametrize("row", CELLS, ids=str)
pytestmark = pytest.mark.keras_ranks


def _x(rng, *shape):
    return rng.normal(size=shape).astype("float32")


def _stateful(row, batch=B):
    inputs = keras.Input((T, D), batch_size=batch)
    layer = row.layer(U, stateful=True, **row.kwargs)
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return model, layer


def _law(row, layer, batches):
    """Each row goes on from where the same row of the batch before ended."""
    params = {v.name: np.asarray(v.value, "float64") for v in layer.trainable_variables}
    states = [np.zeros((B, U))] * row.states
    outputs = []
    for x in batches:
        rows = len(x)
        run = reference.unroll(
            row.reference_step(params), x, [s[:rows] for s in states]
        )
        states = [
            np.concatenate([new, old[rows:]])
            for new, old in zip(run.states, states, strict=True)
        ]
        outputs.append(run.last)
    return np.concatenate(outputs), states


def _check(row, layer, states, name):
    for ours, law in zip(layer.states, states, strict=True):
        record.hold("values", "float32", ours.value, law, f"{row} {name}")


@ROWS
def test_predict_carries_states_and_a_smaller_last_batch(row, rng):
    model, layer = _stateful(row)
    x = _x(rng, 2 * B + 3, T, D)
    y = model.predict(x, batch_size=B, verbose=0)
    law, states = _law(row, layer, [x[:B], x[B : 2 * B], x[2 * B :]])
    record.hold("values", "float32", y, law, f"{row} predict")
    _check(row, layer, states, "predict")


@ROWS
def test_fit_carries_states_and_a_smaller_last_batch(row, rng):
    model, layer = _stateful(row)
    x, y = _x(rng, 2 * B + 1, T, D), _x(rng, 2 * B + 1, U)
    model.fit(x, y, batch_size=B, shuffle=False, epochs=1, verbose=0)
    _, states = _law(row, layer, [x[:B], x[B : 2 * B], x[2 * B :]])
    _check(row, layer, states, "fit")


@ROWS
def test_train_on_batch_carries_states(row, rng):
    model, layer = _stateful(row)
    batches = [_x(rng, B, T, D), _x(rng, B, T, D), _x(rng, B - 1, T, D)]
    for x in batches:
        model.train_on_batch(x, _x(rng, len(x), U))
    _, states = _law(row, layer, batches)
    _check(row, layer, states, "train_on_batch")


@ROWS
def test_evaluate_and_test_on_batch_carry_states(row, rng):
    model, layer = _stateful(row)
    x, y = _x(rng, 2 * B, T, D), _x(rng, 2 * B, U)
    model.evaluate(x, y, batch_size=B, verbose=0)
    _, states = _law(row, layer, [x[:B], x[B:]])
    _check(row, layer, states, "evaluate")


def test_states_are_not_weights():
    """Files and weight lists stay those of a layer that carries nothing."""
    model, layer = _stateful(CELLS[1])
    assert len(layer.weights) == 3
    assert len(model.get_weights()) == 3
    assert len(layer.trainable_variables) == 3


def test_training_a_stateful_layer_learns(rng):
    """The loss falls, and gradients stop at the batch's edge without an error."""
    inputs = keras.Input((T, D), batch_size=B)
    y = unrolled.GRU(U, stateful=True)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(y))
    model.compile(keras.optimizers.Adam(0.02), "mse")
    x = _x(rng, 4 * B, T, D)
    target = x[:, -1, :1] - x[:, 0, 1:2]
    history = model.fit(x, target, batch_size=B, shuffle=False, epochs=30, verbose=0)
    losses = history.history["loss"]
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("batch", [4, 16])
@pytest.mark.parametrize("masked", [False, True])
def test_a_cell_with_dropout_and_batch_normalization_trains(batch, masked, rng):
    cell = Noisy(U, ["norm", "dropout"])
    layers = [keras.layers.Masking()] if masked else []
    model = keras.Sequential(
        [
            keras.Input((T, D)),
            *layers,
            unrolled.RNN(cell),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(0.02), "mse")
    norm, dropout = cell.parts
    seed = np.array(dropout.seed_generator.state.value)
    x = 3.0 + 2.0 * _x(rng, 64, T, D)
    if masked:
        x[:, -1] = 0.0
    history = model.fit(x, x[:, 0, :1], batch_size=batch, epochs=25, verbose=0)
    assert history.history["loss"][-1] < 0.6 * history.history["loss"][0]
    mean, variance = (
        np.asarray(v.value) for v in (norm.moving_mean, norm.moving_variance)
    )
    if not masked:
        np.testing.assert_allclose(mean, 3.0, atol=0.6)
        assert np.all(variance > 2.0)
    assert np.any(mean != 0)
    assert np.any(variance != 1)
    assert (np.asarray(dropout.seed_generator.state.value) != seed).any()


def test_moving_averages_move_once_a_step(rng):
    """T steps of momentum 0.9, each over its own step's batch."""
    layer = unrolled.RNN(Noisy(U, ["norm"]))
    x = _x(rng, B, T, D)
    layer.build(x.shape)
    layer(x, training=True)
    mean = np.zeros(D)
    for t in range(T):
        mean = 0.9 * mean + 0.1 * x[:, t].astype("float64").mean(0)
    norm = layer.cell.parts[0]
    record.hold("values", "float32", norm.moving_mean.value, mean, "moving mean")
    before = np.array(norm.moving_mean.value)
    layer(x, training=False)
    np.testing.assert_array_equal(norm.moving_mean.value, before)


def test_inner_dropout_differs_from_step_to_step():
    """A layer inside the cell draws at each step; the cell's own masks do not."""

    class Echo(keras.layers.Layer):
        state_size = 1
        output_size = 64

        def __init__(self):
            super().__init__()
            self.dropout = keras.layers.Dropout(0.5, seed=1)

        def call(self, inputs, states, training=False):
            return self.dropout(inputs, training=training), states

    layer = unrolled.RNN(Echo(), return_sequences=True)
    y = np.asarray(layer(np.ones((1, 4, 64), "float32"), training=True))
    assert len({tuple(step) for step in y[0]}) == 4
    again = np.asarray(layer(np.ones((1, 4, 64), "float32"), training=True))
    assert (again != y).any()
    np.testing.assert_array_equal(layer(np.ones((1, 4, 64), "float32")), 1)


@ROWS
def test_dropout_trains_and_is_off_at_inference(row, rng):
    model = keras.Sequential(
        [
            keras.Input((T, D)),
            row.layer(U, dropout=0.3, recurrent_dropout=0.3, seed=1, **row.kwargs),
            keras.layers.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    x = _x(rng, 8, T, D)
    model.fit(x, x[:, 0, :1], epochs=2, batch_size=4, verbose=0)
    np.testing.assert_array_equal(
        model.predict(x, verbose=0), model.predict(x, verbose=0)
    )
    assert (np.asarray(model(x, training=True)) != model(x, training=False)).any()


@ROWS
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float32"])
def test_fit_in_every_policy(row, policy, rng):
    model = keras.Sequential(
        [
            keras.Input((T, D)),
            row.layer(U, dtype=policy, **row.kwargs),
            keras.layers.Dense(1, dtype="float32"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.02), "mse")
    x = _x(rng, 32, T, D)
    target = x[:, -1, :1]
    losses = model.fit(x, target, epochs=20, batch_size=8, verbose=0).history["loss"]
    assert losses[-1] < 0.3 * losses[0]


@ROWS
def test_second_derivatives(row, rng):
    """Through the scan: the Hessian-vector product equals a difference of gradients."""
    import jax

    layer = row.layer(U, **row.kwargs)
    layer.build((1, T, D))
    weights = [v.value for v in layer.trainable_variables]
    rest = [v.value for v in layer.non_trainable_variables]

    def loss(x):
        return jax.numpy.sum(layer.stateless_call(weights, rest, x)[0] ** 2)

    x, v = _x(rng, 1, T, D), _x(rng, 1, T, D)
    gradient = jax.jit(jax.grad(loss))
    _, product = jax.jvp(gradient, (x,), (v,))
    step = np.float32(1e-2)
    difference = (gradient(x + step * v) - gradient(x - step * v)) / (2 * step)
    assert reference.max_relative(product, difference) < 2e-3


@pytest.mark.keras_ranks
@pytest.mark.parametrize("policy", ["bfloat16", "float16", "mixed_float16"])
@pytest.mark.parametrize("kind", [unrolled.SimpleRNN, unrolled.LSTM, unrolled.GRU])
def test_every_dtype_policy_trains(kind, policy, rng, tmp_path):
    """Weights that are held in 16 bits are drawn in 32: no library solves in fewer."""
    layer = kind(4, dtype=policy)
    model = keras.Sequential([keras.Input((5, 3)), layer, keras.layers.Dense(1)])
    kernel = np.asarray(layer.cell.recurrent_kernel.value, "float32")
    np.testing.assert_allclose(kernel @ kernel.T, np.eye(4), atol=0.05)
    model.compile("sgd", "mse")
    x = rng.normal(size=(2, 5, 3)).astype("float32")
    model.fit(x, np.zeros((2, 1)), verbose=0)
    assert str(layer(x).dtype) == layer.compute_dtype
    model.save(tmp_path / "it.keras")
    again = keras.models.load_model(tmp_path / "it.keras")
    np.testing.assert_array_equal(again(x), model(x))
