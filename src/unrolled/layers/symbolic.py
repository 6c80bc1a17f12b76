"""What one step gives where arguments are symbols: shapes with gaps, no numbers."""

from typing import Any

import jax
import keras
from jax import numpy as jnp

from ..cells.built import step_spec
from . import memory as memories

Tree = Any

# What is unknown may be anything: a step is traced for some size.
_SOME = 2


def step(
    cell: Any, rows: int | None, sequences: Tree, memory: Tree, memory_mask: Tree
) -> tuple[Tree, Tree]:
    """Shapes and dtypes ``(B, ...)`` of a step's output and states.

    Args:
        cell: built; ours or Keras-style.
        rows: B; None if unknown.
        sequences: a tree of symbols ``(B, T, ...)``.
        memory: a tree of symbols ``(B, ...)``, or None.
        memory_mask: a tree of symbols or arrays, or None.
    """

    def known(symbol: keras.KerasTensor, leading: int) -> jax.ShapeDtypeStruct:
        sizes = (rows or _SOME, *(n or _SOME for n in symbol.shape[leading:]))
        return jax.ShapeDtypeStruct(sizes, symbol.dtype)

    def masks(memory: Tree) -> Tree:
        if memory_mask is None or memory is None:
            return None
        ones = jax.tree.map(
            lambda mask: jnp.ones(known(mask, 1).shape, bool), memory_mask
        )
        return memories.masks(memory, ones)

    x = jax.tree.map(lambda symbol: known(symbol, 2), sequences)
    return step_spec(cell, x, jax.tree.map(lambda m: known(m, 1), memory), masks)
