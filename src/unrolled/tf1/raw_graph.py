"""`raw_rnn` on Keras tensors: the user's loop as a layer of the model.

No file can hold a function. So `loop_fn` is called once on Keras tensors, and what it
does with them is a small model of its own, which a file does hold.
"""

import copy
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp

from ..arguments import Declared, deserialize
from ..cells.base import Tree, is_dims
from ..cells.built import build_cell
from ..cells.keras_style import as_cell
from ..cells.states import initial_states
from ..checks import require
from .base import RNNCell, package
from .drivers import ready
from .raw_loop import array_of, whole


@package
class Fixed(Declared, keras.layers.Layer):
    """Numbers that do not change, among the tensors of a graph.

    Args:
        numbers: nested lists.
        kind: their dtype.
    """

    numbers: Any
    kind: str

    def call(self, _: Any) -> Any:
        """They, whatever it is called with."""
        return jnp.asarray(np.asarray(self.numbers, self.kind))

    def compute_output_spec(self, _: Any) -> Any:
        """Theirs."""
        return keras.KerasTensor(np.shape(self.numbers), self.kind)


@package
class RawRNN(Declared, keras.layers.Layer):
    """The loop of `raw_rnn`, from what its first call returned.

    Args:
        cell: one of ours.
        step_model: what the user's function makes of what it is called with.
        reads: which of time, output, states and the loop's own that model reads.
        maximum_iterations: the most steps there can be.
        training_always: whether dropout is on, in training or not.
    """

    cell: Any
    step_model: Any
    reads: Any
    maximum_iterations: int
    training_always: bool = False

    # The model's layers may stand in the model around it, too. A file then has them at
    # both places, by one id, and a layer's calls are counted for the model around it.
    def get_config(self) -> dict[str, Any]:
        """The model as a configuration, its layers by id."""
        step, write = self.step_model, keras.saving.serialize_keras_object
        written = copy.deepcopy(getattr(step, "_written", None) or write(step))
        layers = {layer.name: layer for layer in step.layers}
        for each in written["config"]["layers"]:
            layer = layers.get(each["name"])  # what is no layer has no weights
            if isinstance(layer, keras.layers.InputLayer):
                each.pop("shared_object_id", None)  # of this model alone
            elif layer is not None:
                write(layer)  # Keras notes where it has met it
                each["shared_object_id"] = id(layer)
        return {**super().get_config(), "step_model": written}

    def convert(self, name: str, value: Any) -> Any:
        """The inverse."""
        if name != "step_model" or not isinstance(value, dict):
            return super().convert(name, value)
        step = deserialize(value)
        own = [node for nodes in step._nodes_by_depth.values() for node in nodes]
        for node in own:
            if not node.is_input:
                node.operation._inbound_nodes.remove(node)
        object.__setattr__(step, "_written", value)
        return step

    def build(self, inputs_shape: Tree) -> None:
        """Build the cell for what it reads."""
        shapes = inputs_shape["first"]["x"]
        each = jax.tree.map(lambda s: (None, *s[1:]), shapes, is_leaf=is_dims)
        build_cell(self.cell, each)
        self.built = True

    def call(self, inputs: Tree, training: Any = None) -> dict[str, Any]:
        """Run it."""
        first, captured = inputs["first"], inputs["captured"]
        training = self.training_always or bool(training)

        def loop_fn(time: Any, output: Tree, states: Tree, loop_state: Tree) -> tuple:
            given = jax.tree.leaves((time, output, states, loop_state))
            read = [given[n] for n in self.reads]
            found = self.step_model([*read, *captured], training=training)
            return _in_order(found, states)

        emit = jax.tree.map(
            lambda spec: jnp.zeros(spec.shape[1:], spec.dtype),
            self.step_model.output["emit"],
        )
        rows = jax.tree.leaves(first["x"])[0].shape[0]
        fresh = initial_states(as_cell(self.cell), rows)
        begun = {"state": jax.tree.leaves(fresh), **first, "emit": emit}
        begun = _in_order(begun, fresh)
        most = self.maximum_iterations
        emitted, steps, states, loop_state = whole(
            self.cell, loop_fn, begun, most, training
        )
        found = {"emitted": emitted, "steps": steps, "state": jax.tree.leaves(states)}
        return found if loop_state is None else {**found, "loop_state": loop_state}

    def compute_output_spec(self, inputs: Tree, training: Any = None) -> dict[str, Any]:
        """Of each, with as many rows emitted as there can be steps."""
        del training
        first = inputs["first"]
        rows = jax.tree.leaves(first["x"])[0].shape[0]
        found = {
            "emitted": jax.tree.map(
                lambda spec: keras.KerasTensor(
                    (self.maximum_iterations, rows, *spec.shape[1:]), spec.dtype
                ),
                self.step_model.output["emit"],
            ),
            "steps": keras.KerasTensor((), "int32"),
        }
        after = self.step_model.output["state"]
        found["state"] = [
            keras.KerasTensor((rows, *spec.shape[1:]), spec.dtype) for spec in after
        ]
        if "loop_state" in first:
            found["loop_state"] = jax.tree.map(_like, first["loop_state"])
        return found


def _in_order(found: dict[str, Any], states: Tree) -> tuple:
    """What a loop function returns, its states in the form of `states`."""
    after = jax.tree.unflatten(jax.tree.structure(states), found["state"])
    own = found["finished"], found["x"], after, found["emit"]
    return *own, found.get("loop_state")


def _like(tensor: Any) -> Any:
    return keras.KerasTensor(tensor.shape, str(tensor.dtype))


def run(
    cell: RNNCell, loop_fn: Any, first: tuple, most: int | None, training: bool
) -> tuple:
    """The loop as a layer; see `unrolled.tf1.raw_loop.whole`."""
    require(
        most is not None,
        "maximum_iterations",
        "must be given on Keras tensors: what a model returns has a size",
        "None",
        "pass the most steps there can be",
    )
    anchor = next(a for a in jax.tree.leaves(first) if isinstance(a, keras.KerasTensor))
    finished, x, state, _, loop_state = first
    own = {"finished": finished, "x": x}
    own |= {} if state is None else {"state": jax.tree.leaves(cell.from_old(state))}
    own |= {} if loop_state is None else {"loop_state": loop_state}
    own = jax.tree.map(lambda a: _symbolic(a, anchor), own)
    ready(cell, own["x"], own["state"][0].dtype if "state" in own else None)
    inner = cell.as_ours()

    # What the function is called with after a step.
    rows = jax.tree.leaves(own["x"])[0].shape[0]
    states = jax.eval_shape(lambda: jax.tree.leaves(initial_states(as_cell(inner), 1)))
    asked = {
        "time": _placeholder((), "int32"),
        "output": jax.tree.map(
            lambda s: _placeholder((rows, *s.sizes), states[0].dtype),
            as_cell(inner).output_shapes,
        ),
        "state": [_placeholder((rows, *a.shape[1:]), a.dtype) for a in states],
        "loop_state": jax.tree.map(
            lambda a: _placeholder(a.shape, a.dtype),
            own.get("loop_state", _like(np.zeros((), "int32"))),
        ),
    }
    form = jax.tree.structure(as_cell(inner).state_shapes)
    states = cell.to_old(jax.tree.unflatten(form, asked["state"]))
    returned = loop_fn(asked["time"], asked["output"], states, asked["loop_state"])
    finished, x, state, emit, after = returned
    found = {"finished": finished, "x": x, "emit": emit}
    found["state"] = jax.tree.leaves(cell.from_old(state))
    found |= {} if loop_state is None else {"loop_state": after}
    found = jax.tree.map(lambda a: _symbolic(a, asked["time"]), found)

    order = ("time", "output", "state", "loop_state")
    given = jax.tree.leaves([asked[name] for name in order])
    read, captured = _sources(jax.tree.leaves(found), given)
    edges = {id(a) for a in [*given, *captured]}
    # A model returns no tensor that it was given.
    found = jax.tree.map(
        lambda a: keras.layers.Identity(dtype=a.dtype)(a) if id(a) in edges else a,
        found,
    )
    step = keras.Model([*(given[n] for n in read), *captured], found, name="loop_fn")
    layer = RawRNN(inner, step, read, most, training, dtype=inner.dtype_policy)
    object.__setattr__(layer, "_driven_by", SimpleNamespace(cell=cell))
    results = layer({"first": own, "captured": captured})
    states = jax.tree.unflatten(form, results["state"])
    return results["emitted"], results["steps"], states, results.get("loop_state")


def _placeholder(shape: Any, dtype: Any) -> Any:
    return keras.Input(batch_shape=shape, dtype=str(dtype))


def _symbolic(value: Any, anchor: Any) -> Any:
    """A Keras tensor; of an array, one that does not change."""
    if isinstance(value, keras.KerasTensor):
        return value
    value = array_of(value)
    return Fixed(np.asarray(value).tolist(), str(value.dtype))(anchor)


def _sources(outputs: list[Any], given: list[Any]) -> tuple[list[int], list[Any]]:
    """Which of `given` some tensors depend on, and what else they are made of.

    That is every tensor on the way that depends on none of `given`: the model's own.
    """
    places = {id(a): n for n, a in enumerate(given)}
    depends: dict[int, bool] = {}
    for tensor in _upwards(outputs):
        before = list(_inputs_of(tensor))
        depends[id(tensor)] = id(tensor) in places or any(
            depends[id(a)] for a in before
        )
    captured: dict[int, Any] = {}
    for tensor in _upwards(outputs):
        inside = depends[id(tensor)] and id(tensor) not in places
        for a in _inputs_of(tensor) if inside else ():
            captured |= {} if depends[id(a)] else {id(a): a}
    captured |= {id(a): a for a in outputs if not depends[id(a)]}
    read = sorted(n for key, n in places.items() if key in depends)
    return read, list(captured.values())


def _upwards(outputs: list[Any]) -> Iterator[Any]:
    """All tensors that some are made of, and they themselves: what is read first."""
    seen: set[int] = set()
    stack = [(a, False) for a in outputs]
    while stack:
        tensor, ready_now = stack.pop()
        if ready_now:
            yield tensor
        elif id(tensor) not in seen:
            seen.add(id(tensor))
            stack.append((tensor, True))
            stack.extend((a, False) for a in _inputs_of(tensor))


def _inputs_of(tensor: Any) -> list[Any]:
    operation, index, _ = tensor._keras_history
    return operation._inbound_nodes[index].input_tensors
