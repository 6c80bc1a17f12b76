"""Files, both ways with stock Keras."""

import unrolled

import keras
import numpy as np
import pytest

from ..cells_of_users import Noisy
from ..table import CELLS

T, D, U = 5, 3, 4
ROWS = pytest.mark.parametrize("row", CELLS, ids=str)
WRAPS = pytest.mark.parametrize("wrap", ["plain", "bidirectional", "stack", "rnn"])
pytestmark = pytest.mark.keras_ranks


def _model(row, wrap, source):
    layer = getattr(source, row.layer.__name__)
    cell = getattr(source, row.cell.__name__)
    arguments = dict(row.kwargs, bias_initializer="random_normal")
    if wrap == "plain":
        middle = layer(U, return_sequences=True, **arguments)
    elif wrap == "bidirectional":
        middle = source.Bidirectional(layer(U, return_sequences=True, **arguments))
    elif wrap == "stack":
        cells = [cell(U, **arguments), cell(U + 1, **arguments)]
        middle = source.RNN(source.StackedRNNCells(cells), return_sequences=True)
    else:
        middle = source.RNN(cell(U, **arguments), return_sequences=True)
    return keras.Sequential(
        [keras.Input((T, D)), middle, keras.layers.Dense(2), layer(U, **arguments)]
    )


def _same(a, b, rng):
    x = rng.normal(size=(2, T, D)).astype("float32")
    np.testing.assert_allclose(
        a.predict(x, verbose=0), b.predict(x, verbose=0), atol=2e-6
    )
    assert all(
        np.array_equal(v, w)
        for v, w in zip(a.get_weights(), b.get_weights(), strict=True)
    )


@ROWS
@WRAPS
def test_keras_file_of_ours(row, wrap, rng, tmp_path):
    model = _model(row, wrap, unrolled)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert [type(a) for a in again.layers] == [type(m) for m in model.layers]
    assert type(again.layers[-1]) is row.layer
    _same(again, model, rng)


@ROWS
@WRAPS
@pytest.mark.parametrize("direction", ["stock_to_ours", "ours_to_stock"])
def test_weights_file_both_ways(row, wrap, direction, rng, tmp_path):
    models = [_model(row, wrap, keras.layers), _model(row, wrap, unrolled)]
    source, target = models if direction == "stock_to_ours" else models[::-1]
    source.save_weights(tmp_path / "model.weights.h5")
    target.load_weights(tmp_path / "model.weights.h5")
    _same(source, target, rng)


@ROWS
@WRAPS
def test_weight_lists_are_interchangeable(row, wrap, rng):
    stock, ours = _model(row, wrap, keras.layers), _model(row, wrap, unrolled)
    ours.set_weights(stock.get_weights())
    _same(stock, ours, rng)
    assert [w.path.split("/")[-1] for w in ours.weights] == [
        w.path.split("/")[-1] for w in stock.weights
    ]


@ROWS
def test_weights_of_a_stock_keras_file_load_into_ours(row, rng, tmp_path):
    stock, ours = _model(row, "plain", keras.layers), _model(row, "plain", unrolled)
    stock.save(tmp_path / "stock.keras")
    ours.load_weights(tmp_path / "stock.keras")
    _same(stock, ours, rng)


def test_stateful_models_save_no_state(rng, tmp_path):
    inputs = keras.Input((T, D), batch_size=2)
    model = keras.Model(inputs, unrolled.LSTM(U, stateful=True)(inputs))
    x = rng.normal(size=(2, T, D)).astype("float32")
    first = model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), first, atol=1e-6)


def test_a_custom_cell_saves_with_its_inner_layers(rng, tmp_path):
    model = keras.Sequential([keras.Input((T, D)), unrolled.RNN(Noisy(U, ["norm"]))])
    model.compile("sgd", "mse")
    x = rng.normal(size=(8, T, D)).astype("float32")
    model.fit(x, x[:, 0, :1], verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(
        tmp_path / "model.keras", custom_objects={"Noisy": Noisy}
    )
    _same(again, model, rng)
    moved = again.layers[0].cell.parts[0].moving_mean.value
    assert np.any(np.asarray(moved) != 0)


def test_training_goes_on_from_a_file(rng, tmp_path):
    """Optimizer and weights: the same next step as without the detour."""
    model = _model(CELLS[1], "plain", unrolled)
    model.compile("adam", "mse")
    x = rng.normal(size=(8, T, D)).astype("float32")
    y = rng.normal(size=(8, U)).astype("float32")
    model.fit(x, y, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for each in (model, again):
        each.fit(x, y, shuffle=False, verbose=0)
    for ours, theirs in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-7)
