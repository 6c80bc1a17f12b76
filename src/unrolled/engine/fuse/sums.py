"""Rules for products that are summed over all rows: the gradients of weights."""

import itertools
from collections.abc import Callable, Sequence
from math import prod
from typing import NamedTuple

from . import codes
from .flat import Atom, Equation, NotFusedError, Value
from .lower import Instruction, Lowering, Parts
from .views import SUM, Buffer, Operand, View, dense, joined

# Products of one equation that are products of their own: heads, groups.
MOST = 64


class Side(NamedTuple):
    """An operand of a product: its axes by what becomes of them."""

    view: View
    batch: list[int]  # those that both have, and the result
    free: list[int]
    summed: list[int]


def at_head(side: Side, axes: Sequence[int], index: Sequence[int]) -> View:
    """The view of one head."""
    moved = sum(i * side.view.strides[a] for a, i in zip(axes, index, strict=True))
    return side.view.moved(offset=side.view.offset + moved)


def sum_products(
    low: Lowering,
    value: Value,
    each: Equation,
    sides: Callable[[Sequence[View]], list[Side]],
) -> None:
    """The gradient of a weight: of all rows and steps."""
    # What lies side by side along the weight's rows or columns need not be joined.
    atoms = each.inputs
    whole = [low.parts(atom) for atom in atoms]
    shapes = sides(
        [w.like if w else low.view(a) for a, w in zip(atoms, whole, strict=True)]
    )
    heads = [shapes[0].view.shape[a] for a in shapes[0].batch]
    if prod(heads) > MOST:
        raise NotFusedError(
            f"a product with {prod(heads)} weights in the step has no fused form"
        )
    K, N = (prod(s.view.shape[a] for a in s.free) for s in shapes)
    if not K * N:
        low.zeros.add(value)
        return
    buffer = Buffer(SUM, prod(heads) * K * N)
    pieces = [
        _along(low, atom, own, side)
        for atom, own, side in zip(atoms, whole, shapes, strict=True)
    ]
    for (left, row), (right, column) in itertools.product(*pieces):
        pair = [_in_two(low, side) for side in sides([left, right])]
        for index in itertools.product(*map(range, heads)):
            at = sum(i * s for i, s in zip(index, dense((*heads, K * N)), strict=False))
            (a, F, af, rows, ak), (b, _, bf, columns, bn) = (
                _two_axes(side, index) for side in pair
            )
            first = Operand(a.buffer, a.offset, (0, af, ak, 0), a.after)
            second = Operand(b.buffer, b.offset, (0, bf, 0, bn), b.after)
            sizes, into = (
                (1, F, rows, columns),
                Operand(buffer, at + row * N + column, ()),
            )
            if F > 1 and 1 in (rows, columns):
                _sum_little(low, sizes, into, first, second, N)
                continue
            strides = (0, 0, N if rows > 1 else 0, int(columns > 1))
            into = into._replace(strides=strides)
            low.add(Instruction(codes.SUM_PRODUCT, sizes, into, (first, second, None)))
    low.sums[value] = buffer
    low.summed.add(value)


def _sum_little(
    low: Lowering,
    dims: tuple[int, ...],
    into: Operand,
    left: Operand,
    right: Operand,
    stride: int,
) -> None:
    """A row or a column: summed over the parts of each row, and then over rows."""
    _, F, rows, columns = dims
    out = low.fresh((rows * columns,), None)
    own = Operand(out.buffer, 0, (0, int(rows > 1), int(columns > 1), 0))
    (_, af, ak, _), (_, bf, _, bn) = left.strides, right.strides
    pair = (
        left._replace(strides=(0, ak, 0, af)),
        right._replace(strides=(0, 0, bn, bf)),
    )
    low.add(Instruction(codes.CONTRACT, (1, rows, columns, F), own, (*pair, None)))
    step = stride if rows > 1 else int(columns > 1)
    into = into._replace(strides=(0, 0, 0, step))
    read = Operand(out.buffer, 0, (0, 0, 0, int(rows * columns > 1)))
    many = (1, 1, 1, rows * columns)
    low.add(Instruction(codes.SUM_ROWS, many, into, (read, None, None)))


def _along(
    low: Lowering, atom: Atom, whole: Parts | None, side: Side
) -> list[tuple[View, int]]:
    """An operand, or its parts along its free axis; and where each begins."""
    if whole is None or side.free != [whole.axis]:
        return [(low.view(atom), 0)]
    ends = itertools.accumulate(width for _, width in whole.views)
    parts = zip(whole.views, ends, strict=True)
    return [(view, end - width) for (view, width), end in parts if view is not None]


def _two_axes(side: Side, index: Sequence[int]) -> tuple[View, int, int, int, int]:
    """The view of one head; size and stride of what is summed, and of what is not."""
    view = at_head(side, side.batch, index)
    summed, free = joined(view, side.summed), joined(view, side.free)
    assert summed is not None
    assert free is not None
    return (view, *summed, *free)


def _in_two(low: Lowering, side: Side) -> Side:
    """The same, its summed axes lying as one, and its free ones."""
    if joined(side.view, side.summed) and joined(side.view, side.free):
        return side
    order = (*side.batch, *side.summed, *side.free)
    view = low.copied(
        side.view.moved(
            shape=tuple(side.view.shape[a] for a in order),
            strides=tuple(side.view.strides[a] for a in order),
        )
    )
    ends = [len(side.batch), len(side.batch) + len(side.summed), len(order)]
    axes = [list(range(*pair)) for pair in zip([0, *ends], ends, strict=False)]
    return Side(view, axes[0], axes[2], axes[1])
