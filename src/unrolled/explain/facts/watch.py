"""Run the model once and keep what every layer was given and gave back.

The model is left as it is: what its variables are assigned while it runs goes into a
scope that is thrown away, and its `call`s are watched in this thread alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import keras
import numpy as np

from ..._borrowed import Tracer
from .sample import Sample
from .together import variables

_one_at_a_time = threading.RLock()
_NONE = object()


@dataclass
class Call:
    """One call of a layer: arguments by name, what it returned, shapes."""

    arguments: dict[str, Any]
    output: Any
    traced: bool = False


@contextmanager
def promoting() -> Iterator[None]:
    """Keras's own layers promote ranks and types: a stricter setting waits.

    For this thread and this block only.
    """
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def build(model: Any, sample: Sample) -> None:
    """Make the weights of a model that has none yet, as its first call would."""
    unbuilt = [one for one in model._flatten_layers() if not one.built]
    if not unbuilt:
        return
    kept = [(v, np.asarray(v.value)) for v in _loose(model)]
    try:
        run(model, sample)
    finally:
        for variable, value in kept:
            variable.assign(value)
        for layer in unbuilt:
            _start_anew(layer)


def _start_anew(layer: Any) -> None:
    """Forget what the building call left in a stateful layer."""
    for name in ("reset_state", "reset_states"):
        reset = getattr(layer, name, None)
        if layer.built and getattr(layer, "stateful", False) and callable(reset):
            reset()
            return


def _loose(model: Any) -> list[Any]:
    """The variables that are not trained: states, seeds, statistics."""
    trained = {id(v) for v in model.trainable_variables}
    return [v for v in variables(model) if id(v) not in trained]


@contextmanager
def watched(layers: list[Any]) -> Iterator[dict[int, list[Call]]]:
    """Record the calls of these layers that this thread makes in the block."""
    calls: dict[int, list[Call]] = {id(one): [] for one in layers}
    here = threading.get_ident()

    def watcher(layer: Any) -> Any:
        original = layer.call

        def call(*args: Any, **kwargs: Any) -> Any:
            output = original(*args, **kwargs)
            if threading.get_ident() != here:
                return output
            arguments = dict(zip(("x", "initial_state"), args, strict=False)) | kwargs
            if "sequences" in arguments:
                arguments["x"] = arguments.pop("sequences")
            traced = any(
                isinstance(leaf, Tracer)
                for leaf in jax.tree.leaves((arguments, output))
            )
            calls[id(layer)].append(Call(arguments, output, traced))
            return output

        return call

    with _one_at_a_time:
        before = [(layer, vars(layer).get("call", _NONE)) for layer in layers]
        try:
            for layer in layers:
                object.__setattr__(layer, "call", watcher(layer))
            yield calls
        finally:
            for layer, own in before:
                if own is not _NONE:
                    object.__setattr__(layer, "call", own)
                else:
                    vars(layer).pop("call", None)


def run(model: Any, sample: Sample) -> Any:
    """Call the model on the sample, outside training."""
    arrays = sample.arrays
    if sample.keyed:
        return model(dict(zip(sample.names, arrays, strict=True)), training=False)
    if len(arrays) == 1:
        return model(arrays[0], training=False) if _trains(model) else model(arrays[0])
    structure = getattr(model, "_inputs_struct", None)
    if structure is None:
        return model(list(arrays), training=False)
    # The arrays are in the order of `model.inputs`, which is that of the leaves.
    return model(keras.tree.pack_sequence_as(structure, list(arrays)), training=False)


def _trains(layer: Any) -> bool:
    return bool(getattr(layer, "_call_has_training_arg", True))
