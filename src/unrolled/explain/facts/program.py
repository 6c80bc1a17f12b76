"""The code that makes a whole model: imports, its layers, and how they are wired.

It runs as it stands; where something cannot be read from the model, its first line
says what.
"""

from __future__ import annotations

import inspect
import keyword
import re
from typing import Any

import keras

from ..._borrowed import Functional, get_keras_mask, is_default
from ..words import listed
from .code import MISSING, Writer, default_name, home, reachable
from .strip import children, role


def of_model(model: Any) -> str:
    """A program whose last lines make `model` (or `layer`, if it is no model)."""
    first = Program(set())
    first.top(model)
    # Once more, now that it is known which names no variable may have.
    program = Program(set(first.needs))
    program.top(model)
    return program.text()


class Program(Writer):
    """Statements in order, and the imports that they need."""

    def __init__(self, names: set[str]) -> None:
        super().__init__(named=True)
        self.lines: list[str] = []
        self.notes: list[str] = []
        self.names = {"keras", "unrolled", "model", "layer"} | names
        self.known: dict[int, str] = {}  # layers that have a variable

    def top(self, model: Any) -> None:
        goal = "model" if role(model) == "model" else "layer"
        if goal == "layer":
            self.lines.append(f"layer = {self.call(model)}")
        elif isinstance(model, keras.Sequential):
            self.sequential(model, goal)
        elif isinstance(model, Functional):
            self.functional(model, goal)
        else:
            self.subclassed(model, goal)
            goal = goal if self.lines else ""
        shape = _built_for(model)
        if goal and shape and not isinstance(model, (keras.Sequential, Functional)):
            if is_default(type(model).build):  # its weights are made by its first call
                size = tuple(n or 1 for n in shape)
                self.lines.append(f"{goal}(keras.ops.zeros({size}))")
            else:
                self.lines.append(f"{goal}.build({shape})")

    def text(self) -> str:
        own = [name for name, (_, one) in self.needs.items() if not reachable(one)]
        notes = list(self.notes)
        if own:
            notes.append(f"bring these classes of your own: {', '.join(own)}")
        if self.missing:
            kept = list(dict.fromkeys(self.missing))
            notes.append(f"{MISSING} stands for what is not recorded: {listed(kept)}")
        head = [f"# {_one_line(note)}" for note in notes]
        rooms: dict[str, list[str]] = {}
        for name, (module, one) in self.needs.items():
            if reachable(one):
                rooms.setdefault(module, []).append(name)
        modules = {*self.modules} | ({"keras"} if self.whole_keras() else set())
        order = sorted({*rooms, *modules}, key=_place)
        for module in order:
            head += [f"import {module}"] if module in modules else []
            if module in rooms:
                head.append(f"from {module} import {', '.join(sorted(rooms[module]))}")
        gap = [""] if head and self.lines else []
        return "\n".join([*head, *gap, *self.lines])

    def whole_keras(self) -> bool:
        return any(re.search(r"\bkeras\.", line) for line in self.lines)

    def variable(self, name: str) -> str:
        """A free variable for a layer's name."""
        base = re.sub(r"\W", "_", name, flags=re.ASCII).strip("_") or "x"
        if not base.isidentifier() or keyword.iskeyword(base) or len(base) > 40:
            base = "x"
        found, number = base, 1
        while found in self.names:
            number += 1
            found = f"{base}_{number}"
        self.names.add(found)
        return found

    def part(self, layer: Any, name: str | None = None) -> str:
        if id(layer) in self.known:
            return self.known[id(layer)]
        if isinstance(layer, keras.Sequential):
            return self.stated(layer, self.sequential)
        if isinstance(layer, Functional):
            return self.stated(layer, self.functional)
        return self.call(layer, name)

    def stated(self, layer: Any, make: Any) -> str:
        """Something of several lines, before the line that uses it."""
        found = self.known[id(layer)] = self.variable(layer.name)
        make(layer, found)
        return found

    def sequential(self, model: Any, goal: str) -> None:
        inside = [one for one in model.layers if role(one) != "input"]
        parts = [self.part(one) for one in inside]
        first = getattr(model, "_functional", None)
        if first is not None:
            entry = first.inputs[0]._keras_history.operation
            parts.insert(0, self.input(entry, named=False))
            self.taken.add(default_name(type(entry)))
        lines = "".join(f"    {one},\n" for one in parts)
        more = "".join(f", {one}" for one in self.name(model, model.name))
        self.lines.append(f"{goal} = {self.thing(type(model))}([\n{lines}]{more})")

    def functional(self, model: Any, goal: str) -> None:
        wiring = Wiring(self, model)
        wiring.state()
        outer = wiring.expression(model._outputs_struct)
        inner = wiring.expression(model._inputs_struct)
        kind = keras.Model if type(model) is Functional else type(model)
        more = "".join(f", {one}" for one in self.name(model, model.name))
        self.lines.append(f"{goal} = {self.thing(kind)}({inner}, {outer}{more})")

    def subclassed(self, model: Any, goal: str) -> None:
        text = self.call(model)
        if MISSING not in text:
            self.lines.append(f"{goal} = {text}")
            return
        self.missing.clear()
        kind = type(model)
        self.needs = {}
        self.notes.append(
            f"{kind.__name__} (in {home(kind)}) makes it; what it was called with is "
            "not recorded. The layers that it holds:"
        )
        plain = Writer()
        self.notes += [f"{one.name} = {plain.call(one)}" for one in children(model)]


class Wiring:
    """The calls of a functional model's graph, as statements."""

    def __init__(self, program: Program, model: Any) -> None:
        self.program, self.model = program, model
        self.of: dict[int, str] = {}  # tensors by id -> expression
        self.maker: dict[int, Any] = {}  # tensors by id -> node
        nodes = model._nodes_by_depth
        deep = sorted(nodes, reverse=True)
        self.nodes = [one for depth in deep for one in nodes[depth]]
        for node in self.nodes:
            self.maker |= {id(tensor): node for tensor in node.outputs}

    def state(self) -> None:
        needed: set[int] = set()
        waiting = keras.tree.flatten(self.model._outputs_struct)
        waiting += keras.tree.flatten(self.model._inputs_struct)
        while waiting:
            node = self.maker.get(id(waiting.pop()))
            if node is not None and id(node) not in needed:
                needed.add(id(node))
                waiting += _tensors(self.arguments(node))
        uses = [id(node.operation) for node in self.nodes if id(node) in needed]
        for node in self.nodes:
            if id(node) in needed:
                self.one(node, uses.count(id(node.operation)) > 1)

    def arguments(self, node: Any) -> tuple[list[Any], dict[str, Any]]:
        """What a call was given, without what Keras hands on by itself."""
        args, kwargs = list(node.arguments.args), dict(node.arguments.kwargs)
        usual = {id(get_keras_mask(one)) for one in _tensors((args, kwargs))}
        for key, value in list(kwargs.items()):
            masks = key == "mask" or key.endswith("_mask")
            given = [one for one in keras.tree.flatten(value) if one is not None]
            unsaid = key == "training" and value is _training(node)
            handed_on = masks and all(id(one) in usual for one in given)
            if value is None or unsaid or handed_on:
                del kwargs[key]
        return args, kwargs

    def one(self, node: Any, shared: bool) -> None:
        program, operation = self.program, node.operation
        layer = isinstance(operation, keras.layers.Layer)
        if layer and role(operation) == "input":
            name = program.variable(operation.name)
            program.lines.append(f"{name} = {program.input(operation)}")
            self.of[id(node.outputs[0])] = name
            return
        args, kwargs = self.arguments(node)
        text = self.call(operation, args, kwargs, shared)
        names = [program.variable(operation.name) for _ in node.outputs]
        for tensor, name in zip(node.outputs, names, strict=True):
            self.of[id(tensor)] = name
        lists = layer and role(operation) in ("recurrent", "bidirectional")
        if len(names) > 1 and not lists:
            text = f"keras.tree.flatten({text})"
        program.lines.append(f"{', '.join(names)} = {text}")

    def call(self, operation: Any, args: Any, kwargs: Any, shared: bool) -> str:
        program = self.program
        if not isinstance(operation, keras.layers.Layer):
            return self.function(operation, args, kwargs)
        if id(operation) in program.known:
            made = program.known[id(operation)]
        elif shared and not isinstance(operation, (keras.Sequential, Functional)):
            made = program.variable(f"{operation.name}_layer")
            program.lines.append(f"{made} = {program.call(operation)}")
            program.known[id(operation)] = made
        else:
            made = program.part(operation)
        return f"{made}({self.given(args, kwargs)})"

    def function(self, operation: Any, args: Any, kwargs: Any) -> str:
        """An operation on tensors: a function of keras.ops, or an index."""
        kind = type(operation).__name__
        if kind == "GetItem":
            return f"{self.expression(args[0])}[{_index(args[1])}]"
        name = default_name(type(operation))
        if not callable(getattr(keras.ops, name, None)):
            self.program.missing.append(f"the operation {kind}")
            return f"{MISSING}({self.given(args, kwargs)})"
        more = {k: v for k, v in operation.get_config().items() if k != "name"}
        return f"keras.ops.{name}({self.given(args, more | kwargs)})"

    def given(self, args: Any, kwargs: Any) -> str:
        parts = [self.expression(one) for one in args]
        parts += [f"{key}={self.expression(one)}" for key, one in kwargs.items()]
        return ", ".join(parts)

    def expression(self, value: Any) -> str:
        if id(value) in self.of:
            return self.of[id(value)]
        if isinstance(value, dict):
            pairs = [f"{key!r}: {self.expression(one)}" for key, one in value.items()]
            return f"{{{', '.join(pairs)}}}"
        if isinstance(value, (list, tuple)):
            inner = ", ".join(self.expression(one) for one in value)
            return f"[{inner}]"
        return self.program.value(value, None, "an argument of a call")


def _training(node: Any) -> Any:
    """What `training` is where nobody says so."""
    found = inspect.signature(node.operation.call).parameters.get("training")
    return None if found is None else found.default


def _tensors(tree: Any) -> list[Any]:
    return [one for one in keras.tree.flatten(tree) if keras.utils.is_keras_tensor(one)]


def _index(key: Any) -> str:
    if isinstance(key, tuple):
        return ", ".join(_index(one) for one in key)
    if isinstance(key, slice):
        ends = ["" if n is None else str(n) for n in (key.start, key.stop)]
        return ":".join(ends + ([str(key.step)] if key.step is not None else []))
    return "..." if key is Ellipsis else repr(key)


def _built_for(layer: Any) -> tuple[Any, ...] | None:
    """The one shape that a layer was built for."""
    shapes = list((getattr(layer, "_build_shapes_dict", None) or {}).values())
    if len(shapes) == 1 and isinstance(shapes[0], (list, tuple)):
        shape = tuple(shapes[0])
        return shape if all(n is None or isinstance(n, int) for n in shape) else None
    return None


def _place(module: str) -> tuple[int, str]:
    """Unrolled first, for it selects the backend; then Keras, then the rest."""
    root = module.split(".")[0]
    return {"unrolled": 0, "keras": 1}.get(root, 2), module


def _one_line(text: str) -> str:
    """Names come from strangers: a comment must not end in the middle."""
    return re.sub(r"[\r\n\x0b\x0c\x85\u2028\u2029\x1c-\x1e]+", " ", text)
