"""Constructor arguments, declared once.

A class lists its arguments as annotated fields, as a dataclass does; cell and
layer inherit the same list, so neither copies constructor plumbing and editors,
``help()`` and ``inspect.signature`` all show every argument with its default.
Conversion (``"tanh"`` to a function), ``get_config`` and its inverse follow from
the argument's name.
"""

import dataclasses
import inspect
from dataclasses import KW_ONLY, MISSING, Field, dataclass, field
from typing import Any, dataclass_transform

from keras import activations, constraints, initializers, regularizers

__all__ = ["KW_ONLY", "Declared", "field"]

# The last word of an argument's name says what it holds.
_CODECS: dict[str, Any] = {
    "activation": activations,
    "initializer": initializers,
    "regularizer": regularizers,
    "constraint": constraints,
}
# Consumed by keras.layers.Layer itself.
_LAYER_ARGUMENTS = ("name", "dtype", "trainable", "activity_regularizer")
# Arguments of older Keras that chose among equal implementations; one is left.
_OBSOLETE = ("implementation", "use_cudnn", "time_distributed")


@dataclass_transform(field_specifiers=(field,))
class Declared:
    """Base of classes whose annotated fields are their constructor arguments.

    Subclasses are Keras layers too, and come before ``keras.layers.Layer`` in the
    order of resolution. ``__post_init__`` runs once all fields are set.
    """

    _: KW_ONLY
    name: str | None = None
    dtype: Any = None
    trainable: bool = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _declare(cls)

    def _initialize(self, values: dict[str, Any]) -> None:
        """Hand Keras's own arguments to Keras and set the others."""
        rest = values.pop("kwargs")
        layer = {k: values.pop(k) for k in _LAYER_ARGUMENTS if k in values}
        super().__init__(**layer, **rest)
        for name, value in values.items():
            setattr(self, name, self.convert(name, value))
        self.__post_init__()

    def convert(self, name: str, value: Any) -> Any:
        """What the argument `name`, given as `value`, is kept as."""
        codec = _codec(name)
        return codec.get(value) if codec else value

    def __post_init__(self) -> None:
        """Check the arguments and derive from them; called by ``__init__``."""

    @classmethod
    def argument_names(cls: Any) -> list[str]:
        """Names of the declared arguments, Keras's own apart."""
        fields = [f for f in dataclasses.fields(cls) if f.init]
        return [f.name for f in fields if f.name not in _LAYER_ARGUMENTS]

    def get_config(self) -> dict[str, Any]:
        """Everything needed to make this object anew, in Keras's format."""
        config = super().get_config()  # pyright: ignore[reportAttributeAccessIssue]
        for name in self.argument_names():
            codec, value = _codec(name), getattr(self, name)
            config[name] = codec.serialize(value) if codec else value
        return config


def _declare(cls: Any) -> None:
    """Read the annotated fields of `cls`, as `dataclasses` does."""
    dataclass(init=False, repr=False, eq=False)(cls)
    fields = dataclasses.fields(cls)
    for each in fields:
        # A class attribute would shadow Keras's properties (name, dtype).
        if each.name in cls.__dict__ and each.name in cls.__annotations__:
            delattr(cls, each.name)
    signature = _signature(fields)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        kwargs = {k: v for k, v in kwargs.items() if k not in _OBSOLETE}
        try:
            bound = signature.bind(self, *args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        bound.apply_defaults()
        Declared._initialize(self, dict(list(bound.arguments.items())[1:]))

    __init__.__signature__ = signature
    __init__.__qualname__ = f"{cls.__qualname__}.__init__"
    cls.__init__ = __init__


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
