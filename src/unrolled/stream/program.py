"""A model read as a program: layers in a row, as plain data."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from .. import cells, layers, rnn
from ..arguments import require
from ..rnn import RNN

Array = np.ndarray

# Recurrent kinds, in the order of native/problem.h.
STATES = {"simple_rnn": 1, "lstm": 2, "gru_after": 1, "gru_before": 1}


class Step(NamedTuple):
    """What one layer does at a step; what the fields mean is in native/program.h."""

    kind: str
    name: str
    features: int  # D
    units: int  # U
    activation: str = "linear"
    recurrent_activation: str = "linear"
    kernel: Array | None = None
    recurrent: Array | None = None
    bias: Array | None = None
    numbers: tuple[float, float, float] = (0.0, 0.0, 0.0)


class Program(NamedTuple):
    """The steps of a model, lowest first."""

    steps: list[Step]

    @property
    def takes_ids(self) -> bool:
        """Whether a row of x is one whole number."""
        return self.steps[0].kind == "embedding"

    @property
    def features(self) -> int:
        """D; with `takes_ids`, how many ids there are."""
        return self.steps[0].features

    @property
    def units(self) -> int:
        """Width of a row of y."""
        return self.steps[-1].units


def read(model: Any) -> Program:
    """Read a model's weights and options.

    Raises:
        ValueError: naming the layer that a stream cannot step, and why.
    """
    steps: list[Step] = []
    seen: set[int] = set()
    for layer in _chain(model):
        reader = _READERS.get(type(layer))
        if reader is None:
            raise _refuse(layer, *_why_unknown(layer))
        _check_dtype(layer)
        if isinstance(layer, (RNN, keras.layers.RNN)):
            if id(layer) in seen:
                raise _refuse(
                    layer,
                    "is called twice, and each call would carry a state of its own",
                    "use two layers",
                )
            seen.add(id(layer))
        steps += reader(layer, steps[-1].units if steps else _features(layer, model))
    require(
        bool(steps),
        "model",
        "must hold at least one layer",
        f"'{model.name}' without any",
        "pass the model that should be stepped",
    )
    for step in steps[1:]:
        require(
            step.kind != "embedding",
            "model",
            "can hold an Embedding only as its first layer",
            f"'{step.name}' further up",
            "stream the part of the model from that layer on",
        )
    return Program(steps)


# --- the model as a chain of layers ---


def _chain(model: Any) -> Iterator[Any]:
    """The layers of a model from input to output, nested models opened."""
    require(
        isinstance(model, keras.layers.Layer),
        "model",
        "must be a Keras model or layer",
        type(model).__name__,
        "pass the model that you trained",
    )
    require(
        model.built,
        "model",
        "must be built: its weights are what a stream packs",
        f"'{model.name}', which is not",
        "call it on data once, or give it an Input",
    )
    if type(model) is keras.Sequential:
        for layer in model.layers:
            yield from _chain(layer)
    elif isinstance(model, keras.Model) and getattr(model, "_functional", None):
        raise _refuse(model, "is a Sequential of your own class", "pass its layers")
    elif type(model) in (keras.Model, keras.src.models.functional.Functional):
        for layer in _functional_chain(model):
            yield from _chain(layer)
    elif type(model) is keras.layers.TimeDistributed:
        inner = model.layer
        if isinstance(inner, (RNN, keras.layers.RNN)):
            raise _refuse(model, "holds a recurrent layer", "use that layer alone")
        yield from _chain(inner)
    elif not isinstance(model, keras.layers.InputLayer):
        yield model


def _functional_chain(model: Any) -> list[Any]:
    """The layers between a functional model's one input and its one output."""
    tensors = [*model.inputs, *model.outputs]
    require(
        len(tensors) == 2,
        "model",
        "must have one input and one output to be stepped",
        f"{len(model.inputs)} and {len(model.outputs)} in '{model.name}'",
        "stream a part of it that has",
    )
    (start, tensor), chain = tensors, []
    while tensor is not start:
        layer, node_index, _ = tensor._keras_history
        node = layer._inbound_nodes[node_index]
        given = node.input_tensors
        if len(given) != 1 or not isinstance(layer, keras.layers.Layer):
            raise _refuse(
                layer,
                f"joins {len(given)} tensors"
                if len(given) != 1
                else "is an operation, not a layer",
                "a stream steps layers in a single row; stream the parts apart",
            )
        if node.arguments.kwargs.get("training"):
            raise _refuse(
                layer, "is called with training=True", "a stream is for inference"
            )
        chain.append(layer)
        tensor = given[0]
    return chain[::-1]


# --- errors ---


def _refuse(layer: Any, why: str, advice: str) -> ValueError:
    name = f"{type(layer).__name__} '{layer.name}'"
    return ValueError(
        "model must hold only layers that a stream can step. "
        f"Got {name}, which {why}: {advice}."
    )


def _why_unknown(layer: Any) -> tuple[str, str]:
    kind = type(layer).__name__
    if kind == "Bidirectional":
        return (
            "reads the sequence from its end too, and a stream has none",
            "train a model that only reads forwards",
        )
    if isinstance(layer, keras.layers.Masking):
        return "marks steps to pass over", "leave those steps out of the stream"
    for known in _READERS:
        if isinstance(layer, known):
            return (
                f"is derived from {known.__name__} and may do something else",
                f"use {known.__name__} itself",
            )
    return (
        "a stream does not know",
        "known are the recurrent layers, Dense, Embedding, activations, layer, batch "
        "and RMS normalization, and dropout",
    )


def _check_dtype(layer: Any) -> None:
    if layer.compute_dtype != "float32" and layer.weights:
        raise _refuse(
            layer,
            f"computes in {layer.compute_dtype}, and a stream in float32",
            "make the model anew with dtype='float32' and set_weights; "
            "weights='bfloat16' is an option of the stream",
        )


def _features(layer: Any, model: Any) -> int:
    """Width of what the first layer reads."""
    shapes = [getattr(layer, "input_shape", None)] if layer._inbound_nodes else []
    shapes.append(getattr(model, "input_shape", None) if model._inbound_nodes else None)
    for attribute in ("cell", "kernel", "gamma", "scale"):
        held = getattr(layer, attribute, None)
        if attribute == "cell" and held is not None:
            held = getattr(held, "cells", [held])[0]
            return int(getattr(held, "kernel", held.weights[0]).shape[0])
        if getattr(held, "shape", None):
            return int(held.shape[0])
    for shape in shapes:
        if shape and isinstance(shape[-1], int):
            return shape[-1]
    raise _refuse(layer, "has an unknown number of features", "give the model an Input")


# --- layers ---


def _array(variable: Any) -> Array | None:
    if variable is None:
        return None
    return np.ascontiguousarray(np.asarray(variable), np.float32)


_CELL_ACTIVATIONS = ("tanh", "sigmoid", "hard_sigmoid", "relu", "linear")
_DENSE_ACTIVATIONS = (*_CELL_ACTIVATIONS, "silu", "elu", "softplus", "gelu")
_NUMBERS = {"elu": (1.0, 0.0, 0.0), "ramp": (0.0, float("inf"), 0.0)}


def _activation(layer: Any, owner: Any, role: str, known: tuple[str, ...]) -> str:
    function = getattr(owner, role)
    for name in known:
        if function is getattr(keras.activations, name):
            return name
    name = getattr(function, "__name__", type(function).__name__)
    raise _refuse(
        layer,
        f"has the {role} {name}, which has no compiled form",
        f"use one of {', '.join(known)}",
    )


def _recurrent(layer: Any, features: int) -> list[Step]:
    for option in ("go_backwards", "return_state", "return_all_states"):
        if getattr(layer, option, False):
            advice = {
                "go_backwards": "train a model that reads forwards",
                "return_state": "leave it out; stream.states has them at every step",
            }
            raise _refuse(
                layer,
                f"has {option}=True",
                advice.get(option, advice["return_state"]),
            )
    steps = []
    for cell in _cells(layer.cell):
        steps.append(_cell(layer, cell, features))
        features = steps[-1].units
    return steps


def _cells(cell: Any) -> list[Any]:
    if type(cell) not in (cells.StackedRNNCells, keras.layers.StackedRNNCells):
        return [cell]
    return [inner for each in cell.cells for inner in _cells(each)]


def _cell(layer: Any, cell: Any, features: int) -> Step:
    kinds = {"SimpleRNNCell": "simple_rnn", "LSTMCell": "lstm", "GRUCell": "gru"}
    name = type(cell).__name__
    stock = getattr(keras.layers, name, None)
    if name not in kinds or type(cell) not in (getattr(cells, name), stock):
        raise _refuse(
            layer,
            f"has the cell {name}, which has no compiled form",
            "use SimpleRNNCell, LSTMCell or GRUCell, or step the cell itself",
        )
    _check_dtype(cell)
    kind = kinds[name]
    if kind == "gru":
        kind = "gru_after" if cell.reset_after else "gru_before"
    gates = "linear"
    if kind != "simple_rnn":
        gates = _activation(layer, cell, "recurrent_activation", _CELL_ACTIVATIONS)
    return Step(
        kind,
        layer.name,
        features,
        cell.units,
        _activation(layer, cell, "activation", _CELL_ACTIVATIONS),
        gates,
        _array(cell.kernel),
        _array(cell.recurrent_kernel),
        _array(cell.bias),
    )


def _dense(layer: Any, features: int) -> list[Step]:
    if getattr(layer, "quantization_mode", None):
        raise _refuse(
            layer, "is quantized", "pass the model before quantize(); see weights="
        )
    softmax = layer.activation is keras.activations.softmax
    name = "linear"
    if not softmax:
        name = _activation(layer, layer, "activation", _DENSE_ACTIVATIONS)
    step = Step(
        "dense",
        layer.name,
        features,
        layer.units,
        name,
        kernel=_array(layer.kernel),
        bias=_array(layer.bias) if layer.use_bias else None,
        numbers=_NUMBERS.get(name, (0.0, 0.0, 0.0)),
    )
    if not softmax:
        return [step]
    return [step, Step("softmax", layer.name, layer.units, layer.units)]


def _pointwise(layer: Any, n: int, name: str, *numbers: float) -> list[Step]:
    a, b, c = numbers or _NUMBERS.get(name, (0.0, 0.0, 0.0))
    return [Step("pointwise", layer.name, n, n, name, numbers=(a, b, c))]


def _activation_layer(layer: Any, n: int) -> list[Step]:
    if layer.activation is keras.activations.softmax:
        return [Step("softmax", layer.name, n, n)]
    name = _activation(layer, layer, "activation", _DENSE_ACTIVATIONS)
    return _pointwise(layer, n, name)


def _ramp(layer: Any, n: int) -> list[Step]:
    top = float("inf") if layer.max_value is None else float(layer.max_value)
    slope, threshold = float(layer.negative_slope or 0), float(layer.threshold or 0)
    if (slope, top, threshold) == (0.0, float("inf"), 0.0):
        return _pointwise(layer, n, "relu")
    return _pointwise(layer, n, "ramp", slope, top, threshold)


def _leaky(layer: Any, n: int) -> list[Step]:
    return _pointwise(
        layer, n, "ramp", float(layer.negative_slope), float("inf"), 0.0
    )


def _elu(layer: Any, n: int) -> list[Step]:
    return _pointwise(layer, n, "elu", float(layer.alpha), 0.0, 0.0)


def _last_axis(layer: Any) -> None:
    axis = layer.axis
    axis = list(axis) if isinstance(axis, (list, tuple)) else [axis]
    if axis not in ([-1], [2]):
        raise _refuse(layer, f"acts along axis {layer.axis}", "use axis=-1, features")


def _softmax(layer: Any, n: int) -> list[Step]:
    _last_axis(layer)
    return [Step("softmax", layer.name, n, n)]


def _batch_normalization(layer: Any, n: int) -> list[Step]:
    """In inference a factor and an offset for each feature."""
    _last_axis(layer)
    mean = np.asarray(layer.moving_mean, np.float64)
    factor = 1 / np.sqrt(np.asarray(layer.moving_variance, np.float64) + layer.epsilon)
    if layer.scale:
        factor = factor * np.asarray(layer.gamma)
    offset = -mean * factor
    if layer.center:
        offset = offset + np.asarray(layer.beta)
    arrays = [np.ascontiguousarray(a, np.float32) for a in (factor, offset)]
    return [Step("affine", layer.name, n, n, kernel=arrays[0], bias=arrays[1])]


def _layer_normalization(layer: Any, n: int) -> list[Step]:
    _last_axis(layer)
    if getattr(layer, "rms_scaling", False):
        raise _refuse(layer, "has rms_scaling=True", "use RMSNormalization")
    gamma = _array(layer.gamma) if layer.scale else np.ones(n, np.float32)
    beta = _array(layer.beta) if layer.center else None
    numbers = (float(layer.epsilon), 0.0, 0.0)
    return [
        Step("normalize", layer.name, n, n, kernel=gamma, bias=beta, numbers=numbers)
    ]


def _rms_normalization(layer: Any, n: int) -> list[Step]:
    _last_axis(layer)
    numbers = (float(layer.epsilon), 1.0, 0.0)
    gamma = _array(layer.scale)
    return [Step("normalize", layer.name, n, n, kernel=gamma, numbers=numbers)]


def _embedding(layer: Any, n: int) -> list[Step]:
    del n
    if layer.mask_zero:
        raise _refuse(
            layer,
            "has mask_zero=True, which marks steps to pass over",
            "make it with mask_zero=False, and leave those steps out of the stream",
        )
    table = _array(layer.embeddings)
    return [
        Step("embedding", layer.name, layer.input_dim, layer.output_dim, kernel=table)
    ]


def _nothing(layer: Any, n: int) -> list[Step]:
    """Layers that do nothing in inference."""
    return [Step("pointwise", layer.name, n, n, "linear")] if layer is None else []


_READERS: dict[type, Any] = {
    **dict.fromkeys((layers.SimpleRNN, layers.LSTM, layers.GRU, rnn.RNN), _recurrent),
    **dict.fromkeys(
        (
            keras.layers.SimpleRNN,
            keras.layers.LSTM,
            keras.layers.GRU,
            keras.layers.RNN,
        ),
        _recurrent,
    ),
    keras.layers.Dense: _dense,
    keras.layers.Activation: _activation_layer,
    keras.layers.ReLU: _ramp,
    keras.layers.LeakyReLU: _leaky,
    keras.layers.ELU: _elu,
    keras.layers.Softmax: _softmax,
    keras.layers.BatchNormalization: _batch_normalization,
    keras.layers.LayerNormalization: _layer_normalization,
    keras.layers.RMSNormalization: _rms_normalization,
    keras.layers.Embedding: _embedding,
    **dict.fromkeys(
        (
            keras.layers.Dropout,
            keras.layers.SpatialDropout1D,
            keras.layers.GaussianDropout,
            keras.layers.GaussianNoise,
            keras.layers.ActivityRegularization,
            keras.layers.Identity,
        ),
        _nothing,
    ),
}
