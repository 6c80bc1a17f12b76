"""What of a step depends on no row: it runs ahead of the loop over rows.

Seeds and counters, and the random numbers drawn from them, are computed for all steps
first. What the rows read of them, they read like inputs.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax import lax
from jax import numpy as jnp

from ..equations import evaluate, inlined, read, variables
from .flat import NotFusedError


class Ahead(NamedTuple):
    """A step in two: ``alone`` needs no row, ``rest`` reads what of it the rows need.

    Attributes:
        closed: the traced step, of carry then x, what is carried without rows first.
        count: how many carried values have no rows.
        alone: equations that depend on those.
        carried: those of them that the next step waits for.
        rest: the others.
        edge: what `rest` reads of `alone`.
    """

    closed: Any
    count: int
    alone: list[Any]
    carried: list[Any]
    rest: list[Any]
    edge: list[Any]

    def run(self, carry: Sequence[Any], steps: Any) -> tuple[list, list]:
        """The last of what is carried, and the edge (B, T, ...) of steps as drawn."""
        jaxpr = self.closed.jaxpr
        consts = dict(zip(jaxpr.constvars, self.closed.consts, strict=True))
        after = jaxpr.outvars[: self.count]

        def at(carry: list, equations: list) -> dict:
            known = consts | dict(zip(jaxpr.invars[: self.count], carry, strict=True))
            evaluate(equations, known, [])
            return known

        def body(carry: list, _: Any) -> tuple[list, list]:
            known = at(carry, self.carried)
            return [read(v, known, known) for v in after], carry

        def drawn(carry: list) -> list:
            known = at(carry, self.alone)
            return [known[v] for v in self.edge]

        # As many steps as an array has: a length alone is not to be a symbol.
        last, before = lax.scan(body, list(carry), jnp.empty((steps, 0)))
        # What no other step waits for is computed for all steps at once.
        return last, jax.vmap(drawn, out_axes=1)(before)

    def step(self, args: Sequence[Any], edge: Sequence[Any]) -> list[Any]:
        """What the rest of a step gives: of all but what is carried without rows."""
        jaxpr = self.closed.jaxpr
        known = dict(zip(jaxpr.constvars, self.closed.consts, strict=True))
        known |= dict(zip(jaxpr.invars[self.count :], args, strict=True))
        known |= dict(zip(self.edge, edge, strict=True))
        evaluate(self.rest, known, [])
        return [read(v, known, known) for v in jaxpr.outvars[self.count :]]


def ahead(step: Callable[..., list], alone: list, *rest: list) -> Ahead:
    """Trace ``step(alone, *rest) -> [*alone, *others]``, of lists, and divide it.

    Raises:
        NotFusedError: if what is carried without rows depends on rows.
    """
    closed = jax.make_jaxpr(step)(alone, *rest)
    leaves = jax.tree.leaves((alone, *rest))
    flat = jax.make_jaxpr(lambda *a: inlined(closed, a))(*leaves)
    jaxpr, count = flat.jaxpr, len(alone)
    of_rows = {*jaxpr.invars[count:]}
    of_alone = {*jaxpr.invars[:count]}
    early, late = [], []
    for each in jaxpr.eqns:
        given = {*variables(each.invars)}
        if given & of_rows:
            of_rows |= {*each.outvars}
            late.append(each)
        elif given & of_alone:
            of_alone |= {*each.outvars}
            early.append(each)
        else:
            late.append(each)
            early.append(each)
    after = variables(jaxpr.outvars[:count])
    if any(v in of_rows for v in after):
        raise NotFusedError(
            "a variable that each step changes by what rows hold has no fused form"
        )
    asked = [v for each in late for v in variables(each.invars)]
    asked += variables(jaxpr.outvars[count:])
    edge = [v for v in dict.fromkeys(asked) if v in of_alone]
    waits = {*after}
    carried = []
    for each in reversed(early):
        if waits & {*each.outvars}:
            waits |= {*variables(each.invars)}
            carried.insert(0, each)
    return Ahead(flat, count, early, carried, late, edge)
