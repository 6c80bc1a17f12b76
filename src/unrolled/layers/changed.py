"""Arguments that are changed once a layer is made."""

from typing import Any

from ..checks import require


def check(layer: Any, name: str, value: Any) -> None:
    """Check that an argument which a layer's cell was made with stays what it is.

    Else the layer would say one thing, in a file too, and its cell do another.

    Raises:
        ValueError: if it is to be another.
    """
    cell = layer.__dict__.get("cell")
    if cell is None or "cell" in layer.argument_names():
        return
    inside = getattr(cell, "cells", [cell])[0]
    handed_on = {"num_layers", "layer_dropout", *inside.argument_names()}
    require(
        name not in handed_on or layer.has(name, value),
        name,
        "is handed to the cell when the layer is made, and stays what it was",
        f"{value!r} for '{layer.name}'",
        f"make another layer: {type(layer).__name__}.from_config(layer.get_config() | "
        f"{{{name!r}: ...}})",
    )


def check_built(layer: Any) -> None:
    """Check that a layer was built for what its arguments say.

    Raises:
        ValueError: if one that `build` makes variables for was changed after it.
    """
    made = {"stateful": layer.states, "learn_initial_state": layer.learned}
    for name, variables in made.items():
        require(
            variables is not None or not getattr(layer, name),
            name,
            "must be said when the layer is made, for it has variables of its own",
            f"{name}=True, set on '{layer.name}' after it was built",
            f"make the layer with {name}=True",
        )
