"""LSTMs and a plain cell."""

from tensorflow_addons import rnn

U = 4


def record(case):
    """Record each."""
    case(
        "layer_norm_lstm",
        lambda: rnn.LayerNormLSTMCell(U),
        "lstm.addons_layer_norm_lstm",
    )
    case(
        "layer_norm_lstm_epsilon",
        lambda: rnn.LayerNormLSTMCell(U, norm_epsilon=0.1),
        "lstm.addons_layer_norm_lstm",
        {"norm_epsilon": 0.1},
    )
    case(
        "layer_norm_simple_rnn",
        lambda: rnn.LayerNormSimpleRNNCell(U),
        "lstm.addons_layer_norm_simple_rnn",
    )
    case(
        "layer_norm_simple_rnn_epsilon",
        lambda: rnn.LayerNormSimpleRNNCell(U, layernorm_epsilon=0.1),
        "lstm.addons_layer_norm_simple_rnn",
        {"layernorm_epsilon": 0.1},
    )
    case(
        "peephole_lstm",
        lambda: rnn.PeepholeLSTMCell(U),
        "lstm.addons_peephole_lstm",
    )
