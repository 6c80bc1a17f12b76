"""A loop over time as data for the core, which `native/recipe.h` reads."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from . import codes, layout, pointwise, products  # noqa: F401  (their rules)
from .flat import Atom, Equation, NotFusedError, Value, needed, values
from .lower import TYPES, Instruction, Lowering, Operand
from .parts import POINTWISE_GROUP, Part, ordered, settle
from .peephole import shortened
from .views import (
    BLOCK,
    CARRY,
    KEPT,
    LOCAL,
    ROW,
    SEQUENCE,
    STATES,
    VECTOR,
    Buffer,
    View,
    batch_axis,
    dense,
    without,
)

VERSION = 1
_RECORD = 40


class Carry(NamedTuple):
    """What goes from step to step, and what of it is asked for."""

    before: Value
    after: Atom
    last: bool
    every: bool  # its values before and after all steps


class Loop(NamedTuple):
    """What a loop over time reads and gives. Values are of one step.

    Attributes:
        vectors: the same for all rows and steps.
        rows: (B, ...), the same at all steps.
        sequences: (B, T, ...).
        kept: (T, B, ...).
        states: values before and after a step, of one (T+1, B, ...).
        carries: see `Carry`.
        outputs: (B, T, ...).
        keeps: (T, B, ...).
        sums: over rows and steps.
        zeros: inputs that are zero.
        backwards: whether sequences are read, and are `outputs` written, from the end.
        turned: the same of `kept` and `states`.
    """

    equations: list[Equation]
    vectors: Sequence[Value] = ()
    rows: Sequence[Value] = ()
    sequences: Sequence[tuple[Value, bool]] = ()
    kept: Sequence[Value] = ()
    states: Sequence[tuple[Value, Value]] = ()
    carries: Sequence[Carry] = ()
    outputs: Sequence[tuple[Atom, bool]] = ()
    keeps: Sequence[Atom] = ()
    sums: Sequence[Atom] = ()
    zeros: frozenset[Value] = frozenset()
    turned: bool = False


class Program(NamedTuple):
    """What the core is told, and what JAX does before and after.

    Attributes:
        code: the array of native/recipe.h.
        vectors: which values go in, in order, after those with rows; None: the numbers.
        numbers: that the program holds itself.
        early: equations that give the vectors.
        sums: values that come out, of the core's SUM results in order.
        late: equations of those.
        widths: of all results, in the core's order.
        counts: how many products there are, and how many pointwise instructions.
    """

    code: tuple[int, ...]
    vectors: list[Value | None]
    numbers: list[float]
    early: list[Equation]
    sums: list[Value]
    late: list[Equation]
    counts: tuple[int, int]


def build(loop: Loop) -> Program:
    """The program of a loop.

    Raises:
        NotFusedError: naming what stands in the way.
    """
    given: dict[Value, View] = {}
    inputs: list[Buffer] = []

    def reads(value: Value, kind: int, backwards: bool = False) -> Buffer:
        view = _whole(value, kind, backwards)
        given[value] = view
        inputs.append(view.buffer)
        return view.buffer

    starts: list[Buffer] = []
    slots: list[Buffer] = []
    for each in loop.carries:
        before = _whole(each.before, CARRY)
        given[each.before] = before
        slots.append(before.buffer)
        starts.append(Buffer(ROW, before.buffer.width))
        inputs.append(starts[-1])
    for value in loop.rows:
        reads(value, ROW)
    for value, backwards in loop.sequences:
        reads(value, SEQUENCE, backwards)
    for value in loop.kept:
        reads(value, KEPT, loop.turned)
    for before, after in loop.states:
        buffer = reads(before, STATES, loop.turned)
        given[after] = given[before].moved(buffer=buffer, after=True)
    for value in loop.vectors:
        size = int(np.prod(value.shape)) if value.shape else 1
        given[value] = View(Buffer(VECTOR, size), value.shape, dense(value.shape))
    low = Lowering(given, loop.zeros, loop.turned)
    ends = [each.after for each in loop.carries]
    others = [*(v for v, _ in loop.outputs), *loop.keeps, *loop.sums]
    low.run(needed(loop.equations, [*ends, *others]), ends, others)

    results: list[Buffer] = []
    moved: dict[Buffer, tuple[Buffer, bool]] = {}
    for buffer, atom in zip(slots, ends, strict=True):
        _store(low, moved, atom, buffer, True)
    for atom, backwards in loop.outputs:
        results.append(Buffer(SEQUENCE, _size(atom), backwards))
        _store(low, moved, atom, results[-1], False)
    for atom in loop.keeps:
        results.append(Buffer(KEPT, _size(atom)))
        _store(low, moved, atom, results[-1], False)
    carries = []
    for each, slot, start in zip(loop.carries, slots, starts, strict=True):
        named: list[Buffer | None] = [None, None]
        for which, (asked, kind) in enumerate([(each.last, ROW), (each.every, STATES)]):
            if asked:
                named[which] = Buffer(kind, slot.width)
                results.append(named[which])  # type: ignore[arg-type]
        carries.append((slot, start, *named))
    sums = [v for v in low.sums if _is_read(v, low, loop.sums)]
    results += [low.sums[v] for v in sums]

    chosen = [_moved(each, moved) for each in low.instructions if each is not None]
    dropped = {low.sums[v] for v in low.sums if v not in sums}
    chosen = [each for each in chosen if each.out.buffer not in dropped]
    parts = ordered(shortened(chosen))
    locals_ = [b for b in settle(parts) if b.kind != CARRY]
    vectors = _vectors(chosen, low)
    code = _encoded(
        [*inputs, *(buffer for _, buffer in vectors)],
        results,
        [*slots, *locals_],
        carries,
        parts,
    )
    products_ = sum(each.code == codes.PRODUCT for each in chosen)
    pointwise_ = sum(
        each.code < codes.PRODUCT and each.code != codes.COPY for each in chosen
    )
    return Program(
        code,
        [value for value, _ in vectors],
        low.numbers,
        low.early,
        sums,
        low.late,
        (products_, pointwise_),
    )


def _whole(value: Value, kind: int, backwards: bool = False) -> View:
    rows = batch_axis(value.shape, "an input")
    if rows is None:
        raise NotFusedError(
            "what goes from step to step without rows has no fused form"
        )
    if value.dtype not in TYPES:
        raise NotFusedError(f"numbers of {value.dtype} have no fused form")
    shape = without(value.shape, rows)
    size = int(np.prod(shape)) if shape else 1
    if not size:
        raise NotFusedError("an array without numbers has no fused form")
    return View(Buffer(kind, size, backwards), shape, dense(shape), 0, rows)


def _size(atom: Atom) -> int:
    return int(np.prod(sizes(atom)))


def sizes(atom: Atom) -> tuple[int, ...]:
    """The shape of a value without the axis of the batch."""
    return without(atom.shape, batch_axis(atom.shape, "an output"))


def _store(
    low: Lowering,
    moved: dict[Buffer, tuple[Buffer, bool]],
    atom: Atom,
    target: Buffer,
    after: bool,
) -> None:
    """Let the atom's numbers come to lie in `target`."""
    view = low.view(atom)
    if view.buffer.kind == LOCAL and view.whole and view.buffer not in moved:
        moved[view.buffer] = (target, after)
        return
    shape = without(atom.shape, batch_axis(atom.shape, "an output"))
    low.emit(codes.COPY, View(target, shape, dense(shape), 0, view.rows, after), view)


def _moved(each: Instruction, moved: dict[Buffer, tuple[Buffer, bool]]) -> Instruction:
    def there(operand: Operand | None) -> Operand | None:
        if operand is None or operand.buffer not in moved:
            return operand
        buffer, after = moved[operand.buffer]
        return operand._replace(buffer=buffer, after=after)

    out = there(each.out)
    assert out is not None
    return each._replace(out=out, inputs=tuple(map(there, each.inputs)))


def _is_read(value: Value, low: Lowering, asked: Sequence[Atom]) -> bool:
    read = [
        *values(asked),
        *(v for e in needed(low.late, asked) for v in values(e.inputs)),
    ]
    return value in read


def _vectors(
    instructions: list[Instruction], low: Lowering
) -> list[tuple[Value | None, Buffer]]:
    """What is read of weights, and the program's own numbers."""
    owners: dict[Buffer, Value | None] = {b: v for v, b in low.vectors.items()}
    owners[low.pool] = None
    read = dict.fromkeys(
        buffer
        for each in instructions
        for buffer, _ in each.buffers
        if buffer.kind == VECTOR
    )
    return [(owners[buffer], buffer) for buffer in read]


# --- as numbers ---


def _encoded(
    inputs: list[Buffer],
    results: list[Buffer],
    slots: list[Buffer],
    carries: list[tuple],
    parts: list[Part],
) -> tuple[int, ...]:
    shared, own = _shared(parts, [b for b in slots if b.kind != BLOCK])
    order = [*inputs, *results]
    refs = {buffer: n for n, buffer in enumerate(order)}
    refs |= {buffer: len(order) + n for buffer, n in own.items()}
    groups = [group for part in parts for group in part.groups]
    instructions = [each for group in groups for each in group.instructions]
    head = [VERSION, len(inputs), len(results), len(shared), len(carries)]
    found = [*head, len(parts), len(groups), len(instructions)]
    for each in order:
        found += [each.kind, each.width, int(each.backwards)]
    for kind, width in shared:
        found += [kind, width]
    for each in carries:
        found += [-1 if buffer is None else refs[buffer] for buffer in each]
    for part in parts:
        found += [int(part.loop), len(part.groups)]
    for group in groups:
        found += [group.kind, len(group.instructions)]
    for each in instructions:
        record = [each.code, *each.dims, 0]
        operands = (each.out, *each.inputs, None, None, None)[:4]
        for operand in operands:
            if operand is None:
                record += [-1, *[0] * 6]
            else:
                where = refs[operand.buffer]
                record += [where, operand.offset, *operand.strides, int(operand.after)]
        found += record + [0] * (_RECORD - len(record))
    return tuple(map(int, found))


def _shared(
    parts: list[Part], lasting: list[Buffer]
) -> tuple[list[tuple[int, int]], dict[Buffer, int]]:
    """Slots, and which each buffer has: those of blocks share them by turns."""
    slots = [(buffer.kind, buffer.width) for buffer in lasting]
    own = {buffer: n for n, buffer in enumerate(lasting)}
    blocks: dict[int, list[int]] = {}
    for part in parts:
        for group in part.groups:
            if group.kind != POINTWISE_GROUP:
                continue
            free = {width: list(places) for width, places in blocks.items()}
            last: dict[Buffer, int] = {}
            for i, each in enumerate(group.instructions):
                for buffer in (each.out.buffer, *(b for b, _ in each.buffers)):
                    if buffer.kind == BLOCK:
                        last[buffer] = i
            for i, each in enumerate(group.instructions):
                out = each.out.buffer
                if out.kind == BLOCK and out not in own:
                    if not free.get(out.width):
                        blocks.setdefault(out.width, []).append(len(slots))
                        free.setdefault(out.width, []).append(len(slots))
                        slots.append((BLOCK, out.width))
                    own[out] = free[out.width].pop()
                for buffer in {out, *(b for b, _ in each.buffers)}:
                    if buffer.kind == BLOCK and last[buffer] == i:
                        free[buffer.width].append(own[buffer])
    return slots, own
