"""A step traced for programs: with the arrays at hand, and with any number of rows."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from .ahead import Ahead, ahead
from .flat import NotFusedError, refusing
from .gradient import Traced
from .views import batch_axis

Tree = Any


class Step(NamedTuple):
    """A step, traced.

    Attributes:
        consts: the arrays that it closes over.
        present: traced with the sizes at hand.
        apart: what of it needs no row, if there is such.
        again: traces it with so many rows.
    """

    consts: list[Any]
    present: Traced
    apart: Ahead | None
    again: Callable[[int], Traced]


def trace(
    step: Callable[..., list[Any]],
    alone: list[Any],
    whole: list[Any],
    carried: list[Any],
    x: list[Any],
    reverse: bool,
    shapes: Callable[[int], list[Any]],
) -> Step:
    """Trace a step.

    Args:
        step: ``(alone, whole, carried, x) -> [*alone, *carried, *y]``, of lists.
        alone: what goes from step to step without rows.
        whole: what is the same at all steps.
        carried: what goes from step to step, ``(B, ...)`` each.
        x: the shapes of what is read at a step, ``(B, ...)`` each.
        reverse: the last step first.
        shapes: of `whole`, with so many rows.

    Raises:
        NotFusedError: naming what stands in the way.
    """

    def traced(*given: list) -> tuple[Any, Traced, Ahead | None]:
        back = [reverse] * len(given[2])
        if not alone:
            closed = jax.make_jaxpr(functools.partial(step, []))(*given)
            return closed, _traced(closed, given, back), None
        apart = ahead(step, alone, *given)
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

    closed, present, apart = traced(whole, carried, x)

    def again(rows: int) -> Traced:
        of_rows = functools.partial(with_rows, rows)
        given = (shapes(rows), [*map(of_rows, carried)], [*map(of_rows, x)])
        # B and T may be symbols, that stand for any number.
        if not all(isinstance(n, int) for a in jax.tree.leaves(given) for n in a.shape):
            raise NotFusedError("a width that is a symbol has no fused form")
        with refusing("a step that fails with another batch size"):
            other, step, _ = traced(*given)
        if [c.shape for c in other.consts] != [c.shape for c in closed.consts]:
            raise NotFusedError(
                "what a step closes over for each row has no fused form"
            )
        return step

    return Step(closed.consts, present, apart, again)


def with_rows(rows: int, array: Any) -> Any:
    """The shape of a batch of so many rows."""
    return jax.ShapeDtypeStruct((rows, *array.shape[1:]), array.dtype)


def constants(of_rows: Callable[[int], Sequence[Any]], rows: int, count: int) -> list:
    """The shapes of a step's constants with so many rows, `count` of them.

    Raises:
        NotFusedError: if there are none such.
    """
    if not count:
        return []
    with refusing("a cell whose constants fail with another batch size"):
        found = jax.tree.leaves(of_rows(rows))
    if len(found) != count:
        raise NotFusedError(
            "constants that depend on the batch size have no fused form"
        )
    return found


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
