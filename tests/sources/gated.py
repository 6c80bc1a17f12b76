"""Cells of gates: products, then pointwise arithmetic."""

from __future__ import annotations

from . import np, sigmoid


def ugrnn(weights, x, states, *, forget_bias=1.0):
    """`UGRNNCell` of TensorFlow 1.15's contrib.rnn; Collins, 2017, arXiv:1611.09913."""
    (h,) = states
    z = np.concatenate([x, h], axis=1) @ weights["kernel"] + weights["bias"]
    g, c = np.split(z, 2, axis=1)
    g = sigmoid(g + forget_bias)
    h = g * h + (1.0 - g) * np.tanh(c)
    return h, [h]
