"""A program of the fused loop, run in NumPy: plain, slow, and strict.

What a program is stands in ``engine/fuse/``. This follows its meaning alone: no blocks,
no bands, no threads; instruction after instruction, for each step. What the core may
take for granted is checked here: a place is read only after it was written, in the
scope in which it lives, and operands overlap only where they may. So a lowering is
tested without the core, in float64 as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise, permutations

import numpy as np

from . import functions as f

VECTOR, ROW, SEQUENCE, KEPT, SUM, BLOCK, STEP, CHUNK, CARRY, STATES = range(10)
CHUNK_PART, LOOP_PART = range(2)
POINTWISE_GROUP, PRODUCT_GROUP, SUM_GROUP = range(3)
RECORD = 40


class MalformedError(ValueError):
    """The program says what no program may say."""


def require(condition, *said) -> None:
    """Raise what is said unless it holds."""
    if not condition:
        raise MalformedError(" ".join(map(str, said)))


@dataclass
class View:
    """An operand of an instruction: where its elements lie in a row."""

    ref: int
    at: np.ndarray  # (d0, d1, d2, d3): indices into a row of the operand
    after: int
    strides: tuple[int, ...]

    @classmethod
    def read(cls, record, dims):
        """From seven numbers; None where the operand is absent."""
        ref, offset, *strides, after = map(int, record)
        if ref == -1:
            return None
        steps = [np.arange(d) * s for d, s in zip(dims, strides, strict=True)]
        grids = np.ix_(*steps)
        at = offset + sum(grids[1:], grids[0])
        return cls(ref, at, after, tuple(strides))

    def same(self, other) -> bool:
        """Whether both are the same elements in the same order."""
        here = (self.ref, self.after) == (other.ref, other.after)
        return here and np.array_equal(self.at, other.at)

    def overlaps(self, other) -> bool:
        """Whether they share an element."""
        here = (self.ref, self.after) == (other.ref, other.after)
        return here and bool(np.intersect1d(self.at, other.at).size)


@dataclass
class Instruction:
    """One record."""

    code: int
    dims: tuple[int, ...]
    out: View
    operands: list  # three, None where absent

    @classmethod
    def read(cls, record):
        """From forty numbers."""
        code, dims = int(record[0]), tuple(map(int, record[1:5]))
        require(code in f.NAMES, "no code is", code)
        require(min(dims) >= 1, "dims must be at least 1. Got", dims)
        require(not record[5] and not record[34:].any(), "reserved numbers are not 0")
        out, *operands = (View.read(record[n : n + 7], dims) for n in (6, 13, 20, 27))
        made = cls(code, dims, out, operands)
        given = [operand is not None for operand in operands]
        least, most = f.READS[code]
        count = sum(given)
        require(
            out is not None and least <= count <= most and all(given[:count]),
            *(made, "has operands", given),
        )
        made.check()
        return made

    def check(self) -> None:
        """That the views lie as their code demands."""
        unused = {  # axes along which each operand must not move
            f.CONTRACT: ((3,), (2,), (1,), (3,)),
            f.PRODUCT: ((0, 2), (0, 3), (0, 1), (0, 2)),
            f.SUM_PRODUCT: ((0, 1), (0, 3), (0, 2), ()),
        }
        reduced = ((3,), (), (), ())
        axes = unused.get(self.code, reduced if self.code in f.REDUCTIONS else None)
        for view, still in zip((self.out, *self.operands), axes or (), strict=False):
            moves = view and [k for k in still if view.strides[k] and self.dims[k] > 1]
            require(not moves, self, "has a view that moves along", moves)
        if self.code in (f.PRODUCT, f.SUM_PRODUCT):
            require(self.dims[0] == 1, self, "must have d0 = 1")
        for n, view in enumerate(self.operands):
            if view is not None and self.out.overlaps(view):
                pointwise = self.code in f.ELEMENTWISE
                initial = self.code in (f.PRODUCT, f.CONTRACT) and n == 2
                require(
                    (pointwise or initial) and self.out.same(view),
                    *(self, "writes over a part of operand", n),
                )
        if self.code in f.ELEMENTWISE:
            require(
                np.unique(self.out.at).size == self.out.at.size,
                *(self, "writes one place more than once"),
            )

    def __str__(self) -> str:
        return f"{f.NAMES[self.code]}{self.dims}"


@dataclass
class Program:
    """The numbers, taken apart."""

    kinds: list[int]  # of every ref
    widths: list[int]
    backwards: list[int]
    inputs: int
    results: int
    carries: list[tuple[int, ...]]
    parts: list  # of (kind, [(group kind, [Instruction])])

    @classmethod
    def read(cls, numbers):
        """From int64."""
        numbers = np.asarray(numbers)
        require(numbers.dtype == np.int64 and numbers.ndim == 1, "must be int64, flat")
        version, *counts = map(int, numbers[:8])
        require(version == 1, "version must be 1. Got", version)
        sizes = (3, 3, 2, 4, 2, 2, RECORD)
        ends = np.cumsum([8, *(c * s for c, s in zip(counts, sizes, strict=True))])
        require(ends[-1] == len(numbers), "must be", ends[-1], "long:", len(numbers))
        tables = [
            numbers[start:end].reshape(-1, size)
            for (start, end), size in zip(pairwise(ends), sizes, strict=True)
        ]
        inputs, results, slots, carries, parts, groups, records = tables
        for table, allowed in ((inputs, (0, 1, 2, 3, 9)), (results, (1, 2, 3, 4, 9))):
            found = set(table[:, 0].tolist())
            require(found <= {*allowed}, "inputs or results of kinds", found)
        require(set(slots[:, 0].tolist()) <= {*range(5, 9)}, "a slot of another kind")
        instructions = iter([Instruction.read(record) for record in records])
        each = iter(groups.tolist())
        made = []
        require(parts[:, 1].sum() == len(groups), "groups are left over or missing")
        require(groups[:, 1].sum() == len(records), "instructions are left over")
        for kind, count in parts.tolist():
            require(kind in (CHUNK_PART, LOOP_PART), "no part has kind", kind)
            own = [next(each) for _ in range(count)]
            made.append(
                (kind, [(k, [next(instructions) for _ in range(n)]) for k, n in own])
            )
        every = [*inputs.tolist(), *results.tolist(), *([k, w, 0] for k, w in slots)]
        kinds, widths, backwards = ([int(e[n]) for e in every] for n in range(3))
        self = cls(
            *(kinds, widths, backwards, len(inputs), len(results)),
            *([tuple(c) for c in carries.tolist()], made),
        )
        self.check()
        return self

    def check(self) -> None:
        """That every operand exists, and stands where its kind may stand."""
        first = self.inputs + self.results
        for slot, given, result, every in self.carries:
            require(first <= slot < len(self.kinds), "a carry is no slot:", slot)
            require(self.kinds[slot] == CARRY, "a carry's slot is not CARRY:", slot)
            require(0 <= given < self.inputs, "a carry starts from no input:", given)
            ends = {given: ROW, result: ROW, every: STATES}
            for ref, kind in ends.items():
                if ref == -1:
                    continue
                named = ref == given or self.inputs <= ref < first
                require(named, "a carry ends in no result:", ref)
                require(self.kinds[ref] == kind, "a carry names ref", ref)
                require(self.widths[ref] == self.widths[slot], "a carry changes width")
        slots = sorted(slot for slot, *_ in self.carries)
        carried = [n for n, kind in enumerate(self.kinds) if kind == CARRY]
        require(slots == carried, "carries", slots, "and CARRY slots", carried)
        named = sorted(r for _, _, *ends in self.carries for r in ends if r != -1)
        rows = range(self.inputs, first)
        rows = [n for n in rows if self.kinds[n] in (ROW, STATES)]
        require(named == rows, "results", rows, "and those of carries", named)
        for part, groups in self.parts:
            for kind, instructions in groups:
                for each in instructions:
                    self._check(part, kind, each)
                alone = kind != SUM_GROUP or len(instructions) == 1
                require(alone, "a sum's group has", len(instructions))
                if kind == PRODUCT_GROUP:
                    for one, other in permutations(instructions, 2):
                        places = (other.out, other.operands[0], other.operands[2])
                        taken = [(v.ref, v.after) for v in places if v is not None]
                        own = (one.out.ref, one.out.after)
                        require(own not in taken, one, "is in the way of", other)

    def _check(self, part, group, each) -> None:
        wanted = {f.PRODUCT: PRODUCT_GROUP}
        wanted |= {f.SUM_PRODUCT: SUM_GROUP, f.SUM_ROWS: SUM_GROUP}
        require(group == wanted.get(each.code, 0), each, "stands in group", group)
        require(group != SUM_GROUP or part == CHUNK_PART, each, "is in a LOOP part")
        for view in (each.out, *each.operands):
            if view is None:
                continue
            require(0 <= view.ref < len(self.kinds), each, "names ref", view.ref)
            kind, width = self.kinds[view.ref], self.widths[view.ref]
            low, high = view.at.min(), view.at.max()
            require(
                low >= 0 and high < width,
                *(each, "reaches", low, "to", high, "of", width, "in ref", view.ref),
            )
            carried = kind in (CARRY, STATES)
            require(carried or not view.after, each, "has `after` of no carry")
            require(kind != STEP or part == LOOP_PART, each, "has a STEP in a chunk")
            require(kind != BLOCK or group == POINTWISE_GROUP, each, "has a BLOCK")
        written = each.out.ref
        kind = self.kinds[written]
        require(written >= self.inputs, each, "writes an input")
        require(kind not in (ROW, STATES), each, "writes what a carry gives")
        require(kind != CARRY or each.out.after, each, "writes what a carry was")
        require((kind == SUM) == (group == SUM_GROUP), each, "and SUM do not match")
        for view in each.operands:
            if view is not None:
                kind, given = self.kinds[view.ref], view.ref < self.inputs
                readable = given or kind not in (SUM, ROW, STATES)
                require(readable, each, "reads a result that is not there yet")
        if each.code == f.PRODUCT:
            require(self.kinds[each.operands[1].ref] == VECTOR, each, "has no weight")


@dataclass
class Memory:
    """The arrays of all refs, and which of their elements were written."""

    program: Program
    rows: int
    steps: int
    dtype: str
    arrays: list = field(default_factory=list)
    written: list = field(default_factory=list)

    def __post_init__(self):
        b, t = self.rows, self.steps
        leading = {VECTOR: (), ROW: (b,), SEQUENCE: (b, t), KEPT: (t, b), SUM: ()}
        leading |= {BLOCK: (b,), STEP: (b,), CHUNK: (t, b)}
        leading |= {CARRY: (t + 1, b), STATES: (t + 1, b)}
        for kind, width in zip(self.program.kinds, self.program.widths, strict=True):
            shape = (*leading[kind], width)
            self.arrays.append(np.zeros(shape, self.dtype))
            self.written.append(np.full(shape, kind == SUM))

    def take(self, n, array) -> None:
        """An input."""
        wanted = self.arrays[n].shape
        if self.program.kinds[n] == VECTOR:
            fits = np.size(array) == wanted[0]
        else:
            fits = np.shape(array)[:-1] == wanted[:-1] or np.size(array) == 0
            fits = fits or np.shape(array)[: len(wanted) - 1] == wanted[:-1]
        require(fits, "input", n, "must be", wanted, "Got", np.shape(array))
        self.arrays[n][...] = np.reshape(array, wanted)
        self.written[n][...] = True

    def _place(self, view, s):
        """Where the rows of a ref lie at a step."""
        kind = self.program.kinds[view.ref]
        at = self.steps - 1 - s if self.program.backwards[view.ref] else s
        return {
            SEQUENCE: (slice(None), at),
            KEPT: (at,),
            CHUNK: (s,),
            CARRY: (s + view.after,),
            STATES: (at + view.after,),
        }.get(kind, ())

    def read(self, view, s):
        """(B, d0, d1, d2, d3); one row stands for all of a VECTOR."""
        place = self._place(view, s)
        ready = self.written[view.ref][place][..., view.at].all()
        require(ready, "ref", view.ref, "is read at step", s, "before it is written")
        found = self.arrays[view.ref][place][..., view.at]
        shape = (self.rows, *view.at.shape)
        return np.broadcast_to(found, shape) if found.ndim == 4 else found

    def write(self, view, s, value) -> None:
        """The same, the other way round."""
        place = self._place(view, s)
        self.arrays[view.ref][place][..., view.at] = value
        self.written[view.ref][place][..., view.at] = True

    def forget(self, kind, steps=slice(None)) -> None:
        """A scope has ended, or begins."""
        for n, each in enumerate(self.program.kinds):
            if each == kind:
                self.written[n][steps] = False


def compute(instruction, memory, s) -> None:
    """One instruction, at one step, for all rows."""
    code, out = instruction.code, instruction.out
    x, y, z = (v and memory.read(v, s) for v in instruction.operands)
    if code in f.ELEMENTWISE:
        given = [a for a in (x, y, z) if a is not None]
        memory.write(out, s, f.ELEMENTWISE[code][1](*given))
        return
    if code in f.REDUCTIONS:
        value = f.REDUCTIONS[code][1](x, axis=4)
    elif code == f.CONTRACT:
        value = np.einsum("rabk,rack->rabc", x[:, :, :, 0], y[:, :, 0])
    elif code == f.PRODUCT:
        weight = y[0, 0, 0] if len(y) else np.zeros(y.shape[3:], y.dtype)
        value = (x[:, 0, :, :, 0] @ weight)[:, None, :, None]
    else:
        total = memory.arrays[out.ref]
        if code == f.SUM_PRODUCT:
            value = np.einsum("rfk,rfn->kn", x[:, 0, :, :, 0], y[:, 0, :, 0])
            np.add.at(total, out.at[0, 0], value)
        else:
            np.add.at(total, out.at, x.sum(0))
        return
    # What the code sums over is one place of the out operand, and of the initial value.
    axis = 2 if code == f.PRODUCT else 3
    first = lambda a: np.take(a, [0], axis=axis - 4)  # noqa: E731
    value = value[..., None] if code != f.PRODUCT else value
    value = value if z is None else value + first(z)
    memory.write(View(out.ref, first(out.at), out.after, out.strides), s, value)


def run(program, inputs, steps=None, dtype="float64", chunk=None):
    """The results of a program.

    Args:
        program: int64.
        inputs: arrays in the order of the program's inputs; of a VECTOR any shape.
        steps: T, where no input has it.
        dtype: what everything is held and computed in.
        chunk: how many steps a chunk has; all.
    """
    program = Program.read(program)
    require(len(inputs) == program.inputs, "takes", program.inputs, "inputs")
    rows = None
    for array, kind in zip(inputs, program.kinds, strict=False):
        if kind in (ROW, SEQUENCE, KEPT, STATES) and rows is None:
            rows = np.shape(array)[1 if kind in (KEPT, STATES) else 0]
        if kind in (SEQUENCE, KEPT) and steps is None:
            steps = np.shape(array)[0 if kind == KEPT else 1]
    require(rows is not None, "nothing says how many rows there are")
    require(steps is not None, "nothing says how many steps there are")
    memory = Memory(program, rows, steps, dtype)
    for n, array in enumerate(inputs):
        memory.take(n, array)
    for slot, given, *_ in program.carries:
        memory.arrays[slot][0] = memory.arrays[given]
        memory.written[slot][0] = True
    with np.errstate(all="ignore"):
        for start in range(0, steps, chunk or max(steps, 1)):
            memory.forget(CHUNK)
            _chunk(memory, range(start, min(steps, start + (chunk or steps))))
    for slot, _, result, every in program.carries:
        if every != -1:
            memory.arrays[every][...] = memory.arrays[slot]
            memory.written[every][...] = True
        ready = memory.written[slot][steps].all()
        require(result == -1 or ready, "carry", slot, "has no last value")
        if result != -1:
            memory.arrays[result][...] = memory.arrays[slot][steps]
            memory.written[result][...] = True
    results = range(program.inputs, program.inputs + program.results)
    for n in results:
        require(memory.written[n].all(), "not all of ref", n, "was written")
    return [memory.arrays[n] for n in results]


def _chunk(memory, steps) -> None:
    for part, groups in memory.program.parts:
        if part == LOOP_PART:
            for s in steps:
                memory.forget(STEP)
                for _, instructions in groups:
                    _group(memory, instructions, s)
        else:
            for _, instructions in groups:
                for s in steps:
                    _group(memory, instructions, s)


def _group(memory, instructions, s) -> None:
    memory.forget(BLOCK)
    for each in instructions:
        compute(each, memory, s)
