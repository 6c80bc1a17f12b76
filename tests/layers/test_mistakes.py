"""The commonest mistakes: each has a sentence that says what was meant."""

import unrolled

import keras
import numpy as np
import pytest
from jax import numpy as jnp

from ..cells_of_users import CellThenHidden

X = np.ones((2, 5, 3), "float32")
NAMES = [
    (unrolled.LSTM, "return_sequence", True, "pass return_sequences="),
    (unrolled.LSTM, "hidden_size", 4, "pass units="),
    (unrolled.GRU, "num_units", 4, "pass units="),
    (unrolled.LSTMCell, "num_units", 4, "pass units="),
    (unrolled.SimpleRNN, "nonlinearity", "relu", "pass activation="),
    (unrolled.LSTM, "batch_first", True, "leave it out"),
    (unrolled.LSTM, "input_size", 3, "leave it out"),
    (unrolled.LSTM, "timesteps", 3, "leave it out"),
    (unrolled.LSTM, "bidirectional", True, "unrolled.Bidirectional"),
    (unrolled.LSTM, "n_layers", 2, "pass num_layers="),
    (unrolled.LSTMCell, "num_layers", 2, "list of cells"),
    (unrolled.LSTM, "truncate_gradient", 20, "pass truncate="),
    (unrolled.GRU, "gradient_checkpointing", True, "pass checkpoint=True"),
    (unrolled.LSTM, "swap_memory", True, "pass checkpoint=True"),
    (unrolled.LSTM, "learn_init", True, "pass learn_initial_state=True"),
    (unrolled.LSTM, "inter_layer_dropout", 0.1, "pass layer_dropout="),
    (unrolled.GRU, "go_backward", True, "pass go_backwards="),
    (unrolled.GRU, "recurrent_droput", 0.1, "pass recurrent_dropout="),
    (unrolled.GRU, "use_peepholes", True, "an argument of LSTM"),
    (unrolled.LSTM, "reset_after", True, "an argument of GRU"),
    (unrolled.LSTMCell, "truncate", 20, "unrolled.RNN(cell, ...)"),
    (unrolled.NASCell, "return_sequences", True, "unrolled.RNN(cell, ...)"),
]


@pytest.mark.parametrize(("kind", "name", "value", "advice"), NAMES)
def test_an_argument_of_another_library_or_misspelt(kind, name, value, advice):
    with pytest.raises(ValueError, match=f"{name} is no argument of") as error:
        kind(4, **{name: value})
    assert advice in str(error.value)
    if name != "hidden_size":
        return
    with pytest.raises(ValueError, match="pass units="):
        kind(**{name: value})


def test_what_nobody_knows_is_left_to_keras():
    with pytest.raises(ValueError, match="Unrecognized keyword arguments"):
        unrolled.LSTM(4, quux=1)
    for name, value in (("input_shape", (5, 3)), ("input_dim", 3)):
        with pytest.warns(UserWarning, match="Do not pass an `input_shape`"):
            assert unrolled.LSTM(4, **{name: value}).units == 4
    # Keras 2 wrote it into files.
    assert unrolled.LSTM(4, implementation=2, time_major=False).units == 4


def test_arguments_of_the_layer_inside():
    with pytest.raises(ValueError, match=r"Bidirectional\(LSTM\(64, return_sequences="):
        unrolled.Bidirectional(unrolled.LSTM(4), return_sequences=True)


def test_a_class_of_a_user_takes_what_it_declares():
    class Mine(unrolled.LSTM):
        hidden_size: int = 3

    assert Mine(4, hidden_size=5).hidden_size == 5


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda: unrolled.RNN(unrolled.LSTM(4)), "pass its cell"),
        (lambda: unrolled.RNN(keras.layers.GRU(4)), "pass its cell"),
        (lambda: unrolled.RNN([unrolled.LSTM(4)]), "pass its cell"),
        (lambda: unrolled.StackedRNNCells([unrolled.LSTM(4)]), "pass its cell"),
        (lambda: unrolled.ResidualWrapper(unrolled.LSTM(4)), "pass its cell"),
        (lambda: unrolled.RNN(unrolled.LSTMCell), "make one"),
        (lambda: unrolled.RNN([unrolled.LSTMCell]), "make one"),
        (lambda: unrolled.Bidirectional(unrolled.LSTMCell(4)), r"unrolled.RNN\(cell\)"),
        (lambda: unrolled.Bidirectional(unrolled.LSTM), "the class LSTM"),
        (lambda: unrolled.Bidirectional(keras.layers.Dense(4)), "a recurrent layer"),
        (lambda: unrolled.LSTM(4, dropout="0.1"), "must be a finite number"),
        (lambda: unrolled.GRUCell(4, recurrent_dropout=None), "a finite number"),
        (lambda: unrolled.LSTM("4"), "units must be a positive integer"),
        (lambda: unrolled.LSTM(3, 8), "activation must be .* Got 8: one number, units"),
        (lambda: unrolled.NASCell(4)(X), r"NASCell is a cell.*unrolled.RNN\(cell\)"),
    ],
)
def test_a_layer_for_a_cell_and_the_like(make, advice):
    with pytest.raises(ValueError, match=advice):
        make()


def test_a_layer_on_one_that_gives_its_last_output_only():
    below = unrolled.LSTM(4, name="below")
    inputs = keras.Input((5, 3))
    for above in (unrolled.GRU(4), unrolled.Bidirectional(unrolled.GRU(4))):
        with pytest.raises(ValueError, match=r"'below', .* return_sequences=True"):
            above(below(inputs))
        with pytest.raises(ValueError, match="give that one return_sequences=True"):
            above(below(X))
    with pytest.raises(ValueError, match=r"'below', .* return_sequences=True"):
        keras.Sequential([inputs, below, unrolled.LSTM(4)])


@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize(
    ("sequences", "advice"),
    [
        ([[1.0, 2.0], [3.0]], r"lengths=np.array\(\[len\(row\)"),
        ([[[1.0], [2.0]], [[3.0]]], r"lengths=np.array\(\[len\(row\)"),
        ([np.ones((5, 3)), np.ones((7, 3))], r"lengths=np.array\(\[len\(row\)"),
        ([[[1.0, 2.0, 3.0]]], "np.asarray"),
        (np.ones((100, 3), "float32"), "sliding_window_view"),
        (np.ones((5, 3), "float32"), r"x\[None\]"),
        (np.ones((2, 5), "int32"), "Embedding"),
    ],
)
def test_sequences_that_are_no_sequences(sequences, advice, built):
    layer = unrolled.LSTM(4)
    if built:
        layer.build(X.shape)
    with pytest.raises(ValueError, match=advice):
        layer(sequences)


def test_the_advice_about_windows_runs():
    x = np.arange(30, dtype="float32").reshape(10, 3)
    windows = np.lib.stride_tricks.sliding_window_view(x, 4, axis=0).swapaxes(1, 2)
    np.testing.assert_array_equal(windows[2], x[2:6])
    assert unrolled.LSTM(4)(windows).shape == (7, 4)


def test_lists_of_numbers_are_taken():
    layer = unrolled.LSTM(4)
    both = unrolled.Bidirectional(unrolled.LSTM(4))
    mask = [[True, True, False, False, False], [True] * 5]
    for each in (layer, both):
        whole = np.asarray(each(X, lengths=np.array([2, 5], "int32")))
        np.testing.assert_array_equal(each(X, lengths=[2, 5]), whole)
        np.testing.assert_array_equal(each(X, mask=mask), whole)
        resets = [[0, 0, 1, 0, 0], [0] * 5]
        law = each(X, resets=np.asarray(resets, bool))
        np.testing.assert_array_equal(each(X, resets=resets), law)
    with pytest.raises(ValueError, match="mask must have rows of one length"):
        layer(X, mask=[[True], [True, False]])
    with pytest.raises(ValueError, match="lengths must lie between"):
        layer(X, lengths=[2, 9])


def test_numbers_of_numpy_are_taken(tmp_path):
    layer = unrolled.LSTM(np.int64(4), dropout=np.float32(0.5))
    assert type(layer.units) is int
    model = keras.Sequential([keras.Input((5, 3)), layer])
    model.save(tmp_path / "it.keras")
    assert keras.models.load_model(tmp_path / "it.keras").layers[0].units == 4


@pytest.mark.parametrize(
    ("states", "rule"),
    [
        ([jnp.zeros((2, 4))], "must hold 2 state"),
        ([jnp.zeros((2, 4))] * 3, "must hold 2 state"),
        ([jnp.zeros((2, 4)), jnp.zeros((2, 5))], "must have shape"),
        ([jnp.zeros((3, 4))] * 2, "must have shape"),
        (jnp.zeros((2, 4)), "must hold 2 state"),
        ({"h": jnp.zeros((2, 4))}, "add .'c'."),
    ],
)
def test_a_bare_cell_with_states_that_do_not_fit(states, rule):
    with pytest.raises(ValueError, match=rule):
        unrolled.LSTMCell(4)(X[:, 0], states)


def test_a_bare_cell_takes_states_by_name(rng):
    cell = unrolled.LSTMCell(4)
    h, c = (jnp.asarray(rng.normal(size=(2, 4)), "float32") for _ in range(2))
    y, _ = cell(X[:, 0], [h, c])
    np.testing.assert_array_equal(cell(X[:, 0], {"c": c, "h": h})[0], y)


def test_cells_of_users_are_still_cells():
    assert unrolled.RNN(CellThenHidden(4))(X).shape == (2, 4)


def test_one_number_for_lengths():
    with pytest.raises(ValueError, match=r"lengths must be .*\(batch,\) = \(2,\)"):
        unrolled.LSTM(4)(np.zeros((2, 3, 4), "float32"), lengths=2)


def test_rows_of_one_number_a_step():
    with pytest.raises(ValueError, match=r"one number a step x\[\.\.\., None"):
        unrolled.LSTM(4)(np.zeros((2, 3), "float32"))
