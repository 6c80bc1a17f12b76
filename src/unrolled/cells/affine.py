"""A product with weights and a bias, for cells and wrappers that have several."""

from typing import Any

import jax
from jax import numpy as jnp

from ..checks import require
from .base import Cell
from .built import step_shapes


def add_affine(
    cell: Cell, name: str, rows: int, width: int, kernel: Any, bias: Any = "zeros"
) -> None:
    """Give a cell the weights ``<name>_kernel (rows, width)`` and ``<name>_bias``.

    Args:
        cell: whose weights they are.
        name: what they are called.
        rows: how many numbers are read.
        width: how many are given.
        kernel: initializer of the kernel.
        bias: initializer of the bias.
    """
    shapes = {"kernel": (rows, width), "bias": (width,)}
    for kind, initializer in (("kernel", kernel), ("bias", bias)):
        weight = cell.add_weight(
            name=f"{name}_{kind}", shape=shapes[kind], initializer=initializer
        )
        setattr(cell, f"{name}_{kind}", weight)


def affine(cell: Any, name: str, *parts: jax.Array) -> jax.Array:
    """``x @ kernel + bias`` in the state dtype, x ``(..., rows)`` in parts."""
    each = [part.astype(cell.state_dtype) for part in parts]
    x = jnp.concatenate(each, axis=-1) if len(each) > 1 else each[0]
    z = cell.matmul(x, getattr(cell, f"{name}_kernel").value)
    bias = jnp.asarray(getattr(cell, f"{name}_bias").value, z.dtype)
    return z + jnp.broadcast_to(bias, z.shape)


def row_width(cell: Any, of: Any) -> int:
    """How many numbers a cell gives at a step.

    Args:
        cell: what gives them.
        of: the cell around it, for the error.

    Raises:
        ValueError: if they are not one row.
    """
    shape = step_shapes(cell)
    require(
        isinstance(shape, tuple) and len(shape) == 1,
        "cell",
        f"inside {type(of).__name__} must give one row of numbers a step, (batch, U)",
        shape,
        "flatten its output, or wrap another cell",
    )
    return shape[0]


def check_positive(**sizes: int) -> None:
    """Check that sizes, by their arguments' names, are positive integers.

    Raises:
        ValueError: if one is not.
    """
    for name, size in sizes.items():
        require(
            isinstance(size, int) and not isinstance(size, bool) and size > 0,
            name,
            "must be a positive integer",
            repr(size),
            f"pass {name}=1 or more",
        )
