"""Rules for what is computed number by number, and for sums along a row."""

import numpy as np

from . import codes
from .flat import Equation, NotFusedError, Number, Value
from .lower import RULES, Instruction, Lowering, Parts, Rule
from .views import (
    LOCAL,
    SUM,
    Buffer,
    Operand,
    View,
    aligned,
    batch_axis,
    dense,
    merged,
    place,
    reshaped,
)

_FLOAT = np.dtype(np.float32)


def _each(code: int) -> Rule:
    def rule(low: Lowering, each: Equation) -> None:
        low.result(each.outputs[0], code, *map(low.view, each.inputs))

    return rule


def _add(low: Lowering, each: Equation) -> None:
    a, b = map(low.parts, each.inputs)
    if a and b and (pieces := _overlaid(a, b)):
        low.views[each.outputs[0]] = a._replace(views=tuple(pieces))
    elif not _begun(low, each):
        low.result(each.outputs[0], codes.ADD, *map(low.view, each.inputs))


def _overlaid(a: Parts, b: Parts) -> list[tuple[View | None, int]]:
    """The sum of two, if they lie apart wherever both are not zero; else nothing."""
    if a.axis != b.axis or a.like.shape != b.like.shape:
        return []
    ends = [np.cumsum([w for _, w in each.views]).tolist() for each in (a, b)]
    found: list[tuple[View | None, int]] = []
    at = 0
    for end in sorted({*ends[0], *ends[1]}):
        pair = []
        for own, each in zip(ends, (a, b), strict=True):
            i = next(i for i, e in enumerate(own) if e >= end)
            view, width = each.views[i]
            if view is not None:
                if own[i] - width != at or own[i] != end:
                    return []
                pair.append(view)
        if len(pair) == 2:
            return []
        found.append((pair[0] if pair else None, end - at))
        at = end
    return found


def _begun(low: Lowering, each: Equation) -> bool:
    """Whether a product that nothing else reads now begins with the other addend."""
    if each.outputs[0].dtype != _FLOAT:
        return False
    views = [low.view(atom) for atom in each.inputs]
    # The later one begins with the earlier, which may then run for all steps at once.
    pairs = sorted([(0, 1), (1, 0)], key=lambda p: not views[p[0]].buffer.late)
    for mine, other in pairs:
        view, first = views[mine], views[other]
        at = low.products.get(view.buffer)
        earlier = not first.buffer.late or first.buffer in low.products
        if at is None or not view.whole or not earlier:
            continue
        if not low.read_once(view.buffer):
            continue
        if view.buffer in low.added and first.buffer.kind == LOCAL:
            continue
        if first.buffer is view.buffer or first.buffer.late > view.buffer.late:
            continue
        product = low.instructions[at]
        begin = product and _beginning(product, view, first)
        if not product or not begin:
            continue
        begun = product._replace(inputs=(*product.inputs[:2], begin))
        if view.buffer in low.added:  # the others come after it: it stays
            low.instructions[at] = begun
        else:  # what it begins with may have come after it
            low.instructions[at] = None
            low.products[view.buffer] = len(low.instructions)
            low.add(begun)
        low.views[each.outputs[0]] = view
        return True
    return False


def _beginning(product: Instruction, view: View, first: View) -> Operand | None:
    """The first addend as a product reads it, if it can."""
    if product.inputs[2] is not None:
        return None
    _, many, _, columns = product.dims
    same = View(first.buffer, view.shape, aligned(first, view))
    found = reshaped(same, (many, columns))
    if found is None or (columns > 1 and found[1] not in (0, 1)):
        return None
    own = (0, found[0], 0, found[1] if columns > 1 else 0)
    return Operand(first.buffer, first.offset, own, first.after)


def _select(low: Lowering, each: Equation) -> None:
    if len(each.inputs) != 3 or each.inputs[0].dtype != np.dtype(bool):
        raise NotFusedError(
            "select_n among more than two in the step has no fused form"
        )
    which, no, yes = map(low.view, each.inputs)
    low.result(each.outputs[0], codes.SELECT, which, yes, no)


def _square(low: Lowering, each: Equation) -> None:
    x = low.view(each.inputs[0])
    low.result(each.outputs[0], codes.MUL, x, x)


def _one_minus_square(low: Lowering, each: Equation) -> None:
    x = low.view(each.inputs[0])
    square = low.fresh(x.shape, x.rows)
    low.emit(codes.MUL, square, x, x)
    one = low.number(Number(1.0, _FLOAT))
    low.result(each.outputs[0], codes.SUB, one, square)


def _integer_pow(low: Lowering, each: Equation) -> None:
    """By squaring; a negative power is the reciprocal of the other."""
    power, left = low.view(each.inputs[0]), abs(each.params["y"])
    one = low.number(Number(1.0, _FLOAT))
    total: View | None = None

    def times(a: View, b: View) -> View:
        out = low.fresh(power.shape, power.rows)
        low.emit(codes.MUL, out, a, b)
        return out

    while left:
        if left & 1:
            total = power if total is None else times(total, power)
        left >>= 1
        if left:
            power = times(power, power)
    if each.params["y"] < 0 and total is not None:
        low.result(each.outputs[0], codes.DIV, one, total)
    else:
        low.result(each.outputs[0], codes.COPY, total or one)


def _round(low: Lowering, each: Equation) -> None:
    code = codes.ROUND[int(each.params["rounding_method"])]
    low.result(each.outputs[0], code, low.view(each.inputs[0]))


def _convert(low: Lowering, each: Equation) -> None:
    (value,), view, before = (
        each.outputs,
        low.view(each.inputs[0]),
        each.inputs[0].dtype,
    )
    if value.dtype == before:
        low.views[value] = view
    elif value.dtype == np.dtype(bool):
        low.result(value, codes.NE, view, low.number(Number(0.0, _FLOAT)))
    else:
        low.views[value] = low.rounded(view, value)


def _reduce_precision(low: Lowering, each: Equation) -> None:
    bits = each.params["exponent_bits"], each.params["mantissa_bits"]
    if bits == (8, 7):
        low.result(each.outputs[0], codes.TO_BF16, low.view(each.inputs[0]))
    elif bits == (8, 23):
        _same(low, each)
    elif bits[0] == 8 and 1 < bits[1] < 23:
        _fewer_digits(low, each, bits[1])
    else:
        raise NotFusedError("reduce_precision in the step has no fused form")


def _fewer_digits(low: Lowering, each: Equation, bits: int) -> None:
    """So many digits of a number after the first: Veltkamp's splitting."""
    x = low.view(each.inputs[0])
    wide, rest = (low.fresh(x.shape, x.rows) for _ in range(2))
    low.emit(codes.MUL, wide, x, low.number(Number(2.0 ** (23 - bits) + 1, _FLOAT)))
    low.emit(codes.SUB, rest, wide, x)
    low.result(each.outputs[0], codes.SUB, wide, rest)


def _same(low: Lowering, each: Equation) -> None:
    for atom, value in zip(each.inputs, each.outputs, strict=True):
        low.views[value] = low.parts(atom) or low.view(atom)


# --- along a row, and over all rows ---


def _reduce(low: Lowering, each: Equation) -> None:
    value, axes = each.outputs[0], tuple(each.params["axes"])
    rows = batch_axis(each.inputs[0].shape, each.name)
    if rows is not None and rows in axes:
        if each.name != "reduce_sum":
            raise NotFusedError(
                f"{each.name} over the batch in the step mixes its rows"
            )
        sum_rows(
            low, value, each.inputs[0], [place(a, rows) for a in axes if a != rows]
        )
        return
    view = low.view(each.inputs[0])
    own = [place(a, rows) for a in axes]
    kept = [a for a in range(len(view.shape)) if a not in own]
    if all(view.shape[a] == 1 for a in own):
        low.views[value] = view.moved(
            shape=tuple(view.shape[a] for a in kept),
            strides=tuple(view.strides[a] for a in kept),
            rows=batch_axis(value.shape, each.name),
        )
        return
    out = low.fresh(
        tuple(view.shape[a] for a in kept), batch_axis(value.shape, each.name)
    )
    view = view.moved(
        shape=tuple(view.shape[a] for a in (*kept, *own)),
        strides=tuple(view.strides[a] for a in (*kept, *own)),
    )
    count = len(kept)
    for source in (view, None):
        source = source or low.copied(view)
        inner, (step,) = merged(source.shape[count:], [source.strides[count:]])
        outer, steps = merged(
            source.shape[:count], [out.strides, source.strides[:count]]
        )
        if len(inner) <= 1 and len(outer) <= 3:
            break
    else:
        raise NotFusedError(
            f"{each.name} of so many axes in the step has no fused form"
        )
    pad = (0,) * (3 - len(outer))
    reads = (*pad, *steps[1], *(step or [0]))
    low.add(
        Instruction(
            codes.REDUCE[each.name],
            (*(1 for _ in pad), *outer, *(inner or [1])),
            Operand(out.buffer, 0, (*pad, *steps[0], 0)),
            (Operand(source.buffer, source.offset, reads, source.after), None, None),
        )
    )
    low.views[value] = low.rounded(out, value)


def sum_rows(low: Lowering, value: Value, of: object, over: list[int]) -> None:
    """`value` is the sum of all rows and steps, and over some axes of each."""
    view = low.view(of)  # type: ignore[arg-type]
    if view.rows is None:
        raise NotFusedError("a sum over the batch of what has none has no fused form")
    kept = [a for a in range(len(view.shape)) if a not in over]
    shape = tuple(view.shape[a] for a in kept)
    buffer = Buffer(SUM, int(np.prod(shape)) if shape else 1)
    step = dict(zip(kept, dense(shape), strict=True))
    strides = [step.get(a, 0) for a in range(len(view.shape))]
    sizes, steps = merged(view.shape, [strides, view.strides])
    if len(sizes) > 4:
        raise NotFusedError("a sum over the batch of so many axes has no fused form")
    pad = (0,) * (4 - len(sizes))
    low.add(
        Instruction(
            codes.SUM_ROWS,
            (*(1 for _ in pad), *sizes),
            Operand(buffer, 0, (*pad, *steps[0])),
            (
                Operand(view.buffer, view.offset, (*pad, *steps[1]), view.after),
                None,
                None,
            ),
        )
    )
    low.sums[value] = buffer
    low.summed.add(value)


RULES |= {name: _each(code) for name, code in codes.UNARY.items()}
RULES |= {name: _each(code) for name, code in codes.BINARY.items()}
RULES |= dict.fromkeys(codes.REDUCE, _reduce)
RULES |= {
    "add": _add,
    "add_any": _add,
    "clamp": _each(codes.CLAMP),
    "select_n": _select,
    "square": _square,
    "one_minus_square": _one_minus_square,
    "integer_pow": _integer_pow,
    "round": _round,
    "convert_element_type": _convert,
    "reduce_precision": _reduce_precision,
    "copy": _same,
    "copy_p": _same,
    "stop_gradient": _same,
    "optimization_barrier": _same,
}
