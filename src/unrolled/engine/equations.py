"""Equations of a jaxpr: computed once, or for all time steps at once."""

from collections.abc import Sequence
from typing import Any

import jax

from .._borrowed import Literal, apply

# Programs that an equation only calls.
_CALLS = ("jit", "pjit", "closed_call", "core_call")


def evaluate(equations: list[Any], known: dict[Any, Any], out: list[Any]) -> list[Any]:
    """Add what the equations give to what is known by variable; of that, `out`."""
    for each in equations:
        values = [read(v, known, known) for v in each.invars]
        known |= zip(each.outvars, apply(each, values), strict=True)
    return [known[v] for v in out]


def evaluate_along(
    equations: list[Any], stacked: dict[Any, Any], known: dict[Any, Any]
) -> None:
    """Add what the equations give for all steps to what is `stacked` by steps.

    Args:
        equations: each reads something of that.
        stacked: values with one more axis in front, by variable.
        known: those that are the same at all steps.
    """
    for each in equations:
        values = [read(v, stacked, known) for v in each.invars]
        axes = [0 if v in stacked else None for v in _hashable(each.invars)]
        stacked |= zip(each.outvars, along(each, values, axes), strict=True)


def read(variable: Any, first: dict[Any, Any], then: dict[Any, Any]) -> Any:
    """The value of a variable, or of a number in its place."""
    if isinstance(variable, Literal):
        return variable.val
    return first[variable] if variable in first else then[variable]


def along(equation: Any, values: list[Any], axes: list[Any]) -> Sequence[Any]:
    """The equation for all steps, of values that have one more axis, or none."""
    if _is_of_rows(equation, axes):
        # With rows in one axis XLA takes the weight's gradient without copying.
        rows, weight = values
        (z,) = apply(equation, [rows.reshape(-1, rows.shape[-1]), weight])
        return [z.reshape(*rows.shape[:-1], z.shape[-1])]
    return jax.vmap(lambda *a: apply(equation, a), axes)(*values)


def _is_of_rows(equation: Any, axes: list[Any]) -> bool:
    """Whether this multiplies rows by a matrix, on one device.

    Over several the batch keeps its own axis, or it would be gathered.
    """
    if equation.primitive.name != "dot_general" or axes != [0, None]:
        return False
    shapes = [v.aval.shape for v in equation.invars]
    numbers = equation.params["dimension_numbers"]
    plain = tuple(map(tuple, numbers[0])) == ((1,), (0,)) and not numbers[1][0]
    rows = len(shapes[0]) == len(shapes[1]) == 2 and shapes[0][1]
    return bool(plain and rows) and jax.device_count() == 1


def inlined(closed: Any, values: Sequence[Any]) -> list[Any]:
    """The results of a program, what is compiled in it apart taken in."""
    jaxpr = getattr(closed, "jaxpr", closed)
    known = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    known |= zip(jaxpr.invars, values, strict=True)
    for each in jaxpr.eqns:
        given = [read(v, known, known) for v in each.invars]
        inside = each.primitive.name in _CALLS
        inner = each.params.get("jaxpr", each.params.get("call_jaxpr"))
        out = inlined(inner, given) if inside else apply(each, given)
        known |= zip(each.outvars, out, strict=True)
    return [read(v, known, known) for v in jaxpr.outvars]


def variables(items: Sequence[Any]) -> list[Any]:
    """The variables of an equation's list, without the numbers in their place."""
    return [v for v in items if not isinstance(v, Literal)]


def _hashable(items: Sequence[Any]) -> list[Any]:
    return [None if isinstance(v, Literal) else v for v in items]
