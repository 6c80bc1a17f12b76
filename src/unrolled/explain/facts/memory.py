"""What a layer's cell reads beside its inputs, for whoever steps or calls it again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import jax
import jax.numpy as jnp

from ...cells.keras_style import as_cell
from ...cells.signatures import takes, takes_more

_given: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


@contextmanager
def remembered(cell: Any, arguments: dict[str, Any]) -> Iterator[None]:
    """Keep the memory that a layer was called with, for its cell, for this block."""
    names = ("memory", "memory_mask")
    found = {name: arguments.get(name) for name in names}
    if found["memory"] is None:
        yield
        return
    _given[cell] = {k: v for k, v in found.items() if v is not None}
    try:
        yield
    finally:
        del _given[cell]


def of(cell: Any, rows: int) -> dict[str, Any]:
    """Arguments that hand the memory on, for so many rows; row by row, then again."""

    def some(array: Any) -> Any:
        array = jnp.asarray(array)
        return array[jnp.arange(rows) % array.shape[0]]

    return jax.tree.map(some, _given.get(cell, {}))


def of_call(cell: Any, rows: int) -> dict[str, Any]:
    """The same, of what the cell's own ``call`` takes."""
    view = as_cell(cell)
    if view.reads_memory == "no":
        return {}
    more = takes_more(cell.call)
    return {k: v for k, v in of(cell, rows).items() if more or takes(cell.call, k)}


def shapes(cell: Any) -> dict[str, Any]:
    """What a layer around the cell is built with."""
    memory = _given.get(cell, {}).get("memory")
    if memory is None:
        return {}
    return {"memory_shape": jax.tree.map(lambda a: (None, *a.shape[1:]), memory)}
