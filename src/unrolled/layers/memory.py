"""What every step may read and no step changes: checked, and given its masks."""

from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from ..cells.base import is_dims
from ..checks import fits, require

Tree = Any


def check(memory: Tree, cell: Any, built: Tree, batch: Any) -> None:
    """Check a memory against the cell, the shapes it was built for, and the batch.

    Args:
        memory: tree of ``(B, ...)``, or None.
        cell: the view of the cell that may read it.
        built: tree of the shapes that the layer was built for, or None.
        batch: B of the sequences; None if unknown.

    Raises:
        ValueError: naming what is wrong.
    """
    kind = cell.name
    if memory is None:
        require(
            cell.reads_memory != "must",
            "memory",
            f"must be given: the cell {kind} reads it at every step",
            "none",
            "call the layer with memory=...",
        )
        return
    require(
        cell.reads_memory != "no",
        "memory",
        "can only go to a cell that reads one, in get_constants or (Keras-style) call",
        f"a memory for {kind}, which names none",
        "leave it out, or write the cell with a memory",
    )
    shapes = check_arrays(memory, batch)
    if built is None:
        return
    want = jax.tree.leaves(built, is_leaf=is_dims)
    # Of B nothing is kept; and of S, where three axes or more say that there is one.
    open_axes = [min(2, max(1, len(need) - 1)) for need in want]
    alike = [
        fits(shape, (*[None] * free, *need[free:]))
        for shape, need, free in zip(shapes, want, open_axes, strict=False)
    ]
    keys = _keys(built, is_dims)
    require(
        len(shapes) == len(want) and all(alike) and _keys(memory, None) == keys,
        "memory",
        f"must have the shapes that the layer was built for, {built}, but for the "
        "batch size and the second axis of three or more",
        jax.tree.map(lambda array: tuple(array.shape), memory),
        "give this memory a layer of its own",
    )


def check_arrays(memory: Tree, batch: Any) -> list[tuple]:
    """The shapes of what a memory holds.

    Raises:
        ValueError: unless they are ``(B, ...)``.
    """
    shapes = [tuple(np.shape(each)) for each in jax.tree.leaves(memory)]
    alone = shapes.count(())
    require(
        all(shape and fits(shape[:1], (batch,)) for shape in shapes),
        "memory",
        f"must hold arrays (batch, ...), with the batch size of sequences, {batch}",
        f"{alone} single number(s)" if alone else f"shapes {shapes}",
        "pass lists of numbers as np.asarray(memory)"
        if alone
        else "one entry for each row of sequences",
    )
    return shapes


def masks(memory: Tree, mask: Any) -> Tree:
    """Masks as the cell reads them: a tree like `memory`, None where there is none.

    Args:
        memory: tree of ``(B, ...)``.
        mask: a tree of the same structure, or one mask for all of it; each has the
            first axes of its array.

    Raises:
        ValueError: if a mask fits no array.
    """
    kept = matched(memory, mask)
    return jax.tree.map(lambda each: jnp.asarray(each).astype(bool), kept)


def matched(memory: Tree, mask: Any) -> Tree:
    """The same, checked and not touched; memory and masks may be symbolic."""
    arrays, structure = jax.tree.flatten(memory, is_leaf=_is_none)
    whole = [None if array is None else tuple(array.shape) for array in arrays]
    given, form = jax.tree.flatten(mask, is_leaf=_is_none)
    if all(each is None for each in given):
        return None
    if form == jax.tree.structure(0):
        given = [given[0] if _masks(given[0], shape) else None for shape in whole]
    else:
        require(
            _keys(mask) == _keys(memory),
            "memory_mask",
            f"must be one mask, or a tree like the memory, {structure}",
            form,
            "pass None for a part without a mask",
        )
    require(
        any(each is not None for each in given)
        and all(
            each is None or _masks(each, s)
            for each, s in zip(given, whole, strict=True)
        ),
        "memory_mask",
        f"must have the first axes of the memory, of shapes {whole}",
        [None if m is None else tuple(np.shape(m)) for m in jax.tree.leaves(mask)],
        "for a memory (B, S, ...) pass (B, S), true where an entry counts",
    )
    return jax.tree.unflatten(structure, given)


def _masks(mask: Any, shape: tuple | None) -> bool:
    have = tuple(np.shape(mask))
    if shape is None:
        return False
    return 0 < len(have) <= len(shape) and fits(have, shape[: len(have)])


def _is_none(value: Any) -> bool:
    return value is None


def _keys(tree: Tree, is_leaf: Any = _is_none) -> list[list[Any]]:
    """Of each leaf the keys of dicts on the way to it; files keep no kinds of lists."""
    paths = [p for p, _ in jax.tree_util.tree_leaves_with_path(tree, is_leaf=is_leaf)]
    return [[k.key for k in p if isinstance(k, jax.tree_util.DictKey)] for p in paths]
