"""Which activations can be computed again, here and in the page, and their names.

The function itself decides, never its name: a `relu` of the user's own is not Keras's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

Formula = Callable[[np.ndarray], np.ndarray]

# compute.js has the same ones, under the same names.
FORMULAS: dict[str, Formula] = {
    "linear": lambda v: v,
    "tanh": np.tanh,
    "sigmoid": lambda v: 0.5 * np.tanh(0.5 * v) + 0.5,
    "relu": lambda v: np.maximum(v, 0),
    "hard_sigmoid": lambda v: np.clip(v / 6 + 0.5, 0, 1),
    "softsign": lambda v: v / (1 + np.abs(v)),
}


def _known() -> list[tuple[Any, str]]:
    """The functions that are such a formula, with its name."""
    found = []
    for name in FORMULAS:
        for room in (keras.activations, keras.ops, jax.nn, jnp):
            function = getattr(room, name, None)
            found += [(function, name)] if callable(function) else []
    return found


_KNOWN = _known()


def computed_as(function: Any) -> str | None:
    """The formula of an activation, or None if it is not one of those known here."""
    if function is None:
        return "linear"
    return next((name for one, name in _KNOWN if one is function), None)


def activation_name(function: Any) -> str:
    """What words call an activation; a namesake of one of Keras's says so."""
    if function is None:
        return "linear"
    name = getattr(function, "__name__", None) or type(function).__name__
    theirs = getattr(keras.activations, name, None)
    if theirs is None or function is theirs or computed_as(function) == name:
        return name
    return f"own {name}"


def activation(function: Any) -> Formula:
    """An activation on NumPy arrays; those not known here run through JAX."""
    known = computed_as(function)
    if known:
        return FORMULAS[known]
    return lambda v: np.asarray(function(jnp.asarray(v)), "float32")
