"""Ways around a step, in float64 NumPy: from one (x, states) -> (y, states, pull).

Written from TensorFlow 1.15 (`DropoutWrapper`, `ResidualWrapper`, contrib's
`HighwayWrapper`) and Krueger et al. 2017 (zoneout); see `reference.py`.
"""

from __future__ import annotations

import numpy as np


def residual(step):
    """y + x."""

    def wrapped(x, states):
        y, new, pull = step(x, states)

        def back(dy, dstates):
            dx, d_old, grads = pull(dy, dstates)
            return dx + dy, d_old, grads

        return y + x, new, back

    return wrapped


def highway(step, params):
    """c x + t y; t is the rest of c, or a gate of its own where it has weights."""

    def gate(name, x):
        z = x @ params[f"{name}_kernel"] + params[f"{name}_bias"]
        return 1.0 / (1.0 + np.exp(-z))

    def wrapped(x, states):
        y, new, pull = step(x, states)
        carry = gate("carry", x)
        coupled = "transform_kernel" not in params
        transform = 1.0 - carry if coupled else gate("transform", x)

        def back(dy, dstates):
            dx, d_old, grads = pull(dy * transform, dstates)
            dx = dx + dy * carry
            through = {"carry": dy * x - dy * y if coupled else dy * x}
            if not coupled:
                through["transform"] = dy * y
            for name, d in through.items():
                share = carry if name == "carry" else transform
                da = d * share * (1.0 - share)
                dx = dx + da @ params[f"{name}_kernel"].T
                grads[f"{name}_kernel"] = x.T @ da
                grads[f"{name}_bias"] = da.sum(0)
            return dx, d_old, grads

        return carry * x + transform * y, new, back

    return wrapped


def zoneout(step, shares, follows):
    """share * old + (1 - share) * new for each state.

    Args:
        step: what is wrapped.
        shares: of each state, what stays: a rate, or zeros and ones.
        follows: the place of the state that is the output too; None if there is none.
    """

    def wrapped(x, states):
        y, new, pull = step(x, states)
        triples = zip(shares, states, new, strict=True)
        mixed = [z * old + (1.0 - z) * after for z, old, after in triples]

        def back(dy, dstates):
            dstates = list(dstates)
            if follows is not None:
                dstates[follows] = dstates[follows] + dy
                dy = np.zeros_like(dy)
            d_new = [(1.0 - z) * d for z, d in zip(shares, dstates, strict=True)]
            dx, d_old, grads = pull(dy, d_new)
            triples = zip(d_old, shares, dstates, strict=True)
            return dx, [old + z * d for old, z, d in triples], grads

        return y if follows is None else mixed[follows], mixed, back

    return wrapped


def dropout(step, inputs, states, outputs):
    """Inputs, states after the step, and outputs, times zeros or 1 / (1 - rate)."""
    state_masks = states

    def wrapped(x, states):
        y, new, pull = step(x * inputs, states)

        def back(dy, dstates):
            kept = [d * m for d, m in zip(dstates, state_masks, strict=True)]
            dx, d_old, grads = pull(dy * outputs, kept)
            return dx * inputs, d_old, grads

        kept = [n * m for n, m in zip(new, state_masks, strict=True)]
        return y * outputs, kept, back

    return wrapped


def stack(lower, upper, below):
    """Two steps one above the other; the lower one has `below` states.

    Gradients of the upper one's weights have names that end in _1.
    """

    def stacked(x, states):
        middle, low, pull_low = lower(x, states[:below])
        y, high, pull_high = upper(middle, states[below:])

        def back(dy, dstates):
            d_middle, d_high, upper_grads = pull_high(dy, dstates[below:])
            dx, d_low, grads = pull_low(d_middle, dstates[:below])
            grads |= {f"{name}_1": grad for name, grad in upper_grads.items()}
            return dx, [*d_low, *d_high], grads

        return y, [*low, *high], back

    return stacked


def cell_then_hidden(params, x, states):
    """The Keras-style cell of that name in `cells_of_users.py`: states (c, h)."""
    c, h = states
    c_new = 0.5 * c + x @ params["w"]
    squashed = np.tanh(c_new)
    y = squashed + 0.25 * h

    def pull(dy, dstates):
        dh = dy + dstates[1]
        dc = dstates[0] + dh * (1.0 - squashed * squashed)
        return dc @ params["w"].T, [0.5 * dc, 0.25 * dh], {"w": x.T @ dc}

    return y, [c_new, y], pull
