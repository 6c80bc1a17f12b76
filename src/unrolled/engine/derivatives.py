"""A function computed by foreign calls, and every derivative of it.

One call gives the values, another the gradients; `forms` has both, each in plain JAX
too. Forward mode and higher derivatives come from the plain function. So its tangent is
one linear map in two forms: as it stands, the tangent of the plain function;
transposed, the call for gradients.

JAX has no such map that can be differentiated again: `jax.custom_vjp` knows only the
second form, and `jax.custom_derivatives.linear_call` may depend on nothing that moves.
Hence a primitive of our own.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax
from jax import numpy as jnp

from .._borrowed import (
    Primitive,
    SymbolicZero,
    ad,
    batching,
    mlir,
    varying_alike,
    zero_from_primal,
)
from . import forms

Tree = Any
Arrays = tuple[Any, ...]  # None stands for one that is absent


class Function(Protocol):
    """What there is of the function. Hashable: two that are equal are one."""

    def plain(self, *args: Any) -> Arrays:
        """The results, in plain JAX."""
        ...

    def forward(self, args: Arrays, save: bool) -> tuple[Arrays, Tree]:
        """The results, and, if it is to `save` it, what `backward` reads."""
        ...

    def backward(
        self, wanted: Sequence[bool], args: Arrays, saved: Tree, cotangents: Arrays
    ) -> Arrays:
        """The gradients of the arguments wanted, for the others None.

        A cotangent that is absent is zero.
        """
        ...


def call(function: Function, args: Arrays) -> Arrays:
    """The results of `function`, differentiable in every way."""
    return _values(function, False, varying_alike(args))[0]


def whole(results: Arrays, cotangents: Arrays) -> Arrays:
    """Cotangents, zeros in place of those that are absent."""
    pairs = zip(results, cotangents, strict=True)
    return tuple(
        jnp.zeros_like(result) if given is None and result is not None else given
        for result, given in pairs
    )


class _Values(NamedTuple):
    """The results, and what the pullback reads."""

    function: Function
    save: bool

    def native(self, args: Arrays) -> tuple[Arrays, Tree]:
        results, saved = self.function.forward(args, self.save)
        return results, saved if self.save else None

    def plain(self, args: Arrays) -> tuple[Arrays, Tree]:
        saved = jax.eval_shape(self.native, args)[1]  # the plain pullback reads nothing
        zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), saved)
        return self.function.plain(*args), zeros


class _Pullback(NamedTuple):
    """The gradients of the arguments that are `wanted`."""

    function: Function
    wanted: Sequence[bool]

    def native(self, args: Arrays, saved: Tree, cotangents: Arrays) -> Arrays:
        return self.function.backward(self.wanted, args, saved, cotangents)

    def plain(self, args: Arrays, saved: Tree, cotangents: Arrays) -> Arrays:
        del saved
        results, pull = jax.vjp(*_of(self.wanted, self.function.plain, args))
        found = iter(pull(whole(results, cotangents)))
        return tuple(next(found) if want else None for want in self.wanted)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _values(function: Function, save: bool, args: Arrays) -> tuple[Arrays, Tree]:
    results, saved = forms.bind(_Values(function, save), args)
    _, results, saved = varying_alike((args, results, saved))
    return results, saved


def _values_jvp(function: Function, save: bool, primals: Any, tangents: Any) -> Any:
    (args,), (dots,) = primals, tangents
    results, saved = _values(function, True, args)
    leaves, shape = jax.tree.flatten(results)
    residuals, tree = jax.tree.flatten((args, saved))
    dots, moving = jax.tree.flatten(_none_if_zero(dots))
    rates = _tangent.bind(
        *residuals,
        *dots,
        function=function,
        tree=tree,
        moving=moving,
        results=shape,
        avals=tuple(map(jax.typeof, leaves)),
        maps=(),
    )
    # What is saved moves too; but whoever reads it takes that from the arguments.
    saved = saved if save else None
    still = zero_from_primal(saved, symbolic_zeros=True)
    return (results, saved), (shape.unflatten(rates), still)


_values.defjvp(_values_jvp, symbolic_zeros=True)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _gradients(
    function: Function, wanted: tuple, args: Arrays, saved: Tree, cotangents: Arrays
) -> Arrays:
    found = forms.bind(_Pullback(function, wanted), args, saved, cotangents)
    return varying_alike((args, found))[1]


def _gradients_jvp(function: Function, wanted: tuple, primals: Any, dots: Any) -> Any:
    args, saved, cotangents = primals
    pullback = _Pullback(function, wanted)

    def plain(*both: Any) -> Arrays:
        return pullback.plain(both[: len(args)], saved, both[len(args) :])

    rates = _along(plain, (*args, *cotangents), _none_if_zero((*dots[0], *dots[2])))
    return _gradients(function, wanted, *primals), rates


_gradients.defjvp(_gradients_jvp, symbolic_zeros=True)


# --- the tangent of `_values`, a primitive ---

# Operands: the leaves of (args, saved), whose structure is `tree`; then, for the
# arguments that move, how; `moving` is the structure of all these with None for the
# others. It is linear in the latter. Each vmap adds to `maps` the axes of the former;
# it puts its axis first in the latter and in the results, whose types are `avals`.
_tangent = Primitive("unrolled_tangent")
_tangent.multiple_results = True
_tangent.def_abstract_eval(lambda *_, avals, **__: avals)


def _evaluate(
    *leaves: Any, function: Function, tree: Any, moving: Any, maps: Any, **_: Any
) -> list[Any]:
    def one(residuals: Any, dots: Any) -> list[Any]:
        args, _ = tree.unflatten(residuals)
        return jax.tree.leaves(_along(function.plain, args, moving.unflatten(dots)))

    count = tree.num_leaves
    return forms.mapped(one, maps)(leaves[:count], leaves[count:])


_STATIC = ("function", "tree", "moving", "results", "avals", "maps")
_tangent.def_impl(jax.jit(_evaluate, static_argnames=_STATIC))
mlir.register_lowering(_tangent, mlir.lower_fun(_evaluate, multiple_results=True))


def _transpose(
    cotangents: Any,
    *leaves: Any,
    function: Function,
    tree: Any,
    moving: Any,
    results: Any,
    maps: Any,
    **_: Any,
) -> list[Any]:
    if all(isinstance(cotangent, ad.Zero) for cotangent in cotangents):
        return [None] * len(leaves)
    dots = moving.unflatten(leaves[tree.num_leaves :])
    wanted = tuple(ad.is_undefined_primal(dot) for dot in dots)

    def one(residuals: Any, cotangents: Any) -> Arrays:
        args, saved = tree.unflatten(residuals)
        return _gradients(function, wanted, args, saved, cotangents)

    residuals = leaves[: tree.num_leaves]
    found = forms.mapped(one, maps)(
        residuals, results.unflatten(_none_if_zero(cotangents))
    )
    pairs = zip(found, dots, strict=True)
    return [*(None for _ in residuals), *(f for f, dot in pairs if dot is not None)]


ad.primitive_transposes[_tangent] = _transpose


def _jvp(primals: Any, tangents: Any, **params: Any) -> tuple[Any, Any]:
    count, moving = params["tree"].num_leaves, params["moving"]
    residuals, fixed = primals[:count], primals[count:]
    slopes, dots = _none_if_zero(tangents[:count]), _none_if_zero(tangents[count:])
    rates = []
    if any(dot is not None for dot in dots):
        moved, fewer = jax.tree.flatten(moving.unflatten(dots))
        rates += [_tangent.bind(*residuals, *moved, **{**params, "moving": fewer})]
    if any(slope is not None for slope in slopes):
        of = lambda *residuals: _evaluate(*residuals, *fixed, **params)  # noqa: E731
        rates += [_along(of, residuals, slopes)]
    total = [functools.reduce(jnp.add, each) for each in zip(*rates, strict=True)]
    return _tangent.bind(*primals, **params), total


ad.primitive_jvps[_tangent] = _jvp


def _batch(
    leaves: Any, axes: Any, *, tree: Any, avals: Any, maps: Any, **params: Any
) -> tuple[Any, Any]:
    count = tree.num_leaves
    pairs = [*zip(leaves, axes, strict=True)]
    size = next(leaf.shape[axis] for leaf, axis in pairs if axis is not None)
    dots = [batching.bdim_at_front(leaf, axis, size) for leaf, axis in pairs[count:]]
    rates = _tangent.bind(
        *leaves[:count],
        *dots,
        tree=tree,
        avals=tuple(aval.update(shape=(size, *aval.shape)) for aval in avals),
        maps=(*maps, (tuple(axes[:count]), 0)),
        **params,
    )
    return rates, [0] * len(rates)


batching.primitive_batchers[_tangent] = _batch


# --- some of the arguments ---


def _of(
    chosen: Sequence[bool], fun: Callable[..., Any], args: Sequence[Any]
) -> tuple[Callable[..., Any], *tuple[Any, ...]]:
    """`fun` of the chosen arguments, the others being held; and those chosen."""

    def of(*some: Any) -> Any:
        given = iter(some)
        pairs = zip(chosen, args, strict=True)
        return fun(*(next(given) if choose else arg for choose, arg in pairs))

    return of, *(arg for choose, arg in zip(chosen, args, strict=True) if choose)


def _along(fun: Callable[..., Any], args: Sequence[Any], dots: Sequence[Any]) -> Any:
    """The tangent of ``fun(*args)``; where a dot is None, the argument is held."""
    of, *at = _of([dot is not None for dot in dots], fun, args)
    return jax.jvp(of, at, [dot for dot in dots if dot is not None])[1]


def _none_if_zero(dots: Sequence[Any]) -> Arrays:
    return tuple(None if isinstance(d, (ad.Zero, SymbolicZero)) else d for d in dots)
