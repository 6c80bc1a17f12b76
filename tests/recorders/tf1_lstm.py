"""Plain cells, LSTMs and GRUs, and ways around a GRU."""

from functools import partial

import tensorflow as tf
from tensorflow.contrib import cudnn_rnn, rnn
from tensorflow.contrib.rnn.python.ops import rnn_cell as more

U, P, D = 4, 2, 3


def _float64(make, *args, **kwargs):
    """Make a cell where also variables without a dtype are float64."""
    tf.compat.v1.get_variable_scope().set_dtype(tf.float64)
    return make(*args, **kwargs)


def _highway(coupled):
    return rnn.HighwayWrapper(rnn.GRUCell(D), couple_carry_transform_gates=coupled)


def record(case):
    """Record each."""
    basic = tf.compat.v1.nn.rnn_cell
    case("basic_rnn", lambda: basic.BasicRNNCell(U), "lstm.basic_rnn")
    case("gru", lambda: basic.GRUCell(U), "lstm.gru")
    case("gru_block", lambda: rnn.GRUBlockCellV2(U), "lstm.gru", dtype="float32")
    case(
        "cudnn_compatible_gru",
        lambda: cudnn_rnn.CudnnCompatibleGRUCell(U),
        "lstm.cudnn_compatible_gru",
    )
    case(
        "residual_gru", lambda: rnn.ResidualWrapper(rnn.GRUCell(D)), "lstm.residual_gru"
    )
    for name, coupled in (("highway_gru", True), ("highway_gru_uncoupled", False)):
        case(name, partial(_float64, _highway, coupled), "lstm.highway_gru")
    _lstms(case, basic)
    _block(case)
    _normed(case)


def _lstms(case, basic):
    options = {
        "": {},
        "_forget_bias": {"forget_bias": -0.5},
        "_peepholes": {"use_peepholes": True},
        "_cell_clip": {"cell_clip": 0.3},
        "_projection": {"num_proj": P},
        "_all": {
            "num_proj": P,
            "proj_clip": 0.2,
            "use_peepholes": True,
            "cell_clip": 0.4,
            "forget_bias": 0.5,
        },
    }
    for name, given in options.items():
        told = {k: v for k, v in given.items() if k != "num_proj"}
        case("lstm" + name, partial(basic.LSTMCell, U, **given), "lstm.lstm", told)
        case(
            "weight_norm_lstm" + name,
            partial(more.WeightNormLSTMCell, U, **given),
            "lstm.weight_norm_lstm",
            told,
        )
        case(
            "layer_norm_lstm" + name,
            partial(_float64, more.LayerNormLSTMCell, U, layer_norm=True, **given),
            "lstm.layer_norm_lstm",
            told,
        )
    for name in ("", "_peepholes", "_projection", "_all"):
        given = {k: v for k, v in options[name].items() if k != "cell_clip"}
        told = {k: v for k, v in given.items() if k != "num_proj"}
        for norm in (False, True):
            coupled = partial(more.CoupledInputForgetGateLSTMCell, layer_norm=norm)
            case(
                "coupled_lstm" + "_norm" * norm + name,
                partial(_float64, coupled, U, **given),
                "lstm.coupled_input_forget_gate_lstm",
                dict(told, layer_norm=norm),
            )
    case("basic_lstm", lambda: basic.BasicLSTMCell(U), "lstm.lstm")


def _block(case):
    """Kernels that know float32 alone."""
    case("lstm_block", lambda: rnn.LSTMBlockCell(U), "lstm.lstm", dtype="float32")
    case(
        "lstm_block_peepholes",
        lambda: rnn.LSTMBlockCell(U, use_peephole=True, forget_bias=0.5),
        "lstm.lstm",
        {"use_peepholes": True, "forget_bias": 0.5},
        dtype="float32",
    )
    case(
        "lstm_block_cell_clip",
        lambda: rnn.LSTMBlockCell(U, cell_clip=0.3, use_peephole=True),
        "lstm.lstm_block",
        {"cell_clip": 0.3, "use_peepholes": True},
        dtype="float32",
    )
    case(
        "cudnn_compatible_lstm",
        lambda: cudnn_rnn.CudnnCompatibleLSTMCell(U),
        "lstm.lstm",
        {"forget_bias": 0.0},
        dtype="float32",
    )


def _normed(case):
    case(
        "weight_norm_lstm_without",
        lambda: more.WeightNormLSTMCell(U, norm=False),
        "lstm.weight_norm_lstm",
    )
    case("layer_norm_lstm_without", lambda: more.LayerNormLSTMCell(U), "lstm.lstm")
    case(
        "layer_norm_basic_lstm",
        lambda: rnn.LayerNormBasicLSTMCell(U),
        "lstm.layer_norm_basic_lstm",
    )
    case(
        "layer_norm_basic_lstm_forget_bias",
        lambda: rnn.LayerNormBasicLSTMCell(U, forget_bias=-0.5),
        "lstm.layer_norm_basic_lstm",
        {"forget_bias": -0.5},
    )
    case(
        "layer_norm_basic_lstm_without",
        lambda: rnn.LayerNormBasicLSTMCell(U, layer_norm=False),
        "lstm.lstm",
    )
