"""Whether what a layer is called with are arrays, and of which numbers."""

from typing import Any

import jax
import keras
import numpy as np

from ..checks import require

Tree = Any


def check(arrays: Tree, name: str) -> None:
    """Check that a tree holds arrays, of numbers.

    Args:
        arrays: the tree.
        name: the argument's.

    Raises:
        ValueError: if there is none, or one of them is of something else.
    """
    leaves = jax.tree.leaves(arrays, is_leaf=lambda a: a is None)
    others = [each for each in leaves if not is_numeric(each)]
    require(
        bool(leaves) and not others,
        name,
        "must hold arrays of numbers, (batch, time steps, features)",
        kind(others[0]) if others else repr(arrays),
        "pass arrays of NumPy or JAX, or Keras tensors",
    )


def check_real(value: Any, name: str, rule: str, advice: str) -> None:
    """Check that a value is an array of real numbers or truth values.

    Args:
        value: what came.
        name: the argument's.
        rule: what it must be.
        advice: what to do about it.

    Raises:
        ValueError: if it is not.
    """
    real = hasattr(value, "shape") and is_numeric(value)
    real = real and "complex" not in keras.backend.standardize_dtype(value.dtype)
    require(real, name, rule, kind(value), advice)


def is_numeric(array: Any) -> bool:
    """Whether this is an array of numbers or truth values, none of them masked."""
    if isinstance(array, (bool, int, float)):
        return True
    try:
        dtype = keras.backend.standardize_dtype(getattr(array, "dtype", "none"))
    except (TypeError, ValueError):
        return False
    return dtype != "string" and not isinstance(array, np.ma.MaskedArray)


def kind(value: Any) -> str:
    """What a value is, for an error."""
    dtype = getattr(value, "dtype", None)
    return repr(value) if dtype is None else f"{type(value).__name__} of {dtype}"
