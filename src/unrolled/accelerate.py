"""Swap the recurrent layers of a stock Keras model for ours."""

import warnings
from typing import Any

import keras
from jax import numpy as jnp

from . import cells, layers

_OURS = {
    kind.__name__: kind
    for kind in (
        layers.SimpleRNN,
        layers.LSTM,
        layers.GRU,
        layers.ConvLSTM1D,
        layers.ConvLSTM2D,
        layers.ConvLSTM3D,
        layers.RNN,
        layers.Bidirectional,
        cells.SimpleRNNCell,
        cells.LSTMCell,
        cells.GRUCell,
        cells.StackedRNNCells,
    )
}
# What runs a cell along time; a cell of any kind runs in our layers.
_STOCK = (keras.layers.RNN, keras.layers.Bidirectional)


def accelerate(model: keras.Model) -> keras.Model:
    """A model with the same weights and outputs, on our recurrent layers.

    Args:
        model: a built Sequential or functional model (or one whose ``get_config``
            describes it whole), nested models included. It is left as it is.

    Returns:
        A new model: each ``keras.layers`` SimpleRNN, LSTM, GRU, ConvLSTM1D, 2D and 3D,
        RNN, Bidirectional and StackedRNNCells, with their cells, is ours, and goes on
        from the state that a stateful one carries. What else is recurrent stays as it
        is, such as a class of the user's derived from a Keras layer; one warning names
        it. The model is compiled if `model` was; the optimizer starts anew.

    Raises:
        ValueError: if no recurrent layer can be swapped, or the model cannot be made
            anew from its configuration; the message names it.

    Example:
        >>> import keras, unrolled
        >>> stock = keras.Sequential([keras.Input((5, 3)), keras.layers.LSTM(8)])
        >>> fast = unrolled.accelerate(stock)
        >>> type(fast.layers[0]) is unrolled.LSTM
        True
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(
            "model must be a built Keras model. Got "
            f"{type(model).__name__}: call it on data once, or give it an Input."
        )
    parts = model._flatten_layers()
    custom = {
        type(part).__name__: type(part) for part in parts if not _is_keras(type(part))
    }
    try:
        config = _swap(keras.saving.serialize_keras_object(model))
        with keras.saving.custom_object_scope(custom):
            fast = keras.saving.deserialize_keras_object(config, safe_mode=False)
    except (TypeError, NotImplementedError, ValueError) as error:
        raise ValueError(
            "model must be describable by its configuration to be made anew. Got "
            f"{type(model).__name__} '{model.name}': {error}"
        ) from error
    _name_leftovers(fast)
    if not fast.built:
        fast.build(model.input_shape)
    fast.set_weights(model.get_weights())
    _carry_on(model, fast)
    if model.compiled:
        fast.compile_from_config(model.get_compile_config())
    return fast


def _swap(config: Any) -> Any:
    """Rename stock recurrent classes to ours throughout a configuration."""
    if isinstance(config, dict):
        swapped = {key: _swap(value) for key, value in config.items()}
        if _is_stock(config) and _can_be_ours(swapped):
            ours = _OURS[config["class_name"]]
            swapped["module"] = ours.__module__
            swapped["registered_name"] = keras.saving.get_registered_name(ours)
        return swapped
    if isinstance(config, (list, tuple)):
        return type(config)(_swap(value) for value in config)
    return config


def _is_stock(config: dict[str, Any]) -> bool:
    known = config.get("class_name") in _OURS
    return known and config.get("module") == "keras.layers"


def _can_be_ours(swapped: dict[str, Any]) -> bool:
    """Whether what is in a Bidirectional is ours by now; of others nothing is asked."""
    inside = (swapped["config"].get(key) for key in ("layer", "backward_layer"))
    modules = [each["module"] for each in inside if each]
    return all(str(module).startswith("unrolled") for module in modules)


def _carry_on(stock: keras.Model, fast: keras.Model) -> None:
    """Give stateful layers of ours the states that those they stand for carry."""
    pairs = zip(_along_time(stock), _along_time(fast), strict=True)
    for theirs, ours in pairs:
        carried = getattr(theirs, "states", None)
        if isinstance(ours, layers.RNN) and theirs.stateful and carried:
            values = [jnp.asarray(each.value) for each in keras.tree.flatten(carried)]
            ours.reset_state(values)


def _along_time(model: keras.Model) -> list[Any]:
    kinds = (keras.layers.RNN, layers.RNN)
    return [part for part in model._flatten_layers() if isinstance(part, kinds)]


def _name_leftovers(model: keras.Model) -> None:
    """Warn of recurrent layers that are not ours.

    Raises:
        ValueError: if there are no others.
    """
    parts = model._flatten_layers()
    left = [part for part in parts if isinstance(part, _STOCK)]
    if not left:
        return
    names = ", ".join(f"'{p.name}' ({type(p).__name__}: {_reason(p)})" for p in left)
    if any(isinstance(part, (layers.RNN, layers.Bidirectional)) for part in parts):
        warnings.warn(f"accelerate left as they are {names}.", stacklevel=3)
        return
    raise ValueError(
        "model must hold a recurrent layer of keras.layers that unrolled has, too. Got "
        f"{names}: derive classes of your own from unrolled's, and use those."
    )


def _reason(layer: Any) -> str:
    if not _is_keras(type(layer)):
        return "code of its own would be lost"
    if isinstance(layer, keras.layers.Bidirectional):
        return "what is inside is left"
    return "unrolled has none"


def _is_keras(kind: type) -> bool:
    return kind.__module__.split(".")[0] == "keras"
