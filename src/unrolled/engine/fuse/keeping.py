"""What the loop of a step keeps for the loop of its gradient.

What the gradient reads of a step, the first loop keeps or the second makes again, from
what is there anyway or is kept. To keep a number costs memory and its traffic; to make
it again, arithmetic. Which of all the choices costs least is a minimum cut: of a value
that is needed, either the edge "keep it" is cut, or it is made again, at the price of
another edge, and then all it is made of is needed.
"""

from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from . import codes
from .flat import Atom, Equation, Value, after, values
from .lower import TYPES
from .views import batch_axis, without

_NEVER = float("inf")
_MOVED = frozenset(
    [
        *("reshape", "transpose", "squeeze", "broadcast_in_dim", "slice", "split"),
        *("unstack", "rev", "copy", "copy_p", "stop_gradient", "expand_dims"),
        *("optimization_barrier", "convert_element_type"),
    ]
)
# Their gradients look for the result among the operands, and would not find it among
# operands that are made again and differ in the last digit: they are found anew.
_ALWAYS_AGAIN = frozenset(["reduce_max", "reduce_min"])


def chosen(
    equations: list[Equation],
    still: Sequence[Value],
    carry: Sequence[tuple[Value, Atom]],
    cotangents: Sequence[Value],
) -> tuple[list[Value], list[int]]:
    """Values to keep at each step, and numbers of the carries to keep at each step.

    Args:
        equations: of the step and of its gradient.
        still: what both loops read, row by row.
        carry: before and after the step.
        cotangents: what the gradient begins with.
    """
    moved = after(equations, cotangents)
    of_rows = after(equations, [*still, *(before for before, _ in carry)])
    states = {b: i for i, (b, _) in enumerate(carry)}
    ends = {a: i for i, (_, a) in reversed([*enumerate(carry)]) if isinstance(a, Value)}
    states |= {a: i for a, i in ends.items() if a not in states}
    there = {*still, *states}
    made = {v: e for e in equations for v in e.outputs}

    def read(equation: Equation) -> list[Value]:
        return [v for v in values(equation.inputs) if v in of_rows and v not in moved]

    asked = dict.fromkeys(
        v for e in equations if not moved.isdisjoint(e.outputs) for v in read(e)
    )
    prices = _prices(asked, made, there, read)
    again = _cut(asked, prices)
    used = {*asked, *(v for each in again for v in prices[each].of)}
    kept = [v for v in prices if v in used and v not in again]
    found = {states[v] for v in used if v in states and v not in still}
    return kept, sorted(found)


class _Price(NamedTuple):
    """What keeping a value costs, what making it again does, and of what it is made."""

    kept: float
    again: float
    of: list[Value]


def _prices(
    asked: Iterable[Value],
    made: dict[Value, Equation],
    there: set[Value],
    read: Callable[[Equation], list[Value]],
) -> dict[Value, _Price]:
    """Of all that is asked for or could come to be, and is not there anyway."""
    found: dict[Value, _Price] = {}
    stack = list(asked)
    while stack:
        value = stack.pop()
        if value in found or value in there:
            continue
        equation = made[value]
        found[value] = _price(value, equation, read(equation))
        stack += found[value].of
    return found


def _price(value: Value, equation: Equation, of: list[Value]) -> _Price:
    name, size = equation.name, _numbers(value)
    moved = name in _MOVED
    # What is a part of something else has to be copied to be kept.
    kept = size * (codes.KEEPING + (codes.SIMPLE if moved else 0))
    if name in _ALWAYS_AGAIN or value.dtype not in TYPES or not size:
        kept = _NEVER
    if name in codes.NEVER_AGAIN and size:
        return _Price(kept, _NEVER, of)
    most = max([size, *map(_numbers, values(equation.inputs))])
    return _Price(kept, 0 if moved else most * codes.COST.get(name, codes.SIMPLE), of)


def _numbers(value: Value) -> int:
    """How many a row has."""
    return prod(without(value.shape, batch_axis(value.shape, "a value")))


def _cut(asked: Iterable[Value], prices: dict[Value, _Price]) -> set[Value]:
    """What is made again, where all of it costs least."""
    sums = [p for price in prices.values() for p in price[:2] if p < _NEVER]
    # Capacities are whole numbers of 32 bits: parts of a cycle, as fine as may be.
    scale = min(64.0, 2**29 / (sum(sums) + 1))
    of_price = lambda p: 2**30 if p == _NEVER else round(p * scale)  # noqa: E731
    source, sink = 0, 1
    node = {value: 2 + 2 * n for n, value in enumerate(prices)}
    edges = {(source, node[v]): 2**30 for v in asked if v in node}
    for value, price in prices.items():
        own = node[value]
        edges[own, own + 1] = of_price(price.kept)
        edges[own + 1, sink] = of_price(price.again)
        edges |= {(own + 1, node[v]): 2**30 for v in price.of if v in node}
    if not edges:
        return set()
    rows, columns = np.array([*edges]).T
    capacities = np.array([*edges.values()], np.int32)
    size = (2 + 2 * len(node),) * 2
    graph = csr_array((capacities, (rows, columns)), shape=size)
    left = csr_array(graph - maximum_flow(graph, source, sink).flow)
    left.eliminate_zeros()
    near = {*breadth_first_order(left, source, return_predecessors=False).tolist()}
    return {value for value, n in node.items() if n + 1 in near}
