"""Plain cells, LSTMs and GRUs of TensorFlow 1.15 and TensorFlow Addons 0.23.

TensorFlow 1 has one kernel, rows x above h, gates i j f o (j the candidate), states
(c, h); Addons has Keras's weights, gates i f c o, states (h, c).
"""

from __future__ import annotations

from autograd.tracer import getval

from . import np, sigmoid


def _clipped(a, limit):
    return a if limit is None else np.clip(a, -limit, limit)


def _normed(a, gamma, beta, epsilon):
    """Each row less its mean, by the root of its variance and epsilon."""
    rest = a - np.mean(a, axis=-1, keepdims=True)
    variance = np.mean(rest**2, axis=-1, keepdims=True)
    return gamma * rest / np.sqrt(variance + epsilon) + beta


def _norm(weights, a, scope):
    """`contrib.layers.layer_norm`."""
    return _normed(a, weights[f"{scope}/gamma"], weights[f"{scope}/beta"], 1e-12)


def _product(weights, x, h):
    return np.concatenate([x, h], axis=1) @ weights["kernel"]


def _peephole(weights, name, c, used):
    return weights[name] * c if used else 0.0


def basic_rnn(weights, x, states):
    """`BasicRNNCell` of TensorFlow 1.15."""
    (h,) = states
    h = np.tanh(_product(weights, x, h) + weights["bias"])
    return h, [h]


def gru(weights, x, states):
    """`GRUCell` of TensorFlow 1.15; contrib.rnn's `GRUBlockCellV2` gives the same."""
    (h,) = states
    gates = np.concatenate([x, h], axis=1) @ weights["gates/kernel"]
    r, u = np.split(sigmoid(gates + weights["gates/bias"]), 2, axis=1)
    c = np.concatenate([x, r * h], axis=1) @ weights["candidate/kernel"]
    c = np.tanh(c + weights["candidate/bias"])
    h = u * h + (1.0 - u) * c
    return h, [h]


def cudnn_compatible_gru(weights, x, states):
    """`CudnnCompatibleGRUCell` of TensorFlow 1.15's contrib.cudnn_rnn."""
    (h,) = states
    gates = np.concatenate([x, h], axis=1) @ weights["gates/kernel"]
    r, u = np.split(sigmoid(gates + weights["gates/bias"]), 2, axis=1)
    parts = [
        rows @ weights[f"candidate/{name}/kernel"] + weights[f"candidate/{name}/bias"]
        for name, rows in (("input_projection", x), ("hidden_projection", h))
    ]
    h = (1.0 - u) * np.tanh(parts[0] + r * parts[1]) + u * h
    return h, [h]


def _lstm(
    weights,
    gates,
    c,
    *,
    forget_bias,
    use_peepholes,
    cell_clip,
    norm=None,
    clip=_clipped,
):
    """All but the two products: gates i j f o, and c, to (m, c)."""
    i, j, f, o = gates
    f = f + forget_bias + _peephole(weights, "w_f_diag", c, use_peepholes)
    i = i + _peephole(weights, "w_i_diag", c, use_peepholes)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(j)
    c = clip(norm(c) if norm else c, cell_clip)
    o = o + _peephole(weights, "w_o_diag", c, use_peepholes)
    return sigmoid(o) * np.tanh(c), c


def _projected(weights, m, proj_clip):
    kernel = weights.get("projection/kernel")
    return m if kernel is None else _clipped(m @ kernel, proj_clip)


def lstm(
    weights,
    x,
    states,
    *,
    forget_bias=1.0,
    use_peepholes=False,
    cell_clip=None,
    proj_clip=None,
):
    """`LSTMCell` of TensorFlow 1.15, projected if it has ``projection/kernel``.

    Also `BasicLSTMCell`, and contrib.rnn's `LSTMBlockCell` without `cell_clip` and
    `CudnnCompatibleLSTMCell`, whose forget_bias is 0.
    """
    c, m = states
    gates = np.split(_product(weights, x, m) + weights["bias"], 4, axis=1)
    m, c = _lstm(
        weights,
        gates,
        c,
        forget_bias=forget_bias,
        use_peepholes=use_peepholes,
        cell_clip=cell_clip,
    )
    m = _projected(weights, m, proj_clip)
    return m, [c, m]


def _clipped_forward(a, limit):
    """Clipped, with a gradient as if it were not."""
    return a + (np.clip(getval(a), -limit, limit) - getval(a))


def lstm_block(weights, x, states, *, cell_clip, forget_bias=1.0, use_peepholes=False):
    """`LSTMBlockCell` of TensorFlow 1.15's contrib.rnn with `cell_clip`.

    Its gradient passes what was clipped, unlike `LSTMCell`'s.
    """
    c, h = states
    gates = np.split(_product(weights, x, h) + weights["bias"], 4, axis=1)
    h, c = _lstm(
        weights,
        gates,
        c,
        forget_bias=forget_bias,
        use_peepholes=use_peepholes,
        cell_clip=cell_clip,
        clip=_clipped_forward,
    )
    return h, [c, h]


def coupled_input_forget_gate_lstm(
    weights,
    x,
    states,
    *,
    forget_bias=1.0,
    use_peepholes=False,
    proj_clip=None,
    layer_norm=False,
):
    """`CoupledInputForgetGateLSTMCell` of TensorFlow 1.15's contrib.rnn.

    Gates j f o. Its bias B is left out where it normalises, and has no gradient.
    """
    c, m = states
    z = np.concatenate([x, m], axis=1) @ weights["W_0"]
    z = z if layer_norm else z + weights["B"]
    j, f, o = np.split(z, 3, axis=1)
    if layer_norm:
        j = _norm(weights, j, "transform")
        f = _norm(weights, f, "forget")
        o = _norm(weights, o, "output")
    f = sigmoid(f + forget_bias + _peephole(weights, "W_F_diag", c, use_peepholes))
    c = f * c + (1.0 - f) * np.tanh(j)
    if layer_norm:
        c = _norm(weights, c, "state")
    o = sigmoid(o + _peephole(weights, "W_O_diag", c, use_peepholes))
    m = o * np.tanh(c)
    if "W_P_0" in weights:
        m = _clipped(m @ weights["W_P_0"], proj_clip)
    return m, [c, m]


_SCOPES = ("input", "transform", "forget", "output")


def layer_norm_basic_lstm(weights, x, states, *, forget_bias=1.0):
    """`LayerNormBasicLSTMCell` of TensorFlow 1.15's contrib.rnn, without dropout.

    Each gate and c are normalised apart; there is no bias. c' is normalised before it
    is carried on.
    """
    c, h = states
    gates = np.split(_product(weights, x, h), 4, axis=1)
    pairs = zip(gates, _SCOPES, strict=True)
    i, j, f, o = (_norm(weights, gate, scope) for gate, scope in pairs)
    c = c * sigmoid(f + forget_bias) + sigmoid(i) * np.tanh(j)
    c = _norm(weights, c, "state")
    h = np.tanh(c) * sigmoid(o)
    return h, [c, h]


def layer_norm_lstm(
    weights,
    x,
    states,
    *,
    forget_bias=1.0,
    use_peepholes=False,
    cell_clip=None,
    proj_clip=None,
):
    """`LayerNormLSTMCell(layer_norm=True)` of TensorFlow 1.15's contrib.rnn.

    Its bias is made but not added: it has no gradient.
    """
    c, m = states
    gates = np.split(_product(weights, x, m), 4, axis=1)
    pairs = zip(gates, _SCOPES, strict=True)
    m, c = _lstm(
        weights,
        [_norm(weights, gate, scope) for gate, scope in pairs],
        c,
        forget_bias=forget_bias,
        use_peepholes=use_peepholes,
        cell_clip=cell_clip,
        norm=lambda c: _norm(weights, c, "state"),
    )
    m = _projected(weights, m, proj_clip)
    return m, [c, m]


def _column_normed(kernel, g):
    """Each column divided by its length, times its gain."""
    squares = np.sum(kernel**2, axis=0, keepdims=True)
    return kernel / np.sqrt(np.maximum(squares, 1e-12)) * g


def weight_norm_lstm(
    weights,
    x,
    states,
    *,
    forget_bias=1.0,
    use_peepholes=False,
    cell_clip=None,
    proj_clip=None,
):
    """`WeightNormLSTMCell` of TensorFlow 1.15's contrib.rnn (arXiv:1602.07868).

    The rows of x and those of h have lengths and gains apart. Without ``norm_0`` it
    normalises nothing (``norm=False``).
    """
    c, m = states
    own = {name.removeprefix("wn_lstm_cell/"): w for name, w in weights.items()}
    kernel = own["kernel"]
    if "norm_0" in own:
        width = x.shape[1]
        parts = [
            _column_normed(kernel[:width], own["norm_0"]),
            _column_normed(kernel[width:], own["norm_1"]),
        ]
        kernel = np.concatenate(parts, axis=0)
        if "projection/kernel" in own:
            normed = _column_normed(own["projection/kernel"], own["projection/norm_0"])
            own = {**own, "projection/kernel": normed}
    z = np.concatenate([x, m], axis=1) @ kernel + own["bias"]
    m, c = _lstm(
        own,
        np.split(z, 4, axis=1),
        c,
        forget_bias=forget_bias,
        use_peepholes=use_peepholes,
        cell_clip=cell_clip,
    )
    m = _projected(own, m, proj_clip)
    return m, [c, m]


def residual_gru(weights, x, states):
    """`ResidualWrapper(GRUCell)` of TensorFlow 1.15."""
    y, states = gru(weights, x, states)
    return y + x, states


def highway_gru(weights, x, states):
    """`HighwayWrapper(GRUCell)` of TensorFlow 1.15's contrib.rnn.

    Uncoupled where it has ``transform_w``.
    """
    y, states = gru(weights, x, states)
    carry = sigmoid(x @ weights["carry_w"] + weights["carry_b"])
    transform = 1.0 - carry
    if "transform_w" in weights:
        transform = sigmoid(x @ weights["transform_w"] + weights["transform_b"])
    return x * carry + y * transform, states


# --- TensorFlow Addons ---


def addons_layer_norm_lstm(weights, x, states, *, norm_epsilon=1e-3):
    """`LayerNormLSTMCell` of Addons 0.23; Ba et al., 2016, arXiv:1607.06450.

    All four gates of a row are normalised together, those from x and those from h
    apart; the bias is added after. c' is normalised before it is carried on.
    """
    h, c = states

    def norm(a, scope):
        pair = weights[f"{scope}/gamma"], weights[f"{scope}/beta"]
        return _normed(a, *pair, norm_epsilon)

    z = norm(x @ weights["kernel"], "kernel_norm")
    z = z + norm(h @ weights["recurrent_kernel"], "recurrent_norm") + weights["bias"]
    i, f, j, o = np.split(z, 4, axis=1)
    c = norm(sigmoid(f) * c + sigmoid(i) * np.tanh(j), "state_norm")
    h = sigmoid(o) * np.tanh(c)
    return h, [h, c]


def addons_layer_norm_simple_rnn(weights, x, states, *, layernorm_epsilon=1e-5):
    """`LayerNormSimpleRNNCell` of Addons 0.23; Ba et al., 2016, arXiv:1607.06450.

    One normalisation of the sum of both products, without beta: the bias comes after.
    """
    (h,) = states
    z = x @ weights["kernel"] + h @ weights["recurrent_kernel"]
    h = np.tanh(_normed(z, weights["gamma"], weights["bias"], layernorm_epsilon))
    return h, [h]


def addons_peephole_lstm(weights, x, states):
    """`PeepholeLSTMCell` of Addons 0.23; Gers and Schmidhuber, 2000."""
    h, c = states
    z = x @ weights["kernel"] + h @ weights["recurrent_kernel"] + weights["bias"]
    i, f, j, o = np.split(z, 4, axis=1)
    i = sigmoid(i + weights["input_gate_peephole_weights"] * c)
    f = sigmoid(f + weights["forget_gate_peephole_weights"] * c)
    c = f * c + i * np.tanh(j)
    o = sigmoid(o + weights["output_gate_peephole_weights"] * c)
    h = o * np.tanh(c)
    return h, [h, c]
