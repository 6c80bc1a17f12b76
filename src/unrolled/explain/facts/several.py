"""Several arrays that one step reads: side by side as one row of numbers, and back.

What is stepped, blanked and compared is one array x (B,T,n); a cell gets its own form.
The widest array, whose numbers are called features, comes first.
"""

from __future__ import annotations

from math import prod
from typing import Any

import jax
import numpy as np

from .stepping import flat


def main(inputs: Any) -> Any:
    """The widest array."""
    return max(jax.tree.leaves(inputs), key=lambda array: array.shape[-1])


def _order(leaves: list[Any]) -> list[int]:
    """Their places, that of the widest first."""
    first = next(k for k, leaf in enumerate(leaves) if leaf is main(leaves))
    return [first, *(k for k in range(len(leaves)) if k != first)]


def joined(inputs: Any) -> np.ndarray:
    """Arrays (B,T,...) as one; an array alone stays as it is."""
    leaves = flat(inputs)
    if len(leaves) == 1:
        return leaves[0]
    order = _order(jax.tree.leaves(inputs))
    rows = [leaves[k].reshape(*leaves[k].shape[:2], -1) for k in order]
    return np.concatenate(rows, -1)


def apart(x: Any, inner: Any) -> Any:
    """The inverse: (..., n) as what a cell reads.

    Args:
        x: one array.
        inner: shapes and dtypes of one step of one row (recurrent.py); None, or one
            leaf, where that is what x is already.
    """
    leaves, structure = jax.tree.flatten(inner)
    if len(leaves) < 2:
        return x
    found: list[Any] = [None] * len(leaves)
    at = 0
    for k in _order(leaves):
        wide = prod(leaves[k].shape)
        part = x[..., at : at + wide].reshape(*x.shape[:-1], *leaves[k].shape)
        found[k], at = part.astype(leaves[k].dtype), at + wide
    return jax.tree.unflatten(structure, found)


def features(inner: Any) -> int:
    """How many numbers the widest has: those come first."""
    return prod(main(inner).shape)


def name(cell: Any, inner: Any) -> str | None:
    """What a cell calls the one array beside the features, if it says."""
    pair = getattr(cell, "pair", ())
    other = [word for word in pair if word != "features"]
    return other[0] if len(jax.tree.leaves(inner)) == 2 and len(other) == 1 else None
