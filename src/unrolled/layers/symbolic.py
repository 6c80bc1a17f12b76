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
        # Of the sizes of the memory: its mask may know one that it does not.
        def ones(mask: Any, array: jax.Array) -> Any:
            if mask is None:
                return None
            return jnp.ones(array.shape[: len(mask.shape)], bool)

        return jax.tree.map(ones, matched, memory, is_leaf=lambda m: m is None)

    matched = memory if memory is None else memories.matched(memory, memory_mask)
    x = jax.tree.map(lambda symbol: known(symbol, 2), sequences)
    return step_spec(cell, x, jax.tree.map(lambda m: known(m, 1), memory), masks)
