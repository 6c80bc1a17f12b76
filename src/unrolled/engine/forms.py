"""A call in two forms, native and plain JAX, and who takes which.

Here the native form runs. What `jax.export` writes may be loaded where this package is
not, so there the plain form stands, unless the native one is asked for; and so it does
for whoever translates JAX's programs into others, that know no call of ours.

JAX asks a primitive, and nobody else, what it is to become when a program is written
down. Hence one of our own.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol

import jax

from .._borrowed import (
    Primitive,
    batching,
    lowered_per_device,
    mlir,
    read_by_converters,
)
from ..checks import require
from . import native

Tree = Any
Use = Literal["off", "here", "exported"]
_USES = ("off", "here", "exported")
# Part of what JAX knows a compiled function by: one is traced again for another use.
_USE = jax.make_user_context("here")


class Call(Protocol):
    """A function of trees of arrays. Hashable: two that are equal are one."""

    @property
    def native(self) -> Callable[..., Tree]:
        """The results, by foreign calls."""
        ...

    @property
    def plain(self) -> Callable[..., Tree]:
        """The same in plain JAX."""
        ...


@contextmanager
def kernels(use: Use) -> Iterator[None]:
    """Where the native kernels run, of layers that are called in this block.

    What JAX has compiled before, Keras's `predict` and `fit` included, is compiled
    anew for another use.

    Args:
        use: ``"off"``: nowhere; every layer is plain JAX, as where there are no
            kernels. ``"here"``, as outside of any block: in what this process runs, and
            not in what `jax.export` writes, so that it loads where unrolled is not
            installed. ``"exported"``: there too. JAX then wants to be told the names of
            the calls, and the file is called in such a block.

    Raises:
        ValueError: if `use` is none of these, or ``"exported"`` where no kernel runs.

    Example:
        >>> import unrolled
        >>> layer = unrolled.LSTM(4)
        >>> with unrolled.kernels("off"):
        ...     print(layer.plan((2, 3, 5)))
        the scan: unrolled.kernels("off") asks for it.
    """
    known = ", ".join(map(repr, _USES))
    advice = "see the docstring of unrolled.kernels for what each does"
    require(use in _USES, "use", f"must be one of {known}", repr(use), advice)
    missing = use == "exported" and (native.refused() or native.missing())
    advice = 'leave "exported" out: what is exported is then plain JAX'
    require(not missing, "use", '"exported" needs the kernels', missing, advice)
    with _USE(use):
        yield


def refused() -> str:
    """Who asks that no kernel runs, or an empty string."""
    asked = _USE.value == "off"
    return 'unrolled.kernels("off") asks for it' if asked else native.refused()


def bind(call: Call, *args: Tree) -> Tree:
    """The results of `call`, in the form that the place wants."""
    leaves, tree = jax.tree.flatten(args)
    results = _whole.eval_shape(*leaves, call=call, tree=tree)
    shapes, structure = jax.tree.flatten(results)
    read_by_converters(_call.name, _plain_program)
    found = _call.bind(
        *leaves,
        call=call,
        tree=tree,
        maps=(),
        avals=tuple(map(jax.typeof, shapes)),
        exported=_USE.value == "exported",
    )
    return structure.unflatten(found)


@functools.partial(jax.jit, static_argnames=("call", "tree"))
def _whole(*leaves: Any, call: Call, tree: Any) -> Tree:
    return call.native(*tree.unflatten(leaves))


# --- the primitive ---

# Operands: the leaves of the arguments, whose structure is `tree`. Each vmap adds to
# `maps` where its axis lies in them; in the results, whose types are `avals`, it comes
# first.
_call = Primitive("unrolled_call")
_call.multiple_results = True
_call.def_abstract_eval(lambda *_, avals, **__: avals)


def _native(*leaves: Any, call: Call, tree: Any, maps: Any, **_: Any) -> list[Any]:
    return _evaluate(call.native, leaves, tree, maps)


def _plain(*leaves: Any, call: Call, tree: Any, maps: Any, **_: Any) -> list[Any]:
    return _evaluate(call.plain, leaves, tree, maps)


def _evaluate(form: Callable[..., Tree], leaves: Any, tree: Any, maps: Any) -> Any:
    def one(leaves: Any) -> list[Any]:
        return jax.tree.leaves(form(*tree.unflatten(leaves)))

    return mapped(one, maps)(leaves)


def mapped(one: Callable[..., Any], maps: Any) -> Callable[..., Any]:
    """`one` under a vmap for each of `maps`, which say where the axes lie."""
    for axes in maps:
        one = jax.vmap(one, axes)
    return one


_STATIC = ("call", "tree", "maps", "avals", "exported")
_eager = jax.jit(_native, static_argnames=_STATIC)
_call.def_impl(_eager)


def _lower(context: Any, *operands: Any, exported: bool, **params: Any) -> Any:
    written = context.module_context.lowering_parameters.for_export
    form = _plain if written and not exported else _native
    return mlir.lower_fun(form, multiple_results=True)(context, *operands, **params)


mlir.register_lowering(_call, _lower)
lowered_per_device.add(_call)


def _batch(
    leaves: Any, axes: Any, *, maps: Any, avals: Any, **params: Any
) -> tuple[Any, Any]:
    pairs = zip(leaves, axes, strict=True)
    size = next(leaf.shape[axis] for leaf, axis in pairs if axis is not None)
    found = _call.bind(
        *leaves,
        maps=(*maps, (tuple(axes),)),
        avals=tuple(aval.update(shape=(size, *aval.shape)) for aval in avals),
        **params,
    )
    return found, [0] * len(found)


batching.primitive_batchers[_call] = _batch


def _plain_program(equation: Any) -> Any:
    """What an equation of this primitive means, in primitives of JAX."""
    plain = functools.partial(_plain, **equation.params)
    return jax.make_jaxpr(plain)(*(variable.aval for variable in equation.invars))
