"""Functions that make alignments of scores, beside Keras's activations."""

import jax
import keras
from jax import numpy as jnp


@keras.saving.register_keras_serializable("unrolled")
def hardmax(scores: jax.Array) -> jax.Array:
    """One at the largest score of each row, the first of equals, zero elsewhere.

    Source: ``hardmax`` of TensorFlow Addons 0.23.
    """
    if not scores.shape[-1]:  # no entry, no share
        return scores
    best = jnp.argmax(scores, axis=-1)
    return jax.nn.one_hot(best, scores.shape[-1], dtype=scores.dtype)
