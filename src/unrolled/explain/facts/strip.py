"""The model strip: every layer of a Keras model, its shapes and its arrows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from . import kinds


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
    # A cell that is kept beside the layer which runs it: the layer stands there.
    runs = {id(one.cell): one for one in inner if kinds.is_recurrent(one)}
    inner = dict.fromkeys(runs.get(id(one), one) for one in inner)
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
                    # Masks come from operations that are no layers of anybody's.
                    sources = [t._keras_history.operation for t in node.input_tensors]
                    known = [one for one in sources if hasattr(one, "trainable")]
                    if all(id(source) in own for source in known):
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
    started = list(node.arguments.args[1:2]) if recurrent else []
    given = node.arguments.kwargs if recurrent else {}
    handed = {
        "state": [*started, given.get("initial_state"), *_rest(node, recurrent)],
        "memory": [given.get("memory")],
    }
    kind_of = {id(t): kind for kind, tree in handed.items() for t in _tensors(tree)}
    texts = {
        "data": "",
        "state": "the state of {} after its last step is the first state of {}",
        "memory": "what {} gives is the memory of {}, the same at every step",
    }
    for tensor in node.input_tensors:
        source = tensor._keras_history.operation
        kind = kind_of.get(id(tensor), "data")
        add(source, layer, kind, texts[kind].format(source.name, layer.name))


def _rest(node: Any, recurrent: bool) -> list[Any]:
    """States that come in one list with the sequence, as Keras takes them."""
    first = node.arguments.args[:1] if recurrent else ()
    return list(first[0][1:]) if first and isinstance(first[0], (list, tuple)) else []


def _tensors(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [t for one in tree.values() for t in _tensors(one)]
    if isinstance(tree, (list, tuple)):
        return [t for one in tree for t in _tensors(one)]
    return [tree]
