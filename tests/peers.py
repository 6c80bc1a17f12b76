"""Ours beside a live library: the same numbers in, the same values and gradients out.

What goes in is a tree of float64 arrays that begins with the library's own weights, of
which ours are made; so gradients are those of the library's weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from . import record
from .harness import names_of

Tree = Any
# (what goes in, cotangents of what comes out) -> (what comes out, gradients)
Pulled = Callable[[Tree, list[Any]], tuple[list[Any], Tree]]


def pulled(function: Callable[[Tree], list[Any]]) -> Pulled:
    """Of a function of JAX, as one program."""

    @jax.jit
    def run(given: Tree, cotangents: list[Any]) -> tuple[list[Any], Tree]:
        outputs, pull = jax.vjp(function, given)
        return outputs, pull(cotangents)[0]

    return run


def agree(
    name: str,
    ours: Callable[[Tree], list[Any]],
    theirs: Pulled,
    given: Tree,
    rng: np.random.Generator,
) -> None:
    """Hold values and gradients of `ours` to those of `theirs`, in float64."""
    shapes = [out.shape for out in jax.eval_shape(ours, given)]
    cotangents = [rng.normal(size=shape) for shape in shapes]
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        values, gradients = theirs(given, cotangents)
    got, pulls = pulled(ours)(given, cotangents)
    for place, (one, other) in enumerate(zip(got, values, strict=True)):
        assert one.dtype == "float64"
        record.hold("values", "float64", one, other, f"{name} output {place}")
    wanted = jax.tree.leaves_with_path(gradients)
    found = jax.tree.leaves(pulls)
    for (path, other), one in zip(wanted, found, strict=True):
        case = f"{name} d{jax.tree_util.keystr(path)}"
        record.hold("gradients", "float64", one, other, case)


def called(layer: Any, weights: dict[str, Any], x: Any, **given: Any) -> list[Any]:
    """What a layer of ours gives with these weights, which are all it has."""
    names = names_of(layer.trainable_variables)
    assert sorted(names) == sorted(weights)
    rest = [v.value for v in layer.non_trainable_variables]
    out, _ = layer.stateless_call([weights[n] for n in names], rest, x, **given)
    return jax.tree.leaves(out)


def within(lengths: Any, y: Any) -> Any:
    """Outputs ``(B, T, ...)`` of the steps that count; zeros where a row is over."""
    steps = jnp.arange(y.shape[1], dtype=lengths.dtype)
    on = steps[None, :] < lengths[:, None]
    return jnp.where(on.reshape(*on.shape, *[1] * (y.ndim - 2)), y, 0.0)


def draw(rng: np.random.Generator, shapes: Tree) -> Tree:
    """Random weights of these shapes, and biases that are none of them zero."""
    return jax.tree.map(lambda s: 0.5 * rng.normal(size=s.shape), shapes)
