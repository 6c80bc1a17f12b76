"""What the model is fed: the user's sample, checked against it, or a made-up one."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

SYNTHETIC_STEPS = 12
MAX_ROWS = 32
MAX_NUMBERS = 1 << 28


@dataclass
class Sample:
    """Arrays for the model's inputs, always with a batch axis."""

    arrays: list[np.ndarray]
    names: list[str]
    declared: list[list[Any] | None]
    synthetic: bool
    notes: list[str] = field(default_factory=list)
    keyed: bool = False  # handed on as the dict that it came as


def declared_inputs(model: Any) -> list[tuple[str, list[Any], str]]:
    """Name, shape (null = free) and dtype ("" = unknown) of every declared input."""
    try:
        tensors = model.inputs if hasattr(model, "inputs") else model.input
    except (AttributeError, ValueError, RuntimeError):
        tensors = None
    if not tensors:
        return _built_inputs(model)
    several = isinstance(tensors, (list, tuple))
    flat = list(tensors) if several else jax.tree.leaves(tensors)
    return [
        (str(t.name), [None if n is None else int(n) for n in t.shape], str(t.dtype))
        for t in flat
    ]


def _built_inputs(model: Any) -> list[tuple[str, list[Any], str]]:
    shapes = getattr(model, "_build_shapes_dict", None) or {}
    known = [list(s) for s in shapes.values() if isinstance(s, (tuple, list))]
    if known and all(n is None or isinstance(n, int) for n in known[0]):
        return [("input", known[0], "")]
    cell = getattr(model, "cell", None)
    kernel = getattr(cell, "kernel", None)
    if kernel is not None:
        return [("input", [None, None, int(kernel.shape[0])], "")]
    return []


def _vocabulary(model: Any) -> int | None:
    sizes = [
        int(one.input_dim)
        for one in model._flatten_layers()
        if type(one).__name__ == "Embedding" and getattr(one, "input_dim", None)
    ]
    return min(sizes) if sizes else None


def synthetic(model: Any, seed: int) -> Sample:
    """A smooth made-up sequence (or token ids) that fits the model's inputs."""
    declared = declared_inputs(model)
    if not declared:
        raise ValueError(
            "explain needs a sample: the model has not been built, so its input has "
            "no shape. Pass sample=an array of shape (T, D) or (B, T, D)."
        )
    random = np.random.default_rng(seed)
    vocabulary = _vocabulary(model)
    arrays, notes = [], []
    for _, shape, dtype in declared:
        free = [n for n, size in enumerate(shape) if size is None and n > 0]
        if free:
            notes.append(
                f"T is not fixed by the model: {SYNTHETIC_STEPS} steps were run"
            )
        full = [1 if n == 0 else SYNTHETIC_STEPS for n in range(len(shape))]
        full = [f if s is None else s for s, f in zip(shape, full, strict=True)]
        _check_numbers(full)
        if len(full) <= 2 and vocabulary:
            ids = random.integers(1, max(vocabulary, 2), full)
            ids[..., -(full[-1] // 4) or full[-1] :] = 0
            arrays.append(np.minimum(ids, vocabulary - 1).astype("int32"))
        elif "int" in dtype:
            arrays.append(random.integers(0, vocabulary or 2, full).astype(dtype))
        else:
            arrays.append(_waves(random, full))
    names = [name for name, _, _ in declared]
    return Sample(arrays, names, [s for _, s, _ in declared], True, sorted(set(notes)))


def _waves(random: np.random.Generator, shape: list[int]) -> np.ndarray:
    """Sines of random pitch along axis 1, plus a little noise."""
    pitch = random.uniform(0.15, 0.9, [shape[0], 1, *shape[2:]])
    phase = random.uniform(0, 2 * np.pi, [shape[0], 1, *shape[2:]])
    time = np.arange(shape[1] if len(shape) > 1 else 1, dtype=float)
    time = time.reshape([1, -1] + [1] * (len(shape) - 2))
    values = np.sin(time * pitch + phase) if len(shape) > 1 else phase[:, 0]
    return (values + random.normal(0, 0.1, shape)).astype("float32").reshape(shape)


def fit(model: Any, sample: Any) -> Sample:
    """The user's sample as arrays with a batch axis, checked against the model."""
    declared = declared_inputs(model)
    # A model that declares no inputs is called with the dict itself: it is a batch.
    keyed = isinstance(sample, dict) and not declared
    if isinstance(sample, dict):
        order = [name for name, _, _ in declared] or list(sample)
        if sorted(order) != sorted(sample):
            raise ValueError(
                f"sample must name the model's inputs {sorted(order)}. Got "
                f"{sorted(sample)}."
            )
        given = [np.asarray(sample[name]) for name in order]
    elif isinstance(sample, (list, tuple)) and len(declared) == len(sample) > 1:
        given = [np.asarray(one) for one in sample]
    else:
        given = [np.asarray(sample)]
    if declared and len(given) != len(declared):
        raise ValueError(
            f"the model has {len(declared)} inputs "
            f"({', '.join(name for name, _, _ in declared)}). Got {len(given)} in "
            "sample; pass a list or a dict of arrays."
        )
    notes: list[str] = []
    arrays = []
    for number, array in enumerate(given):
        shape, dtype = declared[number][1:] if declared else (None, "")
        if keyed:
            shape = [None] * max(array.ndim, 2)
        arrays.append(_fit_one(_narrowed(array, dtype), shape, notes))
    if not all(np.isfinite(one).all() for one in arrays):
        notes.append("the sample holds NaN or infinity, which go wherever they reach")
    names = [name for name, _, _ in declared] or (
        list(sample) if keyed else [f"input {n}" for n in range(len(arrays))]
    )
    shapes: list[list[Any] | None] = [s for _, s, _ in declared]
    shapes = shapes or [None] * len(arrays)
    return Sample(arrays, names, shapes, False, sorted(set(notes)), keyed)


def _check_numbers(shape: list[int]) -> None:
    size = math.prod(shape)
    if size > MAX_NUMBERS:
        raise ValueError(
            f"the model's input must hold at most {MAX_NUMBERS:,} numbers to be "
            f"explained. Got {size:,}, of the shape {tuple(shape)} that the model "
            "declares: make it with a shorter sequence or a smaller batch."
        )


def _narrowed(array: np.ndarray, dtype: str) -> np.ndarray:
    """The array in a type that JAX keeps as it is: 32 bits, and nothing wrapped."""
    if array.dtype.kind not in "biuf":
        raise ValueError(f"sample must hold numbers. Got an array of {array.dtype}.")
    if array.dtype == np.float64:
        return array.astype("float32")
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 4:
        return array
    low, high = np.iinfo("int32").min, np.iinfo("int32").max
    outside = array[(array < low) | (array > high)]
    if outside.size and "float" in dtype:  # no ids: the model rounds them itself
        return array.astype("float32")
    if outside.size:
        raise ValueError(
            f"sample must hold whole numbers from {low:,} to {high:,} (int32). Got "
            f"{int(outside.flat[0]):,} in an array of {array.dtype}, which JAX would "
            "turn into another number; map ids to 0 .. V-1, or pass float32."
        )
    return array.astype("int32")


def _fit_one(
    array: np.ndarray, shape: list[Any] | None, notes: list[str]
) -> np.ndarray:
    given = array.shape
    rank = len(shape) if shape else 3
    if array.ndim == rank - 1:
        array = array[None]
    fits = array.ndim == rank and 0 not in array.shape
    if fits and shape:
        pairs = list(zip(array.shape, shape, strict=True))[1:]
        fits = all(want is None or have == want for have, want in pairs)
    if not fits:
        wanted = [f"B={shape[0]}" if shape and shape[0] else "B"]
        wanted += [str(n or "T") for n in shape[1:]] if shape else ["T", "D"]
        raise ValueError(
            f"sample must have shape ({', '.join(wanted[1:])}"
            f"{',' if len(wanted) == 2 else ''}) or ({', '.join(wanted)}) to fit the "
            f"model. Got {given}."
        )
    want = shape[0] if shape else None
    if want and array.shape[0] != want:
        _check_numbers([want, *array.shape[1:]])
        times = -(-want // array.shape[0])
        notes.append(
            f"the model wants batches of exactly {want}: the sample's "
            f"{array.shape[0]} were {'repeated' if times > 1 else 'cut'} to {want}"
        )
        array = np.concatenate([array] * times)[:want]
    elif array.shape[0] > MAX_ROWS and not want:
        notes.append(f"the first {MAX_ROWS} of {array.shape[0]:,} examples were run")
        array = array[:MAX_ROWS]
    return array
