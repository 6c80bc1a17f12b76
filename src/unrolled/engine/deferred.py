"""A scan that takes the gradients of its weights after the loop, all steps at once.

Differentiating `jax.lax.scan` adds up a weight's gradient step by step: T small
products, and T passes over an array as large as the weight. But what the steps
multiplied is known once the loop has run. So here the tangent of a step's product is
split: what weights and inputs add to it, for all T steps in one product, and what the
carried tangent adds, step by step. Transposed, the first is one product per weight
after the backward loop.

This is a rule for forward mode; reverse mode, second derivatives, vmap and remat
follow from it.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

from .._borrowed import SymbolicZero, eval_jaxpr, linear, varying_alike

Tree = Any

# What the backward loop computes again; all else, such as tanh, is kept.
_CHEAP = frozenset(
    [
        *("add", "sub", "mul", "neg", "max", "min", "select_n", "convert_element_type"),
        *("broadcast_in_dim", "concatenate", "reshape", "slice", "split", "squeeze"),
        *("eq", "ge", "gt", "le", "lt", "ne"),
    ]
)


def scan(
    product: Callable[[Tree, Tree], Tree],
    finish: Callable[[Tree, Tree, Tree], tuple[Tree, Tree]],
    carry: Tree,
    xs: Tree,
    *,
    ahead: Callable[[Tree], Tree] = lambda x: x,
    reverse: bool = False,
    unroll: int | bool = 1,
) -> tuple[Tree, Tree]:
    """``lax.scan`` of a step in parts, ``finish(product(carry, ahead(x)), carry, x)``.

    Args:
        product: ``(carry, x) -> z``, what multiplies by weights; for one step, and for
            arguments with one more axis in front, of all steps.
        finish: ``(z, carry, x) -> (carry, y)``, the rest; x itself must not be
            differentiated here.
        carry: the carry before the first step; floating point.
        xs: what the steps read, a tree of ``(T, ...)``.
        ahead: the share of the product that needs no carry, for one step or for all:
            step by step, but for all at once where the scan is differentiated.
        reverse: the last step first.
        unroll: steps per compiled loop iteration, or True for all.

    Returns:
        The last carry, and the steps' y, a tree of ``(T, ...)``.

    Example:
        >>> import jax.numpy as jnp
        >>> from unrolled.engine.deferred import scan
        >>> weight = jnp.asarray(2.0)
        >>> product = lambda h, x: weight * h
        >>> finish = lambda z, h, x: (z + x, z + x)
        >>> scan(product, finish, jnp.asarray(0.0), jnp.arange(4.0))[1].tolist()
        [0.0, 1.0, 4.0, 11.0]
    """
    # A rule runs later than this function, so what the parts close over is passed on.
    first = jax.eval_shape(lambda xs: jax.tree.map(lambda a: a[0], xs), xs)
    length = jax.tree.leaves(xs)[0].shape[0]
    repeat = lambda a: jnp.broadcast_to(a, (length, *a.shape))  # noqa: E731
    everywhere = jax.eval_shape(lambda carry: jax.tree.map(repeat, carry), carry)
    prepare, w = _close(ahead, first)
    prepare_all, all_w = _close(ahead, xs)
    prepared = jax.eval_shape(ahead, first), jax.eval_shape(ahead, xs)
    multiply, r = _close(product, carry, prepared[0])
    multiply_all, all_r = _close(product, everywhere, prepared[1])
    z = jax.eval_shape(product, carry, prepared[0])
    complete, others = _close(finish, z, carry, first)

    def run(body: Callable, carry: Tree, xs: Tree) -> tuple[Tree, Tree]:
        return lax.scan(body, carry, xs, reverse=reverse, unroll=unroll)

    def shifted(first: jax.Array, after: jax.Array) -> jax.Array:
        if reverse:
            return jnp.concatenate([after[1:], first[None]])
        return jnp.concatenate([first[None], after[:-1]])

    @jax.custom_jvp
    def whole(arguments: tuple) -> tuple[Tree, Tree]:
        ((w, r), _, others, carry, xs) = arguments

        def step(carry: Tree, x: Tree) -> tuple[Tree, Tree]:
            return complete(others, multiply(r, carry, prepare(w, x)), carry, x)

        return run(step, carry, xs)

    def rule(primals: tuple, tangents: tuple) -> tuple[Tree, Tree]:
        (((_, r), (all_w, all_r), others, carry, xs),) = primals
        # The two lists of weights are the same arrays; their tangents count once.
        ((_, dweights, dothers, dcarry, dxs),) = tangents
        moving = _moving(dothers)
        distinct = _Distinct()

        def forward(carry: Tree, at: tuple) -> tuple[Tree, Tree]:
            x, early = at

            @functools.partial(jax.checkpoint, policy=_is_kept, prevent_cse=False)
            def rest(z: Tree, carry: Tree, moved: list) -> tuple[Tree, Tree]:
                return complete(_merge(moving, moved, others), z, carry, x)

            z = multiply(r, carry, early)
            (after, y), slope = jax.linearize(rest, z, carry, _take(moving, others))
            return after, distinct.pack((y, after, slope))

        early = prepare_all(all_w, xs)
        last, packed = run(forward, carry, (xs, early))
        ys, after, slopes = distinct.unpack(packed)
        before = jax.tree.map(shifted, carry, after)
        dz = _jvp(
            lambda w, r, xs: multiply_all(r, before, prepare_all(w, xs)),
            (all_w, all_r, xs),
            (*dweights, dxs),
        )
        dcarry = varying_alike((carry, jax.tree.map(_dense, dcarry)))[1]

        def rates(dcarry: Tree, dz: Tree, dothers: list) -> tuple[Tree, Tree]:
            def tangent(dcarry: Tree, at: tuple) -> tuple[Tree, Tree]:
                slope, dz, carry, early = at
                more = _jvp(lambda c: multiply(r, c, early), (carry,), (dcarry,))
                return slope(jax.tree.map(jnp.add, dz, more), dcarry, dothers)

            return run(tangent, dcarry, (slopes, dz, before, early))

        dlast, dys = linear(rates, dcarry, dz, _take(moving, dothers))
        return (last, ys), (dlast, dys)

    whole.defjvp(rule, symbolic_zeros=True)
    return whole(((w, r), (all_w, all_r), others, carry, xs))


class _Distinct:
    """Stores an array once that a step gives under several names."""

    def pack(self, tree: Tree) -> list[Any]:
        leaves, self.structure = jax.tree.flatten(tree)
        found = {id(leaf): leaf for leaf in leaves}
        places = {key: place for place, key in enumerate(found)}
        self.places = [places[id(leaf)] for leaf in leaves]
        return list(found.values())

    def unpack(self, found: list[Any]) -> Tree:
        return jax.tree.unflatten(self.structure, [found[p] for p in self.places])


def _is_kept(primitive: Any, *_: Any, **__: Any) -> bool:
    return primitive.name not in _CHEAP


def _close(fun: Callable, *shapes: Tree) -> tuple[Callable, list[Any]]:
    """`fun` with what it closes over as its first argument, and those arrays."""
    closed, out = jax.make_jaxpr(fun, return_shape=True)(*shapes)
    structure = jax.tree.structure(out)

    def pure(constants: list, *args: Tree) -> Tree:
        out = eval_jaxpr(closed.jaxpr, constants, *jax.tree.leaves(args))
        return jax.tree.unflatten(structure, out)

    return pure, list(closed.consts)


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
