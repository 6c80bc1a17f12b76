"""The call that makes a layer, as its configuration tells it: a line of Python.

program.py makes whole models of such lines.
"""

from __future__ import annotations

import inspect
import re
import sys
from types import FunctionType
from typing import Any

import keras
import numpy as np

from . import kinds
from .strip import role
from .together import reason

_ALIASES = {"uniform": "random_uniform", "normal": "random_normal"}
Parameters = dict[str, inspect.Parameter]
MISSING = "..."
# Where Keras's own names are found, the most usual place first.
_ROOMS = ("keras.layers", "keras", "keras.initializers", "keras.regularizers")
_ROOMS += ("keras.constraints", "keras.activations", "keras.dtype_policies")


def of_layer(layer: Any) -> str:
    """The call that makes a layer: arguments that differ from their defaults."""
    return Writer().call(layer)


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


def default_name(kind: type) -> str:
    """The name that Keras gives to the first layer of a class."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind.__name__))
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


class Writer:
    """Writes calls, and keeps which names they need.

    Args:
        named: whether names that Keras would not give by itself are written.
    """

    def __init__(self, named: bool = False) -> None:
        self.named = named
        self.taken: set[str] = set()  # automatic names that were given
        self.needs: dict[str, tuple[str, Any]] = {}  # name -> module, thing
        self.modules: set[str] = set()  # what is imported whole
        self.missing: list[str] = []  # what could not be written, as words
        self.settled: set[tuple[int, str]] = set()  # what a wrapper decides for it

    def call(self, layer: Any, name: str | None = None) -> str:
        """The call of a layer's class; `name` where the layer has another one."""
        if role(layer) == "input":
            return self.input(layer)
        given = self.arguments(layer)
        given += self.name(layer, layer.name if name is None else name)
        return f"{self.thing(type(layer))}({', '.join(given)})"

    def name(self, layer: Any, name: str) -> list[str]:
        """name=..., unless it is the one that Keras gives."""
        usual = default_name(type(layer))
        if not self.named:
            return []
        if usual in self.taken or name != usual:
            return [f"name={name!r}"]
        self.taken.add(usual)  # the next one would be called lstm_1
        return []

    def input(self, layer: Any, named: bool = True) -> str:
        shape = tuple(layer.batch_shape)
        given = [f"{shape[1:]}" if shape[0] is None else f"batch_shape={shape}"]
        if str(layer.dtype) != "float32":
            given.append(f"dtype={str(layer.dtype)!r}")
        given += [
            f"{key}=True"
            for key in ("sparse", "ragged", "optional")
            if getattr(layer, key, False)
        ]
        given += self.name(layer, layer.name) if named else []
        return f"{self.thing(keras.Input)}({', '.join(given)})"

    def arguments(self, layer: Any) -> list[str]:
        """Its constructor's arguments, those that Keras would not assume."""
        if kinds.is_bidirectional(layer):
            return self.directions(layer)
        if unsaid(layer):
            self.missing.append(f"the arguments of {layer.name}")
            own = kinds.names(layer)[0] == "RNN"
            return [self.part(layer.cell), MISSING] if own else [MISSING]
        config = layer.get_config()
        shown = []
        for key, parameter in parameters(type(layer)).items():
            if key == "name" or key not in config or (id(layer), key) in self.settled:
                continue
            value, live = config[key], _live(layer, key)
            required = parameter.default is inspect.Parameter.empty
            if key == "dtype":
                policy = layer.dtype_policy.name
                usual = keras.config.dtype_policy().name
                shown += [f"dtype={policy!r}"] if policy != usual else []
            elif required or _differs(key, value, parameter.default):
                text = self.value(value, live, f"{key} of {layer.name}")
                by_name = not required or parameter.kind is parameter.KEYWORD_ONLY
                shown.append(f"{key}={text}" if by_name else text)
        return shown

    def directions(self, layer: Any) -> list[str]:
        """Keras turns the second direction round itself, if none is given."""
        one, other = layer.forward_layer, layer.backward_layer
        self.settled |= {(id(half), "zero_output_for_mask") for half in (one, other)}
        shown = [self.part(one, str(one.name).removeprefix("forward_"))]
        if layer.merge_mode != "concat":
            shown.append(f"merge_mode={layer.merge_mode!r}")
        if not (unsaid(one) or unsaid(other)):
            forward, backward = (_aligned(half.get_config()) for half in (one, other))
            if forward | {"go_backwards": not forward.get("go_backwards")} != backward:
                back = str(other.name).removeprefix("backward_")
                shown.append(f"backward_layer={self.part(other, back)}")
        if not layer.trainable:
            shown.append("trainable=False")
        return shown

    def part(self, layer: Any, name: str | None = None) -> str:
        """A layer inside a layer; program.py has more to say of models."""
        return self.call(layer, name)

    def value(self, value: Any, live: Any, what: str) -> str:
        """An argument as Python: plain data, a layer, a function, or an object."""
        if isinstance(live, keras.layers.Layer):
            if hasattr(live, "cells") and "StackedRNNCells" in kinds.names(live):
                return self.stack(live)
            return self.part(live)
        if isinstance(live, (list, tuple)) and live and _layers(live):
            return f"[{', '.join(self.part(one) for one in live)}]"
        if isinstance(value, dict) and "class_name" in value and "config" in value:
            return self.object(value, live, what)
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if _literal(value):
            return repr(value)
        self.missing.append(what)
        return MISSING

    def stack(self, cell: Any) -> str:
        """A stack, of its cells; Keras's has no other argument."""
        inner = f"[{', '.join(self.part(one) for one in cell.cells)}]"
        skip = getattr(cell, "skip_connections", False)
        more = ", skip_connections=True" if skip else ""
        return f"{self.thing(type(cell))}({inner}{more})"

    def object(self, value: dict[str, Any], live: Any, what: str) -> str:
        """A serialized function or object: an initializer, a regularizer ..."""
        if isinstance(live, FunctionType):
            if reachable(live):
                return self.thing(live)
        else:
            kind = type(live) if live is not None else _kind(value)
            config = value["config"]
            if _by_name(kind, value):
                return repr(default_name(kind))
            if kind is not None and reachable(kind) and isinstance(config, dict):
                usual = parameters(kind)
                given = [
                    f"{key}={self.value(one, _live(live, key), f'{key} of {what}')}"
                    for key, one in config.items()
                    if key in usual and one != usual[key].default
                ]
                return f"{self.thing(kind)}({', '.join(given)})"
        self.missing.append(what)
        return MISSING

    def thing(self, thing: Any) -> str:
        """The name of a class or function, imported as its users do."""
        name, module = thing.__name__, home(thing)
        known = self.needs.setdefault(name, (module, thing))
        if known[1] is thing:
            return name
        # The name is another one's here.
        self.modules.add("keras" if module.split(".")[0] == "keras" else module)
        return f"{module}.{name}"


def parameters(kind: type) -> Parameters:
    """Named parameters of a class, those of its parents where it hands them on."""
    found: Parameters = {}
    for one in kind.__mro__:
        if "__init__" not in vars(one):
            continue
        own = list(inspect.signature(one.__init__).parameters.values())[1:]
        open_ended = any(p.kind is p.VAR_KEYWORD for p in own)
        for parameter in own:
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                found.setdefault(parameter.name, parameter)
        if not open_ended:
            break
    return found


def home(thing: Any) -> str:
    """The module that people import a class or function from."""
    name, module = thing.__name__, thing.__module__ or ""
    rooms = _ROOMS if module.split(".")[0] == "keras" else ("unrolled",)
    if module.split(".")[0] in ("keras", "unrolled"):
        for room in rooms:
            if getattr(sys.modules.get(room), name, None) is thing:
                return room
    return module


def reachable(thing: Any) -> bool:
    """Can it be imported, or was it made inside a function?"""
    return getattr(sys.modules.get(home(thing)), thing.__name__, None) is thing


def _live(layer: Any, key: str) -> Any:
    """What became of an argument: attribute of the layer, or of its cell."""
    for holder in (layer, getattr(layer, "cell", None)):
        found = getattr(holder, key, None)
        if found is not None:
            return found
    return None


def _layers(values: Any) -> bool:
    return all(isinstance(one, keras.layers.Layer) for one in values)


def _kind(value: dict[str, Any]) -> Any:
    module = sys.modules.get(str(value.get("module")))
    found = getattr(module, str(value["class_name"]), None)
    return found if isinstance(found, type) else None


def _by_name(kind: Any, value: dict[str, Any]) -> bool:
    """Is it what Keras makes of the initializer's name alone?

    None is made to be compared: that would draw a seed from Python's `random`.
    """
    if not isinstance(kind, type) or not kind.__module__.startswith("keras."):
        return False
    usual = parameters(kind)
    return issubclass(kind, keras.initializers.Initializer) and all(
        key in usual and one == usual[key].default
        for key, one in value["config"].items()
    )


def _literal(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_literal(one) for one in value)
    if isinstance(value, dict):
        return all(_literal(one) for pair in value.items() for one in pair)
    if isinstance(value, float):
        return bool(np.isfinite(value))
    return value is None or isinstance(value, (bool, int, str, slice))


def _differs(key: str, value: Any, default: Any) -> bool:
    if key == "trainable":
        return value is False
    if isinstance(value, dict) and isinstance(default, str):
        if not key.endswith("initializer"):
            return True
        kind, usual = _kind(value), _ALIASES.get(default, default)
        return not (_by_name(kind, value) and default_name(kind) == usual)
    if isinstance(value, list) and isinstance(default, tuple):
        value = tuple(value)
    return value != default and (value, default) != ("linear", None)


def _aligned(config: Any) -> Any:
    """A configuration without names, and without what a built layer adds."""
    if isinstance(config, dict):
        drop = ("name", "build_config")
        return {key: _aligned(one) for key, one in config.items() if key not in drop}
    return [_aligned(one) for one in config] if isinstance(config, list) else config
