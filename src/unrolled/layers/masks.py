"""Which mask a recurrent layer goes by, and which one it hands on."""

from typing import Any

import jax
import keras
from jax import numpy as jnp

from .._borrowed import get_keras_mask, set_keras_mask

Tree = Any


def given(sequences: Tree, mask: Tree, lengths: Any, time_major: bool) -> Any:
    """One mask: from `mask` or `lengths`, else from what Keras attached to the inputs.

    Args:
        sequences: tree of ``(B, T, ...)``.
        mask: ``[B, T]``, a tree of such, or None.
        lengths: ``[B]`` or None.
        time_major: whether all but `lengths` is ``(T, B, ...)``.

    Returns:
        ``[B, T]``, ``[T, B]`` if `time_major`; None where there is none.
    """
    if lengths is not None:
        first = jax.tree.leaves(sequences)[0]
        steps = jnp.arange(first.shape[0 if time_major else 1])
        lengths = jnp.asarray(lengths).astype(steps.dtype)
        if time_major:
            return steps[:, None] < lengths[None, :]
        return steps[None, :] < lengths[:, None]
    if mask is None:
        # Keras hands on attached masks only where there is one tensor argument.
        mask = jax.tree.map(get_keras_mask, sequences)
    return all_of(mask)


def all_of(masks: Tree) -> Any:
    """A step counts where all masks say so; None where there is none."""
    found = [mask for mask in jax.tree.leaves(masks) if mask is not None]
    if not found:
        return None
    whole = found[0]
    for mask in found[1:]:
        whole = keras.ops.logical_and(whole, mask)
    return whole


def of_outputs(mask: Any, backwards: bool, time_axis: int) -> Any:
    """The mask of outputs that leave in the order in which they were made."""
    if mask is None or not backwards:
        return mask
    return keras.ops.flip(mask, time_axis)


def attach(outputs: Tree, mask: Any) -> None:
    """Let whoever reads the outputs find their mask, as Keras does."""
    if mask is not None:
        for output in jax.tree.leaves(outputs):
            set_keras_mask(output, mask)
