"""What a stream must be sure of before it reads a layer in place of calling it.

It then computes from attributes what the layer would compute from its call. So the call
has to be the class's own, and the attributes have to be of one piece: whatever is not
known exactly is refused, by name.
"""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

Array = np.ndarray

# Keras wraps these two on every object, and neither is part of a step.
_WRAPPED = {"build", "quantize"}


def refuse(layer: Any, why: str, advice: str) -> ValueError:
    """The error about a layer that cannot be stepped."""
    name = f"{type(layer).__name__} '{layer.name}'"
    return ValueError(
        "model must hold only layers that a stream can step. "
        f"Got {name}, which {why}: {advice}."
    )


def own_methods(owner: Any) -> list[str]:
    """Methods of its class that an object has replaced by others of its own."""
    kind = type(owner)
    replaced = [name for name in vars(owner) if callable(getattr(kind, name, None))]
    return sorted(set(replaced) - _WRAPPED)


def check_call(layer: Any) -> None:
    """Raise where the layer's call is not its class's, or its weights are codes."""
    if own_methods(layer):
        raise refuse(
            layer,
            f"has its {', '.join(own_methods(layer))} replaced on the object",
            "what that computes nobody can look into; derive a cell, which a stream "
            "steps by its call",
        )
    if layer.quantization_mode:
        raise refuse(
            layer,
            f"is quantized to {layer.quantization_mode}: what it holds are codes",
            "stream the model as it was before quantize(); a stream stores weights "
            "in eight bits with weights='int8'",
        )
    check_dtype(layer)


def check_dtype(layer: Any) -> None:
    """Raise unless `layer` computes in float32; one without weights would round."""
    if layer.compute_dtype != "float32":
        raise refuse(
            layer,
            f"computes in {layer.compute_dtype}, and a stream in float32",
            "make the model anew with dtype='float32' and set_weights; "
            "weights='bfloat16' is an option of the stream",
        )


def check_input(layer: Any, dtype: str, ids: int | None) -> None:
    """Raise where a model's Input would change what it is given.

    Args:
        layer: the first.
        dtype: of the model's Input.
        ids: how many the layer knows, if it is an Embedding.
    """
    if ids is None:
        kept = dtype == "float32"
    else:  # of the last two one is odd, and needs all digits
        last = np.arange(max(ids - 2, 0), ids)
        cast = keras.ops.cast(keras.ops.convert_to_tensor(last), dtype)
        kept = bool(np.all(keras.ops.convert_to_numpy(cast).astype(float) == last))
    if not kept:
        raise refuse(
            layer,
            f"reads an Input of {dtype}, to which the model rounds what it is given",
            f"make the Input with dtype='{'float32' if ids is None else 'int32'}'",
        )


def check_arguments(layer: Any, node: Any, memories: Iterable[Any]) -> None:
    """Raise where a functional model hands `layer` more than a step is given.

    Args:
        layer: what is called.
        node: of Keras: how.
        memories: the model's inputs that are memories, handed to the stream apart.
    """
    beside = [("a second argument", v) for v in node.arguments.args[1:]]
    for name, value in (*beside, *node.arguments.kwargs.items()):
        if value is None or (name == "training" and not value):
            continue
        if name == "training":
            why, advice = "is called with training=True", "a stream is for inference"
        elif name in ("memory", "memory_mask"):
            given = keras.tree.flatten(value)
            if all(v is None or any(v is m for m in memories) for v in given):
                continue
            why = f"is called with a {name} that is no input of the model"
            advice = "make it a keras.Input, and hand it to the stream as memory="
        else:
            why = f"is called with {name}"
            advice = "a step has no such argument; stream a model without it"
        raise refuse(layer, why, advice)


def weights(
    layer: Any, owner: Any, by: str, **meant: tuple[int, ...] | None
) -> list[Array | None]:
    """Weights as arrays, held to the shapes that their owner's options mean.

    Args:
        layer: whom to name.
        owner: whose they are: the layer, or its cell.
        by: the options, for the message.
        **meant: of each its shape; None where the options mean that there is none.

    Raises:
        ValueError: if one has another shape: an option was changed after the build,
            which Keras takes and which changes no weight.
    """
    arrays = []
    for name, shape in meant.items():
        held = getattr(owner, name)
        have = None if held is None else tuple(held.shape)
        if have != shape:
            has, mean = _described(f"the {name} ", have), _described("", shape)
            raise refuse(
                layer,
                f"has {has or f'no {name}'}, where {by} mean {mean or 'none'}",
                "an option changed after the build changes no weight; make the layer "
                "anew with it",
            )
        arrays.append(None if held is None else _array(held))
    return arrays


def _described(name: str, shape: tuple[int, ...] | None) -> str:
    return "" if shape is None else f"{name}{shape}"


def _array(variable: Any) -> Array:
    return np.ascontiguousarray(keras.ops.convert_to_numpy(variable), np.float32)
