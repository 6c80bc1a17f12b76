"""Run time loops by the core, if their steps have a fused form."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from .. import forms, loop, native
from .ahead import Ahead, ahead
from .call import Made, made
from .flat import NotFusedError
from .gradient import Traced
from .loops import Bound, Fused
from .views import batch_axis

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
    sizes = [n for a in jax.tree.leaves(prepared.steps) for n in a.shape]
    if why := refused():
        return why
    if not all(isinstance(n, int) for n in sizes):
        return "a size that is a symbol has no fused form"
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

    def traced(*given: list) -> tuple[Any, Traced, Ahead | None]:
        back = [reverse] * len(sequences)
        if not alone:
            closed = jax.make_jaxpr(functools.partial(flat, []))(*given)
            return closed, _traced(closed, given, back), None
        apart = ahead(flat, alone, *given)
        edge = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in apart.edge]
        if any(e.shape[:1] != given[1][0].shape[:1] for e in edge):
            raise NotFusedError(
                "what each step changes for all rows alike has no fused form"
            )
        closed = jax.make_jaxpr(
            lambda whole, carried, x, edge: apart.step([*whole, *carried, *x], edge)
        )(*given, edge)
        given = (given[0], given[1], [*given[2], *edge])
        # The edge is in the order of processing.
        return closed, _traced(closed, given, back + [False] * len(edge)), apart

    at = [jax.ShapeDtypeStruct((a.shape[0], *a.shape[2:]), a.dtype) for a in sequences]
    closed, present, apart = traced(whole, carried, at)
    own = len(jax.tree.leaves(still._replace(constants=())))

    def trace(rows: int) -> Traced:
        def with_rows(a: Any) -> Any:
            return jax.ShapeDtypeStruct((rows, *a.shape[1:]), a.dtype)

        constants = _shapes(constants_of, rows, len(whole) - own)
        still = [*map(with_rows, whole[:own]), *constants]
        moved = [*map(with_rows, carried)], [*map(with_rows, at)]
        try:
            again, step, _ = traced(still, *moved)
        except NotFusedError:
            raise
        except Exception as error:  # whatever a cell says to other sizes
            name = type(error).__name__
            raise NotFusedError(
                f"a step that fails with another batch size ({name}) has no fused form"
            ) from error
        if [c.shape for c in again.consts] != [c.shape for c in closed.consts]:
            raise NotFusedError(
                "what a step closes over for each row has no fused form"
            )
        return step

    key, programs = made(trace)
    present = present._replace(groups=programs.step.groups)
    if apart is not None:
        alone, edge = apart.run(alone, sequences[0].shape[1])
        sequences = [*sequences, *edge]
    args = [*closed.consts, *whole, *carried, *sequences]
    after = carry._replace(variables=of_alone.unflatten(alone))
    return _Form(Bound(key, programs, present), args, after, of_carry, of_y)


def _shapes(constants_of: Callable[[int], Tree], rows: int, count: int) -> list[Any]:
    """The constants' shapes with so many rows."""
    if not count:
        return []
    try:
        found = jax.tree.leaves(constants_of(rows))
    except (TypeError, ValueError) as error:
        raise NotFusedError(
            f"constants for another batch size fail ({error})"
        ) from error
    if len(found) != count:
        raise NotFusedError(
            "constants that depend on the batch size have no fused form"
        )
    return found


def _said(programs: Made) -> str:
    products, pointwise = programs.plain.program.counts
    kinds = ((products, "product"), (pointwise, "pointwise operation"))
    counted = ", ".join(f"{n} {kind}{'s' * (n != 1)}" for n, kind in kinds)
    return f"the native kernel ({native.variant()}): {counted}, in float32."


def _traced(closed: Any, given: tuple, reverse: list[bool]) -> Traced:
    """A step traced with such arguments: what all steps read, the carry, x."""
    whole, carried, x = map(len, given)
    first = len(closed.consts)
    ends = [first + whole, first + whole + carried]
    rows = [
        first + i
        for i, a in enumerate(given[0])
        if batch_axis(a.shape, "a constant") == 0
    ]
    shared = [i for i in range(ends[0]) if i not in rows]
    groups = (shared, rows, range(*ends), range(ends[1], ends[1] + x))
    return Traced(closed.jaxpr, tuple(map(tuple, groups)), tuple(reverse))


def refused() -> str:
    """Why nothing is fused here, or an empty string."""
    if jax.default_backend() != "cpu":
        return "only on a CPU are cells fused that are not cuDNN's"
    return forms.refused() or native.missing()
