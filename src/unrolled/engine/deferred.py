"""A scan that takes the gradients of its weights after the loop, all steps at once.

Differentiating `jax.lax.scan` adds up a weight's gradient step by step: T small
products, and T passes over an array as large as the weight. But what the steps
multiplied is known once the loop has run. So the step is traced, and the places are
found where something enters that no carry has a part in: a product with a weight, a
bias, the share of the inputs. The tangent of what enters is computed for all T steps
at once and handed to the loop of tangents, which adds it in at its place. Transposed,
that loop gives the gradient at each place, and one product per weight comes after it.

This is a rule for forward mode; reverse mode, second derivatives, vmap and remat
follow from it.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

from .._borrowed import SymbolicZero, varying_alike
from .places import Step
from .widened import ARITHMETIC, CURVES

Tree = Any


def scan(
    step: Callable[[Tree, Tree], tuple[Tree, Tree]],
    carry: Tree,
    xs: Tree,
    *,
    hoist: bool = False,
    reverse: bool = False,
    unroll: int | bool = 1,
) -> tuple[Tree, Tree]:
    """``lax.scan`` of ``step(carry, x) -> (carry, y)``, with gradients as said above.

    Args:
        step: one step.
        carry: the carry before the first step.
        xs: what the steps read, a tree of ``(T, ...)``.
        hoist: compute what needs no carry for all steps at once, before the loop.
        reverse: the last step first.
        unroll: steps per compiled loop iteration, or True for all.

    Returns:
        The last carry, and the steps' y, a tree of ``(T, ...)``.

    Example:
        >>> import jax.numpy as jnp
        >>> from unrolled.engine.deferred import scan
        >>> weight = jnp.asarray(2.0)
        >>> step = lambda h, x: (weight * h + x, weight * h + x)
        >>> scan(step, jnp.asarray(0.0), jnp.arange(4.0))[1].tolist()
        [0.0, 1.0, 4.0, 11.0]
    """
    flat, of_carry = jax.tree.flatten(carry)
    flat_xs = jax.tree.leaves(xs)
    length = flat_xs[0].shape[0]
    first = jax.eval_shape(lambda xs: jax.tree.map(lambda a: a[0], xs), xs)
    traced = Step(step, carry, first)
    floats = [jnp.issubdtype(a.dtype, jnp.floating) for a in flat]

    def run(body: Callable, carry: list, xs: Tree) -> tuple[list, Tree]:
        # A step may read nothing of its own; else the length may be symbolic.
        steps = None if jax.tree.leaves(xs) else length
        return lax.scan(body, carry, xs, steps, reverse, unroll)

    @jax.custom_jvp
    def whole(weights: list, carry: list, xs: list) -> tuple[list, list]:
        fixed = traced.fixed(weights)

        def body(carry: list, x: list) -> tuple[list, list]:
            early = x if hoist else traced.early(fixed, x)
            carry, (y, _) = traced.late(fixed, early, carry)
            return carry, y

        return run(body, carry, traced.early_of_all(fixed, xs) if hoist else xs)

    def rule(primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
        weights, carry, xs = primals
        dweights, dcarry, dxs = tangents
        fixed = traced.fixed(weights)
        moving = traced.moving(_moving(dweights), _moving(dxs))
        places = traced.places(moving)
        others = traced.others(moving, places)
        zeros = varying_alike((carry, traced.zeros(places, length)))[1]
        ahead = [hoist or each for each in traced.ahead()]
        stacked = traced.early_of_all(fixed, xs) if any(ahead) else []
        is_kept = functools.partial(_is_kept, traced.widened.shapes)

        def loop(moved: list, zeros: list, values: list) -> tuple[list, Tree]:
            @functools.partial(jax.checkpoint, policy=is_kept, prevent_cse=False)
            def body(carry: list, zero: list, values: list, at: tuple) -> Any:
                x, known = at
                early = _merge(ahead, known, traced.early(fixed, x))
                moved = dict(zip(others, values, strict=True))
                return traced.late(fixed, early, carry, places, zero, moved)

            start = _merge(floats, moved, carry)
            at = zeros, (xs, _take(ahead, stacked or ahead))
            return run(lambda c, at: body(c, at[0], values, at[1]), start, at)

        start = _take(floats, carry), zeros, traced.values(others, fixed)
        (last, (ys, kept)), slope = jax.linearize(loop, *start)
        operands = traced.operands(places, fixed, carry, ys, kept, reverse)

        def entering(weights: list, xs: list) -> tuple[list, list]:
            fixed = traced.fixed(weights)
            early = traced.early_of_all(fixed, xs)
            given = traced.given(places, fixed, early, operands, length)
            return given, traced.values(others, fixed)

        dgiven, dvalues = _jvp(entering, (weights, xs), (dweights, dxs))
        dcarry = [_dense(t) for t in _take(floats, dcarry)]
        dcarry, dgiven = varying_alike((carry, dcarry, dgiven))[1:]
        dlast, (dys, _) = slope(dcarry, dgiven, dvalues)
        return (last, ys), (dlast, dys)

    whole.defjvp(rule, symbolic_zeros=True)
    last, ys = whole(traced.weights, flat, flat_xs)
    return of_carry.unflatten(last), traced.of_y.unflatten(ys)


def _is_kept(widened: set[tuple], primitive: Any, *avals: Any, **_: Any) -> bool:
    """Whether the backward loop reads it, and does not compute it again.

    What is kept is all that is not cheap, such as tanh. A part of an array is kept too,
    for else all of the array would be.
    """
    name = primitive.name
    again = name in CURVES and avals[0].shape in widened
    return name not in ARITHMETIC and not again


def _jvp(fun: Callable, primals: tuple, tangents: tuple) -> Tree:
    """The tangent of `fun`; arguments that do not move cost nothing."""
    flat, structure = jax.tree.flatten(primals)
    dots = structure.flatten_up_to(tangents)
    moving = _moving(dots)

    def of_moving(*moved: Any) -> Tree:
        return fun(*jax.tree.unflatten(structure, _merge(moving, moved, flat)))

    return jax.jvp(of_moving, _take(moving, flat), _take(moving, dots))[1]


def _moving(tangents: list) -> list[bool]:
    return [not isinstance(tangent, SymbolicZero) for tangent in tangents]


def _take(chosen: list[bool], items: list) -> list:
    return [item for item, take in zip(items, chosen, strict=True) if take]


def _merge(chosen: list[bool], taken: Sequence, rest: list) -> list:
    """`rest`, with the chosen places filled from those taken."""
    left = iter(taken)
    return [next(left) if c else r for c, r in zip(chosen, rest, strict=True)]


def _dense(tangent: Any) -> Any:
    if not isinstance(tangent, SymbolicZero):
        return tangent
    shape: Any = tangent.aval
    return jnp.zeros(shape.shape, shape.dtype)
