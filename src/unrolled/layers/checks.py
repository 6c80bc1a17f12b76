"""Checks of what a recurrent layer is called with, before any compute."""

import inspect
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp

from .._borrowed import Tracer
from ..cells.base import is_dims
from ..checks import fits, require, sizes
from . import numbers
from .memory import check_arrays

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
    steps = jax.tree.leaves(step_shape, is_leaf=is_dims)
    if step_shape is None:
        steps = [_step_of(array) for array in arrays]
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
            _on_rank(array, len(step) + 2, time_major),
        )
        require(
            shape[0 if time_major else 1] != 0,
            "sequences",
            "must have at least one time step",
            f"shape {shape}, T = 0",
            "leave empty sequences out, or pad them and pass a mask",
        )
        require(
            fits(shape[2:], step),
            "sequences",
            f"must have {_features(step)} at each step, as when the layer was built",
            f"shape {shape}, with {_features(shape[2:])}",
            "give this input a layer of its own",
        )


def _on_rank(array: Any, rank: int, time_major: bool) -> str:
    """What to do about sequences with too few or too many axes."""
    if _are_ids(array):
        return "put keras.layers.Embedding before the layer, if these are ids"
    before: Any = getattr(getattr(array, "_keras_history", None), "operation", None)
    if getattr(before, "return_sequences", None) is False:
        return (
            f"the layer before, '{before.name}', gives its last output only; pass it "
            "return_sequences=True"
        )
    if len(array.shape) == rank - 1:
        one = "x[:, None]" if time_major else "x[None]"
        return (
            f"for rows of one number a step x[..., None]; for one sequence {one}; "
            "for a table of a series windows of T rows, "
            "np.lib.stride_tricks.sliding_window_view(x, T, axis=0).swapaxes(1, 2); "
            "after another recurrent layer give that one return_sequences=True"
        )
    return "reshape each step to one row of features"


def as_arrays(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Lists and NumPy's arrays for `mask`, `resets` and `lengths` as arrays of JAX.

    Keras counts only those as arguments, and where it finds one alone it adds the mask
    that is attached to it.

    Raises:
        ValueError: if rows of a list differ in length.
    """
    found = dict(kwargs)
    for name in ("mask", "resets", "lengths"):
        value = kwargs.get(name)
        if isinstance(value, (list, tuple)) and _of_numbers(value):
            value = _array(name, value)
        if isinstance(value, (int, float, np.generic)):
            value = np.asarray(value)
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            found[name] = jnp.asarray(value)
    return found


def _of_numbers(value: Any) -> bool:
    leaves = jax.tree.leaves(value)
    return bool(leaves) and all(
        isinstance(leaf, (bool, int, float, np.generic)) for leaf in leaves
    )


def as_called(args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
    """Arguments of a call, in the forms that are taken beside those of `call`.

    Lists for `mask`, `resets` and `lengths`; and what Keras 2 took, and wrote into
    files: ``layer([x, h, c])``, for states are what has no time axis, and
    ``constants=None``.

    Raises:
        ValueError: if rows of a list differ in length, or there are constants.
    """
    kwargs = as_arrays(kwargs)
    constants = kwargs.pop("constants", None)
    require(
        constants is None,
        "constants",
        "are called a memory",
        "constants",
        "pass memory=..., and let the cell read it by that name",
    )
    first: Any = args[0] if args else kwargs.get("sequences")
    if not _are_sequences_and_states(first):
        return args, kwargs
    sequences, *states = first
    if kwargs.get("initial_state") is None:
        kwargs["initial_state"] = states
    if args:
        return (sequences, *args[1:]), kwargs
    return args, kwargs | {"sequences": sequences}


def _are_sequences_and_states(first: Any) -> bool:
    if not isinstance(first, (list, tuple)) or len(first) < 2:
        return False
    if not all(hasattr(array, "dtype") for array in first):
        return False
    sequences, *states = first
    return len(sequences.shape) > 2 and all(
        len(state.shape) == 2
        and "float" in keras.backend.standardize_dtype(state.dtype)
        for state in states
    )


def check_is_array(sequences: Tree) -> None:
    """Check that sequences are no lists of numbers, nor of single sequences.

    Raises:
        ValueError: saying how to make an array of them.
    """
    if not isinstance(sequences, (list, tuple)) or not sequences:
        return
    if _of_numbers(sequences):
        shape = _array("sequences", sequences).shape
        got, advice = f"lists of numbers, of shape {shape}", "pass np.asarray(x, float)"
    elif all(len(np.shape(each)) == 2 and not _are_ids(each) for each in sequences):
        got = f"a list of arrays of shapes {[np.shape(each) for each in sequences]}"
        advice = _PAD
    else:
        return
    rule = "must be an array, (batch, time steps, features)"
    require(False, "sequences", rule, got, advice)


_PAD = (
    "keras.utils.pad_sequences(x, padding='post', dtype='float32') makes one array of "
    "them; pass lengths=np.array([len(row) for row in x]) with it"
)


def _array(name: str, value: Any) -> np.ndarray:
    rows = {np.size(row) for row in value} if name != "lengths" else set()
    advice = _PAD if name == "sequences" else "pad them to one length"
    rule = "must have rows of one length"
    require(len(rows) < 2, name, rule, f"lengths {sorted(rows)}", advice)
    return np.asarray(value)


def build_at_first_call(
    layer: Any, time_major: bool, args: tuple, kwargs: dict[str, Any]
) -> None:
    """Build `layer` for what it is called with, the memory included.

    Keras would build it from shapes alone: they do not say whether rank 2 is ids or
    lacks an axis; and only if `call` names whatever `build` names, which a class that
    derives from ours need not.

    Raises:
        ValueError: if the sequences cannot be such.
    """
    first = args[0] if args else kwargs.get("sequences")
    check_is_array(first)
    if args or "sequences" in kwargs:
        numbers.check(first, "sequences")
    if layer.built:
        return
    given = inspect.signature(layer.call).bind_partial(*args, **kwargs).arguments
    given = {**given.pop("kwargs", {}), **given}
    sequences, memory = (
        jax.tree.map(lambda a: a if hasattr(a, "dtype") else np.asarray(a), tree)
        for tree in (next(iter(given.values()), None), given.get("memory"))
    )
    check_sequences(sequences, None, time_major)
    batch = jax.tree.leaves(sequences)[0].shape[1 if time_major else 0]
    check_arrays(memory, batch)
    shape = lambda array: sizes(array.shape)  # noqa: E731
    shapes = {} if memory is None else {"memory_shape": jax.tree.map(shape, memory)}
    layer.build(jax.tree.map(shape, sequences), **shapes)


def check_states(given: Tree, fresh: Tree, names: Tree) -> None:
    """Check that states are of numbers that those of a fresh sequence can be.

    Raises:
        ValueError: naming the state that is not.
    """
    leaves = [jax.tree.leaves(tree) for tree in (given, fresh, names)]
    for state, like, name in zip(*leaves, strict=True):
        real = not jnp.issubdtype(like.dtype, jnp.complexfloating)
        require(
            numbers.is_numeric(state) and not (real and jnp.iscomplexobj(state)),
            "initial_state",
            f"({name}) must hold numbers that {like.dtype} can hold",
            numbers.kind(state),
            "pass the states that return_state=True returns",
        )


def check_carries(layer: Any, states: Any) -> None:
    """Check that `states` for a layer without carried ones are None.

    Raises:
        ValueError: if they are not.
    """
    require(
        states is None,
        "states",
        "are carried by a stateful layer once it is built",
        f"states for '{layer.name}', with stateful={layer.stateful} and "
        f"built={layer.built}",
        "make it with stateful=True and build it, or pass initial_state to a call",
    )


def symbol(shape: tuple) -> keras.KerasTensor:
    """Sequences of this shape; of rank 2 only ids can be."""
    return keras.KerasTensor(shape, "int32" if len(shape) == 2 else "float32")


def _step_of(array: Any) -> tuple:
    """The shape of one step; of ids, no axis is left."""
    step = tuple(array.shape[2:])
    return step if _are_ids(array) else step or (None,)


def _are_ids(array: Any) -> bool:
    """Whether a step may be a whole number for each row."""
    dtype = keras.backend.standardize_dtype(array.dtype)
    return len(array.shape) == 2 and "int" in dtype


def check_per_step(name: str, value: Any, sequences: Tree, time_major: bool) -> None:
    """Check that `value` is ``[B, T]``, and boolean or made of zeros and ones.

    Raises:
        ValueError: naming what is wrong.
    """
    if value is None:
        return
    want = tuple(jax.tree.leaves(sequences)[0].shape[:2])
    axes = "(time steps, batch)" if time_major else "(batch, time steps)"
    advice = "one truth value for each step of each sequence"
    numbers.check_real(
        value, name, f"must be an array of shape {axes} = {want}", advice
    )
    require(
        fits(tuple(value.shape), want),
        name,
        f"must have shape {axes} = {want}",
        tuple(value.shape),
        advice,
    )
    if keras.backend.standardize_dtype(value.dtype) == "bool" or not is_concrete(value):
        return
    others = np.unique(np.asarray(value, "float32"))
    others = others[(others != 0) & (others != 1)]
    require(
        len(others) == 0,
        name,
        "must be boolean, or zeros and ones",
        f"{value.dtype} with {others[:3].tolist()}",
        f"compare, for example {name}={name} > 0.5",
    )


def check_lengths(lengths: Any, sequences: Tree, time_major: bool) -> None:
    """Check that `lengths` is ``[B]``, whole numbers from 0 to T.

    Raises:
        ValueError: naming what is wrong.
    """
    shape = jax.tree.leaves(sequences)[0].shape
    batch, length = (shape[1], shape[0]) if time_major else (shape[0], shape[1])
    rule = f"must be whole numbers of shape (batch,) = ({batch},)"
    advice = "one number of valid steps for each sequence"
    numbers.check_real(lengths, "lengths", rule, advice)
    require(
        fits(tuple(lengths.shape), (batch,))
        and "int" in keras.backend.standardize_dtype(lengths.dtype),
        "lengths",
        rule,
        f"{keras.backend.standardize_dtype(lengths.dtype)} {tuple(lengths.shape)}",
        advice,
    )
    if length is None or not is_concrete(lengths):
        return
    values = np.asarray(lengths)
    require(
        bool(np.all((values >= 0) & (values <= length))),
        "lengths",
        f"must lie between 0 and the number of time steps, {length}",
        values.tolist(),
        "count the valid steps, padding apart",
    )


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


def is_concrete(array: Any) -> bool:
    """Whether the values can be looked at: not symbolic, not traced."""
    symbolic = isinstance(array, keras.KerasTensor)
    return not symbolic and not isinstance(array, Tracer)


def _features(shape: tuple) -> str:
    return f"{shape[0]} features" if len(shape) == 1 else f"features of shape {shape}"
