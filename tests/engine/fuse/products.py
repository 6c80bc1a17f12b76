"""What a drawn cell may multiply by its weights: each (B, K) or two of them to (B, N).

Each is a function that says the shapes of its weights, and one of them and what it
multiplies.
"""

from __future__ import annotations

import jax
from jax import numpy as jnp

# Of x (B, K) to (B, N); K and N are even where heads are made of them.
PRODUCTS = {
    "x @ W": (lambda k, n: [(k, n)], lambda x, w: x @ w),
    "x @ W + b": (lambda k, n: [(k, n), (n,)], lambda x, w, b: x @ w + b),
    "dot": (lambda k, n: [(k, n)], lambda x, w: jnp.dot(x, w)),
    "x @ W.T": (lambda k, n: [(n, k)], lambda x, w: x @ w.T),
    "einsum, weight left": (
        lambda k, n: [(n, k)],
        lambda x, w: jnp.einsum("nk,bk->bn", w, x),
    ),
    "tensordot": (lambda k, n: [(k, n)], lambda x, w: jnp.tensordot(x, w, 1)),
    "slice of a kernel": (
        lambda k, n: [(k, 2 * n + 1)],
        lambda x, w: x @ w[:, 1 : 1 + w.shape[1] // 2],
    ),
    "kernels side by side": (
        lambda k, n: [(k, n // 2), (k, n - n // 2)],
        lambda x, v, w: x @ jnp.concatenate([v, w], 1),
    ),
    "weight normalised": (
        lambda k, n: [(k, n), (n,)],
        lambda x, w, g: x @ (w * g / jnp.sqrt(0.1 + (w * w).sum(0))) / 2,
    ),
    "diagonal of a weight": (
        lambda k, n: [(k, n), (k,)],
        lambda x, w, d: (x * d) @ w,
    ),
    "low rank": (
        lambda k, n: [(k, 2), (2, n)],
        lambda x, v, w: (x @ v) @ w,
    ),
    "two layers": (
        lambda k, n: [(k, 3), (3, n)],
        lambda x, v, w: jnp.tanh(x @ v) @ w,
    ),
    "gates split": (
        lambda k, n: [(k, 2 * n)],
        lambda x, w: jax.nn.sigmoid((z := jnp.split(x @ w, 2, -1))[0]) * z[1],
    ),
    "block-diagonal": (
        lambda k, n: [(2, k // 2, n // 2)],
        lambda x, w: jnp.einsum("bgk,gkn->bgn", _heads(x), w).reshape(
            -1, 2 * w.shape[2]
        ),
    ),
    "one weight for all heads": (
        lambda k, n: [(k // 2, n // 2)],
        lambda x, w: jnp.einsum("bgk,kn->bgn", _heads(x), w).reshape(
            -1, 2 * w.shape[1]
        ),
    ),
    "heads contracted": (
        lambda k, n: [(2, k // 2, n)],
        lambda x, w: jnp.einsum("bgk,gkn->bn", _heads(x), w),
    ),
    "heads made": (
        lambda k, n: [(k, 2, n // 2)],
        lambda x, w: jnp.einsum("bk,kgn->bgn", x, w).reshape(-1, 2 * w.shape[2]),
    ),
    "grouped": (
        lambda k, n: [(k // 2, n // 2), (k // 2, n // 2)],
        lambda x, v, w: jnp.concatenate(
            [(halves := jnp.split(x, 2, -1))[0] @ v, halves[1] @ w], -1
        ),
    ),
}
# Of x (B, K) and h (B, L) to (B, N).
OF_TWO = {
    "[x, h] @ W": (
        lambda k, m, n: [(k + m, n)],
        lambda x, h, w: jnp.concatenate([x, h], -1) @ w,
    ),
    "x @ W + h @ R": (
        lambda k, m, n: [(k, n), (m, n), (n,)],
        lambda x, h, w, r, b: x @ w + h @ r + b,
    ),
    "[x, h, x h] @ W": (
        lambda k, m, n: [(k + 2 * m, n), (k, m)],
        lambda x, h, w, p: jnp.concatenate([x, h, (x @ p) * h / 2], -1) @ w,
    ),
    "x @ W * (h @ R)": (
        lambda k, m, n: [(k, n), (m, n)],
        lambda x, h, w, r: (x @ w) * (h @ r) / 2,
    ),
    "bilinear, low rank": (
        lambda k, m, n: [(k, 3), (m, 3), (3, n)],
        lambda x, h, v, w, u: ((x @ v) * jnp.tanh(h @ w)) @ u,
    ),
}


def _heads(x):
    """(B, 2, K / 2)."""
    return x.reshape(x.shape[0], 2, -1)


# Of a query (B, K), a memory (B, S, M) and its mask (B, S), to (B, M).
MEMORY = {
    "dot": (
        lambda k, m: [(k, m)],
        lambda q, memory, mask, w: _found(
            jnp.einsum("bm,bsm->bs", q @ w, memory) / 2, memory, mask
        ),
    ),
    "additive": (
        lambda k, m: [(k, m), (m,)],
        lambda q, memory, mask, w, v: _found(
            jnp.tanh(memory + (q @ w)[:, None, :]) @ v, memory, mask
        ),
    ),
    "additive, of products": (
        lambda k, m: [(k, m), (m,), (m, m)],
        lambda q, memory, mask, w, v, u: _found(
            (jnp.tanh(memory @ u + (q @ w)[:, None, :]) * v).sum(-1), memory, mask
        ),
    ),
    "heads": (
        lambda k, m: [(k, m)],
        lambda q, memory, mask, w: _of_heads(q @ w, memory, mask),
    ),
    "the largest": (
        lambda k, m: [(k, m)],
        lambda q, memory, mask, w: (
            jnp.where(mask[..., None], memory, -3.0).max(1) * jnp.tanh(q @ w)
        ),
    ),
    "sum where it counts": (
        lambda k, m: [(k, m)],
        lambda q, memory, mask, w: (
            jnp.where(mask[..., None], memory * jnp.tanh(q @ w)[:, None, :], 0.0).sum(1)
            / 2
        ),
    ),
}


def _found(scores, memory, mask):
    shares = jax.nn.softmax(jnp.where(mask, scores, -1e9), axis=-1)
    return jnp.einsum("bs,bsm->bm", shares, memory)


def _of_heads(q, memory, mask):
    b, s, m = memory.shape
    memory = memory.reshape(b, s, 2, m // 2)
    scores = jnp.einsum("bhk,bshk->bhs", q.reshape(b, 2, m // 2), memory)
    shares = jax.nn.softmax(jnp.where(mask[:, None, :], scores, -1e9), axis=-1)
    return jnp.einsum("bhs,bshk->bhk", shares, memory).reshape(b, m)
