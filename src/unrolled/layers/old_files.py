"""How layers and cells of ours read files of Keras 2.

`cells/keras2.py` knows what is in them; here it is found out for whom.
"""

from typing import Any

import keras

from .._borrowed import reading_old_files
from ..arguments import name_classes
from ..cells.gated import GatedCell


def _naming(config: Any, custom_objects: Any) -> None:
    """Our classes among `custom_objects` are meant wherever a file names them."""

    def find(kind: str) -> Any:
        found = keras.saving.get_registered_object(kind, custom_objects)
        ours = getattr(found, "__module__", "").partition(".")[0] == "unrolled"
        return found if ours else None

    name_classes(config, find)


def _held(layer: Any, weights: Any, arrays: Any, check: bool) -> list[Any]:
    """The arrays of a layer, each as the cell that takes it holds it."""
    held = list(arrays)
    places = {id(weight): place for place, weight in enumerate(weights)}
    for cell in layer._flatten_layers():
        if not isinstance(cell, GatedCell) or not cell.built:
            continue
        own = [places[id(weight)] for weight in cell.matrices if id(weight) in places]
        if len(own) < len(cell.matrices):
            continue  # these are a model's own weights, not its layers'
        made = cell.as_held([arrays[place] for place in own], check)
        for place, array in zip(own, made, strict=True):
            held[place] = array
    return held


reading_old_files(_naming, _held)
