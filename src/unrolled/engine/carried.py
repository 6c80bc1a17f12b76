"""The states that a stateful layer carries from batch to batch, as Keras variables."""

from collections.abc import Callable
from typing import Any

import jax
import keras
from jax import numpy as jnp

from ..checks import require

Tree = Any


def leaves(states: Tree) -> list[keras.Variable]:
    """The variables, in order; none if nothing is carried."""
    return jax.tree.leaves(states, is_leaf=_is_variable)


def create(initial: Callable[[int], Tree], batch_size: Any, dtype: str) -> Tree:
    """Variables that begin as `initial` says.

    Args:
        initial: from a batch size to a tree of ``(B, ...)``.
        batch_size: B; None if unknown.
        dtype: of floating states held in less than 32 bits, which are carried as
            the weights are; others keep their own.

    Raises:
        ValueError: if `batch_size` is None.
    """
    require(
        batch_size is not None,
        "batch_size",
        "must be known where stateful=True: row i continues row i",
        "None",
        "pass keras.Input(batch_size=...), or call the layer on data first",
    )
    shapes, structure = jax.tree.flatten(jax.eval_shape(lambda: initial(batch_size)))

    def variable(index: int, like: Any) -> keras.Variable:
        def initializer(shape: Any, dtype: Any) -> jax.Array:
            del shape
            return jax.tree.leaves(initial(batch_size))[index].astype(dtype)

        narrow = like.dtype.itemsize <= 2 and jnp.issubdtype(like.dtype, jnp.floating)
        wide = dtype if narrow else like.dtype
        return keras.Variable(
            initializer, like.shape, wide, trainable=False, name=f"state_{index}"
        )

    variables = [variable(index, like) for index, like in enumerate(shapes)]
    return jax.tree.unflatten(structure, variables)


def take(states: Tree, rows: int) -> Tree:
    """The first `rows` rows.

    Raises:
        ValueError: if fewer rows are kept.
    """
    kept = leaves(states)[0].shape[0]
    require(
        isinstance(rows, int) and rows <= kept,
        "sequences",
        f"must have a batch size of at most {kept}, the rows of state kept",
        rows,
        "build the stateful layer with the largest batch",
    )
    return jax.tree.map(lambda v: v.value[:rows], states, is_leaf=_is_variable)


def put(states: Tree, new: Tree, rows: int) -> None:
    """Keep `new` for the first rows; the others stay as they were."""
    for variable, state in zip(leaves(states), jax.tree.leaves(new), strict=True):
        state = state.astype(variable.dtype)
        variable.assign(variable.value.at[:rows].set(state))


def _is_variable(value: Any) -> bool:
    return isinstance(value, keras.Variable)
