"""Cells that users write, in torch: one step after the other in Python."""

from __future__ import annotations

import torch
from torch import tanh
from torch.nn.functional import layer_norm, linear

from cases import UserCell
from peers import OPTION, Ready
from peers.user_cells import given

sigmoid = torch.sigmoid


# Each step takes x (B, D), the states, the weights as (in, out), and a memory's keys,
# entries and mask; it returns the output and the states. Whether it is training
# matters to zoneout alone.


def lstm(x, states, weights):
    """An LSTM, gates in Keras's order."""
    h, c = states
    kernel, recurrent, bias = weights
    i, f, g, o = (torch.addmm(bias, x, kernel) + h @ recurrent).chunk(4, -1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
    return h, [h, c]


def peephole(x, states, weights):
    """Gates see c."""
    h, c = states
    kernel, recurrent, bias, p_i, p_f, p_o = weights
    i, f, g, o = (torch.addmm(bias, x, kernel) + h @ recurrent).chunk(4, -1)
    c = sigmoid(f + p_f * c) * c + sigmoid(i + p_i * c) * tanh(g)
    h = sigmoid(o + p_o * c) * tanh(c)
    return h, [h, c]


def projected(x, states, weights):
    """The same, h narrower."""
    h, (_, c) = peephole(x, states, weights[:-1])
    h = h @ weights[-1]
    return h, [h, c]


def coupled(x, states, weights):
    """What is let in is what is forgotten."""
    h, c = states
    kernel, recurrent, bias = weights
    f, g, o = (torch.addmm(bias, x, kernel) + h @ recurrent).chunk(3, -1)
    f = sigmoid(f)
    c = f * c + (1 - f) * tanh(g)
    h = sigmoid(o) * tanh(c)
    return h, [h, c]


def normalised(x, states, weights):
    """Gates and c pass a layer norm, with the epsilon of Keras."""
    h, c = states
    kernel, bias, gain, shift, gain_c, shift_c = weights
    z = torch.addmm(bias, torch.cat([x, h], -1), kernel)
    z = layer_norm(z, gain.shape, gain, shift, 1e-3)
    i, f, g, o = z.chunk(4, -1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(layer_norm(c, gain_c.shape, gain_c, shift_c, 1e-3))
    return h, [h, c]


def minimal_gated(x, states, weights):
    """One gate."""
    (h,) = states
    w_f, b_f, w, b = weights
    f = sigmoid(torch.addmm(b_f, torch.cat([x, h], -1), w_f))
    h = (1 - f) * h + f * tanh(torch.addmm(b, torch.cat([x, f * h], -1), w))
    return h, [h]


def independent(x, states, weights):
    """Each unit sees itself."""
    w, u, b = weights
    h = torch.relu(torch.addmm(b, x, w) + u * states[0])
    return h, [h]


def reset_before(x, states, weights):
    """A GRU as first published."""
    (h,) = states
    w, r_zr, r_h, b = weights
    x = torch.addmm(b, x, w)
    u = h.shape[-1]
    z, r = sigmoid(x[:, : 2 * u] + h @ r_zr).chunk(2, -1)
    h = z * h + (1 - z) * tanh(x[:, 2 * u :] + (r * h) @ r_h)
    return h, [h]


def zoneout(x, states, weights, training):
    """A tenth of each state stays as it was."""
    after = lstm(x, states, weights)[1]

    def mixed(old, new):
        if training:
            return torch.where(torch.rand_like(old) < 0.1, old, new)
        return 0.1 * old + 0.9 * new

    after = [mixed(*pair) for pair in zip(states, after, strict=True)]
    return after[0], after


def stacked(x, states, weights):
    """One LSTM above another."""
    x, lower = lstm(x, states[:2], weights[:3])
    x, upper = lstm(x, states[2:], weights[3:])
    return x, [*lower, *upper]


def fed_back(x, states, weights):
    """What a dense layer makes of h is concatenated to the next input."""
    *states, fed = states
    *own, kernel, bias = weights
    h, states = lstm(torch.cat([x, fed], -1), states, own)
    return h, [*states, tanh(torch.addmm(bias, h, kernel))]


def attention(x, states, weights, keys, memory, mask):
    """The LSTM reads what h finds in the memory."""
    _, query, v, *own = weights
    scores = linear(tanh(keys + (states[0] @ query)[:, None]), v[None])[..., 0]
    shares = torch.softmax(scores.masked_fill(~mask, -1e9), -1)
    found = (shares[:, None] @ memory)[:, 0]
    return lstm(torch.cat([x, found], -1), states, own)


STEPS = {
    "peephole": peephole,
    "peephole, projection": projected,
    "coupled": coupled,
    "layer norm": normalised,
    "minimal gated": minimal_gated,
    "IndRNN": independent,
    "GRU, reset before": reset_before,
    "zoneout": zoneout,
    "two stacked": stacked,
    "fed back": fed_back,
    "attention": attention,
}


def build_user_cell(case: UserCell) -> Ready:
    """Forward in inference mode, or forward and all gradients."""
    training = case.mode == "training"
    arrays = given(case)

    def tensor(array):
        return torch.tensor(array, requires_grad=training)

    x, memory = tensor(arrays.x), arrays.memory
    weights, states = ([*map(tensor, a)] for a in (arrays.weights, arrays.states))
    memory = [] if memory is None else [tensor(memory)]
    mask = None if arrays.mask is None else torch.tensor(arrays.mask)
    dy = torch.tensor(arrays.dy)
    step = STEPS[case.cell]
    if OPTION == "compile":
        step = torch.compile(step, fullgraph=True, dynamic=False)

    def forward():
        now, ys = states, []
        more = [memory[0] @ weights[0], memory[0], mask] if memory else []
        more = [training] if case.cell == "zoneout" else more
        for each in x.unbind(1):
            y, now = step(each, now, weights, *more)
            ys.append(y)
        return torch.stack(ys, 1)

    if not training:

        def run():
            with torch.inference_mode():
                return forward()

        return Ready(run, lambda y: {"y": y.numpy()})

    wanted = [x, *weights, *states, *memory]

    def run():
        y = forward()
        return y.detach(), torch.autograd.grad(y, wanted, dy, allow_unused=True)

    def results(result):
        y, (dx, *rest) = result
        named = {"y": y, "dx": dx}
        named |= {f"dweight{n}": rest[n] for n in range(len(weights))}
        rest = rest[len(weights) :]
        named |= {f"dstate{n}": rest[n] for n in range(len(states))}
        if memory:
            named["dmemory"] = rest[-1]
        return {name: a.numpy() for name, a in named.items() if a is not None}

    # Masks that are drawn are each library's own.
    return Ready(run, None if case.cell == "zoneout" else results)
