"""One step of a cell as data: a program of the core, with its arrays."""

from typing import Any, NamedTuple

import jax
import numpy as np

from ..engine.fuse import call
from ..engine.fuse.trace import constants, trace
from .opened import Opened

Array = np.ndarray


class FusedStep(NamedTuple):
    """What native/fused_step.h reads, for a fixed number of rows.

    Attributes:
        code: the program, int64; see native/recipe.h.
        arrays: its inputs, in order; None: that of the step.
        fresh: the states of fresh sequences, ``(B, ...)`` each.
    """

    code: Array
    arrays: tuple[Array | None, ...]
    fresh: tuple[Array, ...]


def fused_step(cell: Opened) -> FusedStep:
    """The step of a cell, by the program that its layer has.

    Raises:
        NotFusedError: naming what stands in the way.
    """

    def step(_: list, whole: list, carried: list, x: list) -> list[Any]:
        output, after = cell.step(x[0], carried, whole)
        return [*after, output]

    def shapes(rows: int) -> list[Any]:
        return constants(cell.shapes, rows, len(cell.constants))

    traced = trace(step, [], cell.constants, cell.fresh, [cell.x], False, shapes)
    of_rows, ready, own = call.forward(traced)
    given = [*traced.consts, *cell.constants, *cell.fresh, None]
    shared, rows, carry, _ = of_rows.split(given)
    fixed = jax.jit(ready.fixed)([*shared, *own])
    arrays = (*map(_array, (*carry, *rows)), None, *map(_array, fixed))
    code = np.array(ready.program.code, np.int64)
    return FusedStep(code, arrays, tuple(map(np.array, cell.fresh)))


def _array(array: Any) -> Array:
    return np.array(array, np.float32)
