"""Instructions that two others make superfluous."""

from math import prod

from . import codes
from .lower import Instruction, Operand
from .views import CARRY, KEPT, LOCAL, SEQUENCE, Buffer


def shortened(instructions: list[Instruction]) -> list[Instruction]:
    """The same, with fewer."""
    return _as_one(_joined(_in_place(instructions)))


class _Uses:
    """Who writes and who reads each buffer."""

    def __init__(self, instructions: list[Instruction]):
        self.writers: dict[Buffer, list[int]] = {}
        self.readers: dict[Buffer, list[int]] = {}
        for i, each in enumerate(instructions):
            self.writers.setdefault(each.out.buffer, []).append(i)
            for buffer, _ in each.buffers:
                self.readers.setdefault(buffer, []).append(i)


def _run(each: Instruction, operand: Operand) -> bool:
    """Whether an operand is one run of numbers, from first to last."""
    return each.dims[:3] == (1, 1, 1) and (each.dims[3] == 1 or operand.strides[3] == 1)


def _in_place(instructions: list[Instruction]) -> list[Instruction]:
    """What is copied elsewhere is written there in the first place, and read there."""
    for i, each in enumerate(instructions):
        source = each.inputs[0] if each.inputs else None
        if each.code != codes.COPY or source is None or source.buffer.kind != LOCAL:
            continue
        whole = each.dims[3] == source.buffer.width and source.offset == 0
        if not (whole and _run(each, each.out) and _run(each, source)):
            continue
        if each.out.buffer.kind not in (LOCAL, CARRY, SEQUENCE, KEPT):
            continue
        others = [*instructions[:i], *instructions[i + 1 :]]
        return _in_place([_elsewhere(own, source.buffer, each.out) for own in others])
    return instructions


def _elsewhere(each: Instruction, buffer: Buffer, place: Operand) -> Instruction:
    """The same, where what lay in `buffer` lies at `place`."""

    def there(operand: Operand | None) -> Operand | None:
        if operand is None or operand.buffer is not buffer:
            return operand
        offset = operand.offset + place.offset
        return operand._replace(buffer=place.buffer, offset=offset, after=place.after)

    out = there(each.out)
    assert out is not None
    return each._replace(out=out, inputs=tuple(map(there, each.inputs)))


def _joined(instructions: list[Instruction]) -> list[Instruction]:
    """A product that is only added to something, and the sum, as one."""
    uses = _Uses(instructions)
    found: list[Instruction | None] = list(instructions)
    for i, each in enumerate(instructions):
        if each.code != codes.ADD:
            continue
        for which in (0, 1):
            own = each.inputs[which]
            if own is None or own.buffer.kind != LOCAL:
                continue
            if uses.readers[own.buffer] != [i] or len(uses.writers[own.buffer]) != 1:
                continue
            at = uses.writers[own.buffer][0]
            times = found[at]
            whole = None if times is None else _added(times, each, which)
            if whole:
                found[at], found[i] = None, whole
                break
    return [each for each in found if each is not None]


def _added(times: Instruction, each: Instruction, which: int) -> Instruction | None:
    """A product of numbers, or of a row's own memory, and what it is added to."""
    own, other = each.inputs[which], each.inputs[1 - which]
    assert own is not None
    assert other is not None
    if times.code == codes.MUL:
        same = times.out.strides == own.strides and times.out.offset == own.offset
        if not same or times.dims != each.dims:
            return None
        return each._replace(code=codes.MULADD, inputs=(*times.inputs[:2], other))
    if times.code != codes.CONTRACT or times.inputs[2] is not None:
        return None
    if own.offset != times.out.offset or prod(times.dims[:3]) != prod(each.dims):
        return None
    # Where each axis of the product lies along those of the sum.
    axes = sorted(zip(own.strides, range(4), each.dims, strict=True))
    axes = [(stride, axis) for stride, axis, n in axes if n > 1]
    strides: list[list[int]] = [[], []]
    for n, step in zip(times.dims[:3], times.out.strides, strict=False):
        along = [(s, axis) for s, axis in axes if 0 < s <= step]
        if n == 1 or not along:
            if n > 1:
                return None
            for own_strides in strides:
                own_strides.append(0)
            continue
        stride, axis = along[-1]
        many, rest = divmod(step, stride)
        if rest or many * (n - 1) >= each.dims[axis]:
            return None
        strides[0].append(many * each.out.strides[axis])
        strides[1].append(many * other.strides[axis])
    out, init = (
        o._replace(strides=(*s, 0))
        for o, s in zip((each.out, other), strides, strict=True)
    )
    return times._replace(out=out, inputs=(*times.inputs[:2], init))


def _as_one(instructions: list[Instruction]) -> list[Instruction]:
    """Sums of products that lie side by side in an operand and in what they give."""
    found: list[Instruction] = []
    for each in instructions:
        last = found[-1] if found else None
        joined = last and (_beside(last, each, 0, 2) or _beside(last, each, 1, 3))
        if joined:
            found[-1] = joined
        else:
            found.append(each)
    return found


def _beside(
    a: Instruction, b: Instruction, moving: int, axis: int
) -> Instruction | None:
    """Both, if `b` goes on where `a` ends, along an axis of one of the operands."""
    if a.code != codes.SUM_PRODUCT or b.code != codes.SUM_PRODUCT:
        return None
    (left, other), (right, same) = (
        (each.inputs[moving], each.inputs[1 - moving]) for each in (a, b)
    )
    assert left is not None
    assert right is not None
    n = a.dims[axis]

    def goes_on(first: Operand, then: Operand) -> bool:
        at = first.offset + n * first.strides[axis]
        return first.strides[axis] != 0 and first._replace(offset=at) == then

    dims = tuple(d for i, d in enumerate(a.dims) if i != axis)
    alike = dims == tuple(d for i, d in enumerate(b.dims) if i != axis)
    if not (alike and other == same and goes_on(left, right) and goes_on(a.out, b.out)):
        return None
    whole = tuple(n + b.dims[axis] if i == axis else d for i, d in enumerate(a.dims))
    return a._replace(dims=whole)
