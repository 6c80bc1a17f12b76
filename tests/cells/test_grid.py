"""Grids and LSTMs along frequency: what their arguments must be, what else they do."""

import unrolled

import keras
import numpy as np
import pytest

from ..harness import close, scatter

WINDOWS = {"feature_size": 2, "num_frequency_blocks": 3}
LSTM = unrolled.LSTMCell(4)


def _time_freq(**given):
    return unrolled.TimeFreqLSTMCell(2, **{**WINDOWS, **given})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: _time_freq(feature_size=0), "feature_size must be a positive integer"),
        (lambda: _time_freq(frequency_skip=1.5), "frequency_skip must be a positive"),
        (
            lambda: _time_freq(num_frequency_blocks=[2, 0]),
            "num_frequency_blocks must be a positive integer.*Got 0",
        ),
        (
            lambda: _time_freq(num_frequency_blocks=[2, 1]),
            r"start_freqindex_list must say of each block.*\[2, 1\].*Got None",
        ),
        (
            lambda: _time_freq(start_freqindex_list=[0]),
            "end_freqindex_list must say of each block.*Got None",
        ),
        (
            lambda: _time_freq(start_freqindex_list=[0], end_freqindex_list=[4, 4]),
            r"end_freqindex_list must say of each block.*Got \[4, 4\]",
        ),
        (lambda: _time_freq(cell_clip=-1.0), "cell_clip must be positive.*Got -1.0"),
        (
            lambda: unrolled.GridRNNCell(LSTM, 0),
            "num_dims must be a positive integer.*Got 0",
        ),
        (
            lambda: unrolled.GridRNNCell(LSTM, 2, priority_dims=2),
            "priority_dims must name dimensions of 0 to 1, of num_dims=2. Got 2",
        ),
        (
            lambda: unrolled.GridRNNCell(LSTM, 2, output_dims=[]),
            r"output_dims must name dimensions.*Got \[\]",
        ),
        (
            lambda: unrolled.GridRNNCell(LSTM, 2, non_recurrent_dims=1),
            r"non_recurrent_dims must be among input_dims=\[0\].*Got \[1\]",
        ),
        (
            lambda: unrolled.GridRNNCell(LSTM, 1, non_recurrent_dims=0),
            r"non_recurrent_dims must .* not all of num_dims=1. Got \[0\]",
        ),
        (
            lambda: unrolled.GridRNNCell(unrolled.StackedRNNCells([LSTM, LSTM])),
            r"cell must have one state called h, .*\['h', 'c', 'h', 'c'\]",
        ),
        (
            lambda: unrolled.Grid2LSTMCell(4, non_recurrent_fn="relu"),
            "non_recurrent_fn is no argument of GridRNNCell.*non_recurrent_activation",
        ),
        (
            lambda: unrolled.GridRNNCell(unrolled.LSTM(4)),
            "cell must be what is applied at one step",
        ),
    ],
)
def test_arguments_are_checked(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    ("cell", "features", "words"),
    [
        (_time_freq(), 5, "feature_size=2, 1 apart, fit into features 0 to 5 of 5: 4"),
        (
            _time_freq(
                num_frequency_blocks=[2, 1],
                start_freqindex_list=[0, 2],
                end_freqindex_list=[3, 4],
            ),
            3,
            "fit into features 2 to 4 of 3",
        ),
        (unrolled.GridRNNCell(LSTM, 2, [0, 1]), 3, r"divisible by 2.*Got steps of"),
    ],
)
def test_features_are_checked_before_anything_is_made(cell, features, words):
    with pytest.raises(ValueError, match=words):
        unrolled.RNN(cell).build((None, None, features))
    assert not cell.weights


def test_each_block_and_dimension_begins_with_weights_of_its_own():
    cell = unrolled.BidirectionalGridLSTMCell(2, **WINDOWS)
    unrolled.RNN(cell).build((None, None, 4))
    assert np.abs(cell.fwd_b0_kernel.value - cell.bwd_b0_kernel.value).max() > 1e-3
    cell = unrolled.Grid2LSTMCell(4)
    unrolled.RNN(cell).build((None, None, 3))
    kernels = [np.asarray(v.value) for v in cell.weights if v.name == "kernel"]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-3
    assert np.abs(cell.project_h_0.value - cell.project_c_0.value).max() > 1e-3


def test_states_are_called_by_block_and_window():
    layer = unrolled.RNN(
        unrolled.GridLSTMCell(2, **{**WINDOWS, "num_frequency_blocks": 2}),
        return_state=True,
    )
    x = np.ones((3, 5, 3), "float32")
    _, *states = layer(x)
    named = layer.cell.named_states(states)
    assert list(named) == ["b0_f0_h", "b0_f0_c", "b0_f1_h", "b0_f1_c"]
    again = layer(x, initial_state=named)[0]
    close(again, layer(x, initial_state=states)[0])


def test_tied_dimensions_have_one_cell():
    tied, apart = (unrolled.Grid3LSTMCell(4, tied=tied) for tied in (True, False))
    for cell in (tied, apart):
        unrolled.RNN(cell).build((None, None, 2))
    counts = [
        len([v for v in cell.weights if v.name == "kernel"]) for cell in (tied, apart)
    ]
    assert counts == [1, 3]


@pytest.mark.keras_ranks
@pytest.mark.parametrize("tied", [True, False])
def test_a_grid_of_any_cell_equals_its_copy(tied, rng):
    """A cell of Keras, and one of a user's that is not registered."""

    class Kept(unrolled.UGRNNCell):
        pass

    x = rng.normal(size=(3, 5, 4)).astype("float32")
    for inner in (keras.layers.GRUCell(4), Kept(4)):
        cell = unrolled.GridRNNCell(
            inner, 3, [0, 2], [1, 2], priority_dims=1, tied=tied
        )
        layer = unrolled.RNN(cell)
        layer(x)
        scatter(layer, rng)
        with keras.saving.custom_object_scope({"Kept": Kept}):
            copy = unrolled.RNN.from_config(layer.get_config())
        copy(x)
        copy.set_weights(layer.get_weights())
        close(copy(x), layer(x))


def test_dropout_is_drawn_for_features_and_states(rng):
    """Of all features dropped nothing but the biases is left, and no h of the past."""
    x = rng.normal(size=(3, 5, 4)).astype("float32")
    cell = unrolled.GridLSTMCell(2, dropout=1.0, recurrent_dropout=1.0, **WINDOWS)
    layer = unrolled.RNN(cell)
    layer(x)
    scatter(layer, rng)
    close(layer(x, training=True), layer(2 * x, training=True))
    assert np.abs(layer(x) - layer(2 * x)).max() > 1e-3


def test_a_grid_takes_a_cell_for_each_recurrent_dimension(rng):
    """Of other kinds, too; and comes out of a file with them."""
    lstm, gru = unrolled.LSTMCell(2), unrolled.GRUCell(2, reset_after=False)
    cell = unrolled.GridRNNCell([lstm, gru], 3, 2, non_recurrent_dims=2)
    assert [names["h"] for names in cell.named_states([[1, 2], [3]]).values()] == [1, 3]
    layer = unrolled.RNN(cell)
    x = rng.normal(size=(2, 3, 4)).astype("float32")
    y = layer(x)
    assert cell.cells[:2] == [lstm, gru]
    copy = unrolled.RNN.from_config(layer.get_config())
    copy(x)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(x), y)
    with pytest.raises(ValueError, match=r"a list of 2: one for each recurrent dimen"):
        unrolled.GridRNNCell([lstm], 2)
    with pytest.raises(ValueError, match="an h of one width in all dimensions"):
        unrolled.GridRNNCell([lstm, unrolled.GRUCell(3)], 2)


def test_windows_are_counted_when_the_cell_is_built():
    cell = unrolled.GridLSTMCell(2, feature_size=2, frequency_skip=2)
    assert len(cell.state_size) == 2
    cell.build((None, 7))
    assert (len(cell.state_size), cell.output_size) == (6, 12)
    told = unrolled.GridLSTMCell(
        2, feature_size=2, frequency_skip=2, num_frequency_blocks=3
    )
    assert (told.state_size, told.output_size) == (cell.state_size, cell.output_size)
    narrow = unrolled.TimeFreqLSTMCell(2, feature_size=3)
    with pytest.raises(ValueError, match="fit into features 0 to 2 of 2: 0"):
        narrow.build((None, 2))
