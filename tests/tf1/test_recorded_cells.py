"""Old cells give what TensorFlow 1.15.5's gave, from its variables, by their names."""

from functools import partial

from unrolled import tf1

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

from ..reference import max_relative
from .test_recorded_drivers import RECORDED, Network

CELLS = RECORDED.parent / "tf1"
U, P = 4, 2
_ALL = {
    "num_proj": P,
    "proj_clip": 0.2,
    "use_peepholes": True,
    "cell_clip": 0.4,
    "forget_bias": 0.5,
}
_OPTIONS = {
    "": {},
    "_forget_bias": {"forget_bias": -0.5},
    "_peepholes": {"use_peepholes": True},
    "_cell_clip": {"cell_clip": 0.3},
    "_projection": {"num_proj": P},
    "_all": _ALL,
}
_COUPLED = {k: v for k, v in _ALL.items() if k != "cell_clip"}


def _projected(kind, activation):
    return kind(tf1.UGRNNCell(U), 2, activation)


# What stands in tests/recorders/tf1_*.py for each recording.
MADE: dict = {
    "basic_rnn": lambda: tf1.BasicRNNCell(U),
    "basic_lstm": lambda: tf1.BasicLSTMCell(U),
    "gru": lambda: tf1.GRUCell(U),
    "gru_block": lambda: tf1.GRUBlockCellV2(cell_size=U),
    "ugrnn": lambda: tf1.UGRNNCell(U),
    "ugrnn_forget_bias": lambda: tf1.UGRNNCell(U, forget_bias=-0.5),
    "residual_gru": lambda: tf1.ResidualWrapper(tf1.GRUCell(3)),
    "highway_gru": lambda: tf1.HighwayWrapper(tf1.GRUCell(3)),
    "highway_gru_uncoupled": lambda: tf1.HighwayWrapper(tf1.GRUCell(3), False),
    **{
        f"{name}{suffix}": partial(kind, U, **options, **more)
        for name, kind, more in (
            ("lstm", tf1.LSTMCell, {}),
            ("layer_norm_lstm", tf1.LayerNormLSTMCell, {"layer_norm": True}),
            ("weight_norm_lstm", tf1.WeightNormLSTMCell, {}),
        )
        for suffix, options in _OPTIONS.items()
    },
    **{
        f"coupled_lstm{'_norm' * norm}{suffix}": partial(
            tf1.CoupledInputForgetGateLSTMCell, U, layer_norm=norm, **options
        )
        for norm in (False, True)
        for suffix, options in {**_OPTIONS, "_all": _COUPLED}.items()
    },
    "layer_norm_lstm_without": lambda: tf1.LayerNormLSTMCell(U),
    "weight_norm_lstm_without": lambda: tf1.WeightNormLSTMCell(U, norm=False),
    "layer_norm_basic_lstm": lambda: tf1.LayerNormBasicLSTMCell(U),
    "layer_norm_basic_lstm_forget_bias": lambda: tf1.LayerNormBasicLSTMCell(
        U, forget_bias=-0.5
    ),
    "layer_norm_basic_lstm_without": lambda: tf1.LayerNormBasicLSTMCell(
        U, layer_norm=False
    ),
    "lstm_block": lambda: tf1.LSTMBlockCell(U),
    "lstm_block_peepholes": lambda: tf1.LSTMBlockCell(
        U, use_peephole=True, forget_bias=0.5
    ),
    "intersection": lambda: tf1.IntersectionRNNCell(3),
    "intersection_projected": lambda: tf1.IntersectionRNNCell(
        U, num_in_proj=U, forget_bias=0.5, y_activation="tanh"
    ),
    "nas": lambda: tf1.NASCell(U, use_bias=True),
    "nas_no_bias": lambda: tf1.NASCell(U),
    "nas_projected": lambda: tf1.NASCell(U, 2, use_bias=True),
    **{
        f"{name}{end}": partial(kind, U, activation=activation, **more)
        for name, kind, more in (
            ("indrnn", tf1.IndRNNCell, {}),
            ("indygru", tf1.IndyGRUCell, {}),
            ("indylstm", tf1.IndyLSTMCell, {"forget_bias": 0.5}),
            ("sru", tf1.SRUCell, {}),
            ("cfn", tf1.CFNCell, {}),
            ("minimalrnn", tf1.MinimalRNNCell, {}),
        )
        for activation, end in (("tanh", ""), ("relu", "_relu"))
    },
    "embedding": lambda: tf1.EmbeddingWrapper(tf1.UGRNNCell(U), 5, 3),
    **{
        f"{where}_projection{end}": partial(_projected, kind, activation)
        for where, kind in (
            ("input", tf1.InputProjectionWrapper),
            ("output", tf1.OutputProjectionWrapper),
        )
        for activation, end in ((None, ""), ("tanh", "_tanh"))
    },
    "attention": lambda: tf1.AttentionCellWrapper(tf1.LSTMCell(U), 3),
    "attention_sizes": lambda: tf1.AttentionCellWrapper(
        tf1.LSTMCell(U), 3, attn_size=3, attn_vec_size=2, input_size=5
    ),
    **{
        f"conv{rank}_lstm": partial(
            kind,
            input_shape=[*space, 2],
            output_channels=3,
            kernel_shape=window,
            dtype="float64",
        )
        for rank, kind, space, window in (
            (1, tf1.Conv1DLSTMCell, [5], [3]),
            (2, tf1.Conv2DLSTMCell, [3, 2], [3, 2]),
            (3, tf1.Conv3DLSTMCell, [2, 1, 3], [2, 1, 2]),
        )
    },
    "conv1_lstm_forget_bias": partial(
        tf1.Conv1DLSTMCell,
        input_shape=[5, 2],
        output_channels=3,
        kernel_shape=[2],
        forget_bias=-0.5,
        use_bias=False,
        dtype="float64",
    ),
    "glstm": lambda: tf1.GLSTMCell(4, number_of_groups=2),
    "glstm_projection": lambda: tf1.GLSTMCell(
        6, number_of_groups=3, num_proj=3, forget_bias=-0.5
    ),
    "phased": lambda: tf1.PhasedLSTMCell(U, leak=0.1),
    "phased_peepholes": lambda: tf1.PhasedLSTMCell(
        U, use_peepholes=True, leak=0.01, ratio_on=0.5, trainable_ratio_on=False
    ),
    "cudnn_compatible_lstm": lambda: tf1.CudnnCompatibleLSTMCell(U),
    "cudnn_compatible_gru": lambda: tf1.CudnnCompatibleGRUCell(U),
}
HELD = [name for name in MADE if (CELLS / f"{name}.npz").exists()]
# Of each kind of cell one, with its options; the tables of tests/rows hold all of ours.
WITH_GRADIENTS = {
    *("basic_rnn", "basic_lstm", "gru", "ugrnn", "highway_gru_uncoupled", "lstm_all"),
    *("layer_norm_lstm_all", "weight_norm_lstm_all", "coupled_lstm_norm_all"),
    *("layer_norm_basic_lstm", "intersection_projected", "nas_projected", "indrnn"),
    *("indygru", "indylstm", "sru", "cfn", "minimalrnn", "phased_peepholes"),
    *("input_projection", "output_projection", "attention_sizes", "embedding"),
    *("conv2_lstm", "glstm_projection", "cudnn_compatible_gru"),
}
LIMITS = {"float64": 1e-11, "float32": 2e-5}


def _phased(cell, x, *given):
    return tf1.dynamic_rnn(cell, (x[..., :1], x[..., 1:]), *given)


def _of_ids(cell, x, *given):
    return tf1.dynamic_rnn(cell, jnp.mod(jnp.floor(x), 5).astype("int32"), *given)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", HELD)
def test_a_cell_gives_what_was_recorded(name):
    drives = {"phased": _phased, "embedding": _of_ids}
    drive = drives.get(name.split("_")[0], tf1.dynamic_rnn)
    more = {}
    if name == "phased_peepholes":  # what is not trained is in a checkpoint, too
        more = {"rnn/phased_lstm_cell/ratio_on": np.full(U, 0.5, "float32")}
    hold(name, MADE[name](), drive, more, name in WITH_GRADIENTS)


def hold(name, cell, drive=tf1.dynamic_rnn, more=None, differentiated=False):
    """Hold a cell to a recording, with its variables, by their names.

    Args:
        name: of the recording.
        cell: old.
        drive: what runs it, as `dynamic_rnn`: of cell, x, lengths, state and dtype.
        more: variables that are not trained, and were not recorded.
        differentiated: whether gradients are held, too.
    """
    with np.load(CELLS / f"{name}.npz") as given:
        # The recorder wrapped some in a cell of its own.
        arrays = {key.replace("/flat/", "/"): given[key] for key in given}
    dtype = str(arrays["x"].dtype)
    x = jnp.asarray(arrays["x"])
    count = sum(key.startswith("initial/") for key in arrays)
    initial = [jnp.asarray(arrays[f"initial/{n}"]) for n in range(count)]

    def run(x, initial):
        alone = jax.tree.structure(cell.zero_state(len(x)))
        start = jax.tree.unflatten(alone, initial)
        lengths = jnp.asarray(arrays["lengths"], "int64")
        return jax.tree.leaves(drive(cell, x, lengths, start, dtype))

    jax.eval_shape(run, x, initial)  # builds it, and compiles nothing
    paths = [key.removeprefix("weight/") for key in arrays if key[:7] == "weight/"]
    saved = {path: arrays[f"weight/{path}"] for path in paths} | (more or {})
    assert list(cell.entries(cell.above)) == list(saved)  # TensorFlow's order, too
    tf1.load(cell, saved)
    wanted = ["y", *(f"state/{n}" for n in range(count))]
    if differentiated:
        found, gradients = _differentiated(run, cell, x, initial, arrays)
        paths = [path for path in saved if f"dweight/{path}" in arrays]
        read = dict(zip(saved, cell.get_weights(), strict=True))
        gradients |= {f"dweight/{path}": read[path] for path in paths}
    else:
        found, gradients = run(x, initial), {}
    pairs = dict(zip(wanted, found, strict=True)) | gradients
    for label, ours in pairs.items():
        error = max_relative(np.asarray(ours), arrays[label])
        assert error <= LIMITS[dtype], f"{label} off by {error:.3g}"


def _differentiated(run, cell, x, initial, arrays):
    """What comes out, and gradients; those of the weights are put in their places."""
    model = Network([cell])
    count = len(initial)
    cotangents = [arrays["cy"], *(arrays[f"cstate/{n}"] for n in range(count))]

    def loss(x, initial, values):
        pairs = zip(model.trainable_variables, values, strict=True)
        with keras.StatelessScope(state_mapping=list(pairs)):
            found = run(x, initial)
        parts = zip(found, map(jnp.asarray, cotangents), strict=True)
        return sum(jnp.sum(f * c) for f, c in parts), found

    values = [variable.value for variable in model.trainable_variables]
    whole = jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))
    (_, found), (dx, d_initial, d_values) = whole(x, initial, values)
    for variable, gradient in zip(model.trainable_variables, d_values, strict=True):
        variable.assign(gradient)
    gradients = {f"dinitial/{n}": d for n, d in enumerate(d_initial)}
    return found, gradients | {"dx": dx}


def test_the_recordings_are_there():
    """Some are of options that were not recorded for that cell."""
    assert len(HELD) >= 60
    assert {*HELD} >= WITH_GRADIENTS


def test_a_cell_of_images_is_made_anew_from_its_configuration(rng):
    cell = tf1.ConvLSTMCell(2, [3, 4, 2], 3, [2, 2], skip_connection=True)
    assert cell.state_size.c == (3, 4, 3)
    assert cell.output_size == (3, 4, 5)
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(cell)
    )
    copy.set_weights(cell.get_weights())
    x = rng.normal(size=(2, 4, 3, 4, 2)).astype("float32")
    (outputs, state), (again, _) = tf1.dynamic_rnn(cell, x), tf1.dynamic_rnn(copy, x)
    assert state.h.shape == (2, 3, 4, 3)
    np.testing.assert_allclose(again, outputs, atol=1e-6)
    with pytest.raises(ValueError, match="input_shape must have 2 sizes and the"):
        tf1.Conv2DLSTMCell(input_shape=[3, 2], output_channels=3, kernel_shape=[2, 2])


def test_options_that_are_not_here_say_so():
    with pytest.raises(ValueError, match=r"dropout_keep_prob must be 1\.0"):
        tf1.LayerNormBasicLSTMCell(3, dropout_keep_prob=0.5)
    with pytest.raises(ValueError, match=r"norm_gain must be 1\.0, where it begins"):
        tf1.LayerNormLSTMCell(3, layer_norm=True, norm_gain=0.5)
    assert tf1.LSTMBlockCell(3, cell_clip=-1).inner.cell_clip is None
