"""Cells whose products are convolutions, or made group by group.

Shapes: C channels, S the sizes of a step between batch and channels, W those of the
window: x is ``(B, *S, C)``, a kernel ``(*W, C, F)``.
"""

from __future__ import annotations

from itertools import product
from math import ceil

from . import np, sigmoid


def _convolve(x, kernel, strides=1, padding="same", dilation_rate=1):
    """The sum over the window's offsets, each a product with one matrix."""
    rank = x.ndim - 2
    windows = kernel.shape[:rank]
    pads, counts = [], []
    for size, window in zip(x.shape[1:-1], windows, strict=True):
        reach = (window - 1) * dilation_rate + 1
        count = ceil((size if padding == "same" else size - reach + 1) / strides)
        pad = max((count - 1) * strides + reach - size, 0) if padding == "same" else 0
        pads.append((pad // 2, pad - pad // 2))
        counts.append(count)
    x = np.pad(x, [(0, 0), *pads, (0, 0)], "constant")
    total = 0.0
    for offset in product(*map(range, windows)):
        cut = [slice(None)]
        for place, count in zip(offset, counts, strict=True):
            start = place * dilation_rate
            cut.append(slice(start, start + (count - 1) * strides + 1, strides))
        total = total + np.matmul(x[tuple(cut)], kernel[offset])
    return total


def contrib_conv_lstm(weights, x, states, *, forget_bias=1.0, skip_connection=False):
    """`ConvLSTMCell` of TensorFlow 1.15's contrib.rnn; Shi, 2015, arXiv:1506.04214.

    With `skip_connection` the output has the inputs behind h; the state is h alone.
    """
    c, h = states
    z = _convolve(np.concatenate([x, h], axis=-1), weights["kernel"])
    z = z + weights.get("biases", 0.0)
    i, j, f, o = np.split(z, 4, axis=-1)
    c = sigmoid(f + forget_bias) * c + sigmoid(i) * np.tanh(j)
    h = np.tanh(c) * sigmoid(o)
    output = np.concatenate([h, x], axis=-1) if skip_connection else h
    return output, [c, h]


def conv_lstm(weights, x, states, **convolution):
    """`ConvLSTMCell` of Keras 3; without peepholes, Shi, 2015, arXiv:1506.04214."""
    h, c = states
    z = _convolve(x, weights["kernel"], **convolution) + weights.get("bias", 0.0)
    z = z + _convolve(h, weights["recurrent_kernel"])
    i, f, j, o = np.split(z, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(j)
    h = sigmoid(o) * np.tanh(c)
    return h, [h, c]


def conv_gru(weights, x, states, **convolution):
    """GRU-RCN, equations 5 to 8 of Ballas, 2016, arXiv:1511.06432; biases added."""
    (h,) = states
    w = lambda x, k: _convolve(x, weights[f"W_{k}"], **convolution)  # noqa: E731
    u = lambda h, k: _convolve(h, weights[f"U_{k}"]) + weights[f"b_{k}"]  # noqa: E731
    z = sigmoid(w(x, "z") + u(h, "z"))
    r = sigmoid(w(x, "r") + u(h, "r"))
    candidate = np.tanh(w(x, "h") + u(r * h, "h"))
    h = (1.0 - z) * h + z * candidate
    return h, [h]


def glstm(weights, x, states, *, number_of_groups, forget_bias=1.0):
    """`GLSTMCell` of TensorFlow 1.15's contrib.rnn; Kuchaiev, 2017, arXiv:1703.10722.

    The projection is one matrix for all groups together.
    """
    c, m = states
    pairs = zip(
        np.split(x, number_of_groups, axis=1),
        np.split(m, number_of_groups, axis=1),
        strict=True,
    )
    parts = []
    for k, (x_k, m_k) in enumerate(pairs):
        r_k = np.concatenate([x_k, m_k], axis=1) @ weights[f"group{k}/kernel"]
        parts.append(np.split(r_k, 4, axis=1))
    i, j, f, o = (
        np.concatenate([part[gate] for part in parts], axis=1) + weights[f"bias_{name}"]
        for gate, name in enumerate("ijfo")
    )
    c = sigmoid(f + forget_bias) * c + sigmoid(i) * np.tanh(j)
    m = sigmoid(o) * np.tanh(c)
    if "projection/kernel" in weights:
        m = m @ weights["projection/kernel"]
    return m, [c, m]
