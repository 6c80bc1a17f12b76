"""Checks of what a recurrent layer is called with, before any compute."""

from typing import Any

import jax
import keras
import numpy as np
from jax.core import Tracer

from ..checks import require

Tree = Any


def check_call(
    sequences: Tree,
    step_shape: Tree,
    time_major: bool,
    mask: Any = None,
    resets: Any = None,
    lengths: Any = None,
) -> None:
    """Check what a recurrent layer is called with, states apart.

    Args:
        sequences: tree of ``(B, T, ...)``.
        step_shape: shapes of one step, B apart; None before the layer is built.
        time_major: whether time is the first axis.
        mask: ``[B, T]``, a tree of such, or None.
        resets: ``[B, T]`` or None.
        lengths: ``[B]`` or None; not together with `mask`.

    Raises:
        ValueError: naming what is wrong.
    """
    check_sequences(sequences, step_shape, time_major)
    masks = jax.tree.leaves(mask)
    for each in masks:
        check_per_step("mask", each, sequences, time_major)
    check_per_step("resets", resets, sequences, time_major)
    if lengths is not None:
        require(
            not masks,
            "lengths",
            "is short for a mask and cannot come with one",
            "both lengths and mask",
            "pass one of them",
        )
        check_lengths(lengths, sequences, time_major)


def check_sequences(sequences: Tree, step_shape: Tree, time_major: bool) -> None:
    """Check rank, number of steps and features.

    Args:
        sequences: tree of ``(B, T, ...)``, symbolic or not.
        step_shape: tree of the shapes of one step the layer was built for, B
            apart; None before it is built.
        time_major: whether time is the first axis.

    Raises:
        ValueError: naming what is wrong.
    """
    axes = "time steps, batch" if time_major else "batch, time steps"
    arrays = jax.tree.leaves(sequences)
    steps = jax.tree.leaves(step_shape, is_leaf=lambda s: isinstance(s, tuple))
    if step_shape is None:
        steps = [tuple(array.shape[2:]) or (None,) for array in arrays]
    require(
        len(arrays) == len(steps),
        "sequences",
        f"must hold {len(steps)} array(s), as when the layer was built",
        len(arrays),
        "pass the same structure again",
    )
    for array, step in zip(arrays, steps, strict=True):
        shape = tuple(array.shape)
        require(
            len(shape) == len(step) + 2,
            "sequences",
            f"must have rank {len(step) + 2}, ({axes}, features)",
            f"shape {shape}",
            "add the missing axis, for example x[None] for a single sequence",
        )
        require(
            shape[0 if time_major else 1] != 0,
            "sequences",
            "must have at least one time step",
            f"shape {shape}, T = 0",
            "leave empty sequences out, or pad them and pass a mask",
        )
        require(
            _fits(shape[2:], step),
            "sequences",
            f"must have {_features(step)} at each step, as when the layer was built",
            f"shape {shape}, with {_features(shape[2:])}",
            "give this input a layer of its own",
        )


def check_per_step(name: str, value: Any, sequences: Tree, time_major: bool) -> None:
    """Check that `value` is ``[B, T]``, and boolean or made of zeros and ones.

    Raises:
        ValueError: naming what is wrong.
    """
    if value is None:
        return
    want = tuple(jax.tree.leaves(sequences)[0].shape[:2])
    axes = "(time steps, batch)" if time_major else "(batch, time steps)"
    require(
        _fits(tuple(value.shape), want),
        name,
        f"must have shape {axes} = {want}",
        tuple(value.shape),
        "one truth value for each step of each sequence",
    )


def check_lengths(lengths: Any, sequences: Tree, time_major: bool) -> None:
    """Check that `lengths` is ``[B]``, whole numbers from 0 to T.

    Raises:
        ValueError: naming what is wrong.
    """
    shape = jax.tree.leaves(sequences)[0].shape
    batch, length = (shape[1], shape[0]) if time_major else (shape[0], shape[1])
    require(
        _fits(tuple(lengths.shape), (batch,))
        and "int" in keras.backend.standardize_dtype(lengths.dtype),
        "lengths",
        f"must be whole numbers of shape (batch,) = ({batch},)",
        f"{keras.backend.standardize_dtype(lengths.dtype)} {tuple(lengths.shape)}",
        "one number of valid steps for each sequence",
    )
    if length is None or not _is_concrete(lengths):
        return
    values = np.asarray(lengths)
    require(
        bool(np.all((values >= 0) & (values <= length))),
        "lengths",
        f"must lie between 0 and the number of time steps, {length}",
        values.tolist(),
        "count the valid steps, padding apart",
    )


def pack_states(states: Any, like: Tree, argument: str = "initial_state") -> Tree:
    """Give `states` the structure of `like`, after checking number and shapes.

    Args:
        states: arrays, flat or nested.
        like: tree of arrays or shapes ``(B, ...)``; None in a shape is unknown.
        argument: its name in the error.

    Raises:
        ValueError: if the number of states or a shape differs.
    """
    leaves = jax.tree.leaves(states)
    shapes, structure = jax.tree.flatten(like)
    want = [tuple(each.shape) for each in shapes]
    got = [tuple(np.shape(each)) for each in leaves]
    require(
        len(got) == len(want),
        argument,
        f"must hold {len(want)} state(s), of shapes {want}",
        f"{len(got)}, of shapes {got}",
        "pass the states that return_state=True returns",
    )
    for index, (have, need) in enumerate(zip(got, want, strict=True)):
        require(
            _fits(have, need),
            f"{argument}[{index}]",
            f"must have shape (batch, ...) = {need}",
            have,
            "one row for each sequence, one column for each unit",
        )
    return jax.tree.unflatten(structure, leaves)


def check_float64(dtype: str, layer: str) -> None:
    """Raise where JAX would silently compute float64 in float32.

    Raises:
        ValueError: if `dtype` is float64 and JAX has it switched off.
    """
    require(
        dtype != "float64" or jax.dtypes.canonicalize_dtype("float64") == "float64",
        "dtype",
        "can be float64 only where JAX has it switched on",
        f"dtype='float64' for {layer}",
        'call jax.config.update("jax_enable_x64", True) first',
    )


def _is_concrete(array: Any) -> bool:
    """Whether the values can be looked at: not symbolic, not traced."""
    symbolic = isinstance(array, keras.KerasTensor)
    return not symbolic and not isinstance(array, Tracer)


def _fits(have: tuple, need: tuple) -> bool:
    return len(have) == len(need) and all(
        n is None or m is None or n == m for n, m in zip(have, need, strict=True)
    )


def _features(shape: tuple) -> str:
    return f"{shape[0]} features" if len(shape) == 1 else f"features of shape {shape}"
