"""LSTMs that walk along frequency inside a time step, and grids of cells."""

from functools import partial

import tensorflow as tf
from tensorflow.contrib import grid_rnn, rnn

U = 2


def record(case):
    """Record each."""
    _time_freq(case)
    _grid_lstm(case)
    _bidirectional(case)
    _ready_made(case)
    _grid(case)


def _made_time_freq(frequencies, **options):
    cell = rnn.TimeFreqLSTMCell(U, **options)
    # It declares the sizes of one frequency, whatever the number.
    cell._state_size = 2 * U * frequencies
    cell._output_size = U * frequencies
    return cell


def _time_freq(case):
    size = {"feature_size": 2}
    options = {
        "": {},
        "_peepholes": {"use_peepholes": True},
        "_all": {"use_peepholes": True, "cell_clip": 0.4, "forget_bias": -0.5},
        "_skip": {"frequency_skip": 2},
    }
    for name, given in options.items():
        given = dict(size, **given)
        frequencies = (5 - 2) // given.get("frequency_skip", 1) + 1
        told = {k: v for k, v in given.items() if k != "use_peepholes"}
        case(
            "time_freq_lstm" + name,
            partial(_made_time_freq, frequencies, **given),
            "grid.time_freq_lstm",
            told,
            input_shape=(5,),
        )


def _grid_lstm(case):
    size = {"feature_size": 2, "frequency_skip": 1, "num_frequency_blocks": [3]}
    lists = {
        "num_frequency_blocks": [2, 1],
        "start_freqindex_list": [0, 2],
        "end_freqindex_list": [3, 4],
    }
    shared = {"share_time_frequency_weights": True}
    coupled = {"couple_input_forget_gates": True}
    peepholes = {"use_peepholes": True}
    options = {
        "": {},
        "_peepholes": peepholes,
        "_shared": shared,
        "_shared_peepholes": dict(shared, **peepholes),
        "_coupled": coupled,
        "_coupled_peepholes": dict(coupled, **peepholes),
        "_all": dict(
            lists, cell_clip=0.3, forget_bias=-0.5, **dict(shared, **peepholes)
        ),
        "_blocks": lists,
    }
    for name, given in options.items():
        given = dict(size, **given)
        _case_of_grid_lstm(case, "grid_lstm" + name, rnn.GridLSTMCell, given)


def _bidirectional(case):
    size = {"feature_size": 2, "frequency_skip": 1, "num_frequency_blocks": [3]}
    options = {
        "": {},
        "_offset": {"backward_slice_offset": 1},
        "_all": {
            "num_frequency_blocks": [1, 2],
            "start_freqindex_list": [0, 1],
            "end_freqindex_list": [2, 4],
            "backward_slice_offset": -1,
            "use_peepholes": True,
            "share_time_frequency_weights": True,
            "couple_input_forget_gates": True,
            "cell_clip": 0.3,
        },
    }
    for name, given in options.items():
        given = dict(size, **given)
        make = rnn.BidirectionalGridLSTMCell
        _case_of_grid_lstm(case, "bidirectional_grid_lstm" + name, make, given)


def _case_of_grid_lstm(case, name, make, given):
    unsaid = ("use_peepholes", "end_freqindex_list")
    told = {k: v for k, v in given.items() if k not in unsaid}
    kind = "bidirectional_grid_lstm" if name.startswith("bi") else "grid_lstm"
    case(name, partial(make, U, **given), "grid." + kind, told, input_shape=(4,))


def _made_grid(name, **options):
    # Without an initializer of the scope's own, non-recurrent dimensions look for one
    # where TensorFlow 1.15 has none any more.
    scope = tf.compat.v1.get_variable_scope()
    scope.set_initializer(tf.compat.v1.glorot_uniform_initializer())
    return getattr(grid_rnn, name)(U, output_is_tuple=False, **options)


def _ready_made(case):
    """The eight of `contrib.grid_rnn`, with the first dimension non-recurrent too."""
    kinds = {
        "BasicRNN": "basic_rnn_cell",
        "BasicLSTM": "basic_lstm_cell",
        "LSTM": "lstm_cell",
        "GRU": "gru_cell",
    }
    relu, tied = {"non_recurrent_fn": tf.nn.relu}, {"tied": True}
    biased = {"forget_bias": -0.5}
    options = {
        "Grid1BasicRNN": [{}],
        "Grid2BasicRNN": [{}, relu, tied],
        "Grid1BasicLSTM": [{}],
        "Grid2BasicLSTM": [{}, relu, biased],
        "Grid1LSTM": [{}],
        "Grid2LSTM": [{}, relu, tied, {"use_peepholes": True}],
        "Grid3LSTM": [{}, relu, biased],
        "Grid2GRU": [{}, relu, tied],
    }
    for name, variants in options.items():
        for given in variants:
            told = {
                "cell": kinds[name[5:]],
                "num_dims": int(name[4]),
                "non_recurrent_dims": [0] if "non_recurrent_fn" in given else [],
                "tied": "tied" in given,
                "forget_bias": given.get("forget_bias", 1.0),
            }
            make = partial(_made_grid, name + "Cell", **given)
            called = "_".join([_words(name), *given])
            case(called, make, "grid.grid_rnn", told)


def _words(name):
    """Grid2BasicLSTM -> grid2_basic_lstm."""
    spaced = name.replace("Basic", "_basic_")
    for kind in ("RNN", "LSTM", "GRU"):
        spaced = spaced.replace(kind, "_" + kind)
    return spaced.lower().replace("__", "_")


def _grid(case):
    """Several dimensions that read and give; none, or two, come last."""
    options = {
        "grid_rnn_two_inputs": {
            "num_dims": 3,
            "input_dims": [0, 1],
            "output_dims": [0, 2],
            "priority_dims": [],
            "non_recurrent_dims": [0],
        },
        "grid_rnn_two_priorities": {
            "num_dims": 4,
            "input_dims": [1],
            "output_dims": [0, 1, 3],
            "priority_dims": [0, 3],
        },
        "grid_rnn_last_non_recurrent": {
            "num_dims": 2,
            "input_dims": [1],
            "output_dims": [0, 1],
            "priority_dims": [1],
            "non_recurrent_dims": [1],
        },
    }
    for name, given in options.items():
        make = partial(_made_grid, "GridRNNCell", **given)
        told = dict(given, cell="lstm_cell")
        case(name, make, "grid.grid_rnn", told, input_shape=(4,))
