"""Run a time loop by the core, if its step has a fused form."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from .. import forms, native
from .ahead import Ahead, ahead, by_row
from .call import Fused, Made, made
from .flat import NotFusedError, refusing
from .gradient import Traced
from .views import batch_axis

Tree = Any


class Fuser:
    """Runs loops where it can.

    Args:
        constants_of: the shapes of a loop's constants, with so many rows.

    Attributes:
        why: of a loop that it could not run, what stands in the way.
        said: of one that it ran, by what.
    """

    def __init__(self, constants_of: Callable[[int], Tree]):
        self._constants_of = constants_of
        self.why, self.said = "", ""

    def __call__(
        self,
        step: Callable[..., tuple[Tree, Tree]],
        still: Any,
        carry: Tree,
        steps: Tree,
        reverse: bool,
    ) -> tuple[Tree, Tree] | None:
        """The last carry and the sequences ``(B, T, ...)``, in the order of processing.

        Args:
            step: ``(still, carry, at) -> (carry, y)``.
            still: what is the same at all steps, see `loop.Still`.
            carry: before the first step.
            steps: tree of ``(B, T, ...)``.
            reverse: the last step first.

        Returns:
            None where the scan has to do it.
        """
        self.why = refused()
        if self.why:
            return None
        try:
            return self._run(step, still, carry, steps, reverse)
        except NotFusedError as error:
            self.why = str(error)
            return None

    def _run(
        self, step: Callable, still: Any, carry: Any, steps: Tree, reverse: bool
    ) -> Any:
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
            if not alone:
                closed = jax.make_jaxpr(functools.partial(flat, []))(*given)
                return closed, _traced(closed, given, reverse), None
            apart = ahead(flat, alone, *given)
            edge = [
                jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in apart.edge
            ]
            if any(e.shape[:1] != given[1][0].shape[:1] for e in edge):
                raise NotFusedError(
                    "what each step changes for all rows alike has no fused form"
                )
            closed = jax.make_jaxpr(
                lambda whole, carried, x, edge: apart.step([*whole, *carried, *x], edge)
            )(*given, edge)
            given = (given[0], given[1], [*given[2], *edge])
            return closed, _traced(closed, given, reverse), apart

        at = [
            jax.ShapeDtypeStruct((a.shape[0], *a.shape[2:]), a.dtype) for a in sequences
        ]
        closed, present, apart = traced(whole, carried, at)
        own = len(jax.tree.leaves(still._replace(constants=())))

        def trace(rows: int) -> Traced:
            def with_rows(a: Any) -> Any:
                return jax.ShapeDtypeStruct((rows, *a.shape[1:]), a.dtype)

            constants = self._shapes(rows, len(whole) - own)
            still = [*map(with_rows, whole[:own]), *constants]
            moved = [*map(with_rows, carried)], [*map(with_rows, at)]
            sizes = [n for a in jax.tree.leaves((still, moved)) for n in a.shape]
            # B and T may be symbols, that stand for any number.
            if not all(isinstance(n, int) for n in sizes):
                raise NotFusedError("a width that is a symbol has no fused form")
            with refusing("a step that fails with another batch size"):
                again, step, _ = traced(still, *moved)
            if [c.shape for c in again.consts] != [c.shape for c in closed.consts]:
                raise NotFusedError(
                    "what a step closes over for each row has no fused form"
                )
            return step

        key, programs = made(trace)
        present = present._replace(groups=programs.step.groups)
        self.said = _said(programs)
        if apart is not None:
            length = sequences[0].shape[1]
            alone, edge = apart.run(alone, length)
            sequences = [*sequences, *(by_row(e, reverse) for e in edge)]
        args = (*closed.consts, *whole, *carried, *sequences)
        results = Fused(key, programs, present)(args)
        states, held = of_carry.unflatten(results[: len(carried)])
        after = carry._replace(
            states=states, held=held, variables=of_alone.unflatten(alone)
        )
        return after, of_y.unflatten(results[len(carried) :])

    def _shapes(self, rows: int, count: int) -> list[Any]:
        """The constants' shapes with so many rows."""
        if not count:
            return []
        with refusing("a cell whose constants fail with another batch size"):
            found = jax.tree.leaves(self._constants_of(rows))
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


def _traced(closed: Any, given: tuple, reverse: bool) -> Traced:
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
    return Traced(closed.jaxpr, tuple(map(tuple, groups)), reverse)


def refused() -> str:
    """Why nothing is fused here, or an empty string."""
    if jax.default_backend() != "cpu":
        return "only on a CPU are cells fused that are not cuDNN's"
    return forms.refused() or native.missing()
