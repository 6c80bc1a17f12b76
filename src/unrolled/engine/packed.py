"""An LSTM, alone or in both directions, as cuDNN runs it, with the time loop's meaning.

cuDNN runs each row of a batch from its first step to a length of its own. So the steps
of a row that count are moved to its front, whatever the mask's pattern, and what comes
out is moved back. A layer alone that goes backwards gets its sequences turned round.

Arrays are x and mask, then of each layer kernel, recurrent_kernel, bias, h, c. None
stands for a mask or bias that is absent.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
from jax import numpy as jnp

from .._borrowed import lstm_bwd, lstm_fwd, varying_alike
from . import derivatives
from .foreign import Spec

Specs = Sequence[Spec]  # of one layer; or of the forward direction and of the other


def run(specs: Specs, tf32: bool, args: Sequence[Any]) -> tuple[tuple[Any, ...], Any]:
    """Of each layer y, y_last, hs, cs, h, c; and what `run_back` reads.

    Args:
        specs: of each layer.
        tf32: whether products may be in TF32.
        args: the arrays.
    """
    x, mask = _in_order(specs, args)
    h, c = _states(args)
    lengths = jnp.full(x.shape[:1], x.shape[1], jnp.int32)
    if mask is not None:
        x = _to_front(x, mask)
        # cuDNN fails on a length of 0: https://github.com/jax-ml/jax/issues/17966.
        # Such a row is run for one step, and what comes of it is not read.
        lengths = jnp.maximum(_counts(mask), 1)
    weights = _packed([own[:3] for own in each(args[2:])])
    told = _told(specs, tf32, args)
    (y, h_n, c_n), kept = lstm_fwd(x, h, c, weights, lengths, *told)
    return _results(specs, mask, y, h_n, c_n, h, c), kept


def run_back(
    specs: Specs, tf32: bool, args: Sequence[Any], kept: Any, cotangents: Sequence[Any]
) -> tuple[Any, ...]:
    """Gradients of the arguments, None for the mask and for what is absent."""
    x, mask = _in_order(specs, args)
    h, c = _states(args)
    # Linear: any numbers will do.
    y = jnp.zeros((*x.shape[:2], h.shape[0] * h.shape[2]), x.dtype)
    at = varying_alike((y, h, c, h, c, x, mask))[:5]
    results, pull = jax.vjp(functools.partial(_results, specs, mask), *at)
    dy, dh_n, dc_n, dh, dc = pull(derivatives.whole(tuple(results), tuple(cotangents)))
    told = _told(specs, tf32, args)
    dx, dh_0, dc_0, dweights, _ = lstm_bwd(*told, kept, (dy, dh_n, dc_n))
    if mask is not None:
        dx = _from_front(dx, mask)
    if _alone_backwards(specs):
        dx = jnp.flip(dx, 1)
    weights = [own[:3] for own in each(args[2:])]
    (dweights,) = jax.vjp(_packed, weights)[1](dweights)
    states = zip(dh + dh_0, dc + dc_0, strict=True)
    pairs = zip(dweights, states, strict=True)
    return (dx, None, *(a for pair in pairs for part in pair for a in part))


def each(own: Sequence[Any]) -> list[Sequence[Any]]:
    """Of each layer its arrays."""
    return [own[i : i + 5] for i in range(0, len(own), 5)]


def _told(specs: Specs, tf32: bool, args: Sequence[Any]) -> tuple[Any, ...]:
    """What `lstm_fwd` and `lstm_bwd` are told beside arrays."""
    features, units = args[0].shape[2], args[3].shape[0]
    precision = jax.lax.Precision.HIGH if tf32 else jax.lax.Precision.HIGHEST
    # One layer, no dropout, and whether in both directions.
    return features, units, 1, 0.0, len(specs) == 2, precision


def _alone_backwards(specs: Specs) -> bool:
    return len(specs) == 1 and specs[0].reverse


def _in_order(specs: Specs, args: Sequence[Any]) -> tuple[Any, Any]:
    """Inputs and mask in the order in which cuDNN is to process them."""
    x, mask = args[:2]
    if _alone_backwards(specs):
        x, mask = jnp.flip(x, 1), None if mask is None else jnp.flip(mask, 1)
    return x, mask


def _states(args: Sequence[Any]) -> tuple[jax.Array, jax.Array]:
    """States of all layers, each ``(layers, B, U)``."""
    own = each(args[2:])
    return jnp.stack([a[3] for a in own]), jnp.stack([a[4] for a in own])


def _packed(weights: Sequence[Sequence[Any]]) -> jax.Array:
    """Each layer's kernels, then each one's biases; gates are in Keras's order, ifco.

    cuDNN has a second bias, of the state's product.
    """
    matrices, biases = [], []
    for kernel, recurrent, bias in weights:
        matrices += [kernel.T.ravel(), recurrent.T.ravel()]
        none = jnp.zeros(recurrent.shape[1:], recurrent.dtype)
        biases += [none if bias is None else bias, none]
    return jnp.concatenate([*matrices, *biases])


def _results(
    specs: Specs, mask: Any, y: Any, h_n: Any, c_n: Any, h_0: Any, c_0: Any
) -> tuple[Any, ...]:
    """Of each layer y, y_last, hs, cs, h, c, from what cuDNN was given and gave.

    Linear in all arrays but the mask, which is in processing order.
    """
    results = []
    U = h_n.shape[2]
    if mask is not None:
        # Nothing but zeros beyond each row's own steps, also where there are none.
        y = jnp.where(_within(mask), y, 0)
    for n, spec in enumerate(specs):
        own, h, c = y[..., n * U : (n + 1) * U], h_n[n], c_n[n]
        last = h
        if mask is not None:
            some = mask.any(1)[:, None]
            h, c = jnp.where(some, h, h_0[n]), jnp.where(some, c, c_0[n])
            counts = mask[:, 0 if n else -1, None] if spec.zero_masked else some
            last = jnp.where(counts, last, 0)
            own = _spread(own, mask, bool(n), spec.zero_masked)
        # The second direction's are where its inputs are.
        own = jnp.flip(own, 1) if n else own
        shown = (own, None) if spec.return_sequences else (None, last)
        results += [*shown, None, None, h, c]
    return tuple(results)


# --- the steps that count, at the front of each row and in their places ---


def _counts(mask: jax.Array) -> jax.Array:
    return mask.sum(1, dtype=jnp.int32)


def _within(mask: jax.Array) -> jax.Array:
    """Which steps are used once those that count are at the front, ``(B, T, 1)``."""
    steps = jnp.arange(mask.shape[1], dtype=jnp.int32)
    return (steps[None] < _counts(mask)[:, None])[..., None]


def _take(a: jax.Array, at: jax.Array) -> jax.Array:
    return jnp.take_along_axis(a, at[..., None], axis=1)


def _to_front(x: jax.Array, mask: jax.Array) -> jax.Array:
    """The steps that count, in order, then zeros."""
    at = jnp.argsort(~mask, axis=1, stable=True)
    return jnp.where(_within(mask), _take(x, at), 0)


def _from_front(a: jax.Array, mask: jax.Array) -> jax.Array:
    """The transpose of `_to_front`."""
    at = jnp.cumsum(mask, 1, dtype=jnp.int32) - 1
    return jnp.where(mask[..., None], _take(a, jnp.maximum(at, 0)), 0)


def _spread(y: jax.Array, mask: jax.Array, backwards: bool, zero: bool) -> jax.Array:
    """Outputs in their places; on masked steps the last one emitted again, or zeros.

    Args:
        y: at the front, then zeros.
        mask: ``(B, T)``.
        backwards: whether the last one emitted is that of a later step.
        zero: emit zeros on masked steps.
    """
    until = jnp.cumsum(mask, 1, dtype=jnp.int32)
    # Of the steps at the front, the one at or before each step; or at or after it.
    at = until - (mask.astype(jnp.int32) if backwards else 1)
    emits = mask if zero else (at >= 0)
    return jnp.where(emits[..., None], _take(y, jnp.clip(at, 0, y.shape[1] - 1)), 0)
