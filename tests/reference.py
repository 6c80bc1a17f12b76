"""The law: every cell and the time loop in float64 NumPy, and their gradients.

Written from the papers' formulas, one step at a time, with no JAX and nothing of
ours in it. Every step returns its own pullback (reverse mode by hand), which
`test_reference.py` holds to central differences.

Shapes: B batch, T time steps, D features, U units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Params = dict[str, Array]


def _sigmoid(a: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * a))


# name -> (f(a), f'(a) from a and y = f(a))
ACTIVATIONS: dict[str, tuple[Callable, Callable]] = {
    "tanh": (np.tanh, lambda a, y: 1.0 - y * y),
    "sigmoid": (_sigmoid, lambda a, y: y * (1.0 - y)),
    "hard_sigmoid": (
        lambda a: np.clip(a / 6.0 + 0.5, 0.0, 1.0),
        lambda a, y: (np.abs(a) < 3.0) / 6.0,
    ),
    "relu": (lambda a: np.maximum(a, 0.0), lambda a, y: (a > 0.0) * 1.0),
    "linear": (lambda a: a, lambda a, y: np.ones_like(a)),
}


def _activate(name: str, a: Array) -> tuple[Array, Array]:
    f, slope = ACTIVATIONS[name]
    y = f(a)
    return y, slope(a, y)


def _project(params: Params, kernel: str, bias: Array | None, v: Array, keep: Array):
    """(v * keep) @ kernel + bias, and the pullback da -> (dv, d_kernel)."""
    weight = params[kernel]
    v = v * keep
    a = v @ weight
    if bias is not None:
        a = a + bias
    return a, lambda da: ((da @ weight.T) * keep, v.T @ da)


def simple_rnn(
    params, x, states, *, activation="tanh", input_mask=1.0, recurrent_mask=1.0
):
    """Elman 1990: h = act(x W + h R + b)."""
    (h,) = states
    ax, back_x = _project(params, "kernel", params.get("bias"), x, input_mask)
    ah, back_h = _project(params, "recurrent_kernel", None, h, recurrent_mask)
    y, slope = _activate(activation, ax + ah)

    def pull(dy, dstates):
        da = (dy + dstates[0]) * slope
        dx, dkernel = back_x(da)
        dh, drecurrent = back_h(da)
        grads = {"kernel": dkernel, "recurrent_kernel": drecurrent}
        if "bias" in params:
            grads["bias"] = da.sum(0)
        return dx, [dh], grads

    return y, [y], pull


def lstm(
    params,
    x,
    states,
    *,
    activation="tanh",
    recurrent_activation="sigmoid",
    input_mask=1.0,
    recurrent_mask=1.0,
):
    """Hochreiter & Schmidhuber 1997 with forget gate (Gers 2000); gates i f c o."""
    h, c = states
    ax, back_x = _project(params, "kernel", params.get("bias"), x, input_mask)
    ah, back_h = _project(params, "recurrent_kernel", None, h, recurrent_mask)
    ai, af, ac, ao = np.split(ax + ah, 4, axis=-1)
    i, si = _activate(recurrent_activation, ai)
    f, sf = _activate(recurrent_activation, af)
    g, sg = _activate(activation, ac)
    o, so = _activate(recurrent_activation, ao)
    c_new = f * c + i * g
    t, st = _activate(activation, c_new)
    y = o * t

    def pull(dy, dstates):
        dh = dy + dstates[0]
        dc = dstates[1] + dh * o * st
        da = np.concatenate(
            [dc * g * si, dc * c * sf, dc * i * sg, dh * t * so], axis=-1
        )
        dx, dkernel = back_x(da)
        dh_old, drecurrent = back_h(da)
        grads = {"kernel": dkernel, "recurrent_kernel": drecurrent}
        if "bias" in params:
            grads["bias"] = da.sum(0)
        return dx, [dh_old, dc * f], grads

    return y, [y, c_new], pull


def gru(
    params,
    x,
    states,
    *,
    activation="tanh",
    recurrent_activation="sigmoid",
    reset_after=True,
    input_mask=1.0,
    recurrent_mask=1.0,
):
    """Cho 2014; gates z r h.

    reset_after: hh = act(xh + r * (h Rh + bh)), bias (2, 3U)    (cuDNN's order)
    else:        hh = act(xh + (r * h) Rh),      bias (3U,)      (the paper's order)
    """
    (h,) = states
    units = h.shape[-1]
    bias = params.get("bias")
    input_bias, state_bias = (None, None) if bias is None else (bias, None)
    if bias is not None and reset_after:
        input_bias, state_bias = bias
    ax, back_x = _project(params, "kernel", input_bias, x, input_mask)
    recurrent = params["recurrent_kernel"]
    kept = h * recurrent_mask
    ah = kept @ recurrent
    if state_bias is not None:
        ah = ah + state_bias
    z, sz = _activate(recurrent_activation, ax[:, :units] + ah[:, :units])
    r, sr = _activate(
        recurrent_activation,
        ax[:, units : 2 * units] + ah[:, units : 2 * units],
    )
    candidate = recurrent[:, 2 * units :]
    inner = ah[:, 2 * units :] if reset_after else (r * kept) @ candidate
    hh, sh = _activate(
        activation, ax[:, 2 * units :] + (r * inner if reset_after else inner)
    )
    y = z * h + (1.0 - z) * hh

    def pull(dy, dstates):
        dh = dy + dstates[0]
        daz = dh * (h - hh) * sz
        dac = dh * (1.0 - z) * sh
        d_recurrent = np.zeros_like(recurrent)
        if reset_after:
            dar = dac * inner * sr
            dah = np.concatenate([daz, dar, dac * r], axis=-1)
            d_kept = dah @ recurrent.T
            d_recurrent += kept.T @ dah
        else:
            d_gated = dac @ candidate.T
            dar = d_gated * kept * sr
            dah = np.concatenate([daz, dar], axis=-1)
            d_kept = dah @ recurrent[:, : 2 * units].T + d_gated * r
            d_recurrent[:, : 2 * units] = kept.T @ dah
            d_recurrent[:, 2 * units :] = (r * kept).T @ dac
        dax = np.concatenate([daz, dar, dac], axis=-1)
        dx, dkernel = back_x(dax)
        grads = {"kernel": dkernel, "recurrent_kernel": d_recurrent}
        if bias is not None:
            grads["bias"] = (
                np.stack([dax.sum(0), dah.sum(0)]) if reset_after else dax.sum(0)
            )
        return dx, [dh * z + d_kept * recurrent_mask], grads

    return y, [y], pull


def attending(params, x, states, *, memory_mask=None):
    """h' = tanh(x W + h R + a K); a = softmax of h K over the memory, K = memory keys.

    The memory (B, S, M) is among the params, so that it has a gradient.
    """
    (h,) = states
    memory, weight = params["memory"], params["keys"]
    keys = memory @ weight
    scores = np.einsum("bu,bsu->bs", h, keys)
    if memory_mask is not None:
        scores = np.where(memory_mask, scores, -1e9)
    raised = np.exp(scores - scores.max(1, keepdims=True))
    share = raised / raised.sum(1, keepdims=True)
    found = np.einsum("bs,bsu->bu", share, keys)
    y = np.tanh(x @ params["W"] + h @ params["R"] + found)

    def pull(dy, dstates):
        da = (dy + dstates[0]) * (1.0 - y * y)
        d_share = np.einsum("bu,bsu->bs", da, keys)
        d_scores = share * (d_share - (share * d_share).sum(1, keepdims=True))
        if memory_mask is not None:
            d_scores = np.where(memory_mask, d_scores, 0.0)
        d_keys = share[..., None] * da[:, None] + d_scores[..., None] * h[:, None]
        dh = da @ params["R"].T + np.einsum("bs,bsu->bu", d_scores, keys)
        grads = {
            "W": x.T @ da,
            "R": h.T @ da,
            "keys": np.einsum("bsm,bsu->mu", memory, d_keys),
            "memory": d_keys @ weight.T,
        }
        return da @ params["W"].T, [dh], grads

    return y, [y], pull


@dataclass
class Run:
    """What one pass over a sequence gives; sequences in processing order.

    Attributes:
        outputs: (B, T, U), the emitted output of every step.
        last: (B, U), the emitted output of the last step processed.
        states: the final states, each (B, U).
        all_states: the states after every step, each (B, T, U).
        pull: cotangents of the four -> (dx, d_initial, d_params).
    """

    outputs: Array
    last: Array
    states: list[Array]
    all_states: list[Array]
    pull: Callable


def _pick(condition: Array, yes: Array, no: Array) -> Array:
    return np.where(condition.reshape((-1,) + (1,) * (yes.ndim - 1)), yes, no)


def unroll(
    step,
    x,
    initial,
    *,
    fresh=None,
    mask=None,
    resets=None,
    lengths=None,
    reverse=False,
    zero_masked=False,
) -> Run:
    """The naive time loop, as DESIGN section 6 words it.

    Args:
        step: (x_t, states) -> (output, new_states, pullback).
        x: (B, T, D).
        initial: the states before the first step, each (B, ...).
        fresh: what a reset restores; zeros when None.
        mask: (B, T) bool, False = this step does not count.
        resets: (B, T) bool, True = start afresh before this step.
        lengths: (B,) shorthand for a right-padding mask.
        reverse: process t = T-1 first.
        zero_masked: emit zeros on masked steps instead of the held output.
    """
    batch, steps = x.shape[:2]
    if lengths is not None:
        mask = np.arange(steps)[None] < np.asarray(lengths)[:, None]
    mask = np.ones((batch, steps), bool) if mask is None else mask
    resets = np.zeros((batch, steps), bool) if resets is None else resets
    fresh = [np.zeros_like(s) for s in initial] if fresh is None else fresh
    order = range(steps - 1, -1, -1) if reverse else range(steps)

    states, held, tape, outputs, trail = list(initial), None, [], [], []
    for t in order:
        states = [_pick(resets[:, t], f, s) for f, s in zip(fresh, states, strict=True)]
        output, new, pull_step = step(x[:, t], states)
        held = np.zeros_like(output) if held is None else held
        held = _pick(resets[:, t], np.zeros_like(held), held)
        states = [_pick(mask[:, t], n, s) for n, s in zip(new, states, strict=True)]
        held = _pick(mask[:, t], output, held)
        emitted = _pick(mask[:, t], output, np.zeros_like(output))
        outputs.append(emitted if zero_masked else held)
        trail.append(states)
        tape.append((t, pull_step))

    def pull(d_outputs=None, d_last=None, d_states=None, d_all_states=None):
        dx = np.zeros_like(x)
        d_run = [np.zeros_like(s) for s in states]
        if d_states is not None:
            d_run = [d + e for d, e in zip(d_run, d_states, strict=True)]
        d_held = np.zeros_like(outputs[-1])
        d_params: Params = {}
        for k in range(steps - 1, -1, -1):
            t, pull_step = tape[k]
            d_emit = np.zeros_like(outputs[k])
            if d_outputs is not None:
                d_emit = d_emit + d_outputs[:, k]
            if d_last is not None and k == steps - 1:
                d_emit = d_emit + d_last
            if d_all_states is not None:
                d_run = [d + e[:, k] for d, e in zip(d_run, d_all_states, strict=True)]
            on = mask[:, t]
            d_output = _pick(on, d_emit + d_held, np.zeros_like(d_emit))
            d_kept = d_held if zero_masked else d_held + d_emit
            d_held = _pick(on, np.zeros_like(d_kept), d_kept)
            d_new = [_pick(on, d, np.zeros_like(d)) for d in d_run]
            dx[:, t], d_old, grads = pull_step(d_output, d_new)
            d_run = [_pick(on, o, d + o) for o, d in zip(d_old, d_run, strict=True)]
            d_run = [_pick(resets[:, t], np.zeros_like(d), d) for d in d_run]
            d_held = _pick(resets[:, t], np.zeros_like(d_held), d_held)
            for name, grad in grads.items():
                d_params[name] = d_params.get(name, 0.0) + grad
        return dx, d_run, d_params

    return Run(
        outputs=np.stack(outputs, axis=1),
        last=outputs[-1],
        states=states,
        all_states=[np.stack(s, axis=1) for s in zip(*trail, strict=True)],
        pull=pull,
    )


def max_relative(actual, expected) -> float:
    """Largest absolute error over the largest expected magnitude (max-norm)."""
    actual = np.asarray(actual, np.float64)
    expected = np.asarray(expected, np.float64)
    if actual.shape != expected.shape:
        raise AssertionError(f"shape {actual.shape} for expected {expected.shape}")
    if not expected.size:
        return 0.0
    error = np.max(np.abs(actual - expected))
    scale = np.max(np.abs(expected))
    return float(error / scale if scale > 0 else error)
