"""Where the numbers of a row lie: buffers, and views of them.

`ROWS` is the number of rows that steps are traced with: a size that nothing else has,
so that an axis of this size is the batch. What has another multiple of it has mixed
rows up.
"""

from collections.abc import Sequence
from contextvars import ContextVar
from math import prod
from typing import NamedTuple

from .flat import NotFusedError

ROWS = ContextVar("rows", default=999983)
OTHER_ROWS = 999979

# Kinds of buffers, as in native/recipe.h; LOCAL becomes one of the three before CARRY.
VECTOR, ROW, SEQUENCE, KEPT, SUM, BLOCK, STEP, CHUNK, CARRY, STATES, LOCAL = range(11)


class Buffer:
    """So many floats a row and step; of a VECTOR or a SUM, in all."""

    __slots__ = ("backwards", "kind", "late", "width")

    def __init__(self, kind: int, width: int, backwards: bool = False):
        self.kind, self.width, self.backwards = kind, width, backwards
        self.late = kind == CARRY  # whether a carried value has a part in it


class View(NamedTuple):
    """An array of `shape` in a buffer, the axis of the batch left out.

    `rows` is where that axis was in the array, None if it had none. `after` means the
    value of a carry after the step.
    """

    buffer: Buffer
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0
    rows: int | None = None
    after: bool = False

    @property
    def size(self) -> int:
        """How many numbers it has in a row."""
        return prod(self.shape)

    @property
    def whole(self) -> bool:
        """Whether it is all of its buffer, in order."""
        return (
            not self.offset
            and self.size == self.buffer.width
            and self.strides == dense(self.shape)
        )

    def moved(self, **changes: object) -> "View":
        """The same but for some of it."""
        return self._replace(**changes)


class Operand(NamedTuple):
    """A view as an instruction has it: four strides."""

    buffer: Buffer
    offset: int
    strides: tuple[int, ...]
    after: bool = False


def dense(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of an array in row-major order."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


def batch_axis(shape: Sequence[int], what: str) -> int | None:
    """Where the axis of the batch is, if there is one.

    Raises:
        NotFusedError: if rows were mixed up.
    """
    rows = ROWS.get()
    found = [axis for axis, n in enumerate(shape) if n and n % rows == 0]
    if any(shape[axis] != rows for axis in found) or len(found) > 1:
        raise NotFusedError(f"{what} in the step mixes the rows of the batch")
    return found[0] if found else None


def without(shape: Sequence[int], axis: int | None) -> tuple[int, ...]:
    """The shape without that axis."""
    return tuple(n for i, n in enumerate(shape) if i != axis)


def place(axis: int, rows: int | None) -> int:
    """Which axis of a view one of the array is."""
    return axis if rows is None or axis < rows else axis - 1


def merged(
    shape: Sequence[int], strides: Sequence[Sequence[int]]
) -> tuple[list[int], list[list[int]]]:
    """Axes of several views joined where all allow it; those of one element go.

    Args:
        shape: common to all.
        strides: of each view.

    Returns:
        The joined shape, and the strides of each view.
    """
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    for axis, n in enumerate(shape):
        if n == 1:
            continue
        own = [each[axis] for each in strides]
        if sizes and all(s[-1] == n * o for s, o in zip(steps, own, strict=True)):
            sizes[-1] *= n
            for s, o in zip(steps, own, strict=True):
                s[-1] = o
        else:
            sizes.append(n)
            for s, o in zip(steps, own, strict=True):
                s.append(o)
    return sizes, steps


def aligned(view: View, out: View) -> tuple[int, ...]:
    """Strides of a view over the axes of another, along which it may be repeated."""
    if not view.shape:
        return (0,) * len(out.shape)
    shape, strides = view.shape, view.strides
    if len(shape) > len(out.shape) and out.rows is not None:
        shape, strides = without(shape, out.rows), without(strides, out.rows)
    sizes = zip(shape, out.shape, strides, strict=True)
    return tuple(s if n == m else 0 for n, m, s in sizes)


def joined(view: View, axes: Sequence[int]) -> tuple[int, int] | None:
    """Size and stride of some axes as one; None if they do not lie so."""
    shape = [view.shape[a] for a in axes]
    sizes, (steps,) = merged(shape, [[view.strides[a] for a in axes]])
    if not sizes:
        return 1, 0
    return (sizes[0], steps[0]) if len(sizes) == 1 else None


def reshaped(view: View, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Strides of the view in another shape; None if it has to be copied for it."""
    sizes, (steps,) = merged(view.shape, [view.strides])
    strides: list[int] = []
    place_in, left = len(sizes) - 1, sizes[-1] if sizes else 1
    step = steps[-1] if steps else 0
    for n in reversed(shape):
        if n == 1:
            strides.append(0)
            continue
        if left == 1:
            place_in -= 1
            left, step = sizes[place_in], steps[place_in]
        if left % n:
            return None
        strides.append(step)
        step, left = step * n, left // n
    return tuple(reversed(strides))
