"""A machine without a GPU as if it had one, for tests.

What is replaced is the call of cuDNN alone, by JAX's own model of it, `lstm_ref`, which
JAX's tests hold to cuDNN on GPUs. Whatever cuDNN does not take, or leaves open, spoils
the numbers here.
"""

from unrolled.engine import cudnn, forms, packed

import jax
import numpy as np
from jax import numpy as jnp
from jax.experimental import rnn

NAN = np.float32("nan")


class Told(list):
    """What cuDNN is told beside arrays, whenever a call of it is compiled."""

    def clear(self):
        """Forget it, and what is compiled, so that a call is compiled again."""
        super().clear()
        forget()


def stand_in(monkeypatch):
    """Let layers find a GPU; returns what cuDNN is told."""
    told = Told()

    def forward(*args):
        _check(*args)
        told.append(args[5:])
        return _forward(*args)

    def backward(*args):
        told.append(args[:6])
        return _backward(*args)

    forget()
    monkeypatch.setattr(packed, "lstm_fwd", forward)
    monkeypatch.setattr(packed, "lstm_bwd", backward)
    monkeypatch.setattr(cudnn, "has_cudnn_lstm", lambda: True)
    monkeypatch.setattr(cudnn, "PLATFORM", "cpu")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    return told


def forget():
    """What is compiled with the model must not be used without it."""
    for function in (forms._whole, forms._eager):
        function.clear_cache()


def calls(function, *args):
    """How many calls forward and backward a compiled function makes."""
    text = jax.jit(function).lower(*args).as_text()
    return tuple(text.count(f"call @cudnn_{way}") for way in ("forward", "backward"))


def _check(x, h, c, weights, lengths, D, U, layers, dropout, both, precision):
    """What `jax.experimental.rnn` and cuDNN ask of their arguments."""
    B, T, features = x.shape
    assert B > 0
    assert 0 < T <= 65_535
    assert 0 < features == D
    assert h.shape == c.shape == (1 + both, B, U)
    assert weights.shape == (rnn.get_num_params_in_lstm(D, U, layers, both),)
    assert all(a.dtype == jnp.float32 for a in (x, h, c, weights))
    assert (lengths.shape, lengths.dtype) == ((B,), jnp.int32)
    assert (layers, dropout) == (1, 0.0)
    # With the lower one `lstm` says that it has no bfloat16.
    assert precision in (jax.lax.Precision.HIGH, jax.lax.Precision.HIGHEST)


def _forward(x, h, c, weights, lengths, D, U, layers, dropout, both, precision):
    del layers, dropout, precision

    @jax.jit
    def cudnn_forward(x, h, c, weights, lengths):
        y, h, c = _model(x, h, c, weights, lengths, D, U, both)
        # It fails on lengths of 0 and on those beyond the last step.
        fails = ((lengths < 1) | (lengths > x.shape[1])).any()
        y, h, c = (jnp.where(fails, NAN, a) for a in (y, h, c))
        # What it keeps is its own affair, and has no axis of rows.
        return (y, h, c), (jnp.arange(3 * y.size + 5, dtype=jnp.float32),)

    results, kept = cudnn_forward(x, h, c, weights, lengths)
    return results, (x, h, c, weights, lengths, results[0], *kept)


def _backward(D, U, layers, dropout, both, precision, residuals, cotangents):
    del layers, dropout, precision

    @jax.jit
    def cudnn_backward(residuals, cotangents):
        x, h, c, weights, lengths, y, kept = residuals
        of = lambda *args: _model(*args, lengths, D, U, both)  # noqa: E731
        again, pull = jax.vjp(of, x, h, c, weights)
        dx, *rest = pull(cotangents)
        whole = (kept == jnp.arange(3 * y.size + 5, dtype=jnp.float32)).all()
        whole &= (jnp.abs(again[0] - y) < 1e-5).all()
        # What it writes beyond a length is nowhere said.
        beyond = (
            jnp.arange(x.shape[1], dtype=jnp.int32)[None, :, None]
            >= lengths[:, None, None]
        )
        dx = jnp.where(beyond, NAN, dx)
        return [jnp.where(whole, a, NAN) for a in (dx, *rest)]

    *gradients, dweights = cudnn_backward(residuals, cotangents)
    return (*gradients, dweights, jnp.zeros_like(residuals[4]))


def _model(x, h, c, weights, lengths, D, U, both):
    parts = rnn.unpack_lstm_weights(weights, D, U, 1, both)
    return rnn.lstm_ref(x, h, c, *parts, lengths, D, U, 1, 0.0, both)
