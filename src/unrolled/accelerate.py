"""Swap the recurrent layers of a stock Keras model for ours."""

from typing import Any

import keras

from . import cells, layers

_OURS = {
    kind.__name__: kind
    for kind in (
        layers.SimpleRNN,
        layers.LSTM,
        layers.GRU,
        layers.RNN,
        layers.Bidirectional,
        cells.SimpleRNNCell,
        cells.LSTMCell,
        cells.GRUCell,
        cells.StackedRNNCells,
    )
}
_STOCK = tuple(getattr(keras.layers, name) for name in _OURS)


def accelerate(model: keras.Model) -> keras.Model:
    """A model with the same weights and outputs, on our recurrent layers.

    Args:
        model: a built Sequential or functional model (or one whose ``get_config``
            describes it whole), nested models included. It is left as it is.

    Returns:
        A new model: each ``keras.layers`` SimpleRNN, LSTM, GRU, RNN, Bidirectional
        and StackedRNNCells, with their cells, is ours. It is compiled if `model`
        was; the optimizer starts anew.

    Raises:
        ValueError: if a recurrent layer cannot be swapped, or the model cannot be
            made anew from its configuration; the message names it.

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
    _refuse_leftovers(fast)
    if not fast.built:
        fast.build(model.input_shape)
    fast.set_weights(model.get_weights())
    if model.compiled:
        fast.compile_from_config(model.get_compile_config())
    return fast


def _swap(config: Any) -> Any:
    """Rename stock recurrent classes to ours throughout a configuration."""
    if isinstance(config, dict):
        swapped = {key: _swap(value) for key, value in config.items()}
        module, name = config.get("module"), config.get("class_name")
        if module == "keras.layers" and name in _OURS:
            ours = _OURS[name]
            swapped["module"] = ours.__module__
            swapped["registered_name"] = keras.saving.get_registered_name(ours)
        return swapped
    if isinstance(config, (list, tuple)):
        return type(config)(_swap(value) for value in config)
    return config


def _refuse_leftovers(model: keras.Model) -> None:
    left = [part for part in model._flatten_layers() if isinstance(part, _STOCK)]
    if left:
        names = ", ".join(f"'{p.name}' ({type(p).__name__})" for p in left)
        raise ValueError(
            "model must hold only recurrent layers of keras.layers, not classes "
            f"derived from them. Got {names}: their own code would be lost; derive "
            "them from unrolled's classes and use those."
        )


def _is_keras(kind: type) -> bool:
    return kind.__module__.split(".")[0] == "keras"
