"""The old cells: states in the old form, arguments, errors, names that are gone."""

import inspect
import re

import unrolled
from unrolled import tf1

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

from ..core import need_core

B, T, D, U = 2, 5, 3, 4


@keras.saving.register_keras_serializable("tests.tf1")
def _half(inputs, output):
    return 0.5 * inputs + output


CELLS = {
    "basic": lambda: tf1.BasicRNNCell(U),
    "lstm": lambda: tf1.BasicLSTMCell(U),
    "lstm joined": lambda: tf1.LSTMCell(U, num_proj=2, state_is_tuple=False),
    "gru": lambda: tf1.GRUCell(U),
    "ugrnn": lambda: tf1.UGRNNCell(U),
    "stack": lambda: tf1.MultiRNNCell([tf1.BasicLSTMCell(U), tf1.GRUCell(2)]),
    "stack joined": lambda: tf1.MultiRNNCell(
        [tf1.BasicLSTMCell(U, state_is_tuple=False), tf1.GRUCell(2)],
        state_is_tuple=False,
    ),
    "residual": lambda: tf1.ResidualWrapper(tf1.GRUCell(D)),
    "residual function": lambda: tf1.ResidualWrapper(tf1.GRUCell(D), _half),
    "highway": lambda: tf1.HighwayWrapper(tf1.GRUCell(D)),
    "input": lambda: tf1.InputProjectionWrapper(tf1.BasicLSTMCell(U), 2),
    "output": lambda: tf1.OutputProjectionWrapper(tf1.GRUCell(U), 2, "tanh"),
    "attention": lambda: tf1.AttentionCellWrapper(tf1.BasicLSTMCell(U), 2),
    "attention joined": lambda: tf1.AttentionCellWrapper(
        tf1.BasicLSTMCell(U, state_is_tuple=False), 2, state_is_tuple=False
    ),
    "dropout": lambda: tf1.DropoutWrapper(tf1.BasicLSTMCell(U), state_keep_prob=0.5),
}


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_called_step_by_step_is_its_driver(name, rng):
    """The old loop over `cell(x, state)`; states keep their form on the way."""
    cell = CELLS[name]()
    x = jnp.asarray(rng.normal(size=(B, T, D)), "float32")
    outputs, last = tf1.dynamic_rnn(cell, x, dtype="float32")
    state = cell.zero_state(B, "float32")
    form = jax.tree.structure(cell.state_size)
    assert jax.tree.structure(state) == jax.tree.structure(last) == form
    sizes = [array.shape for array in jax.tree.leaves(state)]
    assert sizes == [(B, width) for width in jax.tree.leaves(cell.state_size)]
    for step in range(T):
        output, state = cell(x[:, step], state)
        np.testing.assert_allclose(output, outputs[:, step], atol=1e-6)
    assert output.shape == (B, cell.output_size)
    for ours, theirs in zip(jax.tree.leaves(state), jax.tree.leaves(last), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_is_made_anew_from_its_configuration(name, rng):
    cell = CELLS[name]()
    x = jnp.asarray(rng.normal(size=(B, T, D)), "float32")
    outputs, _ = tf1.dynamic_rnn(cell, x)
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(cell)
    )
    copy.build((None, D))
    copy.set_weights(cell.get_weights())
    np.testing.assert_allclose(tf1.dynamic_rnn(copy, x)[0], outputs, atol=1e-6)


@need_core
@pytest.mark.parametrize("make", [tf1.BasicLSTMCell, tf1.LSTMCell, tf1.LSTMBlockCell])
def test_a_forget_bias_of_one_keeps_no_lstm_from_its_kernel(make):
    cell = make(U)
    cell.build((None, D))
    assert "the native lstm kernel" in cell.layer().plan((B, T, D))


def test_arguments_are_in_tensorflows_order():
    names = {
        tf1.BasicRNNCell: ["num_units", "activation", "reuse"],
        tf1.BasicLSTMCell: [
            *("num_units", "forget_bias", "state_is_tuple", "activation", "reuse")
        ],
        tf1.LSTMCell: [
            *("num_units", "use_peepholes", "cell_clip", "initializer", "num_proj"),
            *("proj_clip", "num_unit_shards", "num_proj_shards", "forget_bias"),
            *("state_is_tuple", "activation", "reuse"),
        ],
        tf1.GRUCell: [
            *("num_units", "activation", "reuse", "kernel_initializer"),
            "bias_initializer",
        ],
        tf1.UGRNNCell: [
            *("num_units", "initializer", "forget_bias", "activation", "reuse")
        ],
        tf1.MultiRNNCell: ["cells", "state_is_tuple"],
        tf1.DropoutWrapper: [
            *("cell", "input_keep_prob", "output_keep_prob", "state_keep_prob"),
            *("variational_recurrent", "input_size", "seed"),
        ],
        tf1.ResidualWrapper: ["cell", "residual_fn"],
        tf1.HighwayWrapper: [
            *("cell", "couple_carry_transform_gates", "carry_bias_init")
        ],
        tf1.DeviceWrapper: ["cell", "device"],
        tf1.CudnnCompatibleGRUCell: ["num_units", "reuse", "kernel_initializer"],
        tf1.NTMCell: [
            *("controller", "memory_size", "memory_vector_dim", "read_head_num"),
            *("write_head_num", "shift_range", "output_dim", "clip_value"),
        ],
        tf1.TimeFreqLSTMCell: [
            *("num_units", "use_peepholes", "cell_clip", "initializer"),
            *("num_unit_shards", "forget_bias", "feature_size", "frequency_skip"),
        ],
        tf1.GridLSTMCell: [
            *("num_units", "use_peepholes", "share_time_frequency_weights"),
            *("cell_clip", "initializer", "num_unit_shards", "forget_bias"),
            *("feature_size", "frequency_skip", "num_frequency_blocks"),
            *("start_freqindex_list", "end_freqindex_list"),
            *("couple_input_forget_gates", "state_is_tuple", "reuse"),
        ],
        tf1.BidirectionalGridLSTMCell: [
            *("num_units", "use_peepholes", "share_time_frequency_weights"),
            *("cell_clip", "initializer", "num_unit_shards", "forget_bias"),
            *("feature_size", "frequency_skip", "num_frequency_blocks"),
            *("start_freqindex_list", "end_freqindex_list"),
            *("couple_input_forget_gates", "backward_slice_offset", "reuse"),
        ],
        tf1.GridRNNCell: [
            *("num_units", "num_dims", "input_dims", "output_dims", "priority_dims"),
            *("non_recurrent_dims", "tied", "cell_fn", "non_recurrent_fn"),
            *("state_is_tuple", "output_is_tuple"),
        ],
        tf1.Grid3LSTMCell: [
            *("num_units", "tied", "non_recurrent_fn", "use_peepholes"),
            *("forget_bias", "state_is_tuple", "output_is_tuple"),
        ],
        tf1.LSTMBlockFusedCell: [
            *("num_units", "forget_bias", "cell_clip", "use_peephole", "reuse"),
            *("dtype", "name"),
        ],
    }
    for kind, wanted in names.items():
        found = list(inspect.signature(kind).parameters)
        assert found[: len(wanted)] == wanted, kind


def test_a_cell_of_a_users_with_a_state_in_a_tuple(rng):
    class Mine(tf1.RNNCell):
        state_size = (3, (2, 2))
        output_size = (3, 2)

        def call(self, inputs, state):
            a, (b, c) = state
            a = a + inputs
            return (a, b), (a, (b + 1, c * 2))

    x = jnp.asarray(rng.normal(size=(B, T, D)), "float32")
    (first, second), (a, (b, c)) = tf1.dynamic_rnn(Mine(), x, dtype="float32")
    assert first.shape == (B, T, 3)
    assert second.shape == (B, T, 2)
    np.testing.assert_allclose(a, x.sum(1), atol=1e-5)
    np.testing.assert_array_equal(b, np.full((B, 2), T))
    np.testing.assert_array_equal(c, np.zeros((B, 2)))


@pytest.mark.usefixtures("float64")
def test_a_cell_takes_the_dtype_of_its_driver(rng):
    x = jnp.asarray(rng.normal(size=(B, T, D)))
    cell = tf1.MultiRNNCell([tf1.GRUCell(2)])
    outputs, _ = tf1.dynamic_rnn(cell, x)
    assert outputs.dtype == cell.get_weights()[0].dtype == "float64"
    with pytest.raises(ValueError, match="dtype must be that of the cell, float64"):
        tf1.dynamic_rnn(cell, x, dtype="float32")
    single = tf1.GRUCell(2)
    outputs, _ = tf1.dynamic_rnn(single, x.astype("float32"), dtype=jnp.float32)
    assert outputs.dtype == single.zero_state(B).dtype == "float32"
    assert single.zero_state(B, "float64").dtype == "float64"


def test_mistakes_are_told_in_words(rng):
    x = jnp.asarray(rng.normal(size=(B, T, D)), "float32")
    with pytest.raises(ValueError, match=r"cell must be a cell of unrolled\.tf1"):
        tf1.dynamic_rnn(unrolled.LSTMCell(U), x)
    with pytest.raises(ValueError, match="cells must be a list of one cell or more"):
        tf1.MultiRNNCell([])
    with pytest.raises(ValueError, match="state_is_tuple must be True where"):
        tf1.MultiRNNCell([tf1.BasicLSTMCell(U)], state_is_tuple=False)
    with pytest.raises(ValueError, match=r"state must be a pair, LSTMStateTuple"):
        tf1.dynamic_rnn(tf1.BasicLSTMCell(U), x, initial_state=jnp.zeros((B, U)))
    cell = tf1.BasicLSTMCell(U, state_is_tuple=False)
    with pytest.raises(ValueError, match=r"one array of width 4 \+ 4"):
        tf1.dynamic_rnn(cell, x, initial_state=jnp.zeros((B, U)))
    with pytest.raises(ValueError, match=r"each of 2 cells\. Got 3 of them"):
        tf1.MultiRNNCell([tf1.GRUCell(4)] * 2).from_old((x, x, x))
    with pytest.raises(ValueError, match="state must be a tuple with the state of"):
        tf1.dynamic_rnn(tf1.MultiRNNCell([tf1.GRUCell(2)]), x, initial_state=(x, x))
    with pytest.raises(ValueError, match="input_keep_prob must be a number between"):
        tf1.DropoutWrapper(tf1.GRUCell(U), 1.5)
    stack = tf1.MultiRNNCell([tf1.GRUCell(2), tf1.GRUCell(2)])
    lower = lambda s: (True, False) if isinstance(s, tuple) else True  # noqa: E731
    with pytest.raises(ValueError, match="must choose all states of a name, or none"):
        tf1.DropoutWrapper(
            stack, state_keep_prob=0.5, dropout_state_filter_visitor=lower
        )
    with pytest.raises(ValueError, match="batch_size must be a whole number"):
        tf1.GRUCell(U).zero_state(None, "float32")
    with pytest.warns(UserWarning, match="places nothing on '/gpu:0' here"):
        cell = tf1.DeviceWrapper(tf1.GRUCell(U), "/gpu:0")
    assert tf1.dynamic_rnn(cell, x)[0].shape == (B, T, U)


@pytest.mark.parametrize(
    ("cell", "visitor", "states"),
    [
        (lambda: tf1.BasicLSTMCell(2), None, ["h"]),
        (lambda: tf1.BasicLSTMCell(2, state_is_tuple=False), None, ["c", "h"]),
        (lambda: tf1.SRUCell(2), None, ["c"]),
        (CELLS["stack"], None, ["h"]),
        (CELLS["stack"], lambda _: True, ["c", "h"]),
        (lambda: tf1.BasicLSTMCell(2), lambda s: not isinstance(s, tuple), []),
    ],
)
def test_states_are_dropped_as_in_tensorflow(cell, visitor, states):
    """All but the c of a tuple, if nothing else is said."""
    dropped = tf1.DropoutWrapper(
        cell(), state_keep_prob=0.5, dropout_state_filter_visitor=visitor
    )
    assert dropped.inner.states == states


def test_lstm_state_tuple():
    state = tf1.LSTMStateTuple(jnp.ones(2), jnp.zeros(2))
    assert state.dtype == "float32"
    assert (state.c[0], state.h[0]) == (1, 0)


@pytest.mark.parametrize("name", tf1._INSTEAD)
def test_names_that_are_gone_say_what_stands_for_them(name):
    with pytest.raises(AttributeError, match=f"has no {name}: use "):
        getattr(tf1, name)


# `tf.nn.rnn_cell` and `tf.contrib.rnn` of TensorFlow 1.15, and two of its modules.
TENSORFLOW = [
    "RNNCell",
    "LayerRNNCell",
    "BasicRNNCell",
    "BasicLSTMCell",
    "GRUCell",
    "LSTMCell",
    "LSTMStateTuple",
    "DropoutWrapper",
    "MultiRNNCell",
    "DeviceWrapper",
    "ResidualWrapper",
    "EmbeddingWrapper",
    "InputProjectionWrapper",
    "OutputProjectionWrapper",
    "LayerNormBasicLSTMCell",
    "LSTMBlockWrapper",
    "LSTMBlockCell",
    "GRUBlockCell",
    "GRUBlockCellV2",
    "FusedRNNCell",
    "FusedRNNCellAdaptor",
    "TimeReversedFusedRNN",
    "LSTMBlockFusedCell",
    "CoupledInputForgetGateLSTMCell",
    "TimeFreqLSTMCell",
    "GridLSTMCell",
    "BidirectionalGridLSTMCell",
    "NASCell",
    "UGRNNCell",
    "IntersectionRNNCell",
    "PhasedLSTMCell",
    "ConvLSTMCell",
    "Conv1DLSTMCell",
    "Conv2DLSTMCell",
    "Conv3DLSTMCell",
    "HighwayWrapper",
    "GLSTMCell",
    "SRUCell",
    "IndRNNCell",
    "IndyGRUCell",
    "IndyLSTMCell",
    "AttentionCellWrapper",
    "CompiledWrapper",
    "static_rnn",
    "static_state_saving_rnn",
    "static_bidirectional_rnn",
    "stack_bidirectional_dynamic_rnn",
    "stack_bidirectional_rnn",
    "transpose_batch_time",
    "best_effort_input_batch_size",
    "dynamic_rnn",
    "bidirectional_dynamic_rnn",
    "raw_rnn",
    "LayerNormLSTMCell",
    "WeightNormLSTMCell",
    "NTMCell",
    "MinimalRNNCell",
    "CFNCell",
    "CudnnCompatibleGRUCell",
    "CudnnCompatibleLSTMCell",
]


def test_every_name_of_tensorflows_is_here_or_says_what_stands_for_it():
    assert [n for n in TENSORFLOW if n not in {*tf1.__all__, *tf1._INSTEAD}] == []
    assert not {*tf1.__all__} & {*tf1._INSTEAD}
    for words in tf1._INSTEAD.values():
        for room, name in re.findall(r"(unrolled|tf1)\.(\w+)", words):
            assert hasattr(unrolled if room == "unrolled" else tf1, name), words


def test_other_names_are_just_not_there():
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        tf1.Nonsense  # noqa: B018


@pytest.mark.parametrize("name", tf1.__all__)
def test_docstrings_say_what_to_use_now(name):
    doc = inspect.getdoc(getattr(tf1, name))
    assert name in ("load", "TensorArray") or "Now:" in doc
