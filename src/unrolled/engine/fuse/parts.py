"""Instructions in the order in which the core runs them: parts, and groups in these.

What waits for the step before it is a loop; all else is done for many steps at once,
before a loop or after it. So the instructions are sorted by what feeds what, those of a
circle through the carried values together. Within a part, pointwise instructions run
together for a block of rows, and products between them for all rows.
"""

from typing import NamedTuple

from . import codes, moves
from .lower import Instruction
from .views import BLOCK, CARRY, CHUNK, LOCAL, STEP, SUM, Buffer

POINTWISE_GROUP, PRODUCT_GROUP, SUM_GROUP = 0, 1, 2


class Group(NamedTuple):
    """Instructions that run together; see native/recipe.h."""

    kind: int
    instructions: list[Instruction]


class Part(NamedTuple):
    """`loop`: its groups are run step by step; else each for all steps of a chunk."""

    loop: bool
    groups: list[Group]


def ordered(instructions: list[Instruction]) -> list[Part]:
    """All of them, in parts."""
    before = _sources(instructions)
    feeds = _feeds(instructions, before)
    circles = [
        (len(own) > 1 or own[0] in feeds[own[0]], sorted(own)) for own in _strong(feeds)
    ]
    parts = moves.arranged(_in_turns(circles, feeds), instructions, before, feeds)
    found = [
        Part(loop, _groups([instructions[i] for i in own], loop))
        for loop, own in parts
        if own
    ]
    moves.later([[g.instructions for g in part.groups] for part in found])
    return [
        part._replace(groups=[g for g in part.groups if g.instructions])
        for part in found
    ]


def _sources(instructions: list[Instruction]) -> list[set[int]]:
    """Of each instruction those that it waits for in its own step."""
    written: dict[Buffer, list[int]] = {}
    found: list[set[int]] = []
    for i, each in enumerate(instructions):
        own: set[int] = set()
        for buffer, after in each.buffers:
            if buffer.kind != CARRY or after:
                own |= {*written.get(buffer, [])}
        # Into one place they write one after the other.
        if each.out.buffer.kind != SUM:
            accumulates = any(
                o is not None and o.buffer is each.out.buffer for o in each.inputs
            )
            if accumulates:
                own |= {*written.get(each.out.buffer, [])}
        own.discard(i)
        found.append(own)
        written.setdefault(each.out.buffer, []).append(i)
    return found


def _feeds(instructions: list[Instruction], before: list[set[int]]) -> list[set[int]]:
    """Of each those it waits for in its own step, or, for a carry, in the last."""
    writers: dict[Buffer, set[int]] = {}
    for i, each in enumerate(instructions):
        if each.out.buffer.kind == CARRY:
            writers.setdefault(each.out.buffer, set()).add(i)
    found = []
    for own, each in zip(before, instructions, strict=True):
        carried = [b for b, after in each.buffers if b.kind == CARRY and not after]
        found.append(own.union(*(writers.get(b, set()) for b in carried)))
    return found


def _strong(edges: list[set[int]]) -> list[list[int]]:
    """Strongly connected components, those that others wait for first (Tarjan)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on: set[int] = set()
    found: list[list[int]] = []
    for root in range(len(edges)):
        if root in index:
            continue
        work = [(root, iter(sorted(edges[root])))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on.add(root)
        while work:
            node, rest = work[-1]
            for other in rest:
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    on.add(other)
                    work.append((other, iter(sorted(edges[other]))))
                    break
                if other in on:
                    low[node] = min(low[node], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    own = []
                    while True:
                        other = stack.pop()
                        on.discard(other)
                        own.append(other)
                        if other == node:
                            break
                    found.append(own)
    return found


def _in_turns(
    circles: list[tuple[bool, list[int]]], feeds: list[set[int]]
) -> list[tuple[bool, list[int]]]:
    """Parts: in turns all that is ready and no loop, then all loops that are."""
    where = {i: n for n, (_, own) in enumerate(circles) for i in own}
    waits = [
        {where[j] for i in own for j in feeds[i]} - {n}
        for n, (_, own) in enumerate(circles)
    ]
    done: set[int] = set()
    parts: list[tuple[bool, list[int]]] = []
    while len(done) < len(circles):
        for loop in (False, True):
            own: list[int] = []
            while True:
                ready = [
                    n
                    for n, (is_loop, _) in enumerate(circles)
                    if is_loop == loop and n not in done and waits[n] <= done
                ]
                if not ready:
                    break
                for n in ready:
                    own += circles[n][1]
                done |= {*ready}
                if loop:
                    break
            if own:
                parts.append((loop, sorted(own)))
    return parts


def _groups(own: list[Instruction], loop: bool) -> list[Group]:
    """In turns all pointwise instructions that are ready, then all products.

    Threads meet once a group.
    """
    before = _sources(own)
    # Outside of a loop, what was carried is there once another group has written it.
    earlier = [set() for _ in own] if loop else _feeds(own, before)
    done: set[int] = set()
    groups: list[Group] = []
    while len(done) < len(own):
        together: list[int] = []
        # In the order they came, which is one in which they can run.
        for i in range(len(own)):
            waits = earlier[i] - before[i]
            ready = before[i] <= done and waits <= done.difference(together)
            if i not in done and own[i].code < codes.PRODUCT and ready:
                together.append(i)
                done.add(i)
        if together:
            groups.append(Group(POINTWISE_GROUP, [own[i] for i in together]))
        ready = [
            i
            for i in range(len(own))
            if i not in done
            and own[i].code >= codes.PRODUCT
            and before[i] | earlier[i] <= done
        ]
        side_by_side: list[Instruction] = []
        for i in ready:
            if own[i].code != codes.PRODUCT:
                groups.append(Group(SUM_GROUP, [own[i]]))
            elif all(_apart(own[i], each) for each in side_by_side):
                side_by_side.append(own[i])
            else:  # with the next ones
                continue
            done.add(i)
        if side_by_side:
            groups.append(Group(PRODUCT_GROUP, side_by_side))
        assert together or ready, "instructions wait for each other"
    return groups


def _apart(one: Instruction, other: Instruction) -> bool:
    """Whether neither reads or writes what the other writes; see native/recipe.cc."""
    pairs = ((one, other), (other, one))
    return not any(
        (a.out.buffer, a.out.after) in [(b.out.buffer, b.out.after), *b.buffers]
        for a, b in pairs
    )


def settle(parts: list[Part]) -> list[Buffer]:
    """Give what is LOCAL a kind, let blocks share it, and return all slots.

    A buffer that one pointwise group alone uses lies in a BLOCK; one that a loop alone
    uses, in a STEP; others in a CHUNK.
    """
    users: dict[Buffer, set[tuple[int, int]]] = {}
    for p, part in enumerate(parts):
        for g, group in enumerate(part.groups):
            for each in group.instructions:
                for buffer in (each.out.buffer, *(b for b, _ in each.buffers)):
                    if buffer.kind in (LOCAL, CARRY):
                        users.setdefault(buffer, set()).add((p, g))
    for buffer, places in users.items():
        if buffer.kind == LOCAL:
            (p, g), *more = sorted(places)
            pointwise = parts[p].groups[g].kind == POINTWISE_GROUP
            if not more and pointwise:
                buffer.kind = BLOCK
            elif all(q == p for q, _ in more) and parts[p].loop:
                buffer.kind = STEP
            else:
                buffer.kind = CHUNK
    return list(users)
