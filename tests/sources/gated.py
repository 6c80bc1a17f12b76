"""Cells of gates: products, then pointwise arithmetic."""

from __future__ import annotations

from autograd.tracer import getval

from . import np, plain, sigmoid

ACTIVATIONS = {"tanh": np.tanh, "relu": lambda a: np.where(a > 0.0, a, 0.0)}


def _linear(weights, scope, *rows):
    """`_Linear` of contrib.rnn: rows beside each other, times a kernel, and a bias."""
    kernel, bias = weights[f"{scope}kernel"], weights[f"{scope}bias"]
    return np.concatenate(rows, axis=1) @ kernel + bias


def ugrnn(weights, x, states, *, forget_bias=1.0):
    """`UGRNNCell` of TensorFlow 1.15's contrib.rnn; Collins, 2017, arXiv:1611.09913."""
    (h,) = states
    z = np.concatenate([x, h], axis=1) @ weights["kernel"] + weights["bias"]
    g, c = np.split(z, 2, axis=1)
    g = sigmoid(g + forget_bias)
    h = g * h + (1.0 - g) * np.tanh(c)
    return h, [h]


def intersection(weights, x, states, *, forget_bias=1.0, y_activation="relu"):
    """`IntersectionRNNCell` of TensorFlow 1.15's contrib.rnn; arXiv:1611.09913."""
    (state,) = states
    if "in_projection/kernel" in weights:
        x = _linear(weights, "in_projection/", x)
    gh, h, gy, y = np.split(_linear(weights, "", x, state), 4, axis=1)
    gh, gy = sigmoid(gh + forget_bias), sigmoid(gy + forget_bias)
    state = gh * state + (1.0 - gh) * np.tanh(h)
    return gy * x + (1.0 - gy) * ACTIVATIONS[y_activation](y), [state]


def nas(weights, x, states):
    """`NASCell` of TensorFlow 1.15's contrib.rnn and of Addons 0.23; arXiv:1611.01578.

    The bias is added to what comes of m, which counts in the one product of the two.
    """
    c, m = states
    m = m @ weights["recurrent_kernel"]
    if "bias" in weights:
        m = m + weights["bias"]
    m = np.split(m, 8, axis=1)
    x = np.split(x @ weights["kernel"], 8, axis=1)
    relu = ACTIVATIONS["relu"]
    layer1_0 = sigmoid(x[0] + m[0])
    layer1_1 = relu(x[1] + m[1])
    layer1_2 = sigmoid(x[2] + m[2])
    layer1_3 = relu(x[3] * m[3])
    layer1_4 = np.tanh(x[4] + m[4])
    layer1_5 = sigmoid(x[5] + m[5])
    layer1_6 = np.tanh(x[6] + m[6])
    layer1_7 = sigmoid(x[7] + m[7])
    l2_0 = np.tanh(np.tanh(layer1_0 * layer1_1) + c)
    l2_1 = np.tanh(layer1_2 + layer1_3)
    l2_2 = np.tanh(layer1_4 * layer1_5)
    l2_3 = sigmoid(layer1_6 + layer1_7)
    c = l2_0 * l2_1
    m = np.tanh(c * np.tanh(l2_2 + l2_3))
    if "projection_weights" in weights:
        m = m @ weights["projection_weights"]
    return m, [c, m]


def indrnn(weights, x, states, *, activation="tanh"):
    """`IndRNNCell` of TensorFlow 1.15's contrib.rnn; Li, 2018, arXiv:1803.04831."""
    (h,) = states
    z = x @ weights["kernel_w"] + h * weights["kernel_u"] + weights["bias"]
    h = ACTIVATIONS[activation](z)
    return h, [h]


def indylstm(weights, x, states, *, forget_bias=1.0, activation="tanh"):
    """`IndyLSTMCell` of TensorFlow 1.15's contrib.rnn; arXiv:1903.08023."""
    c, h = states
    z = x @ weights["kernel_w"] + np.tile(h, (1, 4)) * weights["kernel_u"]
    i, j, f, o = np.split(z + weights["bias"], 4, axis=1)
    act = ACTIVATIONS[activation]
    c = c * sigmoid(f + forget_bias) + sigmoid(i) * act(j)
    h = act(c) * sigmoid(o)
    return h, [c, h]


def indygru(weights, x, states, *, activation="tanh"):
    """`IndyGRUCell` of TensorFlow 1.15's contrib.rnn; after arXiv:1803.04831."""
    (h,) = states
    z = x @ weights["gates/kernel_w"] + np.tile(h, (1, 2)) * weights["gates/kernel_u"]
    r, u = np.split(sigmoid(z + weights["gates/bias"]), 2, axis=1)
    z = x @ weights["candidate/kernel"] + r * h * weights["candidate/kernel_u"]
    c = ACTIVATIONS[activation](z + weights["candidate/bias"])
    h = u * h + (1.0 - u) * c
    return h, [h]


def sru(weights, x, states, *, activation="tanh"):
    """`SRUCell` of TensorFlow 1.15's contrib.rnn; Lei, 2017, arXiv:1709.02755."""
    (c,) = states
    x_bar, f, r, x_tx = np.split(x @ weights["kernel"], 4, axis=1)
    z = np.concatenate([f, r], axis=1) + weights["bias"]
    f, r = np.split(sigmoid(z), 2, axis=1)
    c = f * c + (1.0 - f) * x_bar
    return r * ACTIVATIONS[activation](c) + (1.0 - r) * x_tx, [c]


def cfn(weights, x, states, *, activation="tanh"):
    """`CFNCell` of TensorFlow 1.15's contrib.rnn; Laurent, 2017, arXiv:1612.06212."""
    (h,) = states
    act, units = ACTIVATIONS[activation], h.shape[1]
    v, w = weights["kernel"][:, : 2 * units], weights["kernel"][:, 2 * units :]
    z = h @ weights["recurrent_kernel"] + x @ v + weights["bias"]
    theta, eta = np.split(sigmoid(z), 2, axis=1)
    h = theta * act(h) + (1.0 - eta) * act(x @ w)
    return h, [h]


def minimalrnn(weights, x, states, *, activation="tanh"):
    """`MinimalRNNCell` of TensorFlow 1.15's contrib.rnn; Chen, 2018, arXiv:1806.05394.

    The kernel has rows for x, then for what x becomes, then for h.
    """
    (h,) = states
    features = x.shape[1]
    feedforward = ACTIVATIONS[activation](x @ weights["kernel"][:features])
    z = np.concatenate([feedforward, h], axis=1) @ weights["kernel"][features:]
    u = sigmoid(z + weights["bias"])
    h = u * h + (1.0 - u) * feedforward
    return h, [h]


def phased(weights, x, states, *, leak=0.001, ratio_on=0.1, peepholes=False):
    """`PhasedLSTMCell` of TensorFlow 1.15's contrib.rnn; Neil, 2016, arXiv:1610.09513.

    The first column of x is the time. What the modulo takes off has no gradient, so
    that its own reaches time and phase; the period's comes of the division alone.
    """
    c, h = states
    time, x = x[:, :1], x[:, 1:]
    more = [c] if peepholes else []
    i, f = np.split(sigmoid(_linear(weights, "mask_gates/", x, h, *more)), 2, axis=1)
    new_c = c * f + i * np.tanh(_linear(weights, "new_input/", x, h))
    more = [new_c] if peepholes else []
    o = sigmoid(_linear(weights, "output_gate/", x, h, *more))
    new_h = np.tanh(new_c) * o
    period, ratio = weights["period"], weights.get("ratio_on", ratio_on)
    shifted = time - weights["phase"]
    turns = plain.floor(getval(shifted) / getval(period))
    cycle = (shifted - turns * getval(period)) / period
    up = 2.0 * cycle / ratio
    k = np.where(cycle < ratio, 2.0 - up, leak * cycle)
    k = np.where(cycle < 0.5 * ratio, up, k)
    c, h = k * new_c + (1.0 - k) * c, k * new_h + (1.0 - k) * h
    return h, [c, h]


# --- of papers alone ---


def mgu(weights, x, states):
    """Equations 8 of Zhou, 2016, arXiv:1603.09420; rows of W are h, then x."""
    (h,) = states
    joined = lambda h: np.concatenate([h, x], axis=1)  # noqa: E731
    f = sigmoid(joined(h) @ weights["W_f"] + weights["b_f"])
    candidate = np.tanh(joined(f * h) @ weights["W_h"] + weights["b_h"])
    h = (1.0 - f) * h + f * candidate
    return h, [h]


def mingru(weights, x, states):
    """Section 3.1 of Feng, 2024, arXiv:2410.01201."""
    (h,) = states
    z = sigmoid(x @ weights["W_z"] + weights["b_z"])
    candidate = x @ weights["W_h"] + weights["b_h"]
    h = (1.0 - z) * h + z * candidate
    return h, [h]


def minlstm(weights, x, states):
    """Section 3.2 of Feng, 2024, arXiv:2410.01201: with length independence."""
    (h,) = states
    f = sigmoid(x @ weights["W_f"] + weights["b_f"])
    i = sigmoid(x @ weights["W_i"] + weights["b_i"])
    candidate = x @ weights["W_h"] + weights["b_h"]
    h = f / (f + i) * h + i / (f + i) * candidate
    return h, [h]


def slstm(weights, x, states, *, exponential_forget=False):
    """Equations 8 to 17 of Beck, 2024, arXiv:2405.04517; R are block-diagonal.

    Where n is 0 nothing was seen yet, and m before that is that of an empty sum.
    """
    h, c, n, m = states
    pre = {k: x @ weights[f"W_{k}"] + h @ weights[f"R_{k}"] for k in "zifo"}
    z, i, f, o = (pre[k] + weights[f"b_{k}"] for k in "zifo")
    log_f = f if exponential_forget else np.log(sigmoid(f))
    kept = np.where(n == 0.0, -plain.inf, log_f + m)
    m = np.maximum(kept, i)
    i, f = np.exp(i - m), np.exp(kept - m)
    c = f * c + i * np.tanh(z)
    n = f * n + i
    h = sigmoid(o) * (c / n)
    return h, [h, c, n, m]


def augru(weights, x, states):
    """Equations 2 to 5 and 14 to 15 of Zhou, 2018, arXiv:1809.03672.

    The last column of x is the attention score.
    """
    (h,) = states
    x, score = x[:, :-1], x[:, -1:]
    of_x = {k: x @ weights[f"W_{k}"] + weights[f"b_{k}"] for k in "urh"}
    of_h = {k: h @ weights[f"U_{k}"] for k in "urh"}
    u, r = (sigmoid(of_x[k] + of_h[k]) for k in "ur")
    candidate = np.tanh(of_x["h"] + r * of_h["h"])
    u = score * u
    h = (1.0 - u) * h + u * candidate
    return h, [h]
