"""A translator in float64 NumPy, written from the papers: row by row, nothing padded.

Bahdanau et al. (2015) for the encoder in both directions and the scores, Luong et al.
(2015) for the attention that is fed to the next step, GNMT (Wu et al., 2016) for the
residual layers. Cells are Keras's, gates i f c o and z r h.
"""

from __future__ import annotations

from . import np, sigmoid


def lstm(w, x, states):
    """Of one row, x ``(D,)``."""
    h, c = states
    z = x @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"]
    i, f, g, o = np.split(z, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, [h, c]


def gru(w, x, states):
    """Of one row, with the reset gate after the product."""
    (h,) = states
    zx, rx, cx = np.split(x @ w["kernel"] + w["bias"][0], 3)
    zh, rh, ch = np.split(h @ w["recurrent_kernel"] + w["bias"][1], 3)
    z, r = sigmoid(zx + zh), sigmoid(rx + rh)
    h = z * h + (1 - z) * np.tanh(cx + r * ch)
    return h, [h]


CELLS = {"lstm": (lstm, 2), "gru": (gru, 1)}


def of(weights, scope):
    """The weights below a name."""
    return {k.removeprefix(scope): w for k, w in weights.items() if k.startswith(scope)}


def encode(w, ids, kind, layers, both, residual):
    """The memory ``[(M,)] * S``, and the first states of the decoder's layers."""
    step, count = CELLS[kind]
    xs, first = [w["source"][n] for n in ids], []

    def along(scope, xs):
        own = of(w, scope)
        units = own["recurrent_kernel"].shape[0]
        states, ys = [np.zeros(units)] * count, []
        for x in xs:
            y, states = step(own, x, states)
            ys.append(y)
        return ys, states

    for n in range(layers):
        if both and n == 0:
            ahead, ended = along("encoder/0/forward/", xs)
            back, began = along("encoder/0/backward/", xs[::-1])
            xs = [np.concatenate(pair) for pair in zip(ahead, back[::-1], strict=True)]
            pairs = enumerate(zip(ended, began, strict=True))
            states = [
                np.concatenate(pair) @ w[f"bridge/{k}/kernel"] + w[f"bridge/{k}/bias"]
                for k, pair in pairs
            ]
        else:
            ys, states = along(f"encoder/{n}/", xs)
            if residual and n and len(ys[0]) == len(xs[0]):
                ys = [y + x for y, x in zip(ys, xs, strict=True)]
            xs = ys
        first.append(states)
    return np.stack(xs), first


def decode(w, memory, states, ids, kind, residual):
    """Logits ``[(V,)] * T`` of what comes after each of the ids, and the shares."""
    step, _ = CELLS[kind]
    keys = memory @ w["keys"]
    attention, found, looked = np.zeros(w["attention"].shape[1]), [], []
    for n in ids:
        y = np.concatenate([w["target"][n], attention])
        after = []
        for level, before in enumerate(states):
            h, new = step(of(w, f"decoder/{level}/"), y, before)
            y = h + y if residual and level else h
            after.append(new)
        states = after
        scores = np.tanh(keys + y @ w["query"]) @ w["v"]
        shares = np.exp(scores - np.max(scores))
        shares = shares / np.sum(shares)
        looked.append(shares)
        context = shares @ memory
        attention = np.concatenate([y, context]) @ w["attention"]
        found.append(attention @ w["out/kernel"] + w["out/bias"])
    return found, looked


def greedy(w, source, start, end, most, kind, layers, both, residual):
    """The likeliest tokens one after the other, the end too, and the shares."""
    memory, states = encode(w, [*source, end], kind, layers, both, residual)
    tokens = []
    while len(tokens) < most and end not in tokens:
        logits, looked = decode(w, memory, states, [start, *tokens], kind, residual)
        tokens.append(int(np.argmax(logits[-1])))
    return tokens, np.stack(looked)


def loss(w, pairs, start, end, kind, layers, both, residual):
    """The mean cross entropy of all tokens of ids ``[(source, target), ...]``."""
    total, count = 0.0, 0
    for source, target in pairs:
        memory, states = encode(w, [*source, end], kind, layers, both, residual)
        logits, _ = decode(w, memory, states, [start, *target], kind, residual)
        for each, wanted in zip(logits, [*target, end], strict=True):
            total = total + np.log(np.sum(np.exp(each))) - each[wanted]
            count += 1
    return total / count
