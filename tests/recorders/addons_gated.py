"""Cells of gates: products, then pointwise arithmetic."""

from tensorflow_addons import rnn

U = 4


def record(case):
    """Record each."""
    case("nas", lambda: rnn.NASCell(U), "gated.nas")
    case("nas_projected", lambda: rnn.NASCell(U, 2, use_bias=True), "gated.nas")
