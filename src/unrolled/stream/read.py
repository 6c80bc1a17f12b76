"""A model read as a chain of layers, each of which becomes steps of a program."""

from collections.abc import Iterator
from typing import Any

import keras

from .._borrowed import Functional
from ..cells.base import is_dims
from ..cells.keras_style import as_cell
from ..checks import require
from ..layers import RNN
from .known import check_arguments, check_call, check_input, own_methods, refuse
from .layers import READERS, RECURRENT, Start, cells_of
from .program import Program, Step


def read(model: Any, start: Start) -> Program:
    """Read a model's weights and options.

    All cells but a few run in JAX where one of them must.

    Args:
        model: what to step.
        start: what the stream is made for.

    Raises:
        ValueError: naming the layer that a stream cannot step, and why.
    """
    program = _read(model, start)
    if program.traced and program.has_fused:
        names = ", ".join(map(repr, program.traced))
        beside = start._replace(by_jax=f"beside {names} no program runs")
        known = program.traced
        steps = _read(model, beside).steps
        steps = [s._replace(why=known.get(s.name, s.why)) for s in steps]
        return Program(steps)
    return program


def _read(model: Any, start: Start) -> Program:
    steps: list[Step] = []
    seen: set[int] = set()
    for layer in _chain(model):
        if type(layer) not in READERS:
            raise refuse(layer, *_why_unknown(layer))
        check_call(layer)
        if isinstance(layer, RECURRENT):
            if id(layer) in seen:
                raise refuse(
                    layer,
                    "is called twice, and each call would carry a state of its own",
                    "use two layers",
                )
            seen.add(id(layer))
        if steps and isinstance(layer, keras.layers.Embedding):
            raise refuse(layer, "is not the first layer", "stream the model from it on")
        width = steps[-1].units if steps else _features(layer, model)
        given = (start,) if isinstance(layer, RECURRENT) else ()
        steps += READERS[type(layer)](layer, width, *given)
    readers = [
        layer
        for layer in _chain(model)
        if isinstance(layer, RECURRENT) and as_cell(layer.cell).reads_memory != "no"
    ]
    require(
        start.memory is None or bool(readers),
        "memory",
        "can only go to a model with a cell that reads one",
        f"a memory for '{model.name}'",
        "leave it out",
    )
    require(
        bool(steps),
        "model",
        "must hold a layer that does something in inference",
        f"'{model.name}', which holds none",
        "pass the model that should be stepped",
    )
    return Program(steps)


def _chain(model: Any) -> Iterator[Any]:
    """The layers of a model from input to output, nested models opened."""
    require(
        isinstance(model, keras.layers.Layer),
        "model",
        "must be a Keras model or layer",
        type(model).__name__,
        "pass the model that you trained",
    )
    require(
        model.built,
        "model",
        "must be built: its weights are what a stream packs",
        f"'{model.name}', which is not",
        "call it on data once, or give it an Input",
    )
    if type(model) in (keras.Sequential, Functional):
        if "call" in own_methods(model):
            raise refuse(
                model,
                "has its call replaced on the object",
                "pass its layers as a Sequential model; they keep their weights",
            )
        whole = type(model) is Functional
        parts = _functional_chain(model) if whole else model.layers
        chain = [layer for part in parts for layer in _chain(part)]
        inputs = _sequences(model) if whole else getattr(model, "inputs", None)
        if chain and inputs:
            check_input(chain[0], inputs[0].dtype, _ids(chain[0]))
        yield from chain
    elif isinstance(model, keras.Model):
        raise refuse(
            model,
            "is a model of your own class, whose call nobody can look into",
            "pass its layers as a Sequential model; they keep their weights",
        )
    elif type(model) is keras.layers.TimeDistributed:
        check_call(model)
        if isinstance(model.layer, RECURRENT):
            raise refuse(
                model, "gives a recurrent layer a sequence at each step", "remove it"
            )
        yield from _chain(model.layer)
    elif not isinstance(model, keras.layers.InputLayer):
        yield model


def _ids(layer: Any) -> int | None:
    """How many ids a layer knows; None where it reads numbers."""
    return layer.input_dim if isinstance(layer, keras.layers.Embedding) else None


def _memories(model: Any) -> list[Any]:
    """The inputs of a functional model that are a layer's memory, or its mask."""
    given = [
        tensor
        for operation in model.operations
        for node in operation._inbound_nodes
        for name in ("memory", "memory_mask")
        for tensor in keras.tree.flatten(node.arguments.kwargs.get(name))
    ]
    return [i for i in model.inputs if any(i is g for g in given)]


def _sequences(model: Any) -> list[Any]:
    """Its other inputs."""
    memories = _memories(model)
    return [i for i in model.inputs if not any(i is m for m in memories)]


def _functional_chain(model: Any) -> list[Any]:
    """The layers between a functional model's one input and its one output."""
    inputs, memories = _sequences(model), _memories(model)
    require(
        len(inputs) == len(model.outputs) == 1,
        "model",
        "must have one input and one output to be stepped, memory apart",
        f"{len(inputs)} and {len(model.outputs)} in '{model.name}'",
        "stream a part of it that has",
    )
    tensor, chain = model.outputs[0], []
    while tensor is not inputs[0]:
        layer, node_index, _ = tensor._keras_history
        node = layer._inbound_nodes[node_index]
        given = [t for t in node.input_tensors if not any(t is m for m in memories)]
        alone = "a stream steps layers in a single row; stream the parts apart"
        if not isinstance(layer, keras.layers.Layer):
            raise refuse(layer, "is an operation, not a layer", alone)
        if len(given) != 1:
            raise refuse(layer, f"joins {len(given)} tensors", alone)
        check_arguments(layer, node, memories)
        chain.append(layer)
        tensor = given[0]
    return chain[::-1]


def _why_unknown(layer: Any) -> tuple[str, str]:
    kind = type(layer).__name__
    if kind == "Bidirectional":
        return (
            "reads the sequence from its end too, and a stream has none",
            "train a model that only reads forwards",
        )
    if isinstance(layer, keras.layers.Masking):
        return "marks steps to pass over", "leave those steps out of the stream"
    if _reads_images(layer):
        return _IMAGES
    for known in READERS:
        if isinstance(layer, known):
            return (
                f"is derived from {known.__name__} and may do something else",
                f"use {known.__name__} itself",
            )
    known = (
        "known are the recurrent layers, Dense, Embedding, activations, layer, batch "
        "and RMS normalization, and dropout"
    )
    return "has no step of its own", known


_IMAGES = (
    "reads images step by step, and a stream rows of features",
    "call the layer with initial_state=... and one step at a time",
)


def _reads_images(layer: Any) -> bool:
    step: Any = getattr(layer, "step_shape", None)
    return isinstance(layer, RNN) and is_dims(step) and len(step) > 1


def _features(layer: Any, model: Any) -> int:
    """Width of what the first layer reads: from its weights, or the model's input."""
    if type(model) is Functional:
        shape = tuple(_sequences(model)[0].shape)
    else:
        shape = getattr(model, "input_shape", None)
    embedding = isinstance(layer, keras.layers.Embedding)
    if _reads_images(layer):
        raise refuse(layer, *_IMAGES)
    if shape is not None and len(shape) != (2 if embedding else 3):
        raise refuse(
            layer,
            f"reads inputs of shape {tuple(shape)}",
            "the model's input must be (batch, time steps, features), or "
            "(batch, time steps) with an Embedding first",
        )
    if embedding:
        return layer.input_dim
    if shape is not None and shape[-1] is not None:
        return shape[-1]
    if isinstance(layer, RNN) and len(layer.step_shape) == 1:
        return layer.step_shape[0]
    owner = cells_of(layer.cell)[0] if isinstance(layer, RECURRENT) else layer
    for name in ("kernel", "moving_mean", "gamma", "beta", "scale"):
        held: Any = getattr(owner, name, None)
        if hasattr(held, "shape"):
            return int(held.shape[0])
    raise refuse(layer, "has an unknown number of features", "put it into a model")
