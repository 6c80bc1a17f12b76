"""The code that makes a layer or a model, as its configuration tells it."""

from __future__ import annotations

import contextlib
import inspect
from typing import Any

from . import kinds
from .strip import children, role
from .together import reason


def of_layer(layer: Any) -> str:
    """The call that makes a layer: arguments that differ from their defaults."""
    name = type(layer).__name__
    if name == "InputLayer":
        shape = tuple(layer.batch_shape[1:])
        batch = layer.batch_shape[0]
        if batch is not None:
            return f"Input(batch_shape={tuple(layer.batch_shape)})"
        return f"Input({shape})"
    if kinds.is_bidirectional(layer):
        inner = of_layer(layer.forward_layer)
        merge = layer.merge_mode
        tail = "" if merge == "concat" else f", merge_mode={merge!r}"
        return f"Bidirectional({inner}{tail})"
    wrapped = getattr(layer, "layer", None)
    if role(layer) == "wrapper" and wrapped is not None:
        return f"{name}({of_layer(wrapped)})"
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
        return [of_layer(layer.cell), "..."] if own else ["..."]
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
                "[" + ", ".join(of_layer(one) for one in inner) + "]"
                if inner
                else of_layer(cell)
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


def of_model(model: Any) -> str:
    """Code for a whole model: exact for Sequential, a line per layer otherwise."""
    if role(model) != "model":
        return of_layer(model)
    inner = [one for one in children(model) if role(one) != "input"]
    if "Sequential" in kinds.names(model):
        lines = [f"    {of_layer(one)}," for one in inner]
        with contextlib.suppress(AttributeError, ValueError, TypeError):
            lines.insert(0, f"    Input({tuple(model.input_shape[1:])}),")
        return "\n".join(["Sequential([", *lines, "])"])
    lines = [f"{type(model).__name__}  # these layers, wired as drawn:"]
    lines += [f"{one.name} = {of_layer(one)}" for one in children(model)]
    return "\n".join(lines)
