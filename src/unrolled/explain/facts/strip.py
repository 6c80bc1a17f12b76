"""The model strip: every layer of a Keras model, its shapes and its arrows."""

from __future__ import annotations

import contextlib
import inspect
import itertools
from dataclasses import dataclass, field
from typing import Any

from . import kinds
from .together import reason


@dataclass
class Place:
    """A layer at its place in the model."""

    layer: Any
    id: str
    parent: str | None
    depth: int
    role: str
    names: list[str] = field(default_factory=list)  # ids of facts["layers"]


def children(layer: Any) -> list[Any]:
    """The layers directly inside a model or wrapper, in order of use."""
    if kinds.is_recurrent(layer) or kinds.is_bidirectional(layer):
        return []
    inner = getattr(layer, "layers", None)
    if not isinstance(inner, (list, tuple)):
        inner = layer._flatten_layers(include_self=False, recursive=False)
    return [one for one in inner if hasattr(one, "call")]


def role(layer: Any) -> str:
    names = kinds.names(layer)
    if "InputLayer" in names:
        return "input"
    if kinds.is_bidirectional(layer):
        return "bidirectional"
    if kinds.is_recurrent(layer):
        return "recurrent"
    for word, wanted in (
        ("model", ("Model",)),
        ("embedding", ("Embedding",)),
        ("dense", ("Dense", "EinsumDense")),
        ("attention", ("Attention", "MultiHeadAttention", "GroupedQueryAttention")),
        ("wrapper", ("Wrapper",)),
    ):
        if any(name in names for name in wanted):
            return word
    return "wrapper" if children(layer) else "other"


def places(model: Any) -> list[Place]:
    """Every layer once, outermost first, each after the one that holds it."""
    found: list[Place] = []
    seen: dict[int, str] = {}

    def visit(layer: Any, parent: str | None, depth: int) -> None:
        if id(layer) in seen:
            return
        place = Place(layer, f"n{len(found)}", parent, depth, role(layer))
        seen[id(layer)] = place.id
        found.append(place)
        for inner in children(layer):
            visit(inner, place.id, depth + 1)

    if role(model) == "model":
        for layer in children(model):
            visit(layer, None, 0)
    else:
        visit(model, None, 0)
    return found


def shape_list(shape: Any) -> list[Any]:
    """Shapes as lists with null, always a list of shapes."""
    if shape is None:
        return []
    if isinstance(shape, dict):
        return [piece for one in shape.values() for piece in shape_list(one)]
    if isinstance(shape, (tuple, list)) and all(
        n is None or isinstance(n, int) for n in shape
    ):
        return [list(shape)]
    return [piece for one in shape for piece in shape_list(one)]


def tensor_shapes(layer: Any, side: str) -> list[Any]:
    """Declared shapes of a layer's inputs or outputs ([] when never called)."""
    try:
        tensors = getattr(layer, side)
    except (AttributeError, ValueError, RuntimeError):
        return []
    return shapes_in(tensors)


def shapes_in(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [piece for one in tree.values() for piece in shapes_in(one)]
    if isinstance(tree, (list, tuple)):
        return [piece for one in tree for piece in shapes_in(one)]
    shape = getattr(tree, "shape", None)
    return [] if shape is None else [[None if n is None else int(n) for n in shape]]


def params(layer: Any) -> int:
    """Numbers in the weights; states, seeds and metrics are not weights."""
    return sum(count(w) for w in getattr(layer, "weights", []))


def count(weight: Any) -> int:
    count = 1
    for n in weight.shape:
        count *= int(n)
    return count


def code(layer: Any) -> str:
    """The call that makes a layer: arguments that differ from their defaults."""
    name = type(layer).__name__
    if name == "InputLayer":
        shape = tuple(layer.batch_shape[1:])
        batch = layer.batch_shape[0]
        if batch is not None:
            return f"Input(batch_shape={tuple(layer.batch_shape)})"
        return f"Input({shape})"
    if kinds.is_bidirectional(layer):
        inner = code(layer.forward_layer)
        merge = layer.merge_mode
        tail = "" if merge == "concat" else f", merge_mode={merge!r}"
        return f"Bidirectional({inner}{tail})"
    wrapped = getattr(layer, "layer", None)
    if role(layer) == "wrapper" and wrapped is not None:
        return f"{name}({code(wrapped)})"
    return f"{name}({', '.join(_arguments(layer))})"


def unsaid(layer: Any) -> str | None:
    """Why a layer's arguments cannot be shown, if they cannot."""
    try:
        layer.get_config()
        inspect.signature(type(layer).__init__)
    except Exception as error:  # a stranger's get_config may raise anything
        return (
            f"the arguments of {layer.name} are not shown: its get_config failed "
            f"with {type(error).__name__}: {reason(error)}"
        )
    return None


def _arguments(layer: Any) -> list[str]:
    if unsaid(layer):
        own = kinds.names(layer)[0] == "RNN"
        return [code(layer.cell), "..."] if own else ["..."]
    config = layer.get_config()
    signature = inspect.signature(type(layer).__init__)
    if not kinds.names(layer)[0].startswith(("RNN",)) and hasattr(layer, "cell"):
        config.pop("cell", None)
    shown = []
    for key, parameter in list(signature.parameters.items())[1:]:
        if key in ("name", "dtype", "trainable") or key not in config:
            continue
        value = config[key]
        if key == "cell":
            cell = layer.cell
            inner = getattr(cell, "cells", None)
            text = (
                "[" + ", ".join(code(one) for one in inner) + "]"
                if inner
                else code(cell)
            )
            shown.append(text)
        elif parameter.default is inspect.Parameter.empty:
            shown.append(_value(value))
        elif _differs(value, parameter.default):
            shown.append(f"{key}={_value(value)}")
    return shown


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("class_name") or value.get("config") or "...")
    return repr(value)


def _differs(value: Any, default: Any) -> bool:
    if isinstance(value, dict):  # an initializer or another object
        name = value.get("class_name", "")
        plain = "".join("_" + c.lower() if c.isupper() else c for c in name).strip("_")
        return plain not in (default, f"{default}_initializer") and default is not None
    return value != default and (value, default) != ("linear", None)


def model_code(model: Any) -> str:
    """Code for a whole model: exact for Sequential, a line per layer otherwise."""
    if role(model) != "model":
        return code(model)
    inner = [one for one in children(model) if role(one) != "input"]
    if "Sequential" in kinds.names(model):
        lines = [f"    {code(one)}," for one in inner]
        with contextlib.suppress(AttributeError, ValueError, TypeError):
            lines.insert(0, f"    Input({tuple(model.input_shape[1:])}),")
        return "\n".join(["Sequential([", *lines, "])"])
    lines = [f"{type(model).__name__}  # these layers, wired as drawn:"]
    return "\n".join(lines + [f"{one.name} = {code(one)}" for one in children(model)])


def edges(model: Any, found: list[Place]) -> list[dict[str, Any]]:
    """Arrows between layers: data, states handed on, stateful batches."""
    ids = {id(place.layer): place.id for place in found}
    arrows: list[dict[str, Any]] = []

    def add(source: Any, target: Any, kind: str, text: str) -> None:
        arrow = {"from": ids.get(id(source)), "to": ids.get(id(target)), "kind": kind}
        if None not in arrow.values() and arrow | {"text": text} not in arrows:
            arrows.append(arrow | {"text": text})

    def wire(holder: Any) -> None:
        if role(holder) != "model":
            return
        inner = children(holder)
        if "Sequential" in kinds.names(holder) or "Functional" not in kinds.names(
            holder
        ):
            for one, other in itertools.pairwise(inner):
                add(one, other, "data", "")
        else:
            own = {id(one) for one in inner}
            for layer in inner:
                for node in layer._inbound_nodes:
                    sources = [t._keras_history.operation for t in node.input_tensors]
                    if all(id(source) in own for source in sources):
                        _wire_node(layer, node, add)
        for one in inner:
            wire(one)

    wire(model)
    for place in found:
        if getattr(place.layer, "stateful", False) and place.role in (
            "recurrent",
            "bidirectional",
        ):
            text = "row i of this batch hands its final state to row i of the next"
            add(place.layer, place.layer, "batch", text)
    return arrows


def _wire_node(layer: Any, node: Any, add: Any) -> None:
    recurrent = kinds.is_recurrent(layer) or kinds.is_bidirectional(layer)
    data: list[Any] = []
    for number, argument in enumerate(node.arguments.args):
        if recurrent and number == 1:
            continue
        if recurrent and isinstance(argument, (list, tuple)):
            data += list(argument[:1])
        else:
            data.append(argument)
    handed = {id(t) for t in _tensors(data)}
    for tensor in node.input_tensors:
        source = tensor._keras_history.operation
        if recurrent and id(tensor) not in handed:
            text = "the final state starts this layer's state"
            add(source, layer, "state", text)
        else:
            add(source, layer, "data", "")


def _tensors(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [t for one in tree.values() for t in _tensors(one)]
    if isinstance(tree, (list, tuple)):
        return [t for one in tree for t in _tensors(one)]
    return [tree]
