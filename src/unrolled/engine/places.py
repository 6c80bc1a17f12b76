"""A traced step, and the places where something enters that no carry has a part in.

What a step computes is of four kinds: `FIXED`, of weights alone, the same at all steps;
`SPREAD`, that for every row, as a bias is; `EARLY`, which reads the step's inputs, but
no carry; and `LATE`.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import jax
from jax import numpy as jnp

from .._borrowed import Literal, apply
from .equations import along, evaluate, evaluate_along, inlined, read, variables
from .widened import widened

Tree = Any

FIXED, SPREAD, EARLY, LATE = range(4)

_PRODUCTS = ("dot_general", "conv_general_dilated")
# Of what these give the tangent needs no value.
_LINEAR = frozenset(
    [
        *("add", "sub", "neg", "dot_general", "conv_general_dilated", "transpose"),
        *("broadcast_in_dim", "concatenate", "convert_element_type", "reshape"),
        *("slice", "split", "squeeze", "copy", "pad", "rev", "reduce_sum"),
    ]
)
# What leaves a sum of products one.
_SUMS = ("add", "add_any", "convert_element_type", "reshape", "transpose")
# What costs less to do again than to keep; "mul" as of a mask that drops numbers.
_LIGHT = (*_SUMS[2:], "broadcast_in_dim", "concatenate", "slice", "split", "mul")


class Product(NamedTuple):
    """A carried value times a weight."""

    equation: Any
    carried: int  # which of the two operands
    operand: Any
    weight: Any


class Step:
    """A step ``(carry, x) -> (carry, y)``, traced; its methods take and give lists.

    Attributes:
        weights: what the step closes over.
        of_y: how y is nested.
        widened: what of it is wider than what it is made of.
    """

    def __init__(self, step: Callable[[Tree, Tree], Tree], carry: Tree, x: Tree):
        first, out = jax.make_jaxpr(step, return_shape=True)(carry, x)
        self.of_y = jax.tree.structure(out[1])
        flat = jax.tree.leaves((carry, x))
        closed = jax.make_jaxpr(lambda *a: inlined(first, a))(*flat)
        jaxpr = closed.jaxpr
        self.weights = list(closed.consts)
        self.carry_count = len(jax.tree.leaves(carry))
        self._weights, self._out = list(jaxpr.constvars), list(jaxpr.outvars)
        self._carry = list(jaxpr.invars[: self.carry_count])
        self._x = list(jaxpr.invars[self.carry_count :])
        self._kind = dict.fromkeys(self._weights, FIXED)
        self._kind |= dict.fromkeys(self._x, EARLY) | dict.fromkeys(self._carry, LATE)
        self._equations: list[list[Any]] = [[], [], [], []]
        self._sort(jaxpr.eqns)
        after, given = self._out[: self.carry_count], self._out[self.carry_count :]
        # What is carried, by the output that tells it of one step later.
        self._told = {
            variable: given.index(new)
            for variable, new in zip(self._carry, after, strict=True)
            if not isinstance(new, Literal) and new in given
        }
        self._told_after = {*self._told}
        self._light: list[Any] = []
        for each in self._equations[LATE]:
            kinds = [self._kind_of(v) for v in each.invars]
            late = [v for v in variables(each.invars) if self._kind[v] == LATE]
            if (
                each.primitive.name in _LIGHT
                and EARLY not in kinds
                and self._told_after.issuperset(late)
                and (each.primitive.name != "mul" or len(late) == 1)
            ):
                self._light.append(each)
                self._told_after |= set(each.outvars)
        late = self._reads(LATE) + variables(self._out)
        more = late + self._reads(SPREAD) + self._reads(EARLY)
        self._fixed = self._of(FIXED, more)
        # What the later part of a step reads of the earlier.
        self._edge, self._spread = self._of(EARLY, late), self._of(SPREAD, late)
        of_step = lambda v: self._kind[v] in (EARLY, LATE)  # noqa: E731
        self.widened = widened(self._equations[LATE], of_step)

    def _sort(self, equations: list[Any]) -> None:
        """Sort the equations by what they compute.

        Early is what products read or give, sums of that, and what no product gives.
        After it, as of a product's gates, a step costs less than memory for all.
        """
        kinds = dict(self._kind)
        for each in equations:
            kind = max([FIXED, *(kinds[v] for v in variables(each.invars))])
            kinds |= dict.fromkeys(each.outvars, LATE if each.effects else kind)
        read: set[Any] = set()
        for each in reversed(equations):
            product = each.primitive.name in _PRODUCTS
            if any(kinds[v] == EARLY and (product or v in read) for v in each.outvars):
                read |= {*each.outvars, *variables(each.invars)}
        given: set[Any] = set()  # by products
        for each in equations:
            kind = max([FIXED, *map(self._kind_of, each.invars)])
            name, out = each.primitive.name, each.outvars
            from_product = not given.isdisjoint(variables(each.invars))
            if kind <= SPREAD and name == "broadcast_in_dim":
                kind = SPREAD
            if kind == EARLY:
                if name in _PRODUCTS or from_product:
                    given |= set(out)
                if from_product and name not in _SUMS and read.isdisjoint(out):
                    kind = LATE
            kind = LATE if each.effects else kind
            self._equations[kind].append(each)
            self._kind |= dict.fromkeys(out, kind)

    def _kind_of(self, variable: Any) -> int:
        return FIXED if isinstance(variable, Literal) else self._kind[variable]

    def _reads(self, kind: int) -> list[Any]:
        return [v for each in self._equations[kind] for v in variables(each.invars)]

    def _of(self, kind: int, variables: list[Any]) -> list[Any]:
        return [v for v in dict.fromkeys(variables) if self._kind[v] == kind]

    # --- its parts ---

    def fixed(self, weights: list[Any]) -> list[Any]:
        """What stays the same at all steps."""
        known = dict(zip(self._weights, weights, strict=True))
        return evaluate(self._equations[FIXED], known, self._fixed)

    def _known(self, fixed: list[Any]) -> dict[Any, Any]:
        known = dict(zip(self._fixed, fixed, strict=True))
        evaluate(self._equations[SPREAD], known, [])
        return known

    def early(self, fixed: list[Any], x: list[Any]) -> list[Any]:
        """The share of one step that needs no carry."""
        known = self._known(fixed) | dict(zip(self._x, x, strict=True))
        return evaluate(self._equations[EARLY], known, self._edge)

    def early_of_all(self, fixed: list[Any], xs: list[Any]) -> list[Any]:
        """The same, for all steps at once."""
        known = self._known(fixed)
        stacked = dict(zip(self._x, xs, strict=True))
        evaluate_along(self._equations[EARLY], stacked, known)
        return [stacked[v] for v in self._edge]

    def late(
        self,
        fixed: list[Any],
        early: list[Any],
        carry: list[Any],
        places: dict[Any, list[Any]] | None = None,
        entering: Sequence[Any] = (),
        moved: dict[Any, Any] | None = None,
    ) -> tuple[list[Any], tuple[list[Any], list[Any]]]:
        """The rest of a step.

        Args:
            fixed: from `fixed`.
            early: from `early`.
            carry: before the step.
            places: where something enters.
            entering: zeros for each of these, whose tangents enter.
            moved: fixed values that are differentiated here, by what they are.

        Returns:
            The carry; and the outputs, and what each product multiplied.
        """
        places, moved = places or {}, moved or {}
        at = dict(zip(places, entering, strict=True))
        still = self._known(fixed)
        known = dict(zip(self._edge, early, strict=True))
        known |= dict(zip(self._carry, carry, strict=True))
        known |= {v: _enter(known[v], zero) for v, zero in at.items() if v in known}
        products = self._products(places)
        within = {id(each.equation) for each in products}
        entries = {e for each in places.values() for e in each if e in self._spread}
        moved = still | moved
        evaluate(self._equations[SPREAD], moved, [])
        moved |= {v: still[v] for v in entries}
        for each in self._equations[LATE]:
            rest = still if id(each) in within else moved
            values = [read(v, known, rest) for v in each.invars]
            for variable, value in zip(each.outvars, apply(each, values), strict=True):
                entered = variable in at
                known[variable] = _enter(value, at[variable]) if entered else value
        out = [read(v, known, moved) for v in self._out]
        count = self.carry_count
        return out[:count], (out[count:], [known[v] for v in self._kept(products)])

    # --- where something enters ---

    def moving(self, weights: Sequence[bool], xs: Sequence[bool]) -> set[Any]:
        """The variables whose tangents no carry has a part in, of some that move."""
        own = zip([*self._weights, *self._x], [*weights, *xs], strict=True)
        found = {variable for variable, moves in own if moves}
        for kind in (FIXED, SPREAD, EARLY):
            for each in self._equations[kind]:
                if any(v in found for v in variables(each.invars)):
                    found |= {v for v in each.outvars if _is_floating(v)}
        return found

    def places(self, moving: set[Any]) -> dict[Any, list[Any]]:
        """The places, each with what enters there: variables and products."""
        readers: dict[Any, list[Any]] = {}
        for each in self._equations[LATE]:
            for variable in variables(each.invars):
                readers.setdefault(variable, []).append(each)
        for variable in variables(self._out):
            readers.setdefault(variable, []).extend([None, None])
        entries = [(v, v) for v in (*self._edge, *self._spread) if v in moving]
        for each in self._equations[LATE]:
            product = self._product(each)
            weight = product and product.weight
            if product and not isinstance(weight, Literal) and weight in moving:
                entries.append((each.outvars[0], product))
        found: dict[Any, list[Any]] = {}
        for variable, entry in entries:
            found.setdefault(_sum_of(variable, readers), []).append(entry)
        # A bias adds to what enters anyway; alone it had better move with the loop.
        spread = set(self._spread)
        return {v: e for v, e in found.items() if not spread.issuperset(e)}

    def _product(self, equation: Any) -> Product | None:
        kinds = [self._kind_of(v) for v in equation.invars]
        if len(kinds) != 2 or LATE not in kinds or min(kinds) > SPREAD:
            return None
        carried = kinds.index(LATE)
        operand, weight = equation.invars[carried], equation.invars[1 - carried]
        known = operand in self._told_after and equation.primitive.name == "mul"
        if not known and equation.primitive.name not in _PRODUCTS:
            return None
        if operand in self.widened.variables:
            return None
        return Product(equation, carried, operand, weight)

    def _products(self, places: dict[Any, list[Any]]) -> list[Product]:
        return [e for each in places.values() for e in each if isinstance(e, Product)]

    def others(self, moving: set[Any], places: dict[Any, list[Any]]) -> list[Any]:
        """What moves, is fixed, and does not enter at a place alone."""
        found = {id(each.equation) for each in self._products(places)}
        entries = {e for each in places.values() for e in each if e in self._spread}
        read = [
            variable
            for each in self._equations[LATE]
            if id(each) not in found
            for variable in variables(each.invars)
            if variable not in entries
        ]
        read += variables(self._out)
        for each in reversed(self._equations[SPREAD]):
            if any(v in read for v in each.outvars):
                read += variables(each.invars)
        return [v for v in self._of(FIXED, read) if v in moving]

    def values(self, variables: list[Any], fixed: list[Any]) -> list[Any]:
        """Of what is fixed, some."""
        known = dict(zip(self._fixed, fixed, strict=True))
        return [known[v] for v in variables]

    def given(
        self,
        places: dict[Any, list[Any]],
        fixed: list[Any],
        early: list[Any],
        operands: dict[Any, Any],
        length: int,
    ) -> list[Any]:
        """What enters at each place, of all steps; early and operands are stacked."""
        known = self._known(fixed)
        stacked = dict(zip(self._edge, early, strict=True))

        def value(entry: Any) -> Any:
            if isinstance(entry, Product):
                of, at = entry.equation, entry.carried
                pair = [operands[entry.operand], known[entry.weight]]
                values = pair if at == 0 else pair[::-1]
                return along(of, values, [0, None] if at == 0 else [None, 0])[0]
            if entry in stacked:
                return stacked[entry]
            return jnp.broadcast_to(known[entry], (length, *known[entry].shape))

        return [sum(map(value, e[1:]), value(e[0])) for e in places.values()]

    def _kept(self, products: list[Product]) -> list[Any]:
        """Of what products multiply, what no output tells."""
        operands = dict.fromkeys(each.operand for each in products)
        return [v for v in operands if v not in self._told_after]

    def operands(
        self,
        places: dict[Any, list[Any]],
        fixed: list[Any],
        carry: list[Any],
        ys: list[Any],
        kept: list[Any],
        reverse: bool,
    ) -> dict[Any, Any]:
        """What the products multiplied, of all steps.

        Args:
            places: where something enters.
            fixed: from `fixed`.
            carry: before the first step.
            ys: the outputs.
            kept: from `late`.
            reverse: whether the last step came first.
        """
        products = self._products(places)
        found = dict(zip(self._kept(products), kept, strict=True))
        for variable, y in self._told.items():
            first = carry[self._carry.index(variable)][None]
            parts = [ys[y][1:], first] if reverse else [first, ys[y][:-1]]
            found[variable] = jnp.concatenate(parts)
        evaluate_along(self._light, found, self._known(fixed))
        return found

    def zeros(self, places: dict[Any, list[Any]], length: int) -> list[Any]:
        """Zeros for each place and step."""
        shapes = [variable.aval for variable in places]
        return [jnp.zeros((length, *each.shape), each.dtype) for each in shapes]

    def ahead(self) -> list[bool]:
        """What of the early values to compute for all steps when differentiating.

        Where its tangent needs values, those of all steps are needed anyway; and where
        it is no wider than what the steps read, reading it costs no more.
        """
        curved: set[Any] = set()
        for each in self._equations[EARLY]:
            late = [self._kind_of(v) == EARLY for v in each.invars]
            linear = each.primitive.name in _LINEAR or (
                each.primitive.name == "mul" and sum(late) == 1
            )
            if not linear or any(v in curved for v in variables(each.invars)):
                curved |= {v for v in each.outvars if _is_floating(v)}
        given = set(self._x)
        straight = [v for v in self._edge if v not in given and v not in curved]
        widths = [_width(straight), _width(self._x)]
        narrow = all(isinstance(n, int) for n in widths) and widths[0] <= widths[1]
        return [v in curved or (narrow and v not in given) for v in self._edge]


@jax.custom_jvp
def _enter(value: jax.Array, zero: jax.Array) -> jax.Array:
    """`value`; the tangent of `zero` enters."""
    del zero
    return value


@_enter.defjvp
def _(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
    return primals[0], tangents[0] + tangents[1]


def _sum_of(variable: Any, readers: dict[Any, list[Any]]) -> Any:
    """The variable, or a sum that it is a term of and nothing else reads it for."""
    while True:
        reading = readers.get(variable, [])
        if len(reading) != 1 or reading[0] is None:
            return variable
        name, (out,) = reading[0].primitive.name, reading[0].outvars[:1]
        same = out.aval.shape == variable.aval.shape
        if name not in ("add", "add_any") or not same:
            return variable
        if out.aval.dtype != variable.aval.dtype:
            return variable
        variable = out


def _is_floating(variable: Any) -> bool:
    return jnp.issubdtype(variable.aval.dtype, jnp.inexact)


def _width(variables: Sequence[Any]) -> Any:
    """How many numbers they have for a row of the batch; it may be symbolic."""
    return sum(prod(v.aval.shape[1:]) for v in variables)
