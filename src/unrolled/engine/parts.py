"""A cell's step in the parts that the time loop takes."""

from typing import Any

from jax import numpy as jnp

from ..cells.base import Cell
from ..layers import checks

Tree = Any

# Up to this many rows one large product for all steps beats T small ones; above,
# reading the product back costs more than it saves (measured: 1.0 to 1.9 times
# Keras's speed at B = 1 when hoisted, 0.55 to 1.0 at B >= 32).
HOIST_UP_TO_BATCH = 4


def parts_of(cell: Any, constants: Tree, rows: int) -> dict[str, Any]:
    """Arguments of `loop.unroll` that say what a step does.

    Args:
        cell: a `Cell` or a view of one; a step of it assigns nothing.
        constants: what `cell.get_constants` drew.
        rows: B.

    Returns:
        `step`, and where the cell splits so, `project` and `product`.
    """
    hoist = rows <= HOIST_UP_TO_BATCH
    splits = isinstance(cell, Cell) and cell.splits
    # With a single gate it wins at any batch, but only where gradients are wanted
    # (measured: 1.1 times as fast in training, 0.92 to 1.2 without).
    ahead = not hoist and splits and len(cell.gates) == 1

    def project(x: Tree) -> Tree:
        return cell.project_inputs(x, constants)

    def projected(x: Tree) -> Tree:
        return x if hoist or ahead else project(x)

    def product(x: Tree, states: Tree) -> Tree:
        x, h = projected(x), cell.project_state(states[0], constants)
        return x + h if cell.additive else (x, h)

    def combine(z: Tree, states: Tree, none: Tree) -> tuple[Tree, Tree, Tree]:
        x, h = (z, jnp.zeros((), z.dtype)) if cell.additive else z
        output, after = cell.combine(x, h, states)
        return output, after, none

    def step(x: Tree, states: Tree, none: Tree) -> tuple[Tree, Tree, Tree]:
        output, after = cell.step(projected(x), states, constants)
        return output, checks.pack_states(after, states, "the cell's new states"), none

    before: dict[str, Any] = {"project": project} if hoist else {}
    if not splits:
        return {**before, "step": step}
    if ahead:
        before = {"ahead": project}
    return {**before, "step": combine, "product": product}
