"""A cell as a fused cell, forwards and turned round in time."""

import tensorflow as tf
from tensorflow.contrib import rnn


def _run(fused):
    """Run what ``fused(cell)`` makes; inputs and outputs are batch-major here."""

    def run(cell, x, lengths, initial):
        y, states = fused(cell)(
            tf.transpose(x, [1, 0, 2]), initial_state=initial, sequence_length=lengths
        )
        return tf.transpose(y, [1, 0, 2]), states

    return run


def _turned(cell):
    return rnn.TimeReversedFusedRNN(rnn.FusedRNNCellAdaptor(cell, use_dynamic_rnn=True))


def _lstm(_, x, lengths, initial):
    """Run the LSTM that is a fused cell of its own."""
    return _run(lambda _: rnn.LSTMBlockFusedCell(4))(None, x, lengths, initial)


def record(case):
    """Record each."""
    make = lambda: rnn.UGRNNCell(4)  # noqa: E731
    case("fused_adaptor", make, "gated.ugrnn", run=_run(rnn.FusedRNNCellAdaptor))
    case("fused_turned", make, "gated.ugrnn", run=_run(_turned), backwards=True)
    states = lambda: rnn.LSTMBlockCell(4)  # noqa: E731
    case("fused_lstm", states, "lstm.lstm", dtype="float32", run=_lstm)
