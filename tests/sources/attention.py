"""Attention of TensorFlow Addons 0.23: mechanisms, and what `AttentionWrapper` does.

The memories are among the weights, so that gradients reach them. States are those of
the cell inside, the attention, then the alignments of each mechanism.
"""

from __future__ import annotations

import numpy as plain
from autograd.tracer import getval

from . import np, sigmoid

_ACTIVATIONS = {None: lambda a: a, "tanh": np.tanh}
_FINITE = plain.finfo("float64")


def wrapper(
    weights,
    x,
    states,
    *,
    mechanisms,
    cell="simple",
    mask=None,
    output_attention=True,
    layers=0,
    activation=None,
    added=False,
):
    """`AttentionWrapper` around a cell of Keras 2.

    Args:
        weights: by the names that Addons gives; ``memory_0``, ``memory_1`` ...
        x: ``(B, D)``.
        states: in a row.
        mechanisms: of each its kind and its options.
        cell: ``"simple"`` or ``"lstm"``.
        mask: ``[B, S]``.
        output_attention: as there.
        layers: how many attention layers there are.
        activation: of theirs.
        added: whether the cell reads x + attention, not both side by side.
    """
    count = len(mechanisms)
    *inner, attention = states[: len(states) - count]
    before = states[len(states) - count :]
    x = x + attention if added else np.concatenate([x, attention], axis=-1)
    y, inner = _CELLS[cell](_of(weights, "own/cell/"), x, inner)
    found, alignments = [], []
    for n, (kind, options) in enumerate(mechanisms):
        own = {
            **_of(weights, f"own/mechanism_{n}/"),
            **_of(weights, f"mechanism_{n}/"),
        }
        memory = weights[f"memory_{n}"]
        context, shares = _look(kind, own, y, before[n], memory, mask, **options)
        if layers:
            name = "attention_layer" if layers == 1 else f"layer_{n}"
            layer = _of(weights, f"own/{name}/")
            context = np.concatenate([y, context], axis=-1) @ layer["kernel"]
            context = _ACTIVATIONS[activation](context + layer.get("bias", 0.0))
        found.append(context)
        alignments.append(shares)
    attention = np.concatenate(found, axis=-1)
    output = attention if output_attention else y
    return output, [*inner, attention, *alignments]


def _of(weights, scope):
    return {k.removeprefix(scope): w for k, w in weights.items() if k.startswith(scope)}


def _simple(weights, x, states):
    """`SimpleRNNCell`."""
    z = x @ weights["kernel"] + weights["bias"]
    h = np.tanh(z + states[0] @ weights["recurrent_kernel"])
    return h, [h]


def _lstm(weights, x, states):
    """`LSTMCell`."""
    h, c = states
    z = x @ weights["kernel"] + h @ weights["recurrent_kernel"] + weights["bias"]
    i, f, g, o = np.split(z, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, [h, c]


_CELLS = {"simple": _simple, "lstm": _lstm}


def _look(kind, weights, query, before, memory, mask, *, mode=None, **options):
    """The context and the alignments: `_compute_attention`."""
    if mask is not None:
        memory = memory * plain.array(mask, float)[:, :, None]
    keys = memory @ weights["memory_layer/kernel"]
    additive = kind.startswith("Bahdanau")
    score = (_additive if additive else _product)(weights, query, keys)
    if mode is not None:
        score = score + weights["attention_score_bias"]
    if mask is not None:
        score = np.where(plain.array(mask, bool), score, _FINITE.min)
    if mode is not None:
        shares = _monotonic(score, before, mode)
    elif options.get("probability_fn") == "hardmax":
        best = plain.argmax(getval(score), axis=1)
        shares = plain.eye(score.shape[1])[best] + 0.0 * before
    else:
        shares = _softmax(score)
    return np.einsum("bs,bsm->bm", shares, memory), shares


def _additive(weights, query, keys):
    """`_bahdanau_score`; weights are there if it is normalised."""
    hidden = keys + (query @ weights["kernel"])[:, None, :]
    v = weights["attention_v"]
    if "attention_b" in weights:
        v = weights["attention_g"] * v / np.sqrt(np.sum(v**2))
        hidden = hidden + weights["attention_b"]
    return np.sum(v * np.tanh(hidden), axis=2)


def _product(weights, query, keys):
    """`_luong_score`; the weight is there if it is scaled."""
    score = np.einsum("bu,bsu->bs", query, keys)
    return weights.get("attention_g", 1.0) * score


def _softmax(a):
    e = np.exp(a - getval(np.max(a, axis=-1, keepdims=True)))
    return e / np.sum(e, axis=-1, keepdims=True)


def _monotonic(score, before, mode):
    """`_monotonic_probability_fn` without noise, and `monotonic_attention`."""
    if mode == "hard":
        choose = plain.where(getval(score) > 0, 1.0, 0.0)
    else:
        counts = getval(score) > _FINITE.min
        choose = np.where(counts, sigmoid(np.where(counts, score, 0.0)), 0.0)
    ones = plain.ones((len(score), 1))
    if mode == "recursive":
        reached, shares = 0.0, []
        for s in range(score.shape[1]):
            passed = 1 - choose[:, s - 1] if s else ones[:, 0]
            reached = passed * reached + before[:, s]
            shares.append(choose[:, s] * reached)
        return np.stack(shares, axis=1)
    if mode == "parallel":
        passed = np.log(np.clip(1 - choose, _FINITE.tiny, 1.0))
        passed = np.concatenate([0 * ones, np.cumsum(passed, axis=1)[:, :-1]], axis=1)
        passed = np.exp(passed)
        shares = np.cumsum(before / np.clip(passed, 1e-10, 1.0), axis=1)
        return choose * passed * shares
    choose = choose * np.cumsum(before, axis=1)
    left, found = 1.0, []
    for s in range(score.shape[1]):
        found.append(choose[:, s] * left)
        left = left * (1 - choose[:, s])
    return np.stack(found, axis=1)


# --- one mechanism, its query for x ---


def product(weights, query, states, *, mask, general=False):
    """ "Dot" and "general" of Luong et al., arXiv:1508.04025, scaled if it has g."""
    del states
    memory = weights["memory"] * mask[:, :, None]
    query = query @ weights["query_layer/kernel"] if general else query
    shares = _shares(_product(weights, query, memory), mask)
    return np.einsum("bs,bsm->bm", shares, memory), [shares]


def location(weights, query, states, *, mask, cumulative=False):
    """Chorowski et al., arXiv:1506.07503; cumulative as in arXiv:1712.05884."""
    memory = weights["memory"] * mask[:, :, None]
    looked, filters = states[-1], weights["filters_kernel"][:, 0]
    before = (len(filters) - 1) // 2
    zeros = plain.zeros((len(looked), len(filters)))
    padded = np.concatenate([zeros[:, :before], looked, zeros], axis=1)
    steps = looked.shape[1]
    seen = sum(padded[:, n : n + steps, None] * filters[n] for n in range(len(filters)))
    hidden = memory @ weights["memory_layer/kernel"]
    hidden = hidden + (query @ weights["query_layer/kernel"])[:, None, :]
    hidden = hidden + seen @ weights["location_kernel"] + weights["location_bias"]
    shares = _shares(np.sum(weights["attention_v"] * np.tanh(hidden), axis=2), mask)
    after = [shares, looked + shares] if cumulative else [shares]
    return np.einsum("bs,bsm->bm", shares, memory), after


def multi_head(weights, query, states, *, mask):
    """Vaswani et al., arXiv:1706.03762, with the biases that Keras has."""
    del states
    memory = weights["memory"] * mask[:, :, None]
    q = np.einsum("bm,mhk->bhk", query, weights["query_kernel"]) + weights["query_bias"]
    k = np.einsum("bsm,mhk->bshk", memory, weights["key_kernel"]) + weights["key_bias"]
    v = np.einsum("bsm,mhk->bshk", memory, weights["value_kernel"])
    v = v + weights["value_bias"]
    score = np.einsum("bhk,bshk->bhs", q, k) / np.sqrt(q.shape[-1])
    shares = _shares(score, mask[:, None, :])
    found = np.einsum("bhs,bshv->bhv", shares, v)
    found = np.einsum("bhv,hvm->bm", found, weights["output_kernel"])
    return found + weights["output_bias"], [shares]


def monotonic(weights, query, states, *, mask, mode):
    """Raffel et al., arXiv:1704.00784, with additive scores."""
    memory = weights["memory"] * mask[:, :, None]
    own = {**weights, "kernel": weights["query_layer/kernel"]}
    score = _additive(own, query, memory @ weights["memory_layer/kernel"])
    score = score + weights["attention_score_bias"]
    score = np.where(mask, score, _FINITE.min)
    shares = _monotonic(score, states[0], mode)
    return np.einsum("bs,bsm->bm", shares, memory), [shares]


def _shares(score, mask):
    """A softmax of what counts; nothing where nothing does."""
    mask = plain.broadcast_to(mask, score.shape)
    return np.where(mask, _softmax(np.where(mask, score, _FINITE.min)), 0.0)
