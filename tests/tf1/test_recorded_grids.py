"""Old grids, neural Turing machines and fused cells, held to TensorFlow 1.15.5's."""

from functools import partial

from unrolled import tf1

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

from .test_recorded_cells import CELLS, hold

U = 2
_PEEPHOLES = {"use_peepholes": True}
_SHARED = {"share_time_frequency_weights": True}
_COUPLED = {"couple_input_forget_gates": True}
_BLOCKS = {
    "num_frequency_blocks": [2, 1],
    "start_freqindex_list": [0, 2],
    "end_freqindex_list": [3, 4],
}
_RELU = {"non_recurrent_fn": "relu"}


def _windows(kind, **options):
    sizes = {"feature_size": 2, "frequency_skip": 1, "num_frequency_blocks": [3]}
    return partial(kind, U, **{**sizes, **options})


def _grid(kind, **options):
    return partial(kind, U, output_is_tuple=False, **options)


# What stands in tests/recorders/tf1_grid.py and tf1_wrappers.py for each recording.
TIME_FREQ, GRID = tf1.TimeFreqLSTMCell, partial(_windows, tf1.GridLSTMCell)
BOTH = partial(_windows, tf1.BidirectionalGridLSTMCell)
MADE = {
    "time_freq_lstm": partial(TIME_FREQ, U, feature_size=2),
    "time_freq_lstm_peepholes": partial(TIME_FREQ, U, feature_size=2, **_PEEPHOLES),
    "time_freq_lstm_all": partial(
        TIME_FREQ, U, True, cell_clip=0.4, forget_bias=-0.5, feature_size=2
    ),
    "time_freq_lstm_skip": partial(TIME_FREQ, U, feature_size=2, frequency_skip=2),
    "grid_lstm": GRID(),
    "grid_lstm_peepholes": GRID(**_PEEPHOLES),
    "grid_lstm_shared": GRID(**_SHARED),
    "grid_lstm_shared_peepholes": GRID(**_SHARED, **_PEEPHOLES),
    "grid_lstm_coupled": GRID(**_COUPLED),
    "grid_lstm_coupled_peepholes": GRID(**_COUPLED, **_PEEPHOLES),
    "grid_lstm_blocks": GRID(**_BLOCKS),
    "grid_lstm_all": GRID(
        **_BLOCKS, **_SHARED, **_PEEPHOLES, cell_clip=0.3, forget_bias=-0.5
    ),
    "bidirectional_grid_lstm": BOTH(),
    "bidirectional_grid_lstm_offset": BOTH(backward_slice_offset=1),
    "bidirectional_grid_lstm_all": BOTH(
        num_frequency_blocks=[1, 2],
        start_freqindex_list=[0, 1],
        end_freqindex_list=[2, 4],
        backward_slice_offset=-1,
        cell_clip=0.3,
        **{**_PEEPHOLES, **_SHARED, **_COUPLED},
    ),
    "grid1_basic_rnn": _grid(tf1.Grid1BasicRNNCell),
    "grid2_basic_rnn": _grid(tf1.Grid2BasicRNNCell),
    "grid2_basic_rnn_non_recurrent_fn": _grid(tf1.Grid2BasicRNNCell, **_RELU),
    "grid2_basic_rnn_tied": _grid(tf1.Grid2BasicRNNCell, tied=True),
    "grid1_basic_lstm": _grid(tf1.Grid1BasicLSTMCell),
    "grid2_basic_lstm": _grid(tf1.Grid2BasicLSTMCell),
    "grid2_basic_lstm_non_recurrent_fn": _grid(tf1.Grid2BasicLSTMCell, **_RELU),
    "grid2_basic_lstm_forget_bias": _grid(tf1.Grid2BasicLSTMCell, forget_bias=-0.5),
    "grid1_lstm": _grid(tf1.Grid1LSTMCell),
    "grid2_lstm": _grid(tf1.Grid2LSTMCell),
    "grid2_lstm_non_recurrent_fn": _grid(tf1.Grid2LSTMCell, **_RELU),
    "grid2_lstm_tied": _grid(tf1.Grid2LSTMCell, tied=True),
    "grid2_lstm_use_peepholes": _grid(tf1.Grid2LSTMCell, **_PEEPHOLES),
    "grid3_lstm": _grid(tf1.Grid3LSTMCell),
    "grid3_lstm_non_recurrent_fn": _grid(tf1.Grid3LSTMCell, **_RELU),
    "grid3_lstm_forget_bias": _grid(tf1.Grid3LSTMCell, forget_bias=-0.5),
    "grid2_gru": _grid(tf1.Grid2GRUCell),
    "grid2_gru_non_recurrent_fn": _grid(tf1.Grid2GRUCell, **_RELU),
    "grid2_gru_tied": _grid(tf1.Grid2GRUCell, tied=True),
    "grid_rnn_two_inputs": _grid(
        tf1.GridRNNCell,
        num_dims=3,
        input_dims=[0, 1],
        output_dims=[0, 2],
        non_recurrent_dims=[0],
    ),
    "grid_rnn_two_priorities": _grid(
        tf1.GridRNNCell,
        num_dims=4,
        input_dims=[1],
        output_dims=[0, 1, 3],
        priority_dims=[0, 3],
    ),
    "grid_rnn_last_non_recurrent": _grid(
        tf1.GridRNNCell,
        num_dims=2,
        input_dims=[1],
        output_dims=[0, 1],
        priority_dims=[1],
        non_recurrent_dims=[1],
    ),
    **{
        f"ntm{end}": partial(
            lambda *sizes, **given: tf1.NTMCell(
                tf1.UGRNNCell(4), 5, 3, *sizes, **given
            ),
            *sizes,
            **options,
        )
        for end, sizes, options in (
            ("", (1, 1), {}),
            ("_fresh", (1, 1), {}),
            ("_many", (2, 2, 2, 2), {}),
            ("_many_fresh", (2, 2, 2, 2), {"clip_value": 0.7}),
        )
    },
}
# Of each kind one, with its options; of the rest another in make test, all in parity.
WITH_GRADIENTS = {
    *("time_freq_lstm_all", "grid_lstm_all"),
    *("grid2_basic_lstm_non_recurrent_fn", "grid_rnn_two_inputs", "ntm_many_fresh"),
}
HELD = {
    *WITH_GRADIENTS,
    *("bidirectional_grid_lstm_all", "grid1_basic_rnn", "grid2_gru_tied"),
    *("grid2_lstm_use_peepholes", "grid_rnn_two_priorities"),
}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.parity] * (name not in HELD))
        for name in MADE
    ],
)
def test_a_cell_gives_what_was_recorded(name):
    hold(name, MADE[name](), differentiated=name in WITH_GRADIENTS)


FUSED = {
    "fused_adaptor": (lambda: tf1.UGRNNCell(4), tf1.FusedRNNCellAdaptor),
    "fused_turned": (
        lambda: tf1.UGRNNCell(4),
        lambda cell: tf1.TimeReversedFusedRNN(tf1.FusedRNNCellAdaptor(cell, True)),
    ),
}


def _drive(make, cell, x, lengths, start, dtype):
    y, state = make(cell)(jnp.swapaxes(x, 0, 1), start, dtype, lengths)
    return jnp.swapaxes(y, 0, 1), state


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", FUSED)
def test_a_fused_cell_gives_what_was_recorded(name):
    cell, make = FUSED[name]
    hold(name, cell(), partial(_drive, make), differentiated=name == "fused_turned")


@pytest.mark.usefixtures("float64")
def test_a_fused_lstm_gives_what_was_recorded():
    fused = tf1.LSTMBlockFusedCell(4)
    drive = lambda _, *given: _drive(lambda _: fused, None, *given)  # noqa: E731
    hold("fused_lstm", fused.cell, drive, differentiated=True)


def test_every_recording_is_held():
    kinds = ("grid", "time_freq", "bidirectional", "ntm", "fused")
    names = {path.stem for path in CELLS.glob("*.npz") if path.stem.startswith(kinds)}
    assert names == {*MADE, *FUSED, "fused_lstm"}


def test_outputs_and_states_in_the_old_form(rng):
    x = jnp.asarray(rng.normal(size=(2, 3, 4)), "float32")
    cell = tf1.GridRNNCell(U, 2, input_dims=0, output_dims=[0, 1])
    (first, second), state = tf1.dynamic_rnn(cell, x, dtype="float32")
    assert (first.shape, second.shape) == ((2, 3, U),) * 2
    assert cell.output_size == (U, U)
    assert cell.state_size == ((U, U), (U, U))
    np.testing.assert_array_equal(state[0].h, first[:, -1])
    whole = tf1.GridRNNCell(
        *(U, 2, 0, [0, 1]), state_is_tuple=False, output_is_tuple=False
    )
    tf1.dynamic_rnn(whole, x)
    whole.set_weights(cell.get_weights())
    y, joined = tf1.dynamic_rnn(whole, x)
    np.testing.assert_allclose(y, jnp.concatenate([first, second], -1), atol=1e-6)
    whole_state = jnp.concatenate(jax.tree.leaves(state), -1)
    np.testing.assert_allclose(joined, whole_state, atol=1e-6)
    output, after = whole(x[:, 0], joined)
    assert (output.shape, after.shape) == ((2, 2 * U), (2, 4 * U))

    cell = MADE["bidirectional_grid_lstm"]()
    state = cell.zero_state(2, "float32")
    assert state._fields[:2] == ("fwd_state_f00_b00_c", "fwd_state_f00_b00_m")
    assert state._fields[-1] == "bwd_state_f02_b00_m"
    cell = MADE["grid_lstm_blocks"]()
    assert cell.state_tuple_type._fields[-1] == "state_f00_b01_m"
    cell = MADE["time_freq_lstm"]()
    assert cell.state_size == 2 * U  # as TensorFlow says, until it is known
    cell.build((None, 5))
    assert (cell.state_size, cell.output_size) == (8 * U, 4 * U)


@keras.saving.register_keras_serializable("tests.tf1")
def _make_gru(num_units):
    return tf1.GRUCell(num_units)


@pytest.mark.parametrize(
    "make",
    [
        partial(tf1.Grid2LSTMCell, U, True),
        partial(tf1.GridRNNCell, U, 1, 0, 0, cell_fn=_make_gru),
        MADE["time_freq_lstm"],
        MADE["ntm_many"],
    ],
    ids=["ready", "function", "windows", "ntm"],
)
def test_a_cell_is_made_anew_from_its_configuration(make):
    """What each argument does is held to recordings."""
    cell = make()
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(cell)
    )
    assert copy.get_config() == cell.get_config()
    for each in (cell, copy):
        each.build((None, 3))
    shapes = [{k: h.shape for k, h in c.entries("").items()} for c in (cell, copy)]
    assert shapes[0] == shapes[1]
    assert (copy.state_size, copy.output_size) == (cell.state_size, cell.output_size)


def test_time_of_a_turing_machine_may_be_one_number():
    cell = tf1.NTMCell(tf1.GRUCell(U), 5, 3, 1, 1)
    cell.build((None, 3))
    state = cell.zero_state(2)
    assert state.read_vector_list[0].shape == (2, 3)
    assert [each.shape for each in state.w_list] == [(2, 5)] * 2
    ours = cell.from_old(state._replace(time=jnp.int32(3)))
    np.testing.assert_array_equal(cell.to_old(ours).time, np.full((2, 1), 3))


def test_fused_cells_in_lists_in_models_and_from_checkpoints(rng):
    x = jnp.asarray(rng.normal(size=(4, 2, 3)), "float32")
    fused = tf1.LSTMBlockFusedCell(U)
    turned = tf1.TimeReversedFusedRNN(fused)
    y, state = fused(x, dtype="float32")
    again, _ = fused(list(x), dtype="float32")
    np.testing.assert_array_equal(jnp.stack(again), y)
    back, _ = turned(x)
    listed, _ = turned(list(x))
    np.testing.assert_array_equal(jnp.stack(listed), back)
    np.testing.assert_array_equal(back[::-1], fused(x[::-1])[0])
    inputs = keras.Input(batch_shape=(4, None, 3))
    model = keras.Model(inputs, tf1.TimeReversedFusedRNN(turned)(inputs)[1].c)
    assert len(model.trainable_weights) == 3
    assert len(fused.get_weights()) == 2
    np.testing.assert_allclose(model(x), state.c, atol=1e-6)
    names = ["lstm_fused_cell/kernel", "lstm_fused_cell/bias"]
    zeros = dict(zip(names, map(np.zeros_like, fused.get_weights()), strict=True))
    tf1.load(model, zeros)
    assert not np.any(fused.get_weights()[0])
    scoped = tf1.LSTMBlockFusedCell(U)
    scoped(x, scope="encoder")
    tf1.load(
        scoped, {k.replace("lstm_fused_cell", "encoder"): v for k, v in zeros.items()}
    )


def test_mistakes_are_told_in_words():
    with pytest.raises(ValueError, match=r"input_dims must name dimensions of 0 to 1"):
        tf1.GridRNNCell(U, 2, output_dims=0)
    with pytest.raises(ValueError, match=r"cell_fn must be a cell of unrolled\.tf1"):
        tf1.GridRNNCell(U, 1, 0, 0, cell_fn=keras.layers.LSTMCell)
    with pytest.raises(
        ValueError, match="state must be a tuple with the state of each"
    ):
        tf1.Grid2GRUCell(U).from_old([1])
    with pytest.raises(ValueError, match="num_frequency_blocks must be a list"):
        tf1.GridLSTMCell(U, feature_size=2)
    with pytest.raises(ValueError, match="state must be a tuple with c and h of each"):
        MADE["grid_lstm"]().from_old((1, 2))
    with pytest.raises(ValueError, match="feature_size must be a positive integer"):
        tf1.TimeFreqLSTMCell(U)
    with pytest.raises(ValueError, match="cell must be a fused cell"):
        tf1.TimeReversedFusedRNN(tf1.GRUCell(U))
    with pytest.raises(ValueError, match="controller must be a cell of"):
        tf1.NTMCell(keras.layers.LSTMCell(U), 5, 3, 1, 1)
