"""Checkpoints that TensorFlow 1.15.5 wrote load, and give what it gave."""

from unrolled import tf1

import keras
import numpy as np
import pytest

from .test_recorded_drivers import RECORDED

B, T, D, U = 3, 4, 2, 3
LENGTHS = [4, 2, 3]


def _checkpoint(name):
    with np.load(RECORDED / f"checkpoint_{name}.npz") as given:
        arrays = dict(given)
    saved = {k.removeprefix("checkpoint/"): arrays[k] for k in arrays if "/" in k}
    saved = {k: v for k, v in saved.items() if not k.startswith("returned/")}
    count = sum(key.startswith("returned/") for key in arrays)
    return arrays["x"], saved, [arrays[f"returned/{n}"] for n in range(count)]


def _classifier(x):
    cell = tf1.MultiRNNCell([tf1.BasicLSTMCell(U), tf1.BasicLSTMCell(2)])
    outputs, _ = tf1.dynamic_rnn(
        cell, x, sequence_length=np.array(LENGTHS), dtype="float32"
    )
    return keras.layers.Dense(4, name="dense")(outputs[:, -1])


def _both_ways(x):
    forward = tf1.LSTMCell(U, use_peepholes=True, num_proj=2)
    return tf1.bidirectional_dynamic_rnn(
        forward, tf1.GRUCell(2), x, sequence_length=np.array(LENGTHS), dtype="float32"
    )


def _stacked_both_ways(x):
    layers = [[tf1.LSTMCell(U), tf1.BasicRNNCell(2)] for _ in range(2)]
    return tf1.stack_bidirectional_dynamic_rnn(*layers, x, dtype="float32")


def _stacked_lists(x):
    layers = [[tf1.GRUCell(U), tf1.BasicRNNCell(2)] for _ in range(2)]
    return tf1.stack_bidirectional_rnn(*layers, keras.ops.unstack(x, axis=1))


def _wrapped(x):
    inner = tf1.HighwayWrapper(tf1.GRUCell(D, name="reader"))
    cell = tf1.DropoutWrapper(tf1.ResidualWrapper(inner), output_keep_prob=1.0)
    return tf1.dynamic_rnn(cell, x, dtype="float32", scope="encoder")


NETWORKS = {
    "classifier": (_classifier, ""),
    "both_ways": (_both_ways, ""),
    "stacked_both_ways": (_stacked_both_ways, "Model"),
    "stacked_lists": (_stacked_lists, ""),
    "wrapped": (_wrapped, ""),
}


@pytest.mark.keras_ranks
@pytest.mark.parametrize("name", NETWORKS)
def test_a_checkpoint_gives_what_it_gave(name, tmp_path):
    make, scope = NETWORKS[name]
    x, saved, want = _checkpoint(name)
    inputs = keras.Input((T, D))
    model = keras.Model(inputs, keras.tree.flatten(make(inputs)))
    tf1.load(model, saved, scope=scope)
    path = tmp_path / "model.keras"
    model.save(path)
    for network in (model, keras.models.load_model(path)):
        returned = network(x)
        returned = returned if isinstance(returned, list) else [returned]
        for ours, theirs in zip(returned, want, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_every_checkpoint_is_read():
    files = {path.stem for path in RECORDED.glob("checkpoint_*.npz")}
    assert files == {f"checkpoint_{name}" for name in NETWORKS}


def _saved(prefix="rnn/"):
    kernel = np.arange(40, dtype="float32").reshape(5, 8)
    return {
        f"{prefix}basic_lstm_cell/kernel": kernel,
        f"{prefix}basic_lstm_cell/bias": np.arange(8, dtype="float32"),
    }


def _cell():
    cell = tf1.BasicLSTMCell(2)
    cell.build((None, 3))
    return cell


@pytest.mark.parametrize(
    ("prefix", "scope"),
    [("rnn/", ""), ("", ""), ("a/b/rnn/", "a/b"), ("RNN/", "RNN"), ("a/rnn/", "a/")],
)
def test_a_cell_is_found_below_a_scope(prefix, scope):
    cell, saved = _cell(), _saved(prefix)
    more = {"dense/kernel": np.ones(3)} if prefix == "rnn/" else {}
    tf1.load(cell, saved | more, scope)
    for ours, theirs in zip(cell.get_weights(), saved.values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_gates_are_where_they_belong():
    cell = _cell()
    tf1.load(cell, _saved())
    kernel, recurrent, bias = cell.inner.get_weights()
    # TensorFlow's i j f o are i f c o here; x above h.
    i, f, c, o = np.split(np.arange(8), 4)
    np.testing.assert_array_equal(bias, [*i, *c, *f, *o])
    whole = _saved()["rnn/basic_lstm_cell/kernel"][:, bias.astype(int)]
    np.testing.assert_array_equal(np.concatenate([kernel, recurrent]), whole)


def test_weights_go_round(rng):
    x = rng.normal(size=(B, T, D)).astype("float32")
    for cell in (
        tf1.LSTMCell(4, use_peepholes=True, num_proj=2),
        tf1.MultiRNNCell([tf1.GRUCell(2), tf1.DropoutWrapper(tf1.UGRNNCell(3), 0.5)]),
        tf1.HighwayWrapper(tf1.BasicRNNCell(D)),
    ):
        assert cell.get_weights() == []
        tf1.dynamic_rnn(cell, x)
        drawn = [rng.normal(size=a.shape).astype("float32") for a in cell.get_weights()]
        cell.set_weights(drawn)
        for ours, theirs in zip(cell.get_weights(), drawn, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        with pytest.raises(ValueError, match="weights must be"):
            cell.set_weights(drawn[:-1])


def test_all_that_does_not_fit_is_listed_at_once():
    cell, saved = _cell(), _saved()
    before = cell.get_weights()
    saved["rnn/basic_lstm_cell/kernel"] = np.ones((4, 8), "float32")
    saved["rnn/basic_lstm_cell/w_f_diag"] = saved.pop("rnn/basic_lstm_cell/bias")
    with pytest.raises(ValueError, match="arrays must have one array") as error:
        tf1.load(cell, saved)
    for words in (
        "missing: rnn/basic_lstm_cell/bias",
        "left over: rnn/basic_lstm_cell/w_f_diag",
        "rnn/basic_lstm_cell/kernel (4, 8), not (5, 8)",
    ):
        assert words in str(error.value)
    for ours, theirs in zip(cell.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match=r"dict by name.*Got 'model.npz': pass np."):
        tf1.load(cell, "model.npz")
    with pytest.raises(ValueError, match="not built"):
        tf1.load(tf1.GRUCell(3), {})


KERNEL = "rnn/basic_lstm_cell/kernel"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({KERNEL: np.full((5, 8), None)}, f"of no real numbers: {KERNEL}"),
        ({KERNEL: np.full((5, 8), "1")}, f"of no real numbers: {KERNEL}"),
        ({KERNEL: np.full((5, 8), 1j)}, f"of no real numbers: {KERNEL}"),
        ({KERNEL: [[1], [1, 2]]}, f"of no real numbers: {KERNEL}"),
        ({KERNEL: np.full((5, 8), 1e300)}, f"too large: {KERNEL} for float32"),
        ({f"{KERNEL}:0": np.ones((5, 8))}, f"Got two for {KERNEL}"),
        ({3: np.ones(2)}, r"arrays must be a dict by name.* Got names \[3\]"),
    ],
)
def test_what_no_weights_can_be_changes_nothing(change, words):
    cell = _cell()
    before = cell.get_weights()
    with pytest.raises(ValueError, match=words):
        tf1.load(cell, {**_saved(), **change})
    for ours, theirs in zip(cell.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_loaded_into_and_from_is_checked():
    with pytest.raises(ValueError, match=r"arrays must be a dict by name.* Got list"):
        tf1.load(_cell(), [np.ones(2)])
    with pytest.raises(ValueError, match="model_or_cell must be a cell of unrolled"):
        tf1.load(3, {})
    with pytest.raises(ValueError, match=r"weights must be .* 'no numbers'\]"):
        _cell().set_weights([np.ones((5, 8)), np.full(8, None)])
    with pytest.raises(ValueError, match="weights must be"):
        _cell().set_weights(None)


def test_two_cells_of_one_name_in_one_scope_are_told_of():
    inputs = keras.Input((T, D))
    outputs = [tf1.dynamic_rnn(tf1.GRUCell(2), inputs)[0] for _ in range(2)]
    with pytest.raises(ValueError, match="no two cells whose variables are called"):
        tf1.load(keras.Model(inputs, outputs), {})


def test_variables_lie_where_a_cell_was_first(rng):
    """As `tf.global_variables()` says of the same program in TensorFlow 1.15."""
    x = rng.normal(size=(B, T, 2)).astype("float32")
    lstm, gru = tf1.BasicLSTMCell(2), tf1.GRUCell(2)
    stack = tf1.MultiRNNCell([lstm, lstm])
    for scope in ("a", "b"):
        tf1.dynamic_rnn(stack, x, scope=scope)
    tf1.bidirectional_dynamic_rnn(gru, gru, x, scope="bi")
    assert [*stack.entries(stack.above), *gru.entries(gru.above)] == [
        "a/multi_rnn_cell/cell_0/basic_lstm_cell/kernel",
        "a/multi_rnn_cell/cell_0/basic_lstm_cell/bias",
        "bi/fw/gru_cell/gates/kernel",
        "bi/fw/gru_cell/gates/bias",
        "bi/fw/gru_cell/candidate/kernel",
        "bi/fw/gru_cell/candidate/bias",
    ]


def test_the_first_block_of_a_gru_has_names_of_its_own(rng):
    x = rng.normal(size=(B, T, D)).astype("float32")
    cell, other = tf1.GRUBlockCell(3), tf1.GRUCell(3)
    outputs, _ = tf1.dynamic_rnn(cell, x)
    names = [name.rpartition("/")[2] for name in cell.entries("rnn/")]
    assert names == ["w_ru", "b_ru", "w_c", "b_c"]
    other.build((None, D))
    other.set_weights(cell.get_weights())
    np.testing.assert_allclose(tf1.dynamic_rnn(other, x)[0], outputs, atol=1e-6)


def test_variables_begin_as_tensorflow_draws_them():
    cell = tf1.GRUCell(50)
    cell.build((None, 20))
    gates, gate_bias, candidate, bias = cell.get_weights()
    np.testing.assert_array_equal(gate_bias, np.ones(100))
    np.testing.assert_array_equal(bias, np.zeros(50))
    for kernel in (gates, candidate):
        limit = np.sqrt(6 / sum(kernel.shape))
        assert 0.98 * limit < np.abs(kernel).max() <= limit
    ours = [weight.get_config() for weight in (cell.inner.kernel_initializer,)]
    assert "seed" in ours[0]  # the cell's own again, which a file can hold


def test_a_model_of_no_old_cell_is_loaded_by_names():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="dense")])
    kernel, bias = np.ones((3, 2), "float32"), np.ones(2, "float32")
    tf1.load(model, {"dense/kernel": kernel, "dense/bias": bias, "global_step": 3})
    np.testing.assert_array_equal(model.layers[0].kernel, kernel)
