"""Run the model once and keep what every layer was given and gave back.

Nothing of the model is changed: its own `call`s are watched from outside and every
variable that is not trained (states, seeds, statistics) is put back afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ..._borrowed import Tracer
from .sample import Sample


@dataclass
class Call:
    """One call of a layer: arguments by name, what it returned, shapes."""

    arguments: dict[str, Any]
    output: Any
    traced: bool = False


@contextmanager
def quick_compile() -> Iterator[None]:
    """Everything here runs once, so compiling fast beats running fast.

    Keras's own layers promote ranks and types, so a user's stricter setting waits.
    """
    wanted = {
        "jax_disable_most_optimizations": True,
        "jax_numpy_rank_promotion": "allow",
        "jax_numpy_dtype_promotion": "standard",
    }
    before = {name: jax.config.values[name] for name in wanted}
    try:
        for name, value in wanted.items():
            jax.config.update(name, value)
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


@contextmanager
def untouched(layer: Any) -> Iterator[None]:
    """Put variables that are not trained back as they were."""
    kept = [(v, np.asarray(v.value)) for v in _loose(layer)]
    try:
        yield
    finally:
        for variable, value in kept:
            variable.assign(value)


def _loose(layer: Any) -> list[Any]:
    found = {id(v): v for v in getattr(layer, "non_trainable_variables", [])}
    for inner in layer._flatten_layers():
        for v in jax.tree.leaves(getattr(inner, "states", None) or []):
            found.setdefault(id(v), v)
    return [v for v in found.values() if hasattr(v, "assign") and v.value is not None]


@contextmanager
def watched(layers: list[Any]) -> Iterator[dict[int, list[Call]]]:
    """Record the calls of these layers while the block runs."""
    calls: dict[int, list[Call]] = {id(one): [] for one in layers}

    def watch(layer: Any) -> None:
        original = layer.call

        def call(*args: Any, **kwargs: Any) -> Any:
            output = original(*args, **kwargs)
            arguments = dict(zip(("x", "initial_state"), args, strict=False)) | kwargs
            if "sequences" in arguments:
                arguments["x"] = arguments.pop("sequences")
            traced = any(
                isinstance(leaf, Tracer)
                for leaf in jax.tree.leaves((arguments, output))
            )
            calls[id(layer)].append(Call(arguments, output, traced))
            return output

        object.__setattr__(layer, "call", call)

    changed: list[Any] = []
    try:
        for layer in layers:
            if "call" not in vars(layer):
                watch(layer)
                changed.append(layer)
        yield calls
    finally:
        for layer in changed:
            object.__delattr__(layer, "call")


def run(model: Any, sample: Sample) -> Any:
    """Call the model on the sample, outside training."""
    arrays = sample.arrays
    if len(arrays) == 1:
        return model(arrays[0], training=False) if _trains(model) else model(arrays[0])
    names = getattr(model, "input_names", None)
    structure = getattr(model, "_inputs_struct", None)
    if isinstance(structure, dict) and names:
        return model(dict(zip(names, arrays, strict=True)), training=False)
    return model(list(arrays), training=False)


def _trains(layer: Any) -> bool:
    return bool(getattr(layer, "_call_has_training_arg", True))
