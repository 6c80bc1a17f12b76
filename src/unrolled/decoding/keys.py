"""What chance goes by: a key of JAX, of whatever says it."""

import random as python_random
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp
from jax import random

from ..checks import require
from . import checks

Tree = Any


def key_of(seed: Any, arrays: Tree = ()) -> jax.Array:
    """A key of JAX, of a whole number, a key or a Keras ``SeedGenerator``.

    Args:
        seed: one of these; None for another each time, after
            ``keras.utils.set_random_seed`` the same.
        arrays: what the caller computes with.

    Raises:
        ValueError: if it is none of these; or None, and what is called is being
            compiled.
    """
    if isinstance(seed, keras.random.SeedGenerator):
        return random.wrap_key_data(jnp.asarray(seed.next()), impl="threefry2x32")
    if seed is None:
        checks.not_compiled(arrays)
        return random.key(python_random.getrandbits(31))
    dtype = getattr(seed, "dtype", None)
    key = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    old = dtype == "uint32" and np.shape(seed) == (2,)  # as of jax.random.PRNGKey
    whole = type(seed) in (int,) or (
        dtype is not None and jnp.issubdtype(dtype, jnp.integer)
    )
    require(
        old or ((key or whole) and np.ndim(seed) == 0),
        "seed",
        "must be a whole number, one key of JAX or a keras.random.SeedGenerator",
        repr(seed)[:60],
        "for example seed=0, or jax.random.key(0)",
    )
    if key:
        return seed
    return random.wrap_key_data(seed) if old else random.key(seed)
