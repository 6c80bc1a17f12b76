"""Rules for what only moves numbers about: views of what is there already."""

from . import codes
from .flat import Equation, NotFusedError, Number, Value
from .lower import RULES, Lowering, Parts
from .views import LOCAL, Buffer, View, batch_axis, dense, place, reshaped, without

# Of what lies nowhere yet.
NOWHERE = Buffer(LOCAL, 0)


def _broadcast(low: Lowering, each: Equation) -> None:
    (value,), view = each.outputs, low.view(each.inputs[0])
    rows = batch_axis(value.shape, each.name)
    before = each.inputs[0].shape
    had = batch_axis(before, each.name)
    goes = each.params["broadcast_dimensions"]
    if had is not None and goes[had] != rows:
        raise NotFusedError("broadcast_in_dim in the step mixes the rows of the batch")
    strides = [0] * len(value.shape)
    for axis, to in enumerate(goes):
        if axis != had and before[axis] == value.shape[to]:
            strides[to] = view.strides[place(axis, had)]
    kept = without(value.shape, rows)
    own = tuple(s for i, s in enumerate(strides) if i != rows)
    low.views[value] = view.moved(shape=kept, strides=own, rows=rows)


def _reshape(low: Lowering, each: Equation) -> None:
    (value,), view = each.outputs, low.view(each.inputs[0])
    before = each.inputs[0].shape
    rows, had = batch_axis(value.shape, each.name), batch_axis(before, each.name)
    low.views[value] = _in_shape(low, view, before, had, value.shape, rows)


def _in_shape(
    low: Lowering,
    view: View,
    before: tuple,
    had: int | None,
    after: tuple,
    rows: int | None,
) -> View:
    alike = rows is not None and _size(before[:had]) == _size(after[:rows])
    if had is not None and not alike:
        raise NotFusedError("reshape in the step mixes the rows of the batch")
    shape = without(after, rows)
    strides = reshaped(view, shape)
    if strides is None:
        view, strides = low.copied(view), dense(shape)
    return view.moved(shape=shape, strides=strides, rows=rows)


def _size(shape: tuple) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


def _squeeze(low: Lowering, each: Equation) -> None:
    (value,), view = each.outputs, low.view(each.inputs[0])
    had = batch_axis(each.inputs[0].shape, each.name)
    gone = {place(a, had) for a in each.params["dimensions"]}
    kept = [a for a in range(len(view.shape)) if a not in gone]
    low.views[value] = view.moved(
        shape=tuple(view.shape[a] for a in kept),
        strides=tuple(view.strides[a] for a in kept),
        rows=batch_axis(value.shape, each.name),
    )


def _transpose(low: Lowering, each: Equation) -> None:
    (value,), view = each.outputs, low.view(each.inputs[0])
    had = batch_axis(each.inputs[0].shape, each.name)
    order = [place(a, had) for a in each.params["permutation"] if a != had]
    low.views[value] = view.moved(
        shape=tuple(view.shape[a] for a in order),
        strides=tuple(view.strides[a] for a in order),
        rows=batch_axis(value.shape, each.name),
    )


def _slice(low: Lowering, each: Equation) -> None:
    steps = each.params["strides"] or (1,) * len(each.params["start_indices"])
    starts = each.params["start_indices"]
    low.views[each.outputs[0]] = _cut(low, each, 0, starts, steps)


def _cut(
    low: Lowering, each: Equation, which: int, starts: tuple, steps: tuple
) -> View | Parts:
    value, before = each.outputs[which], each.inputs[0].shape
    had = batch_axis(before, each.name)
    if had is not None and (value.shape[had] != before[had] or starts[had]):
        raise NotFusedError(f"{each.name} of the batch in the step mixes its rows")
    whole = low.parts(each.inputs[0])
    if whole is not None and all(step == 1 for step in steps):
        own = [(place(a, had), s) for a, s in enumerate(starts) if a != had]
        at = dict(own)[whole.axis]
        shape = without(value.shape, had)
        others = all(not s for a, s in own if a != whole.axis)
        same = all(
            n == m
            for a, (n, m) in enumerate(zip(shape, whole.like.shape, strict=True))
            if a != whole.axis
        )
        for view, width in whole.views:
            if (
                view is not None
                and others
                and same
                and at == 0
                and width == shape[whole.axis]
            ):
                return view
            at -= width
    view = low.view(each.inputs[0])
    offset, strides = view.offset, list(view.strides)
    for axis, (start, step) in enumerate(zip(starts, steps, strict=True)):
        if axis != had:
            offset += start * view.strides[place(axis, had)]
            strides[place(axis, had)] *= step
    return view.moved(
        shape=without(value.shape, had), strides=tuple(strides), offset=offset
    )


def _split(low: Lowering, each: Equation) -> None:
    axis, at = each.params["axis"], 0
    count = len(each.inputs[0].shape)
    for which, width in enumerate(each.params["sizes"]):
        starts = tuple(at if a == axis else 0 for a in range(count))
        low.views[each.outputs[which]] = _cut(low, each, which, starts, (1,) * count)
        at += width


def _dynamic_slice(low: Lowering, each: Equation) -> None:
    starts = each.inputs[1:]
    if not all(isinstance(s, Number) for s in starts):
        raise NotFusedError("dynamic_slice in the step has no fused form")
    before = each.inputs[0].shape
    sizes = each.params["slice_sizes"]
    known = tuple(
        min(max(int(s.value), 0), n - m)  # type: ignore[union-attr]
        for s, n, m in zip(starts, before, sizes, strict=True)
    )
    low.views[each.outputs[0]] = _cut(low, each, 0, known, (1,) * len(before))


def _rev(low: Lowering, each: Equation) -> None:
    (value,), view = each.outputs, low.view(each.inputs[0])
    had = batch_axis(value.shape, each.name)
    if had in each.params["dimensions"]:
        raise NotFusedError("rev of the batch in the step mixes its rows")
    offset, strides = view.offset, list(view.strides)
    for axis in each.params["dimensions"]:
        a = place(axis, had)
        offset += (view.shape[a] - 1) * strides[a]
        strides[a] = -strides[a]
    low.views[value] = view.moved(strides=tuple(strides), offset=offset)


def _concatenate(low: Lowering, each: Equation) -> None:
    (value,), axis = each.outputs, each.params["dimension"]
    rows = batch_axis(value.shape, each.name)
    if axis == rows:
        raise NotFusedError("concatenate of the batch in the step mixes its rows")
    at, pieces = place(axis, rows), []
    for atom in each.inputs:
        inner = low.parts(atom)
        if inner is not None and inner.axis == at:
            pieces += inner.views
        else:
            view = low.view(atom)
            pieces.append((view, view.shape[at]))
    low.views[value] = _side_by_side(value, rows, at, pieces)


def _side_by_side(value: Value, rows: int | None, axis: int, pieces: list) -> Parts:
    shape = without(value.shape, rows)
    return Parts(axis, tuple(pieces), View(NOWHERE, shape, dense(shape), 0, rows))


def _pad(low: Lowering, each: Equation) -> None:
    (value,), (atom, filling) = each.outputs, each.inputs
    rows = batch_axis(value.shape, each.name)
    config = each.params["padding_config"]
    padded = [a for a, c in enumerate(config) if tuple(c) != (0, 0, 0)]
    if rows in padded:
        raise NotFusedError("pad of the batch in the step mixes its rows")
    zero = isinstance(filling, Number) and not float(filling.value)
    fill = low.view(filling)
    view = low.view(atom)
    for axis in padded:
        lo, hi, inner = config[axis]
        at = place(axis, rows)
        if inner and view.shape[at] > 1:
            view = _spread(low, view, at, inner + 1, fill)
        cut = max(-lo, 0)
        view = _long(view, at, view.shape[at] - cut - max(-hi, 0), cut)
        wide = view.shape[at] + max(lo, 0) + max(hi, 0)
        shape = tuple(wide if a == at else n for a, n in enumerate(view.shape))
        still = (0,) * len(shape)
        pieces: list[tuple[View | None, int]] = []
        for n in (max(lo, 0), None, max(hi, 0)):
            if n is None:
                pieces.append((view, view.shape[at]))
            elif n:
                own = tuple(n if a == at else m for a, m in enumerate(shape))
                pieces.append(
                    (None if zero else fill.moved(shape=own, strides=still), n)
                )
        like = View(NOWHERE, shape, dense(shape), 0, rows)
        whole = Parts(at, tuple(pieces), like)
        if len(padded) == 1:
            low.views[value] = whole
            return
        view = low.laid_out(whole)
    low.views[value] = view


def _long(view: View, axis: int, size: int, start: int = 0) -> View:
    """So many along an axis, from one on."""
    shape = tuple(size if a == axis else n for a, n in enumerate(view.shape))
    return view.moved(shape=shape, offset=view.offset + start * view.strides[axis])


def _spread(low: Lowering, view: View, axis: int, step: int, fill: View) -> View:
    """The view with others between its numbers along an axis."""
    wide = (view.shape[axis] - 1) * step + 1
    out = low.fresh(
        tuple(wide if a == axis else n for a, n in enumerate(view.shape)), view.rows
    )
    low.emit(codes.COPY, out, fill)
    strides = tuple(s * step if a == axis else s for a, s in enumerate(out.strides))
    low.emit(codes.COPY, out.moved(shape=view.shape, strides=strides), view)
    return out


def _unstack(low: Lowering, each: Equation) -> None:
    view, shape = low.view(each.inputs[0]), each.inputs[0].shape
    rows, axis = batch_axis(shape, each.name), each.params["axis"]
    if axis == rows:
        raise NotFusedError("unstack of the batch in the step mixes its rows")
    at = place(axis, rows)
    for i, value in enumerate(each.outputs):
        low.views[value] = view.moved(
            shape=without(view.shape, at),
            strides=without(view.strides, at),
            offset=view.offset + i * view.strides[at],
            rows=batch_axis(value.shape, each.name),
        )


def _stack(low: Lowering, each: Equation) -> None:
    (value,), axis = each.outputs, each.params["axis"]
    rows = batch_axis(value.shape, each.name)
    at, pieces = place(axis, rows), []
    for view in map(low.view, each.inputs):
        shape = (*view.shape[:at], 1, *view.shape[at:])
        strides = (*view.strides[:at], 0, *view.strides[at:])
        pieces.append((view.moved(shape=shape, strides=strides, rows=rows), 1))
    low.views[value] = _side_by_side(value, rows, at, pieces)


def _iota(low: Lowering, each: Equation) -> None:
    (value,) = each.outputs
    rows, axis = batch_axis(value.shape, each.name), each.params["dimension"]
    if axis == rows:
        raise NotFusedError("iota over the batch in the step has no fused form")
    own = low.table([float(n) for n in range(value.shape[axis])])
    shape = without(value.shape, rows)
    at = place(axis, rows)
    strides = tuple(int(a == at) for a in range(len(shape)))
    low.views[value] = own.moved(shape=shape, strides=strides, rows=rows)


def _tile(low: Lowering, each: Equation) -> None:
    (value,), reps = each.outputs, each.params["reps"]
    rows = batch_axis(value.shape, each.name)
    if rows is not None and reps[rows] != 1:
        raise NotFusedError("tile of the batch in the step mixes its rows")
    view = low.view(each.inputs[0])
    own = [r for a, r in enumerate(reps) if a != rows]
    # Axes of repetitions before their own, which do not move.
    shape = tuple(n for pair in zip(own, view.shape, strict=True) for n in pair)
    strides = tuple(n for s in view.strides for n in (0, s))
    repeated = view.moved(shape=shape, strides=strides)
    kept = without(value.shape, rows)
    joined = reshaped(repeated, kept)
    if joined is None:
        repeated, joined = low.copied(repeated), dense(kept)
    low.views[value] = repeated.moved(shape=kept, strides=joined)


RULES |= {
    "tile": _tile,
    "unstack": _unstack,
    "stack": _stack,
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "squeeze": _squeeze,
    "expand_dims": _reshape,
    "transpose": _transpose,
    "slice": _slice,
    "split": _split,
    "dynamic_slice": _dynamic_slice,
    "rev": _rev,
    "concatenate": _concatenate,
    "pad": _pad,
    "iota": _iota,
}
