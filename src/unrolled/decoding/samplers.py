"""What is drawn from logits: arrays in, arrays out, and nothing else of ours."""

from collections.abc import Callable
from typing import Any

import jax
from jax import numpy as jnp

from ..checks import is_count, is_number, require

Sampler = Callable[[jax.Array, jax.Array], Any]


def sampler(
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
) -> Sampler:
    """A function that draws the next token from the logits.

    What it leaves out is decided in the order of the arguments, and what is left is
    drawn from as the logits say.

    Args:
        temperature: divides the logits; below 1 likely tokens become likelier still.
            Default 1.
        top_k: only so many of the likeliest tokens. Default None, all.
        top_p: only the likeliest tokens that together have this probability. Default
            None, all.
        min_p: only tokens at least so probable, as a share of the likeliest one's
            probability. Default None, all.

    Returns:
        ``(logits, key) -> tokens``: of ``(B, V)`` and a key of JAX ``(B,)``. Any
        function like it will do in its place.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import jax, unrolled
        >>> draw = unrolled.sampler(temperature=0.7, top_k=2)
        >>> logits = jax.numpy.array([[0.0, 5.0, 5.0, 1.0]])
        >>> int(draw(logits, jax.random.key(0))[0]) in (1, 2)
        True

    Source: top-k of Fan et al., 2018; top-p (nucleus) of Holtzman et al., 2020;
    min-p of Nguyen et al., 2024; in the order and with the bounds of ``transformers``.
    """
    require(
        is_number(temperature) and temperature > 0,
        "temperature",
        "must be a positive number",
        repr(temperature),
        "for the likeliest token leave the sampler out",
    )
    require(
        top_k is None or is_count(top_k),
        "top_k",
        "must be a positive integer, the number of tokens that are left",
        top_k,
        "leave it out to draw from all",
    )
    for name, share in (("top_p", top_p), ("min_p", min_p)):
        require(
            share is None or (is_number(share) and 0 < share <= 1),
            name,
            "must be a probability, above 0 and at most 1",
            repr(share),
            "leave it out to draw from all",
        )

    def draw(logits: jax.Array, key: jax.Array) -> jax.Array:
        left = filtered(logits, temperature, top_k, top_p, min_p)
        return jax.random.categorical(key, left)

    return draw


def filtered(
    logits: jax.Array,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
) -> jax.Array:
    """The logits that `sampler` draws from: ``-inf`` where a token is left out.

    Tokens as likely as the last one that is left are left too.
    """
    logits = logits / temperature
    if top_k is not None and top_k < logits.shape[-1]:
        logits = _at_least(logits, jax.lax.top_k(logits, top_k)[0][..., -1:])
    if top_p is not None and top_p < 1:
        likeliest = -jnp.sort(-logits, axis=-1)
        shares = jax.nn.softmax(likeliest, axis=-1)
        # A token is needed while those before it have less than `top_p`.
        needed = jnp.cumsum(shares, axis=-1) - shares < top_p
        last = jnp.where(needed, likeliest, jnp.inf).min(-1, keepdims=True)
        logits = _at_least(logits, last)
    if min_p is not None:
        logits = _at_least(logits, logits.max(-1, keepdims=True) + jnp.log(min_p))
    return logits


def _at_least(logits: jax.Array, lowest: jax.Array) -> jax.Array:
    return jnp.where(logits >= lowest, logits, -jnp.inf)


def repeated_less(logits: jax.Array, seen: jax.Array, penalty: float) -> jax.Array:
    """Logits ``(..., V)`` with those of tokens that were given before made lower.

    Positive ones are divided by the penalty, negative ones multiplied by it.

    Source: CTRL, Keskar et al., 2019; for negative logits as in ``transformers``.
    """
    lower = jnp.where(logits > 0, logits / penalty, logits * penalty)
    return jnp.where(seen, lower, logits)
