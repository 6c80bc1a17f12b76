"""Weights for a layer that is not built are an error, where Keras says nothing."""

import weakref
from typing import Any

from .._borrowed import arrays_below
from ..checks import require

# Which files have had weights for a layer that was not built.
_UNREAD: weakref.WeakKeyDictionary[Any, weakref.ref[Any]] = weakref.WeakKeyDictionary()


def check(layer: Any, store: Any) -> None:
    """Check that a layer is built if a file has weights for it or what is inside.

    Keras asks once for each name that a layer has in a model, and is content with one
    under which the file has nothing. So what was refused once is refused again.

    Args:
        layer: a recurrent layer.
        store: what Keras hands to its `load_own_variables`.

    Raises:
        ValueError: if it is not.
    """
    if layer.built:
        return
    count = arrays_below(store)
    if count:
        _UNREAD[layer] = weakref.ref(store)
    require(
        layer not in _UNREAD or _UNREAD[layer]() is not store,
        "load_weights",
        "needs layers that are built: what is in them is not there before",
        f"weights for '{layer.name}', which is not built",
        "call the model on data first, or give it a keras.Input",
    )
