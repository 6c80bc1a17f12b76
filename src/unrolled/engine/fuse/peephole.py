"""Instructions that two others make superfluous."""

from . import codes
from .lower import Instruction, Operand
from .views import CARRY, KEPT, LOCAL, SEQUENCE, Buffer


def shortened(instructions: list[Instruction]) -> list[Instruction]:
    """The same, with fewer."""
    return _joined(_in_place(instructions))


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
    """What is only copied elsewhere is written there in the first place."""
    uses = _Uses(instructions)
    found: list[Instruction | None] = list(instructions)
    for i, each in enumerate(instructions):
        source = each.inputs[0] if each.inputs else None
        if each.code != codes.COPY or source is None or source.buffer.kind != LOCAL:
            continue
        buffer = source.buffer
        whole = each.dims[3] == buffer.width and source.offset == 0
        if not (whole and _run(each, each.out) and _run(each, source)):
            continue
        writers = uses.writers[buffer]
        if uses.readers[buffer] != [i] and any(
            r != i and r not in writers for r in uses.readers[buffer]
        ):
            continue
        if each.out.buffer.kind not in (LOCAL, CARRY, SEQUENCE, KEPT):
            continue
        for at in writers:
            own = found[at]
            assert own is not None

            def there(
                operand: Operand | None, buffer=buffer, each=each
            ) -> Operand | None:
                if operand is None or operand.buffer is not buffer:
                    return operand
                return operand._replace(
                    buffer=each.out.buffer,
                    offset=operand.offset + each.out.offset,
                    after=each.out.after,
                )

            out = there(own.out)
            assert out is not None
            found[at] = own._replace(out=out, inputs=tuple(map(there, own.inputs)))
        found[i] = None
        instructions = [f for f in found if f is not None]
        return _in_place(instructions)
    return instructions


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
            if times is None or times.code != codes.MUL:
                continue
            same = times.out.strides == own.strides and times.out.offset == own.offset
            if not same or times.dims != each.dims:
                continue
            inputs = (*times.inputs[:2], each.inputs[1 - which])
            found[at], found[i] = None, each._replace(code=codes.MULADD, inputs=inputs)
            break
    return [each for each in found if each is not None]
