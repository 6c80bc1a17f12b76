"""Cells around cells, a neural Turing machine, an echo state network.

What is inside keeps its own scope; states are those of the cell inside, then others.
"""

from __future__ import annotations

from autograd.tracer import getval

from . import np, sigmoid
from .gated import ugrnn
from .lstm import lstm

_ACTIVATIONS = {None: lambda a: a, "tanh": np.tanh}


def _inside(weights, scope):
    """The weights within a scope."""
    return {
        name.removeprefix(f"{scope}/"): weight
        for name, weight in weights.items()
        if name.startswith(f"{scope}/")
    }


def _linear(weights, *parts, scope=""):
    """`_Linear` of contrib.rnn's core_rnn_cell."""
    x = np.concatenate(parts, axis=1)
    return x @ weights[f"{scope}kernel"] + weights[f"{scope}bias"]


def embedding_ugrnn(weights, x, states):
    """`EmbeddingWrapper(UGRNNCell)` of TensorFlow 1.15's contrib.rnn.

    The ids are x rounded down, modulo their number.
    """
    table = weights["embedding"]
    ids = np.floor(getval(x)).astype(int).reshape(-1) % len(table)
    return ugrnn(_inside(weights, "ugrnn_cell"), table[ids], states)


def input_projection_ugrnn(weights, x, states, *, activation=None):
    """`InputProjectionWrapper(UGRNNCell)` of TensorFlow 1.15's contrib.rnn."""
    x = _ACTIVATIONS[activation](_linear(weights, x))
    return ugrnn(_inside(weights, "ugrnn_cell"), x, states)


def output_projection_ugrnn(weights, x, states, *, activation=None):
    """`OutputProjectionWrapper(UGRNNCell)` of TensorFlow 1.15's contrib.rnn."""
    y, states = ugrnn(_inside(weights, "ugrnn_cell"), x, states)
    return _ACTIVATIONS[activation](_linear(weights, y)), states


def attention_lstm(weights, x, states, *, attn_length, forget_bias=1.0):
    """`AttentionCellWrapper(LSTMCell)` of TensorFlow 1.15's contrib.rnn.

    Also `arXiv:1601.06733`. States c, h, attns and attn_states.
    """
    *inner, attns, flat = states
    x = _linear(weights, x, attns)
    own = _inside(weights, "lstm_cell")
    y, (c, h) = lstm(own, x, inner, forget_bias=forget_bias)
    window = np.reshape(flat, (len(flat), attn_length, -1))
    features = window @ weights["attention/attn_w"][0, 0]
    query = _linear(weights, c, h, scope="attention/")[:, None, :]
    score = np.sum(weights["attention/attn_v"] * np.tanh(features + query), axis=2)
    attns = np.sum(_softmax(score)[:, :, None] * window, axis=1)
    y = _linear(weights, y, attns, scope="attn_output_projection/")
    window = np.concatenate([window[:, 1:], y[:, None, :]], axis=1)
    return y, [c, h, attns, np.reshape(window, flat.shape)]


def _softmax(a):
    e = np.exp(a - getval(np.max(a, axis=-1, keepdims=True)))
    return e / np.sum(e, axis=-1, keepdims=True)


def _softplus(a):
    return np.logaddexp(a, 0.0)


def ntm(
    weights, x, states, *, read_head_num, write_head_num, shift_range=1, clip_value=20.0
):
    """`NTMCell(UGRNNCell)` of TensorFlow 1.15's contrib.rnn (arXiv:1410.5401).

    States: the controller's, a vector for each head that reads, an address for each
    head, the memory ``(B, N, M)``, and the time ``(B, 1)``.
    """
    h, *rest, memory, time = states
    reads, addresses = rest[:read_head_num], rest[read_head_num:]
    fresh = (getval(time) == 0.0) * 1.0
    reads = [
        _begun(fresh, np.tanh(weights[f"ntm_cell/initial_read_vector_{n}"]), read)
        for n, read in enumerate(reads)
    ]
    addresses = [
        _begun(fresh, _softmax(weights[f"ntm_cell/initial_address_weights_{n}"]), w)
        for n, w in enumerate(addresses)
    ]
    memory = _begun(fresh[:, :, None], weights["ntm_cell/memory"][None], memory)
    x = np.concatenate([x, *reads], axis=1)
    y, (h,) = ugrnn(_inside(weights, "ntm_cell/ugrnn_cell"), x, [h])
    p = y @ weights["ntm_cell/parameters_kernel"] + weights["ntm_cell/parameters_bias"]
    p = np.clip(p, -clip_value, clip_value)
    width, heads = memory.shape[2], read_head_num + write_head_num
    told = width + 2 * shift_range + 4
    addresses = [
        _address(p[:, n * told : (n + 1) * told], memory, address, shift_range)
        for n, address in enumerate(addresses)
    ]
    reads = [
        np.sum(address[:, :, None] * memory, axis=1)
        for address in addresses[:read_head_num]
    ]
    for n, address in enumerate(addresses[read_head_num:]):
        at = heads * told + 2 * n * width
        erase = sigmoid(p[:, at : at + width])[:, None, :]
        add = np.tanh(p[:, at + width : at + 2 * width])[:, None, :]
        w = address[:, :, None]
        memory = memory * (1.0 - w * erase) + w * add
    output = np.concatenate([y, *reads], axis=1) @ weights["ntm_cell/output_kernel"]
    output = np.clip(output + weights["ntm_cell/output_bias"], -clip_value, clip_value)
    return output, [h, *reads, *addresses, memory, time + 1.0]


def _begun(fresh, begun, state):
    """What begins a sequence where it is fresh, else the state."""
    return fresh * begun + (1.0 - fresh) * state


def _address(p, memory, before, shift_range):
    """Equations 5 to 9 of arXiv:1410.5401 for one head."""
    width, slots = memory.shape[2], memory.shape[1]
    k = np.tanh(p[:, :width])
    beta, g = _softplus(p[:, width : width + 1]), sigmoid(p[:, width + 1 : width + 2])
    s, gamma = _softmax(p[:, width + 2 : -1]), _softplus(p[:, -1:]) + 1.0
    inner = np.sum(memory * k[:, None, :], axis=2)
    lengths = np.sqrt(np.sum(memory**2, axis=2)) * np.sqrt(
        np.sum(k**2, axis=1, keepdims=True)
    )
    content = np.exp(beta * inner / (lengths + 1e-8))
    content = content / np.sum(content, axis=1, keepdims=True)
    mixed = g * content + (1.0 - g) * before
    none = np.zeros((len(s), slots - 2 * shift_range - 1))
    s = np.concatenate([s[:, : shift_range + 1], none, s[:, -shift_range:]], axis=1)
    twice = np.concatenate([s[:, ::-1], s[:, ::-1]], axis=1)
    rows = [twice[:, slots - n - 1 : 2 * slots - n - 1] for n in range(slots)]
    moved = np.stack([np.sum(mixed * row, axis=1) for row in rows], axis=1)
    sharp = moved**gamma
    return sharp / np.sum(sharp, axis=1, keepdims=True)


def skip_connections(weights, x, states):
    """Two `ugrnn`, connected as in Graves, 2013, arXiv:1308.0850.

    The inputs go to each, and each to the output; what is joined stands in the order of
    Haiku's ``deep_rnn_with_skip_connections``.
    """
    first, (h0,) = ugrnn(_inside(weights, "0"), x, states[:1])
    both = np.concatenate([x, first], axis=1)
    second, (h1,) = ugrnn(_inside(weights, "1"), both, states[1:])
    return np.concatenate([first, second], axis=1), [h0, h1]


def esn(weights, x, states, *, leaky=1.0, activation="tanh"):
    """`ESNCell` of TensorFlow Addons 0.23."""
    (h,) = states
    z = x @ weights["kernel"] + h @ weights["recurrent_kernel"]
    z = _ACTIVATIONS[activation](z + weights["bias"] if "bias" in weights else z)
    h = (1.0 - leaky) * h + leaky * z
    return h, [h]
