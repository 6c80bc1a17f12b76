"""Rules for products: with weights, and over a row's own memory; `sums` has others."""

import itertools
from collections.abc import Sequence
from math import prod

import numpy as np

from . import codes
from .flat import Equation, NotFusedError, Number, Value
from .layout import NOWHERE
from .lower import RULES, Instruction, Lowering, Parts
from .sums import MOST, Side, at_head, sum_products
from .views import Operand, View, batch_axis, dense, joined, place, without


def _dot_general(low: Lowering, each: Equation) -> None:
    (value,), numbers = each.outputs, each.params["dimension_numbers"]
    shapes = [atom.shape for atom in each.inputs]
    rows = [batch_axis(shape, each.name) for shape in shapes]
    axes: list[dict[str, list[int]]] = []
    for side in (0, 1):
        summed, batch = list(numbers[0][side]), list(numbers[1][side])
        free = [a for a in range(len(shapes[side])) if a not in (*summed, *batch)]
        axes.append({"batch": batch, "free": free, "summed": summed})
    kinds = [
        None if r is None else next(k for k, own in a.items() if r in own)
        for r, a in zip(rows, axes, strict=True)
    ]
    if None not in kinds:
        both = [a[k].index(r) for a, k, r in zip(axes, kinds, rows, strict=True)]  # type: ignore[index,arg-type]
        if kinds not in (["batch"] * 2, ["summed"] * 2) or both[0] != both[1]:
            raise NotFusedError("dot_general in the step mixes the rows of the batch")
    elif "summed" in kinds:
        raise NotFusedError("dot_general over the batch in the step mixes its rows")

    def sides(atoms: Sequence[View]) -> list[Side]:
        found = []
        for view, own, r in zip(atoms, axes, rows, strict=True):
            each = [
                [place(a, r) for a in own[k] if a != r]
                for k in ("batch", "free", "summed")
            ]
            found.append(Side(view, *each))
        return found

    if kinds == ["summed"] * 2:
        sum_products(low, value, each, sides)
        return
    if kinds == ["batch"] * 2:
        left, right = sides([low.view(a) for a in each.inputs])
        low.views[value] = _within_rows(low, left, right, value)
        return
    which = int(rows[0] is None)  # the side with rows
    if rows[which] is None:
        raise NotFusedError(
            "dot_general of weights alone in the step has no fused form"
        )
    columns = _columns(low, each, which, axes[1 - which]["free"])
    if columns:
        low.views[value] = _in_columns(low, each, sides, which, *columns)
    else:
        low.views[value] = low.rounded(_by_weight(low, each, sides, which), value)


def _columns(low: Lowering, each: Equation, which: int, free: list[int]):
    """The slices that a result is read in, if some go to the next step, others not.

    The others can then wait for many steps. Their axis in the result, that in the
    weight, and where each begins and ends; else None.
    """
    (value,) = each.outputs
    cuts: dict[tuple[int, int], bool] = {}
    found: set[int] = set()
    for reader in low.readers.get(value, [None]):
        for own, (axis, start, end) in _pieces(reader, value):
            if axis is None:
                return None
            found.add(axis)
            late = own in low.carried
            cuts[start, end] = cuts.get((start, end), False) or late
    if value.dtype != np.dtype(np.float32):
        return None
    order = sorted(cuts)
    ends_ = [0, *(e for _, e in order)]
    apart = all(s == before for (s, _), before in zip(order, ends_, strict=False))
    if len(found) != 1 or not apart or len({*cuts.values()}) != 2:
        return None
    (axis,) = found
    if ends_[-1] != value.shape[axis]:
        return None
    # The result's axes are those of the left side, then those of the right.
    first = len(value.shape) - len(free) if which == 0 else 0
    if not first <= axis < first + len(free):
        return None
    return axis, free[axis - first], order


def _pieces(reader: Equation | None, value: Value):
    """Pieces that an equation reads a value in; axis, start and end of each."""
    none = (None, 0, 0)
    if reader is None or reader.name not in ("slice", "split"):
        return [(value, none)]
    if reader.name == "split":
        axis, at, found = reader.params["axis"], 0, []
        for own, width in zip(reader.outputs, reader.params["sizes"], strict=True):
            found.append((own, (axis, at, at + width)))
            at += width
        return found
    starts, ends = (reader.params[k] for k in ("start_indices", "limit_indices"))
    if any(s != 1 for s in reader.params["strides"] or ()):
        return [(value, none)]
    ranges = enumerate(zip(starts, ends, value.shape, strict=True))
    moved = [(a, s, e) for a, (s, e, n) in ranges if (s, e) != (0, n)]
    return [(reader.outputs[0], moved[0] if len(moved) == 1 else none)]


def _in_columns(
    low: Lowering, each: Equation, sides, which: int, axis: int, of_weight: int, cuts
) -> Parts:
    (value,) = each.outputs
    rows = batch_axis(value.shape, each.name)
    weight = low.view(each.inputs[1 - which])
    pieces = []
    for start, end in cuts:
        shape = tuple(
            end - start if a == of_weight else n for a, n in enumerate(weight.shape)
        )
        cut = weight.moved(
            shape=shape, offset=weight.offset + start * weight.strides[of_weight]
        )
        whole = tuple(
            end - start if a == axis else n for a, n in enumerate(value.shape)
        )
        own = Value(whole, value.dtype)
        pieces.append((_by_weight(low, each, sides, which, cut, own), end - start))
    like = without(value.shape, rows)
    whole = View(NOWHERE, like, dense(like), 0, rows)
    return Parts(place(axis, rows), tuple(pieces), whole)


# --- rows times weights ---


def _by_weight(
    low: Lowering,
    each: Equation,
    sides,
    which: int,
    weight: View | None = None,
    value: Value | None = None,
) -> View:
    value, atom = value or each.outputs[0], each.inputs[which]
    weight = weight or low.view(each.inputs[1 - which])
    whole = low.parts(atom)
    pieces = [(low.view(atom), 0)] if whole is None else _by_lateness(low, whole)
    out: View | None = None
    for piece, at in pieces:
        pair = [weight, weight]
        pair[which] = piece
        mine, other = sides(pair)[which], sides(pair)[1 - which]
        if whole is not None and piece.shape[whole.axis] < whole.like.shape[whole.axis]:
            if whole.axis not in mine.summed:
                mine, other = _joined_again(low, atom, weight, sides, which)
                return _products(low, mine, other, which, value, None)
            axis = other.summed[mine.summed.index(whole.axis)]
            width = piece.shape[whole.axis]
            view = other.view
            shape = tuple(width if a == axis else n for a, n in enumerate(view.shape))
            view = view.moved(shape=shape, offset=view.offset + at * view.strides[axis])
            other = other._replace(view=view)
        out = _products(low, mine, other, which, value, out)
    assert out is not None
    return out


def _joined_again(low: Lowering, atom, weight: View, sides, which: int) -> list[Side]:
    pair = [weight, weight]
    pair[which] = low.view(atom)
    found = sides(pair)
    return [found[which], found[1 - which]]


def _by_lateness(low: Lowering, whole: Parts) -> list[tuple[View, int]]:
    """Neighbours that a carried value has a part in, or none, together; and where."""
    groups: list[tuple[bool, int, list]] = []
    at = 0
    for view, width in whole.views:
        if view is not None:
            late = view.buffer.late
            if (
                groups
                and groups[-1][0] == late
                and sum(w for _, w in groups[-1][2]) + groups[-1][1] == at
            ):
                groups[-1][2].append((view, width))
            else:
                groups.append((late, at, [(view, width)]))
        at += width
    found = []
    for _, start, views in sorted(groups, key=lambda g: (g[0], g[1])):
        width = sum(w for _, w in views)
        shape = tuple(
            width if a == whole.axis else n for a, n in enumerate(whole.like.shape)
        )
        part = Parts(
            whole.axis,
            tuple(views),
            whole.like.moved(shape=shape, strides=dense(shape)),
        )
        found.append((views[0][0] if len(views) == 1 else low.laid_out(part), start))
    return found


def _products(
    low: Lowering, mine: Side, other: Side, which: int, value: Value, begun: View | None
) -> View:
    """One product, or one for each head; `begun` is what it is added to."""
    heads = [mine.view.shape[a] for a in mine.batch]
    if prod(heads) > MOST:
        raise NotFusedError(
            f"a product with {prod(heads)} weights in the step has no fused form"
        )
    many = tuple(mine.view.shape[a] for a in mine.free)
    columns = tuple(other.view.shape[a] for a in other.free)
    K = prod(mine.view.shape[a] for a in mine.summed)
    F, N = prod(many), prod(columns)
    out = begun or low.fresh((*heads, *many, *columns), None)
    if not K:  # nothing to sum
        if not begun:
            low.emit(codes.COPY, out, low.number(Number(0.0, np.dtype(np.float32))))
        return _ordered(out, len(heads), len(many), which, value)
    strides = dense((*heads, F, N))
    little = F > 1 and 1 in (K, N)
    for index in itertools.product(*map(range, heads)):
        left, right = (
            at_head(mine, mine.batch, index),
            at_head(other, other.batch, index),
        )
        f, k = joined(left, mine.free), joined(left, mine.summed)
        n, wk = joined(right, other.free), joined(right, other.summed)
        if n is None or wk is None:
            raise NotFusedError(
                "a product with a weight of such axes has no fused form"
            )
        if f is None or k is None:
            order = (*mine.free, *mine.summed)
            left = low.copied(
                left.moved(
                    shape=tuple(left.shape[a] for a in order),
                    strides=tuple(left.strides[a] for a in order),
                )
            )
            f, k = (F, K if F > 1 else 0), (K, 1)
        at = sum(i * s for i, s in zip(index, strides, strict=False))
        place_out = Operand(
            out.buffer, at, (0, N if F > 1 else 0, 0, 1 if N > 1 else 0)
        )
        own = Operand(left.buffer, left.offset, (0, f[1], k[1], 0), left.after)
        weight = Operand(right.buffer, right.offset, (0, 0, wk[1], n[1]))
        init = place_out if begun else None
        whole = Instruction(codes.PRODUCT, (1, F, K, N), place_out, (own, weight, init))
        low.add(_little(whole) if little else whole)
    if begun:
        low.added.add(out.buffer)
    elif not heads and not little:
        low.products[out.buffer] = len(low.instructions) - 1
    return _ordered(out, len(heads), len(many), which, value)


def _little(product: Instruction) -> Instruction:
    """Of so little for each part of a row that it is done with what lies around it."""
    (_, F, K, N), out, (left, weight, init) = product[1:]
    assert left is not None
    assert weight is not None
    _, to, _, column = out.strides
    (_, part, k, _), (_, _, wk, n) = left.strides, weight.strides
    if K == 1:  # each number of the row times each of the weight
        code, own = codes.MULADD if init else codes.MUL, (1, 1, F, N)
        strides = [(0, 0, to, column), (0, 0, part, 0), (0, 0, 0, n)]
    else:
        code, own = codes.CONTRACT, (1, F, 1, K)
        strides = [(0, to, 0, 0), (0, part, 0, k), (0, 0, 0, wk)]
    strides.append(strides[0])
    found = [
        each and each._replace(strides=mine)
        for each, mine in zip((out, left, weight, init), strides, strict=True)
    ]
    assert found[0] is not None
    return Instruction(code, own, found[0], tuple(found[1:]))


def _ordered(out: View, heads: int, many: int, which: int, value: Value) -> View:
    """(heads, mine, other) in the order of the result: its left side comes first."""
    rows = batch_axis(value.shape, "dot_general")
    count = len(out.shape)
    if which == 1:
        order = [
            *range(heads),
            *range(heads + many, count),
            *range(heads, heads + many),
        ]
        out = out.moved(
            shape=tuple(out.shape[a] for a in order),
            strides=tuple(out.strides[a] for a in order),
        )
    return out.moved(rows=rows)


# --- over a row's own memory ---


def _within_rows(low: Lowering, left: Side, right: Side, value: Value) -> View:
    shape = (
        *(left.view.shape[a] for a in left.batch),
        *(left.view.shape[a] for a in left.free),
        *(right.view.shape[a] for a in right.free),
    )
    out = low.fresh(shape, batch_axis(value.shape, "dot_general"))
    sides = []
    for side in (left, right):
        found = [joined(side.view, own) for own in (side.batch, side.free, side.summed)]
        view = side.view
        if None in found:
            order = (*side.batch, *side.free, *side.summed)
            view = low.copied(
                view.moved(
                    shape=tuple(view.shape[a] for a in order),
                    strides=tuple(view.strides[a] for a in order),
                )
            )
            sizes = [prod(side.view.shape[a] for a in own) for own in side[1:]]
            found = list(zip(sizes, dense(sizes), strict=True))
        sides.append((view, found))
    (a, ((B, ab), (M, am), (K, ak))), (b, ((_, bb), (N, bn), (_, bk))) = sides
    own = dense((B, M, N))
    low.add(
        Instruction(
            codes.CONTRACT,
            (B, M, N, K),
            Operand(out.buffer, 0, (*own, 0)),
            (
                Operand(a.buffer, a.offset, (ab, am, 0, ak), a.after),
                Operand(b.buffer, b.offset, (bb, 0, bn, bk), b.after),
                None,
            ),
        )
    )
    return low.rounded(out, value)


RULES["dot_general"] = _dot_general
