"""`lengths` and `resets` that a whole model was called with: ``model(x, lengths=n)``.

Keras hands such an argument to every layer of the model that asks for it, or drops it
without a word. But a layer's time axis need not be that of the model's input: a decoder
makes one of its own, a strided convolution shortens it. So a layer takes the argument
only where each layer between it and the model's one input keeps the steps as they are.
"""

import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from .._borrowed import Functional, call_context
from ..checks import require
from . import checks, masks

_NAMES = ("lengths", "resets")

_WITHIN = threading.local()

# Layers of Keras whose outputs have the steps of their inputs, one for one.
_KEEPING = frozenset(
    getattr(keras.layers, name)
    for name in (
        *("Activation", "ActivityRegularization", "AlphaDropout", "BatchNormalization"),
        *("Dense", "Dropout", "ELU", "Embedding", "GaussianDropout", "GaussianNoise"),
        *("Identity", "LeakyReLU", "Masking", "PReLU", "ReLU", "SpatialDropout1D"),
        *("TimeDistributed",),
        *("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract"),
    )
)
_OWN_TIME = "its own"


@contextmanager
def arguments(layer: Any, args: tuple, kwargs: dict[str, Any]) -> Iterator[dict]:
    """What a layer is called with, once a whole model's arguments are shared out.

    Args:
        layer: a recurrent layer, about to be called.
        args: of its call.
        kwargs: of its call.

    Raises:
        ValueError: if the model was called with `lengths` or `resets`, and it cannot be
            said whether the steps that the layer reads are those of the model's input.
    """
    context, within = call_context(), getattr(_WITHIN, "it", False)
    if not within:
        given = _given(layer, args, kwargs)
        if any(isinstance(a, keras.KerasTensor) for a in given.values()):
            _ask_for_the_rest(layer, given)
        if context is not None:
            model = context.entry_layer
            nodes = _nodes_of(layer, model)
            kwargs = _shared_out(layer, model, nodes, given, kwargs)
            for outer in [model] if nodes else [model, *_around(layer, model)]:
                _ask_for(outer, {*_NAMES} - {*outer.call_signature_parameters})
    # What runs inside of a layer, the layers of its cell, has steps of its own.
    before = {name: getattr(context, name, None) for name in _NAMES}
    _put(context, dict.fromkeys(_NAMES))
    _WITHIN.it = True
    try:
        yield kwargs
    finally:
        _WITHIN.it = within
        _put(context, before)


def _put(context: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        if context is not None:
            context.set_value(name, value)


def _given(layer: Any, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    return dict(zip(layer.call_signature_parameters, args, strict=False)) | kwargs


def _around(layer: Any, model: Any) -> list[Any]:
    """Of a model's own layers those that the layer is inside of."""
    own = getattr(model, "layers", None) or []
    return [each for each in own if layer in each._flatten_layers(include_self=False)]


def _ask_for_the_rest(layer: Any, given: dict[str, Any]) -> None:
    """Ask for what no call in a graph has of its own, which Keras would replace."""
    nodes = [node.arguments for node in layer._inbound_nodes]
    calls = [given, *(_given(layer, node.args, node.kwargs) for node in nodes)]
    own = {n for n in _NAMES if any(call.get(n) is not None for call in calls)}
    if own & {*layer._call_context_args}:
        layer._call_context_args = {*layer._call_context_args} - own
    _ask_for(layer, {*_NAMES} - own)


def _ask_for(layer: Any, names: set[str]) -> None:
    """Have Keras hand such arguments to a layer, or to those inside of it."""
    if names <= {*layer._call_context_args}:
        return
    variadic = inspect.Parameter.VAR_KEYWORD
    kinds = {p.kind for p in inspect.signature(layer.call).parameters.values()}
    model = isinstance(layer, (Functional, keras.Sequential))
    if model or variadic not in kinds:
        layer._call_context_args = {*layer._call_context_args} | names


def _shared_out(
    layer: Any, model: Any, nodes: list[Any], given: dict, kwargs: dict
) -> dict[str, Any]:
    for name in _NAMES:
        value = given.get(name)
        if value is not None and not (nodes and name in layer._call_context_args):
            continue  # the caller's own
        if value is None:
            value = getattr(call_context(), name, None)
        if value is None:
            continue
        value = checks.as_arrays({name: value})[name]
        found = {_steps_of(node, model) for node in nodes} or {"inside another layer"}
        if getattr(layer, "time_major", False):
            found = {"time_major"}
        if isinstance(value, keras.KerasTensor):
            found = {"in another model's graph"}
        found |= {*_of_keras(model)}
        kwargs = {n: v for n, v in kwargs.items() if n != name}
        if found == {""}:
            kwargs |= _beside_a_mask(given, value) or {name: value}
        elif found != {_OWN_TIME}:
            _refuse(name, layer, model, found - {"", _OWN_TIME})
    return kwargs


def _beside_a_mask(given: dict[str, Any], value: Any) -> dict[str, Any]:
    """One mask of a graph's own one, which Keras hands on, and of `lengths`."""
    sequences, mask = next(iter(given.values())), given.get("mask")
    if mask is None or value.ndim > 1:
        return {}
    checks.check_lengths(value, sequences, time_major=False)
    both = [mask, masks.given(sequences, None, value, time_major=False)]
    return {"mask": masks.all_of(both)}


def _nodes_of(layer: Any, model: Any) -> list[Any]:
    """The calls of a layer in a model's graph."""
    graph = getattr(model, "_functional", model)
    by_depth = graph._nodes_by_depth if isinstance(graph, Functional) else {}
    nodes = (node for level in by_depth.values() for node in level)
    return [node for node in nodes if node.operation is layer]


def _steps_of(node: Any, model: Any) -> str:
    """What is between a call's steps and those of the model's input; "" if nothing."""
    sequences = (*node.arguments.args, *node.arguments.kwargs.values())[0]
    found = {_origin(each, model) for each in keras.tree.flatten(sequences)}
    return found.pop() if len(found) == 1 else f"behind {' and '.join(sorted(found))}"


def _origin(tensor: Any, model: Any) -> str:
    layer, index, output = tensor._keras_history
    if isinstance(layer, keras.layers.InputLayer):
        inputs = keras.tree.flatten(model.inputs)
        known = len(inputs) == 1 and inputs[0] is tensor
        return "" if known else f"behind '{layer.name}', one of {len(inputs)} inputs"
    if type(layer) is keras.layers.RepeatVector:
        return _OWN_TIME
    if _keeps_steps(layer, output):
        return _steps_of(layer._inbound_nodes[index], model)
    return f"behind '{layer.name}' ({type(layer).__name__})"


def _keeps_steps(layer: Any, output: int) -> bool:
    if type(layer) is keras.layers.Concatenate:
        return layer.axis == -1
    if type(layer) is keras.layers.LayerNormalization:
        return layer.axis in (-1, [-1], (-1,))
    if type(layer).__module__.partition(".")[0] not in ("keras", "unrolled"):
        return False
    if not hasattr(layer, "return_sequences"):
        return type(layer) in _KEEPING and not _opaque(layer)
    turned = getattr(layer, "go_backwards", False) or getattr(
        layer, "time_major", False
    )
    return layer.return_sequences and output == 0 and not turned


def _opaque(layer: Any) -> bool:
    """Whether an activation of the user's may do anything with the steps."""
    activation = getattr(layer, "activation", None)
    return activation is not None and not activation.__module__.startswith("keras.")


def _of_keras(model: Any) -> list[str]:
    """Recurrent layers of Keras's own, which would go on without the argument."""
    own = getattr(getattr(model, "_functional", model), "layers", None) or []
    kinds = (keras.layers.RNN, keras.layers.Bidirectional)
    return [
        f"and '{each.name}' (Keras's {type(each).__name__}) takes none"
        for each in own
        if isinstance(each, kinds)
    ]


def _refuse(name: str, layer: Any, model: Any, between: set[str]) -> None:
    example = f"{type(layer).__name__}(...)(x, {name}=n)"
    rank = {"lengths": '(), dtype="int32"', "resets": '(None,), dtype="bool"'}[name]
    require(
        False,
        name,
        "of a whole model reach the recurrent layers whose steps are surely those of "
        "its one input",
        f"{name} for '{model.name}', with '{layer.name}' {', '.join(sorted(between))}",
        "make them an input of the model, and hand them to the layers that they belong "
        f"to: n = keras.Input({rank}); h = {example}; "
        "model = keras.Model([x, n], ...)",
    )
