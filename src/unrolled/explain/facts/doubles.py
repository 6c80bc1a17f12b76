"""Doubles of a user's layers: what is run and changed in their place.

A double is of the same class and has the same attributes; the layers, variables and
lists in it are doubles too. Its numbers are those of the moment at which it was made,
so it stays as it is while somebody trains, calls or explains the same model.
"""

from __future__ import annotations

from collections import OrderedDict
from types import FunctionType, MethodType
from typing import Any

import keras

from ..._borrowed import tracking

_OWN = (keras.layers.Layer, keras.Variable, keras.random.SeedGenerator)
_LISTS = (list, dict, set, OrderedDict, *tracking[1:])


class Doubles:
    """Doubles of several layers that share what the layers share."""

    def __init__(self) -> None:
        # The originals are kept as well: an id is theirs only while they live.
        self._made: dict[int, tuple[Any, Any]] = {}

    def of(self, value: Any) -> Any:
        """The double of a layer, a variable, or of a list with such things in it."""
        if id(value) in self._made:
            return self._made[id(value)][1]
        if isinstance(value, (*_OWN, tracking[0])):
            new = self._note(value, object.__new__(type(value)))
            return self._attributes(value, new)
        if type(value) in _LISTS:
            return self._filled(value, self._note(value, type(value)()))
        if isinstance(value, tuple) and any(self.of(one) is not one for one in value):
            make = getattr(type(value), "_make", type(value))
            return self._note(value, make([self.of(one) for one in value]))
        if isinstance(value, MethodType) and isinstance(value.__self__, _OWN):
            return MethodType(value.__func__, self.of(value.__self__))
        if isinstance(value, FunctionType):  # Keras wraps `build` of every instance
            inside = getattr(value, "__wrapped__", None)
            if isinstance(inside, MethodType) and isinstance(inside.__self__, _OWN):
                return self.of(inside)
        return value

    def _note(self, value: Any, new: Any) -> Any:
        self._made[id(value)] = (value, new)
        return new

    def _attributes(self, value: Any, new: Any) -> Any:
        found = {key: self.of(one) for key, one in list(vars(value).items())}
        vars(new).update(found)
        return new

    def _filled(self, value: Any, new: Any) -> Any:
        if isinstance(value, dict):
            dict.update(new, {key: self.of(one) for key, one in value.items()})
        elif isinstance(value, set):
            set.update(new, {self.of(one) for one in value})
        else:
            list.extend(new, [self.of(one) for one in value])
        return self._attributes(value, new) if hasattr(value, "__dict__") else new


def with_flags(double: Any, **values: Any) -> Any:
    """A double with other attributes (return_sequences ...), where it has them.

    It shares all else with `double`: the same cell, the same weights.
    """
    other = object.__new__(type(double))
    vars(other).update(vars(double))
    for key, value in values.items():
        if hasattr(double, key):
            object.__setattr__(other, key, value)
    return other
