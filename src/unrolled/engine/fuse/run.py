"""Run time loops by the core, if their steps have a fused form."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax import numpy as jnp

from .. import forms, loop, native
from .call import Made, made
from .flat import NotFusedError
from .loops import Bound, Fused
from .trace import constants, trace, with_rows

Tree = Any


class Found(NamedTuple):
    """What a loop came to, and what ran it.

    Attributes:
        carry: the last; None where the scan has to do it.
        y: of all steps ``(B, T, ...)``, in the order of processing.
        why: of a loop that could not be run, what stands in the way.
        said: of one that was, by what.
    """

    carry: Any = None
    y: Tree = None
    why: str = ""
    said: str = ""


def run(
    loops: Sequence[loop.Prepared], constants_of: Sequence[Callable[[int], Tree]]
) -> list[Found]:
    """Run loops of one batch that do not wait for each other in one native call.

    Args:
        loops: all of them.
        constants_of: of each the shapes of its constants, with so many rows.
    """
    found = [_form(*each) for each in zip(loops, constants_of, strict=True)]
    there = [each for each in found if isinstance(each, _Form)]
    fused = Fused(tuple(each.bound for each in there))
    left = iter(fused([each.args for each in there]) if there else ())
    return [
        Found(why=each) if isinstance(each, str) else each.found(next(left))
        for each in found
    ]


class _Form(NamedTuple):
    """A loop as a function of arrays, these, and what its results stand for.

    `carry` is that before the first step, its variables those after the last, in
    leaves. Results are states and held output of the structure `of_carry`, then y.
    """

    bound: Bound
    args: list[Any]
    carry: Any
    of_carry: Any
    of_y: Any

    def found(self, results: Sequence[Any]) -> Found:
        """What the loop came to."""
        count = self.of_carry.num_leaves
        states, held = self.of_carry.unflatten(results[:count])
        after = self.carry._replace(states=states, held=held)
        y = self.of_y.unflatten(results[count:])
        return Found(after, y, said=_said(self.bound.programs))


def _form(prepared: loop.Prepared, constants_of: Callable[[int], Tree]) -> _Form | str:
    """The fused form of a loop, or why it has none."""
    if why := refused():
        return why
    try:
        return _traced_form(prepared, constants_of)
    except NotFusedError as error:
        return str(error)


def _traced_form(prepared: loop.Prepared, constants_of: Callable[[int], Tree]) -> _Form:
    step, still, carry, steps, reverse, *_ = prepared
    whole, of_still = jax.tree.flatten(still)
    alone, of_alone = jax.tree.flatten(carry.variables)
    carried, of_carry = jax.tree.flatten((carry.states, carry.held))
    sequences, of_steps = jax.tree.flatten(steps)
    of_y: Any = None

    def flat(alone: list, whole: list, carried: list, x: list) -> list[Any]:
        nonlocal of_y
        states, held = of_carry.unflatten(carried)
        before = carry._replace(
            states=states, held=held, variables=of_alone.unflatten(alone)
        )
        after, y = step(of_still.unflatten(whole), before, of_steps.unflatten(x))
        leaves, of_y = jax.tree.flatten(y)
        moved = jax.tree.leaves((after.states, after.held))
        return [*jax.tree.leaves(after.variables), *moved, *leaves]

    at = [jax.ShapeDtypeStruct((a.shape[0], *a.shape[2:]), a.dtype) for a in sequences]
    own = len(jax.tree.leaves(still._replace(constants=())))

    def shapes(rows: int) -> list[Any]:
        first = [with_rows(rows, a) for a in whole[:own]]
        return [*first, *constants(constants_of, rows, len(whole) - own)]

    traced = trace(flat, alone, whole, carried, at, reverse, shapes)
    key, programs = made(traced)
    present = traced.present._replace(groups=programs.step.groups)
    if traced.apart is not None:
        alone, edge = traced.apart.run(alone, sequences[0].shape[1])
        sequences = [*sequences, *edge]
    args = [*traced.consts, *whole, *carried, *sequences]
    after = carry._replace(variables=of_alone.unflatten(alone))
    return _Form(Bound(key, programs, present), args, after, of_carry, of_y)


def _said(programs: Made) -> str:
    products, pointwise = programs.plain.program.counts
    kinds = ((products, "product"), (pointwise, "pointwise operation"))
    counted = ", ".join(f"{n} {kind}{'s' * (n != 1)}" for n, kind in kinds)
    made = (v.dtype for e in programs.plain.loop.equations for v in e.outputs)
    rounded = ", rounded to bfloat16" * any(dtype == jnp.bfloat16 for dtype in made)
    return f"the native kernel ({native.variant()}): {counted}, in float32{rounded}."


def refused() -> str:
    """Why nothing is fused here, or an empty string."""
    if jax.default_backend() != "cpu":
        return "only on a CPU are cells fused that are not cuDNN's"
    return forms.refused() or native.missing()
