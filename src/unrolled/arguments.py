"""Constructor arguments, declared once.

A class lists its arguments as annotated fields, as a dataclass does; cell and
layer inherit the same list, so neither copies constructor plumbing and editors,
``help()`` and ``inspect.signature`` all show every argument with its default.
Conversion (``"tanh"`` to a function), ``get_config`` and its inverse follow from
the argument's name.
"""

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import KW_ONLY, MISSING, Field, dataclass, field
from types import FunctionType, SimpleNamespace
from typing import Any, dataclass_transform

import keras
import numpy as np
from keras import activations, constraints, initializers, regularizers

from . import kinds, misnamed
from .checks import require

__all__ = ["KW_ONLY", "Declared", "field"]


def _serialize(value: Any) -> Any:
    """A cell, layer or function, or a list of such, as its configuration.

    A cell may go by a name.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return [_serialize(each) for each in value]
    config = keras.saving.serialize_keras_object(value)
    forget(config, "build_config")
    if _writes_a_file() and not isinstance(value, FunctionType):
        # A cell may stand in two layers; Keras marks but the second place, and copies
        # what it would mark as the first.
        config["shared_object_id"] = id(value)
    return config


def deserialize(value: Any, custom_objects: Any = None) -> Any:
    """The inverse; what is no configuration stays as it is."""
    if isinstance(value, list):
        return [deserialize(each, custom_objects) for each in value]
    if not _is_configuration(value):
        return value
    value = _copied(value)
    forget(value, "build_config")
    find = keras.saving.get_registered_object
    name_classes(value, lambda kind: find(kind, custom_objects))
    return keras.saving.deserialize_keras_object(value, custom_objects=custom_objects)


def _copied(config: Any) -> Any:
    """A configuration that may be changed; functions in it are the same."""
    if isinstance(config, dict):
        return {key: _copied(each) for key, each in config.items()}
    return [_copied(each) for each in config] if isinstance(config, list) else config


def forget(config: Any, key: str) -> None:
    """Take `key` from a configuration and from those inside it.

    Of how a cell was built they shall say nothing: who holds a cell builds it, and
    people's own `build` builds what is inside.
    """
    if isinstance(config, dict):
        config.pop(key, None)
    for each in config.values() if isinstance(config, dict) else config:
        if isinstance(each, (dict, list)):
            forget(each, key)


def keep_functions(config: dict[str, Any], of: Any) -> None:
    """Put the functions of an object, and of cells in it, into its configuration.

    No name stands for them: two may have the same, and none need be registered.
    """
    for name, value in config["config"].items():
        own = getattr(of, name, None)
        if isinstance(own, FunctionType):
            config["config"][name] = own
        elif own is None or _codec(name) is not _cells:
            continue
        elif isinstance(own, (list, tuple)):
            pairs = zip(value, own, strict=True)
            config["config"][name] = [_with_functions(*pair) for pair in pairs]
        else:
            config["config"][name] = _with_functions(value, own)


def _with_functions(config: Any, of: Any) -> Any:
    """The same for what is kept as a cell, layer or function."""
    if isinstance(of, FunctionType) or not isinstance(config, dict):
        return of
    if not isinstance(config["config"], dict):  # a function that is compiled
        return of
    keep_functions(config, of)
    return config


def remade(layer: Any, **changes: Any) -> Any:
    """A layer like `layer`, without its weights, but for these arguments."""
    config = keras.saving.serialize_keras_object(layer)
    for key in ("shared_object_id", "build_config"):
        forget(config, key)
    keep_functions(config, layer)
    config["config"] |= changes
    # Classes of the user's need not be registered to be made twice.
    parts = layer._flatten_layers()
    custom = {type(part).__name__: type(part) for part in parts}
    custom = {
        name: k for name, k in custom.items() if not k.__module__.startswith("keras.")
    }
    return keras.saving.deserialize_keras_object(config, custom_objects=custom)


def another(initializer: Any, count: int) -> Any:
    """The initializer for one more weight: one of Keras draws the same every time.

    Args:
        initializer: as the user gave it; what draws anew each time stays as it is.
        count: how many weights it drew before. The user's seed counts up.

    Example:
        >>> import keras
        >>> from unrolled.arguments import another
        >>> another(keras.initializers.GlorotUniform(seed=3), 2).seed
        5
    """
    if not count or not isinstance(getattr(initializer, "seed", None), int):
        return initializer
    config = initializer.get_config()
    if "seed" not in config:
        return initializer
    seed = config["seed"]
    seed = seed if seed is None else seed + count
    return type(initializer).from_config({**config, "seed": seed})


def name_classes(config: Any, find: Callable[[str], Any]) -> None:
    """Let classes that the user names go before Keras's of the same name.

    Keras itself does so of a model's layers, but not of what is inside them.

    Args:
        config: a configuration, with all those inside it; changed in place.
        find: gives the user's class of a name, or None.
    """
    if _is_configuration(config) and not config.get("registered_name"):
        kind = config["class_name"]
        if find(kind) is not None:
            config["registered_name"] = kind
    for each in config.values() if isinstance(config, dict) else config:
        if isinstance(each, (dict, list)):
            name_classes(each, find)


_ANY_OBJECT = keras.initializers.Zeros()


def _writes_a_file() -> bool:
    """Whether Keras notes which objects it has met: while it writes a file."""
    twice = [keras.saving.serialize_keras_object(_ANY_OBJECT) for _ in range(2)]
    return "shared_object_id" in twice[1]


def _is_configuration(value: Any) -> bool:
    return isinstance(value, dict) and {"class_name", "config"} <= set(value)


_cells = SimpleNamespace(serialize=_serialize, get=deserialize)
# To Keras no activation is the identity; no function is none.
_functions = SimpleNamespace(
    serialize=lambda value: None if value is None else activations.serialize(value),
    get=lambda value: None if value is None else activations.get(value),
)
# The last word of an argument's name says what it holds.
_CODECS: dict[str, Any] = {
    "activation": activations,
    "initializer": initializers,
    "regularizer": regularizers,
    "constraint": constraints,
    "fn": _functions,
    "cell": _cells,
    "cells": _cells,
    "controller": _cells,
    "embedding": _cells,
    "layer": _cells,
    "mechanism": _cells,
}
# Consumed by keras.layers.Layer itself.
_LAYER_ARGUMENTS = ("name", "dtype", "trainable", "activity_regularizer")
# Arguments of older Keras that chose among equal implementations; one is left.
_OBSOLETE = ("implementation", "use_cudnn", "time_distributed")


@dataclass_transform(field_specifiers=(field,))
class Declared:
    """Base of classes whose annotated fields are their constructor arguments.

    Subclasses are Keras layers too, and come before ``keras.layers.Layer`` in the
    order of resolution. ``__post_init__`` runs once all fields are set. A class that
    writes an ``__init__`` of its own keeps it; its configuration is what that was
    called with.
    """

    _: KW_ONLY
    name: str | None = None
    dtype: Any = None
    trainable: bool = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _declare(cls)

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Remember what a class's own ``__init__`` is called with."""
        made = super().__new__(cls, *args, **kwargs)
        if not hasattr(cls.__init__, "declared"):
            object.__setattr__(made, "_given", _given(cls, made, args, kwargs))
        return made

    def _initialize(self, values: dict[str, Any]) -> None:
        """Hand Keras's own arguments to Keras and set the others."""
        rest = values.pop("kwargs")
        layer = {k: values.pop(k) for k in _LAYER_ARGUMENTS if k in values}
        super().__init__(**layer, **rest)
        kind: Any = type(self)
        declared = {each.name: each for each in dataclasses.fields(kind)}
        for name, value in values.items():
            value = self.convert(name, value)
            kinds.check(name, value, declared[name])
            setattr(self, name, value)
        self.__post_init__()

    def convert(self, name: str, value: Any) -> Any:
        """What the argument `name`, given as `value`, is kept as."""
        codec = _codec(name)
        if isinstance(value, np.generic):
            value = value.item()  # a number of NumPy's, which no file would take
        require(
            codec is not activations or not isinstance(value, (int, float)),
            name,
            "must be the name of an activation, a function or None",
            value,
            "one number, units, says how wide the state is; how many features a step "
            "has is read from the data",
        )
        return codec.get(value) if codec else value

    def __post_init__(self) -> None:
        """Check the arguments and derive from them; called by ``__init__``."""

    def has(self, name: str, value: Any) -> bool:
        """Whether the argument `name` is `value` already."""
        now = _encode(name, getattr(self, name, None))
        return bool(_encode(name, self.convert(name, value)) == now)

    @classmethod
    def argument_names(cls: Any) -> list[str]:
        """Names of the declared arguments, Keras's own apart."""
        fields = [f for f in dataclasses.fields(cls) if f.init]
        return [f.name for f in fields if f.name not in _LAYER_ARGUMENTS]

    def get_config(self) -> dict[str, Any]:
        """Everything needed to make this object anew, in Keras's format."""
        layer: Any = super().get_config()  # pyright: ignore[reportAttributeAccessIssue]
        declared = self.argument_names()
        given = getattr(self, "_given", None)
        if given is None:
            values = {name: getattr(self, name) for name in declared}
        else:
            # The class's own __init__ sets the other arguments itself.
            now = {name: getattr(self, name) for name in declared if name in given}
            values = {k: v for k, v in {**given, **now}.items() if k not in layer}
            taken = inspect.signature(type(self).__init__).parameters.values()
            if not any(p.kind is p.VAR_KEYWORD for p in taken):
                names = {p.name for p in taken}
                layer = {k: v for k, v in layer.items() if k in names}
        return _Config(self, {**layer, **{k: _encode(k, v) for k, v in values.items()}})

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The inverse of `get_config`."""
        declared = {*cls.argument_names(), *_LAYER_ARGUMENTS}
        # What is declared `convert` makes of it; of cells and a class's own, this.
        made = {
            name: value
            if name in declared and _codec(name) is not _cells
            else deserialize(value, custom_objects)
            for name, value in config.items()
        }
        if not custom_objects:  # a scope of none would hide the one around it
            return from_file(cls, made)
        with keras.saving.custom_object_scope(custom_objects):
            return from_file(cls, made)


def from_file(make: Callable[..., Any], config: dict[str, Any]) -> Any:
    """``make(**config)``; the first layer of a file of Keras 2 says for what batches.

    Keras 3 makes a model's input of that, but takes B for one axis more.
    """
    config = dict(config)
    shape = config.pop("input_shape", None)
    shape = config.pop("batch_input_shape", shape)
    made = make(**config)
    if shape is not None:
        made._input_shape_arg = tuple(shape[1:] if len(shape) > 2 else shape)
    return made


class _Config(dict):
    """A configuration that also gives, asked for by name, what else is declared.

    A class's own ``__init__`` need not take all of that; a `get_config` written for
    Keras may want it, to put it under another name.
    """

    def __init__(self, of: Declared, values: dict[str, Any]) -> None:
        super().__init__(values)
        self._of = of

    def __missing__(self, name: str) -> Any:
        if name not in self._of.argument_names():
            raise KeyError(name)
        return _encode(name, getattr(self._of, name))

    def get(self, name: str, default: Any = None) -> Any:
        """As of a dict that has all."""
        try:
            return self[name]
        except KeyError:
            return default

    def pop(self, name: str, *default: Any) -> Any:
        """As of a dict that has all."""
        if name in self or name not in self._of.argument_names():
            return super().pop(name, *default)
        return self[name]


def _encode(name: str, value: Any) -> Any:
    codec = _codec(name)
    encoded = codec.serialize(value) if codec else value
    if codec in (activations, _functions) and isinstance(encoded, str):
        known = encoded == "linear" or getattr(activations, encoded, None) is value
        module = value.__module__
        # `keras.ops.tanh` is not the same function, and means the same.
        if not (known or module.startswith("keras.")):  # the user's, of such a name
            encoded = {
                "module": module,
                "class_name": "function",
                "config": encoded,
                "registered_name": f"{module}>{encoded}",
            }
    return encoded


def _declare(cls: Any) -> None:
    """Read the annotated fields of `cls`, as `dataclasses` does."""
    if "__init__" in cls.__dict__:
        return
    written = not hasattr(cls.__init__, "declared") and hasattr(cls, "argument_names")
    dataclass(init=False, repr=False, eq=False)(cls)
    fields = dataclasses.fields(cls)
    if written and not {f.name for f in fields} & set(inspect.get_annotations(cls)):
        return
    for each in fields:
        # A class attribute would shadow Keras's properties (name, dtype).
        if each.name in cls.__dict__ and each.name in cls.__annotations__:
            delattr(cls, each.name)
    signature = _signature(fields)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        kwargs = {k: v for k, v in kwargs.items() if k not in _OBSOLETE}
        misnamed.check(type(self).__name__, kwargs, signature.parameters)
        try:
            bound = signature.bind(self, *args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        bound.apply_defaults()
        Declared._initialize(self, dict(list(bound.arguments.items())[1:]))

    __init__.__signature__ = signature
    __init__.__qualname__ = f"{cls.__qualname__}.__init__"
    made: Any = __init__
    made.declared = True
    cls.__init__ = made


def _given(cls: Any, made: Any, args: tuple, kwargs: dict) -> dict[str, Any]:
    """What a class's own ``__init__`` is called with, by name."""
    signature = inspect.signature(cls.__init__)
    try:
        bound = signature.bind(made, *args, **kwargs).arguments
    except TypeError as error:
        raise TypeError(f"{cls.__name__}: {error}") from None
    kinds = {name: p.kind for name, p in signature.parameters.items()}
    given: dict[str, Any] = {}
    for name, value in list(bound.items())[1:]:
        many = kinds[name] is inspect.Parameter.VAR_KEYWORD
        given |= value if many else {name: value}
    return given


def _codec(name: str) -> Any:
    return _CODECS.get(name.rpartition("_")[2])


def _signature(fields: tuple[Field, ...]) -> inspect.Signature:
    def parameter(each: Field) -> inspect.Parameter:
        keyword = inspect.Parameter.KEYWORD_ONLY
        positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
        return inspect.Parameter(
            each.name,
            keyword if each.kw_only else positional,
            default=inspect.Parameter.empty
            if each.default is MISSING
            else each.default,
        )

    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    named = sorted(
        (parameter(f) for f in fields if f.init), key=lambda p: (p.kind, _layer_last(p))
    )
    rest = inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)
    return inspect.Signature([this, *named, rest])


def _layer_last(parameter: inspect.Parameter) -> bool:
    return parameter.name in _LAYER_ARGUMENTS


_declare(Declared)

# Names, functions or configurations, as Keras's own get() functions take them.
Activation = Any
Initializer = Any
Regularizer = Any
Constraint = Any
