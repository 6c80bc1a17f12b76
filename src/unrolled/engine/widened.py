"""What a step makes wider than all that it is made of, as of one row beside many.

To keep that of all steps for the gradient costs more than to compute it again.
"""

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

from .equations import variables

# What acts on each number by itself, or moves it about: costs less than memory anyway.
ARITHMETIC = frozenset(
    [
        *("add", "sub", "mul", "neg", "max", "min", "select_n", "convert_element_type"),
        *("broadcast_in_dim", "concatenate", "reshape", "squeeze"),
        *("eq", "ge", "gt", "le", "lt", "ne"),
        "one_minus_square",  # of JAX 0.12, in what tanh has for a gradient
    ]
)
# And what costs more.
CURVES = frozenset(
    [
        *("tanh", "logistic", "exp", "exp2", "expm1", "log", "log1p", "sqrt", "rsqrt"),
        *("erf", "sin", "cos", "integer_pow", "square", "pow", "div", "abs", "sign"),
    ]
)


class Widened(NamedTuple):
    """Curves wider than what they are made of; their shapes, but those of others."""

    variables: set[Any]
    shapes: set[tuple]


def widened(equations: list[Any], of_step: Callable[[Any], bool]) -> Widened:
    """Find it in a step.

    Args:
        equations: of the step.
        of_step: whether a variable is not the same at all steps.
    """
    made: dict[Any, Any] = {}  # of how many numbers
    wide: set[Any] = set()
    others: set[tuple] = set()
    for each in equations:
        name, out = each.primitive.name, each.outvars[0]
        if name in ARITHMETIC or name in CURVES:
            read = [v for v in dict.fromkeys(variables(each.invars)) if of_step(v)]
            made[out] = sum(made.get(v, _size(v)) for v in read)
        if name not in CURVES:
            continue
        both = made[out], _size(out)
        # Sizes may be symbolic.
        if all(isinstance(n, int) for n in both) and both[0] < both[1]:
            wide.add(out)
        else:
            others.add(out.aval.shape)
    return Widened(wide, {v.aval.shape for v in wide} - others)


def _size(variable: Any) -> Any:
    """How many numbers it has for a row of the batch."""
    return prod(variable.aval.shape[1:])
