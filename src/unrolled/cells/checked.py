"""What leaves a cell is checked once, while its step is traced."""

import contextlib
import linecache
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp

from ..checks import require
from .base import is_dims
from .keras_style import as_cell, class_name
from .states import Shape, Tree, has_keys_of, is_tree, names_of, plain

_LIBRARIES = [Path(str(module.__file__)).parent for module in (jax, keras, np)]
_LIBRARIES.append(Path(__file__).parent.parent)
_DECISIONS = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


class DecisionError(ValueError):
    """A step asks for the value of a tensor; already said in words."""


def step_of(cell: Any, x: Tree, states: Tree, constants: Tree) -> tuple[Tree, Tree]:
    """A step of any cell from projected inputs, checked; errors name this cell."""
    with in_words(cell):
        result = as_cell(cell).step(x, states, constants)
    return checked(cell, result, states)


def checked(cell: Any, result: Any, states: Tree) -> tuple[Tree, Tree]:
    """The output and the new states of a step, in the structure of the old ones.

    Args:
        cell: whose step it was.
        result: what the step returned.
        states: the states before it, arrays ``(B, ...)``.

    Raises:
        ValueError: if it is no pair, or shapes are not as declared.
    """
    kind = class_name(cell)
    require(
        isinstance(result, (tuple, list)) and len(result) == 2,
        "cell",
        f"must return (output, new_states) from a step of {kind}",
        _kind(result),
        "return both, the states in the form of state_size",
    )
    output, after = map(plain, result)
    after = after if is_tree(after) else [after]
    old, structure = jax.tree.flatten(states)
    new, names = jax.tree.leaves(after), jax.tree.leaves(names_of(as_cell(cell)))
    require(
        len(new) == len(old),
        "cell",
        f"must return {len(old)} new state(s) from a step of {kind}: "
        f"{', '.join(names)}",
        f"{len(new)}",
        "return one for each in state_size, also those that did not change",
    )
    require(
        has_keys_of(after, states),
        "cell",
        f"must return its new states from a step of {kind} in a dict with the keys of "
        "state_size",
        str(jax.tree.structure(after)),
        "return them in the form in which they came",
    )
    kept = [
        _state(kind, name, n, o) for name, n, o in zip(names, new, old, strict=True)
    ]
    rows = old[0].shape[0] if old else jax.tree.leaves(output)[0].shape[0]
    _check_output(cell, output, rows)
    return output, jax.tree.unflatten(structure, kept)


def _state(kind: str, name: str, new: Any, old: Any) -> jax.Array:
    new = jnp.asarray(new)
    require(
        new.shape == old.shape,
        f"state {name}",
        f"of {kind} must have shape (batch, ...) = {old.shape} after a step, as before",
        new.shape,
        "state_size declares it",
    )
    if new.dtype == old.dtype:
        return new
    kinds = [_rank(array.dtype) for array in (new, old)]
    require(
        kinds[0] <= kinds[1],
        f"state {name}",
        f"of {kind} must keep its dtype, {old.dtype}",
        new.dtype,
        "cast it in the step, or let get_initial_state give it in that dtype",
    )
    return new.astype(old.dtype)


def _rank(dtype: Any) -> int:
    """Kinds of numbers, so that what has a lower one loses nothing in a higher."""
    order = (jnp.bool_, jnp.integer, jnp.floating, jnp.complexfloating)
    return next((n for n, k in enumerate(order) if jnp.issubdtype(dtype, k)), -1)


def _check_output(cell: Any, output: Tree, rows: int) -> None:
    view = as_cell(cell)
    if getattr(view, "output_size", None) is None:
        return
    declared = view.output_shapes
    want = jax.tree.map(lambda shape: (rows, *shape.sizes), declared)
    got = jax.tree.map(lambda each: tuple(np.shape(each)), output)
    shapes = [jax.tree.leaves(each, is_leaf=is_dims) for each in (got, want)]
    alone = isinstance(declared, Shape)
    require(
        shapes[0] == shapes[1]
        and is_tree(output) != alone
        and (alone or has_keys_of(output, declared)),
        "output_size",
        f"of {class_name(cell)} declares outputs of shape (batch, ...) = {want} at a "
        "step",
        got,
        "make output_size and what the step returns agree",
    )


def _kind(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else f"one array of shape {shape}"


@contextlib.contextmanager
def in_words(cell: Any, argument: str = "cell") -> Iterator[None]:
    """Say which line of a step asks for the value of a tensor.

    Args:
        cell: whose step it is; or a function that is called at each.
        argument: what has the line in it.

    Raises:
        DecisionError: in place of JAX's own error.
    """
    try:
        yield
    except DecisionError:
        raise
    except Exception as error:
        # Keras, where it adds arguments to such an error, raises another from it.
        found: BaseException | None = error
        while found is not None and not isinstance(found, _DECISIONS):
            found = found.__context__
        if found is None:
            raise
        frames = traceback.extract_tb(found.__traceback__)
        theirs = [f for f in frames if not _is_library(Path(f.filename))]
        if not theirs:
            raise
        at = theirs[-1]
        line = linecache.getline(at.filename, at.lineno or 0).strip()
        raise DecisionError(
            f"{argument} must be the same arithmetic whatever the numbers are: a step "
            f"of {getattr(cell, '__name__', type(cell).__name__)} is compiled once for "
            f"all of them. Got a Python "
            f"decision on values in line {at.lineno} of {at.filename}, `{line}`: use "
            "jnp.where or keras.ops.where in place of `if` or of picking rows, a "
            "fixed number of rounds in `for`, and jnp.asarray(a)[n] for an array of "
            "NumPy."
        ) from error


def _is_library(path: Path) -> bool:
    return any(folder in path.parents for folder in _LIBRARIES)
