"""Bad input: argument, rule with numbers, what came, what to do; before any compute."""

import re

import unrolled

import keras
import numpy as np
import pytest

from ..table import CELLS

B, T, D, U = 3, 6, 4, 5
ROWS = pytest.mark.parametrize("row", CELLS, ids=str)


def _layer(row, **kwargs):
    layer = row.layer(U, **row.kwargs, **kwargs)
    layer.build((B, T, D))
    return layer


def _x(*shape, dtype="float32"):
    return np.ones(shape or (B, T, D), dtype)


def _refuses(call, *parts):
    """One ValueError that says all of `parts`, and what to do after what came."""
    with pytest.raises(ValueError, match="Got ") as caught:
        call()
    message = str(caught.value)
    for part in parts:
        assert part in message, f"{part!r} not in: {message}"
    assert re.search(r"Got .+: .+\.", message), f"no advice in: {message}"
    assert "Tracer" not in message


@ROWS
@pytest.mark.parametrize("shape", [(T, D), (T,), (2, B, T, D)], ids=str)
def test_wrong_rank(row, shape):
    _refuses(
        lambda: _layer(row)(_x(*shape)),
        "sequences",
        "rank 3",
        "batch, time steps, features",
        str(shape),
    )


@ROWS
def test_wrong_rank_before_building(row):
    _refuses(lambda: row.layer(U)(_x(T, D)), "sequences", "rank 3", str((T, D)))


@ROWS
def test_wrong_feature_size(row):
    _refuses(
        lambda: _layer(row)(_x(B, T, D + 1)),
        "sequences",
        f"{D} features",
        f"{D + 1} features",
    )


@ROWS
def test_no_time_steps(row):
    _refuses(
        lambda: _layer(row)(_x(B, 0, D)), "sequences", "at least one time step", "T = 0"
    )


@ROWS
@pytest.mark.parametrize("built", [False, True], ids=["unbuilt", "built"])
def test_ids_go_through_an_embedding_first(row, built):
    layer = _layer(row) if built else row.layer(U, **row.kwargs)
    _refuses(lambda: layer(_x(B, T, dtype="int32")), "sequences", "rank 3", "Embedding")


@ROWS
def test_complex_input(row):
    _refuses(
        lambda: _layer(row)(_x(dtype="complex64")), "sequences", "real", "complex64"
    )


@ROWS
@pytest.mark.parametrize("argument", ["mask", "resets"])
@pytest.mark.parametrize(
    "shape", [(B, T + 1), (B + 1, T), (B,), (B, T, 1), (T, B)], ids=str
)
def test_wrong_mask_or_resets_shape(row, argument, shape):
    value = np.ones(shape, bool)
    _refuses(
        lambda: _layer(row)(_x(), **{argument: value}),
        argument,
        f"(batch, time steps) = ({B}, {T})",
        str(shape),
    )


@pytest.mark.parametrize("argument", ["mask", "resets", "lengths"])
@pytest.mark.parametrize(
    "value", [[["a"] * T] * B, "yes", {1, 2}, np.full((B, T), 1j)], ids=str
)
def test_what_is_no_array_of_numbers(argument, value):
    _refuses(lambda: _layer(CELLS[0])(_x(), **{argument: value}), argument, "must be")


@pytest.mark.parametrize("argument", ["mask", "resets"])
@pytest.mark.parametrize("value", [0.5, 2, -1, np.nan])
def test_masks_are_zeros_and_ones(argument, value):
    given = np.ones((B, T), type(value))
    call = lambda: _layer(CELLS[0])(_x(), **{argument: given})  # noqa: E731
    call()
    given[1, 2] = value
    _refuses(call, argument, "must be boolean, or zeros and ones", str(float(value)))


@pytest.mark.parametrize(
    ("sequences", "got"),
    [
        (None, "Got None"),
        (np.ones((B, T, D), object), "ndarray of object"),
        (np.full((B, T, D), "a"), "ndarray of <U1"),
        (np.ma.ones((B, T, D)), "MaskedArray of float64"),
    ],
    ids=["none", "objects", "text", "masked"],
)
def test_sequences_that_are_no_numbers(sequences, got):
    _refuses(lambda: _layer(CELLS[0])(sequences), "sequences must hold arrays of", got)


def test_initial_states_that_are_no_real_numbers():
    state = np.full((B, U), 1j)
    _refuses(
        lambda: _layer(CELLS[0])(_x(), initial_state=state),
        "initial_state (h) must hold numbers that float32 can hold",
    )


@ROWS
@pytest.mark.parametrize(
    ("name", "value"),
    [("units", 8), ("activation", "relu"), ("dropout", 0.5), ("num_layers", 2)],
)
def test_what_the_cell_was_made_with_stays(row, name, value):
    layer = _layer(row)
    _refuses(lambda: setattr(layer, name, value), name, "when the layer is made")
    setattr(layer, name, getattr(layer, name))  # as the __init__ of a subclass may
    layer.kernel_initializer = "glorot_uniform"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("stateful", True, "must be said when the layer is made"),
        ("learn_initial_state", True, "must be said when the layer is made"),
        ("truncate", -2, "must be a positive number of steps, or None"),
    ],
)
def test_what_is_changed_once_a_layer_is_built(name, value, words):
    layer = _layer(CELLS[0])
    layer.build((B, T, D))
    setattr(layer, name, value)
    _refuses(lambda: layer(_x()), name, words)


@ROWS
@pytest.mark.parametrize(
    ("lengths", "got"),
    [([1, 2], "(2,)"), ([1.0, 2.0, 3.0], "float"), ([[1, 2, 3]], "(1, 3)")],
    ids=["shape", "dtype", "rank"],
)
def test_wrong_lengths(row, lengths, got):
    _refuses(
        lambda: _layer(row)(_x(), lengths=np.array(lengths)), "lengths", f"({B},)", got
    )


@ROWS
@pytest.mark.parametrize("lengths", [[1, 2, T + 1], [-1, 2, 3]], ids=str)
def test_lengths_out_of_range(row, lengths):
    _refuses(
        lambda: _layer(row)(_x(), lengths=np.array(lengths)),
        "lengths",
        "between 0 and",
        str(T),
        str(lengths),
    )


def test_lengths_and_mask_together():
    _refuses(
        lambda: _layer(CELLS[0])(
            _x(), lengths=np.array([1, 2, 3]), mask=np.ones((B, T), bool)
        ),
        "lengths",
        "mask",
    )


@ROWS
def test_wrong_number_of_initial_states(row):
    count = row.states + 1
    states = [_x(B, U)] * count
    _refuses(
        lambda: _layer(row)(_x(), initial_state=states),
        "initial_state",
        f"{row.states} state",
        f"{count}",
        str((B, U)),
    )


@ROWS
@pytest.mark.parametrize("shape", [(B, U + 1), (B + 1, U), (U,)], ids=str)
def test_wrong_shape_of_initial_states(row, shape):
    states = [_x(*shape)] * row.states
    _refuses(
        lambda: _layer(row)(_x(), initial_state=states),
        "initial_state",
        str((B, U)),
        str(shape),
    )


@ROWS
@pytest.mark.parametrize("units", [0, -3, 1.5, "8"])
def test_units(row, units):
    _refuses(
        lambda: row.layer(units), "units", "positive integer", repr(units), "units=128"
    )


@ROWS
def test_symbolic_input_gets_the_same_errors(row):
    make = lambda: row.layer(U, **row.kwargs)  # noqa: E731
    _refuses(lambda: make()(keras.Input((D,))), "sequences", "rank 3")
    _refuses(lambda: _layer(row)(keras.Input((None, D + 1))), f"{D + 1} features")
    mask = keras.Input((T + 1,), dtype="bool")
    _refuses(lambda: make()(keras.Input((T, D)), mask=mask), "mask", str(T))


def test_stateful_without_a_batch_size():
    layer = unrolled.LSTM(U, stateful=True)
    _refuses(lambda: layer(keras.Input((T, D))), "batch_size", "stateful=True")


def test_a_larger_batch_than_the_kept_states():
    layer = unrolled.LSTM(U, stateful=True)
    layer(_x())
    _refuses(lambda: layer(_x(B + 1, T, D)), "batch size", str(B), str(B + 1))


def test_something_that_is_no_cell():
    _refuses(lambda: unrolled.RNN("lstm"), "cell", "call")
    _refuses(lambda: unrolled.StackedRNNCells([]), "cells", "one cell or more")


def test_float64_where_jax_has_it_off():
    _refuses(lambda: unrolled.LSTM(U, dtype="float64"), "dtype", "jax_enable_x64")


def _save(layer, path):
    model = keras.Sequential([keras.Input((T, D)), layer])
    (model.save if path.suffix == ".keras" else model.save_weights)(path)


PAIRS = [(a, b) for a in CELLS for b in CELLS if a.gates != b.gates]


@pytest.mark.parametrize(
    ("saved", "loaded"), PAIRS, ids=[f"{a}-into-{b}" for a, b in PAIRS]
)
@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_weights_of_another_layer(saved, loaded, suffix, tmp_path):
    """In files of the same outline: the shapes give the other cell away."""
    path = tmp_path / f"model{suffix}"
    _save(unrolled.RNN(saved.cell(U, **saved.kwargs)), path)
    layer = unrolled.RNN(loaded.cell(U, **loaded.kwargs))
    model = keras.Sequential([keras.Input((T, D)), layer])
    kind = saved.layer.__name__
    _refuses(
        lambda: model.load_weights(path),
        "kernel must have shape",
        f"that is a {kind} kernel; load it with {kind}",
        str((D, len(loaded.gates) * U)),
    )


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_a_file_with_nothing_for_this_layer(suffix, tmp_path):
    """Keras files go by the layer's class: an LSTM's file holds no GRU."""
    path = tmp_path / f"model{suffix}"
    _save(unrolled.LSTM(U), path)
    model = keras.Sequential([keras.Input((T, D)), unrolled.GRU(U)])
    _refuses(lambda: model.load_weights(path), "kernel", "GRU")


def test_weights_of_another_width(tmp_path):
    path = tmp_path / "model.weights.h5"
    _save(unrolled.LSTM(U + 1), path)
    model = keras.Sequential([keras.Input((T, D)), unrolled.LSTM(U)])
    _refuses(
        lambda: model.load_weights(path),
        "kernel must have shape",
        f"({D}, {4 * U})",
        str((D, 4 * (U + 1))),
        f"LSTM({U + 1})",
    )


def test_weights_of_another_gru(tmp_path):
    """reset_after changes the bias, and nothing else."""
    path = tmp_path / "model.weights.h5"
    _save(unrolled.GRU(U, reset_after=True), path)
    model = keras.Sequential([keras.Input((T, D)), unrolled.GRU(U, reset_after=False)])
    _refuses(
        lambda: model.load_weights(path),
        "bias must have shape",
        f"({3 * U},)",
        str((2, 3 * U)),
        "reset_after",
    )
