"""The functions of the old attention, with the old arguments."""

from typing import Any, Literal

import jax
from jax import numpy as jnp

from ... import attention


def hardmax(logits: Any, name: Any = None) -> jax.Array:
    """One at the largest of each row, the first of equals, zero elsewhere.

    Args:
        logits: ``(..., S)``.
        name: read by nobody.

    Now: ``probability_fn="hardmax"`` of a mechanism.

    Example:
        >>> import numpy as np
        >>> from unrolled.tf1 import seq2seq
        >>> seq2seq.hardmax(np.array([[1.0, 3.0, 3.0]], "float32")).tolist()
        [[0.0, 1.0, 0.0]]

    Source: ``hardmax`` of TensorFlow 1.15's contrib.seq2seq and of Addons 0.23.
    """
    del name
    return attention.hardmax(jnp.asarray(logits))


def safe_cumprod(
    x: Any,
    axis: int = 0,
    exclusive: bool = False,
    reverse: bool = False,
    name: Any = None,
) -> jax.Array:
    """The products of numbers from 0 to 1 up to each: ``exp(cumsum(log x))``.

    Args:
        x: an array; numbers outside are moved to the nearest of 0 and 1.
        axis: along which. Default 0.
        exclusive: leave the number itself out. Default False.
        reverse: from the last on. Default False.
        name: read by nobody.

    Example:
        >>> import numpy as np
        >>> from unrolled.tf1 import seq2seq
        >>> seq2seq.safe_cumprod(np.array([0.5, 0.5, 1.0], "float32")).tolist()
        [0.5, 0.25, 0.25]

    Source: ``safe_cumprod`` of TensorFlow 1.15's contrib.seq2seq and of Addons 0.23.
    """
    del name
    x = jnp.moveaxis(jnp.asarray(x), axis, -1)
    x = jnp.flip(x, -1) if reverse else x
    if not exclusive:
        # What comes before an entry more is all up to the last.
        x = jnp.concatenate([x, jnp.ones_like(x[..., :1])], axis=-1)
    products = attention.safe_cumprod(x)
    products = products if exclusive else products[..., 1:]
    products = jnp.flip(products, -1) if reverse else products
    return jnp.moveaxis(products, -1, axis)


def monotonic_attention(
    p_choose_i: Any,
    previous_attention: Any,
    mode: Literal["recursive", "parallel", "hard"],
) -> jax.Array:
    """The share of each entry of a memory, where one only moves forwards.

    Args:
        p_choose_i: ``(B, S)``, the probability that one stops at an entry.
        previous_attention: ``(B, S)``, the shares of the step before.
        mode: ``"recursive"``, ``"parallel"`` or ``"hard"``.

    Returns:
        ``(B, S)``.

    Raises:
        ValueError: if there is no such mode.

    Now: `unrolled.BahdanauMonotonicAttention`, `unrolled.LuongMonotonicAttention`.

    Source: ``monotonic_attention`` of TensorFlow 1.15's contrib.seq2seq and of Addons
    0.23.
    """
    choose, previous = jnp.asarray(p_choose_i), jnp.asarray(previous_attention)
    return attention.monotonic_attention(choose, previous, mode)
