"""Cells of gates: products, then pointwise arithmetic."""

from tensorflow.contrib import rnn


def record(case):
    """Record each."""
    case("ugrnn", lambda: rnn.UGRNNCell(4), "gated.ugrnn")
    case(
        "ugrnn_forget_bias",
        lambda: rnn.UGRNNCell(4, forget_bias=-0.5),
        "gated.ugrnn",
        {"forget_bias": -0.5},
    )
