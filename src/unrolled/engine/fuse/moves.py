"""Instructions moved to where what they read and what they give is near, and small.

What only one block of rows holds lies in the first-level cache; what a loop holds for a
step, in the second; what is held for a chunk of steps goes to memory and comes back.
"""

import itertools
from collections import Counter
from collections.abc import Sequence

from . import codes
from .lower import Instruction
from .views import LOCAL, Buffer


def arranged(
    parts: Sequence[tuple[bool, list[int]]],
    instructions: Sequence[Instruction],
    before: Sequence[set[int]],
    feeds: Sequence[set[int]],
) -> list[tuple[bool, list[int]]]:
    """The same parts, with some of their instructions in others.

    Args:
        parts: whether each is a loop, and its instructions.
        instructions: all.
        before: of each instruction those that it waits for in its own step.
        feeds: the same, and those of the last step.
    """
    where = {i: n for n, (_, own) in enumerate(parts) for i in own}
    loops = [loop for loop, _ in parts]
    _join_loops(where, loops, instructions, feeds)
    _pull(where, loops, instructions, feeds)
    _sink(where, loops, instructions, before)
    return [
        (loop, sorted(i for i, n in where.items() if n == number))
        for number, loop in enumerate(loops)
    ]


def _join_loops(
    where: dict[int, int],
    loops: Sequence[bool],
    instructions: Sequence[Instruction],
    feeds: Sequence[set[int]],
) -> None:
    """A loop that another feeds step by step, without a product, is one with it."""
    last: int | None = None
    for number, loop in enumerate(loops):
        own = [i for i, n in where.items() if n == number]
        if not loop or not own:
            continue
        if last is None:
            last = number
            continue
        between: set[int] = set()
        stack = [*own]
        while stack:
            for j in feeds[stack.pop()]:
                if last < where[j] < number and j not in between:
                    between.add(j)
                    stack.append(j)
        if all(instructions[i].code < codes.PRODUCT for i in between):
            where.update((i, last) for i in (*own, *between))
        else:
            last = number


def _pull(
    where: dict[int, int],
    loops: Sequence[bool],
    instructions: Sequence[Instruction],
    feeds: Sequence[set[int]],
) -> None:
    """What makes little of much is done in the loop that makes the much."""
    for i, each in enumerate(instructions):
        out = each.out.buffer
        much = any(b.kind == LOCAL and b.width > out.width for b, _ in each.buffers)
        if each.code >= codes.PRODUCT or out.kind != LOCAL or not much:
            continue
        at = max((where[j] for j in feeds[i]), default=where[i])
        if loops[at]:
            where[i] = at


def _sink(
    where: dict[int, int],
    loops: Sequence[bool],
    instructions: Sequence[Instruction],
    before: Sequence[set[int]],
) -> None:
    """Pointwise instructions that only one loop reads are moved into it."""
    readers: dict[int, set[int]] = {i: set() for i in range(len(instructions))}
    for i, own in enumerate(before):
        for j in own:
            readers[j].add(i)
    for i in reversed(range(len(instructions))):
        each = instructions[i]
        to = {where[j] for j in readers[i]}
        local = each.out.buffer.kind == LOCAL
        if (
            local
            and each.code < codes.CONTRACT
            and len(to) == 1
            and not loops[where[i]]
        ):
            (target,) = to
            if loops[target]:
                where[i] = target


def later(parts: Sequence[Sequence[list[Instruction]]]) -> None:
    """Move what one later group alone reads into that group.

    Args:
        parts: their groups, each of which is changed in place.
    """
    homes: dict[Buffer, set[int]] = {}
    writers: Counter[Buffer] = Counter()
    for p, groups in enumerate(parts):
        for each in itertools.chain(*groups):
            writers[each.out.buffer] += 1
            for buffer in (each.out.buffer, *_read(each)):
                homes.setdefault(buffer, set()).add(p)
    for groups in parts:
        for g in reversed(range(len(groups))):
            for i in reversed(range(len(groups[g]))):
                each = groups[g][i]
                out = each.out.buffer
                own = out.kind == LOCAL and len(homes[out]) == 1 and writers[out] == 1
                to = _readers(groups, out)
                if each.code >= codes.PRODUCT or not own or len(to) != 1:
                    continue
                (target,) = to
                near = all(
                    _nearer(b, out, target, _readers(groups, b, each), homes)
                    for b in _read(each)
                )
                if near and target > g and groups[target][0].code < codes.PRODUCT:
                    groups[target].insert(0, groups[g].pop(i))


def _read(each: Instruction) -> set[Buffer]:
    return {buffer for buffer, _ in each.buffers}


def _readers(
    groups: Sequence[list[Instruction]], buffer: Buffer, but: Instruction | None = None
) -> set[int]:
    """In which groups a buffer is read, by others than one instruction."""
    return {
        g
        for g, group in enumerate(groups)
        for other in group
        if other is not but and buffer in _read(other)
    }


def _nearer(
    buffer: Buffer,
    out: Buffer,
    target: int,
    readers: set[int],
    homes: dict[Buffer, set[int]],
) -> bool:
    """Whether reading a buffer later takes no more room than there is won by it."""
    held = buffer.kind != LOCAL or len(homes[buffer]) > 1
    return (
        held
        or not readers  # it may follow
        or max(readers) >= target
        or buffer.width < out.width
    )
