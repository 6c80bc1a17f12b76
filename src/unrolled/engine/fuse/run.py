"""Run a time loop by the core, if its step has a fused form."""

from collections.abc import Callable
from typing import Any

import jax

from .. import forms, native
from .ahead import by_row
from .call import Fused, Made, made
from .flat import NotFusedError
from .trace import constants, trace, with_rows

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
        sizes = [n for a in jax.tree.leaves(steps) for n in a.shape]
        self.why = refused()
        if not all(isinstance(n, int) for n in sizes):
            self.why = "a size that is a symbol has no fused form"
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

        at = [
            jax.ShapeDtypeStruct((a.shape[0], *a.shape[2:]), a.dtype) for a in sequences
        ]
        own = len(jax.tree.leaves(still._replace(constants=())))

        def shapes(rows: int) -> list[Any]:
            count = len(whole) - own
            first = [with_rows(rows, a) for a in whole[:own]]
            return [*first, *constants(self._constants_of, rows, count)]

        traced = trace(flat, alone, whole, carried, at, reverse, shapes)
        key, programs = made(traced.again)
        present = traced.present._replace(groups=programs.step.groups)
        self.said = _said(programs)
        apart = traced.apart
        if apart is not None:
            length = sequences[0].shape[1]
            alone, edge = apart.run(alone, length)
            sequences = [*sequences, *(by_row(e, reverse) for e in edge)]
        args = (*traced.consts, *whole, *carried, *sequences)
        results = Fused(key, programs, present)(args)
        states, held = of_carry.unflatten(results[: len(carried)])
        after = carry._replace(
            states=states, held=held, variables=of_alone.unflatten(alone)
        )
        return after, of_y.unflatten(results[len(carried) :])


def _said(programs: Made) -> str:
    products, pointwise = programs.plain.program.counts
    kinds = ((products, "product"), (pointwise, "pointwise operation"))
    counted = ", ".join(f"{n} {kind}{'s' * (n != 1)}" for n, kind in kinds)
    return f"the native kernel ({native.variant()}): {counted}, in float32."


def refused() -> str:
    """Why nothing is fused here, or an empty string."""
    if jax.default_backend() != "cpu":
        return "only on a CPU are cells fused that are not cuDNN's"
    return forms.refused() or native.missing()
