"""Normalised cells that no library here has, from the papers.

Layer normalisation: Ba et al., 2016, arXiv:1607.06450. Weight normalisation: Salimans
and Kingma, 2016, arXiv:1602.07868. Weights as Keras has them, gates z r h.
"""

from __future__ import annotations

from . import np, sigmoid

EPSILON = 1e-3


def _normed(a):
    rest = a - np.mean(a, axis=-1, keepdims=True)
    return rest / np.sqrt(np.mean(rest**2, axis=-1, keepdims=True) + EPSILON)


def _by_gate(weights, gate, a):
    columns = slice(gate * a.shape[1], (gate + 1) * a.shape[1])
    return weights["gain"][columns] * _normed(a) + weights["bias"][columns]


def _columns(v, length):
    return length * v / np.sqrt(np.sum(v**2, axis=0, keepdims=True))


def _gru(weights, x, h, normed, reset_after):
    """`normed(gate, a)` of each pre-activation."""
    xz, xr, xh = np.split(x @ weights["kernel"], 3, axis=1)
    rz, rr, rh = np.split(weights["recurrent_kernel"], 3, axis=1)
    z = sigmoid(normed(0, xz + h @ rz))
    r = sigmoid(normed(1, xr + h @ rr))
    inner = r * (h @ rh) if reset_after else (r * h) @ rh
    h = z * h + (1.0 - z) * np.tanh(normed(2, xh + inner))
    return h, [h]


def gate_norm_gru(weights, x, states, *, reset_after=True):
    """A GRU each of whose gates is normalised; arXiv:1607.06450."""
    normed = lambda gate, a: _by_gate(weights, gate, a)  # noqa: E731
    return _gru(weights, x, states[0], normed, reset_after)


def product_norm_gru(weights, x, states):
    """A GRU whose two products are normalised; arXiv:1607.06450."""
    (h,) = states
    wx = weights["kernel_gain"] * _normed(x @ weights["kernel"]) + weights["bias"][0]
    rh = weights["recurrent_gain"] * _normed(h @ weights["recurrent_kernel"])
    xz, xr, xh = np.split(wx, 3, axis=1)
    hz, hr, hh = np.split(rh + weights["bias"][1], 3, axis=1)
    z, r = sigmoid(xz + hz), sigmoid(xr + hr)
    h = z * h + (1.0 - z) * np.tanh(xh + r * hh)
    return h, [h]


def weight_norm_gru(weights, x, states):
    """A GRU, reset before, whose weights' columns have lengths; arXiv:1602.07868."""
    names = (("kernel", "kernel"), ("recurrent_kernel", "recurrent"))
    normed = {k: _columns(weights[k], weights[f"{short}_scale"]) for k, short in names}
    bias = np.split(weights["bias"], 3)
    add = lambda gate, a: a + bias[gate]  # noqa: E731
    return _gru({**weights, **normed}, x, states[0], add, reset_after=False)


def product_norm_rnn(weights, x, states):
    """An Elman network whose two products are normalised; arXiv:1607.06450."""
    (h,) = states
    a = weights["kernel_gain"] * _normed(x @ weights["kernel"])
    a = a + weights["recurrent_gain"] * _normed(h @ weights["recurrent_kernel"])
    h = np.tanh(a + weights["bias"])
    return h, [h]
